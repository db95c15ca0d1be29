"""The training run of a task's network: what every task shares of it.

It goes on bit for bit where it was stopped, is rolled back, and keeps its best. A task adds its
data, its loss and its score: see `tagger_run` and `classifier_run`. The folder of a run is that of
`relmo.train.folder`; with several seeds there is one for each, `seed-1`, `seed-2`, ...
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from relmo.elmo.model import Elmo
from relmo.errors import ConfigError, FormatError, TrainingError
from relmo.formats import relmo_format
from relmo.tasks.config import TaskTraining, TokenConfig
from relmo.tasks.folder import ELMO
from relmo.tasks.inputs import elmo_sha256, epoch_batches
from relmo.tasks.layer_cache import CacheProgress, ComputedLayers, LayerSource, stored
from relmo.tasks.network import TokenNetwork
from relmo.train.folder import LAST, RUN, RunFolder
from relmo.train.loop import Progress, Result, fit
from relmo.train.optimizers import clip_gradient

__all__ = ["TaskRun", "Trained"]

_MAY_CHANGE = {"epochs", "patience"}
_OF_NO_WEIGHT = {"config", "files", "torch"}
_OTHERS = {
    "train": "the training data are others",
    "dev": "the development data are others",
    "elmo": "the biLM is another one",
    "vectors": "the word vectors are others",
}
"""What run.json has the checksum of."""


@runtime_checkable
class Trained(Protocol):
    """What a run trains."""

    @property
    def network(self) -> TokenNetwork:
        """Its network."""

    def write(self, folder: Path) -> None:
        """Fill an empty folder with it."""


class TaskRun(ABC):
    """The job of training a task's network.

    Args:
        folder: of the run.
        config: the network's shape.
        training: how it is trained.
        elmo: the biLM, where the network reads one.
    """

    trained: Trained
    lengths: npt.NDArray[np.int64]
    """Tokens of each of the training data."""

    def __init__(
        self, folder: RunFolder, config: TokenConfig, training: TaskTraining, elmo: Elmo | None
    ) -> None:
        if config.elmo and elmo is None:
            raise ConfigError("a network with elmo=True needs a biLM")
        if training.finetune_elmo and not config.elmo:
            raise ConfigError("--finetune-elmo: the network reads no biLM")
        self.folder, self.training = folder, training
        self.elmo = elmo if config.elmo else None
        if self.elmo is not None:
            config.mixed(self.elmo.n_layers)  # that a layer is not there is said now
        self.device = torch.device("cpu") if self.elmo is None else self.elmo.device
        # Before anything is learned: a biLM that is fine-tuned is another one soon.
        self.elmo_sha256 = self.elmo and elmo_sha256(self.elmo, softmax=config.softmax_words)
        self._untuned = {} if not self._tuned else copy.deepcopy(self._tuned[0].bilm.state_dict())

    @abstractmethod
    def _new(self) -> Trained:
        """What is trained before its first step; the seed is set."""

    @abstractmethod
    def _loss(self, numbers: Sequence[int]) -> Tensor:
        """Of a batch of the training data."""

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """The scores of the development data, in percent; see `loop.Job`."""

    @abstractmethod
    def _description(self) -> dict[str, Any]:
        """What run.json holds: the settings as "config", and checksums."""

    @abstractmethod
    def _tensors(self, where: Path) -> dict[str, Tensor]:
        """The network's, out of a folder that this run wrote.

        Raises:
            FormatError, ConfigError: it is damaged, or not of this run.
        """

    def _begin(self) -> None:
        """The run before its first step."""
        torch.manual_seed(self.training.seed)
        self.trained = self._new()
        for tuned in self._tuned:
            tuned.bilm.requires_grad_(True).load_state_dict(self._untuned)
        self.optimizer = self._optimizer()
        self._skipped = 0
        self._batches: tuple[int, list[list[int]]] = (-1, [])

    def fit(
        self,
        resume: bool,
        should_stop: Callable[[], bool],
        on_progress: Callable[[Progress], None],
    ) -> Result:
        """Train in the one loop of the project, an epoch between validations."""
        with self.folder.held(resume):
            return fit(
                self,
                max_steps=self.max_steps,
                save_every_steps=self.steps_an_epoch,
                validate_every_steps=self.steps_an_epoch,
                patience=self.training.patience,
                progress=self.start(),
                should_stop=should_stop,
                on_progress=on_progress,
            )

    @property
    def steps_an_epoch(self) -> int:
        """Batches of the training data."""
        return -(-int(np.count_nonzero(self.lengths)) // self.training.batch_size)

    @property
    def max_steps(self) -> int:
        """Steps of the whole run."""
        return self.training.epochs * self.steps_an_epoch

    def _layers(
        self,
        sentences: Sequence[Sequence[str]],
        cache: Path | None,
        on_cache: Callable[[CacheProgress], None],
    ) -> LayerSource | None:
        """The biLM's layers of sentences, where it is read."""
        if self.elmo is not None and cache is not None and not self._tuned:
            return stored(self.elmo, sentences, cache, on_progress=on_cache)
        if self.elmo is not None:
            return ComputedLayers(self.elmo, sentences, trains=bool(self._tuned))
        return None

    @property
    def _tuned(self) -> list[Elmo]:
        """The biLM where it learns too."""
        return [self.elmo] if self.training.finetune_elmo and self.elmo is not None else []

    def _optimizer(self) -> torch.optim.AdamW:
        network, training = self.trained.network, self.training
        groups: list[dict[str, Any]] = [
            {"params": [p for p in network.parameters() if p.requires_grad], "share": 1.0}
        ]
        share = training.elmo_learning_rate / training.learning_rate
        groups += [
            {"params": list(tuned.bilm.parameters()), "share": share} for tuned in self._tuned
        ]
        return torch.optim.AdamW(
            groups, lr=training.learning_rate, weight_decay=training.weight_decay
        )

    def start(self) -> dict[str, Any] | None:
        """Begin in the run's folder, or take up what it holds; returns the progress to go on.

        Raises:
            InputError: the folder cannot be written.
            ConfigError: the run to resume had other settings or data.
            FormatError: the run to resume is damaged.
        """
        if not self.folder.holds_run():
            self.folder.start(self._description())
            return None
        _check_continues(self.folder.description(), self._description(), self.folder.path / RUN)
        progress = self._load()
        progress["lines"] = self.folder.drop_later_metrics(progress.get("lines"))
        self.folder.describe(self._description())
        return progress

    def roll_back(self) -> dict[str, Any]:
        """Take up the last checkpoint, or begin again where there is none; see `loop.Job`."""
        if not self.folder.holds_run():
            self._begin()
            return {}
        self.optimizer.zero_grad(set_to_none=True)
        return self._load()

    def skip(self) -> None:
        """Pass over the sentences of a step; see `loop.Job`."""
        self._skipped += 1

    def step(self, number: int, rate_share: float) -> dict[str, float]:
        """One update; see `loop.Job`."""
        training, network = self.training, self.trained.network
        numbers = self._batch(number - 1 + self._skipped)
        network.train()
        loss = self._loss(numbers)
        measures = {"loss": loss.item(), "tokens": float(sum(self.lengths[numbers]))}
        if not math.isfinite(measures["loss"]):
            return measures
        (loss + training.mix_penalty * network.penalty()).backward()  # type: ignore[no-untyped-call]
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        measures["gradient_norm"] = float(clip_gradient(parameters, training.clip_norm))
        if not math.isfinite(measures["gradient_norm"]):
            return measures
        left = 1 - (number - 1) / self.max_steps
        rate = rate_share * left * training.learning_rate
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {**measures, "learning_rate": rate}

    def _batch(self, number: int) -> list[int]:
        """The sentences of a step, counted from 0: it follows from the seed alone."""
        epoch, place = divmod(number, self.steps_an_epoch)
        if self._batches[0] != epoch:
            batches = epoch_batches(
                self.lengths, self.training.batch_size, self.training.seed, epoch
            )
            self._batches = epoch, batches
        return self._batches[1][place]

    def record(self, measures: dict[str, Any]) -> None:
        """Append a line to the run's metrics; see `loop.Job`."""
        self.folder.record(measures)

    def save(self, name: str, progress: dict[str, Any]) -> None:
        """Write a checkpoint whole or not at all; see `loop.Job`.

        Raises:
            InputError: it cannot be written; the earlier one stands.
            TrainingError: a weight is not finite; the earlier one stands.
        """
        for what, tensor in self.trained.network.state_dict().items():
            if not bool(torch.isfinite(tensor).all()):
                raise TrainingError(
                    f"step {progress['step']}: {what!r} is no longer finite and is not saved"
                )
        state = self._resumable(progress) if name == LAST else None
        self.folder.save_with(name, self.trained.write, state)

    def _resumable(self, progress: dict[str, Any]) -> dict[str, Any]:
        on_gpu = self.device.type == "cuda"
        return {
            "progress": progress,
            "optimizer": self.optimizer.state_dict(),
            "torch_random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state(self.device) if on_gpu else None,
            "skipped": self._skipped,
        }

    def _load(self) -> dict[str, Any]:
        """Take up the last checkpoint; its progress."""
        where = self.folder.path / LAST
        self.trained.network.load_state_dict(self._tensors(where))
        saved = self.folder.state()
        for tuned in self._tuned:
            tuned.bilm.load_state_dict(relmo_format.read(where / ELMO).tensors)
        try:
            self.optimizer.load_state_dict(saved["optimizer"])
            torch.set_rng_state(saved["torch_random"])
            if saved["cuda_random"] is not None and self.device.type == "cuda":
                torch.cuda.set_rng_state(saved["cuda_random"], self.device)
            self._skipped = int(saved["skipped"])
            progress: dict[str, Any] = saved["progress"]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise FormatError(f"{where}: training.pt is not of this run: {error!r}") from error
        return progress


def _check_continues(started: dict[str, Any], now: dict[str, Any], source: Path) -> None:
    """The run to resume had these settings, data and biLM; only its length may change."""
    flat = [{**run["config"], **{k: v for k, v in run.items() if k not in _OF_NO_WEIGHT}}
            for run in (started, now)]  # fmt: skip
    for name in sorted(flat[0].keys() | flat[1].keys()):
        before, here = (run.get(name) for run in flat)
        if before == here or name in _MAY_CHANGE:
            continue
        differs = f"{name}: expected {before} as the run was started, got {here}"
        if name in _OTHERS:
            before, here = (
                f"sha256 {sha256:.12}" if sha256 else "none" for sha256 in (before, here)
            )
            differs = f"{_OTHERS[name]} than the run was started with: {before}, now {here}"
        raise ConfigError(f"{source}: {differs}; resume with that, or start in another folder")
