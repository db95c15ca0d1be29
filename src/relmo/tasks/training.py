"""Training a task: what each task defines (`Task`), and the run that trains any (`TaskJob`).

A run goes on bit for bit where it was stopped, is rolled back, and keeps its best epoch. Its folder
is that of `relmo.train.folder`; with several seeds there is one for each, `seed-1`, `seed-2`, ...
"""

import copy
import hashlib
import json
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from relmo.data.spans import Scheme
from relmo.elmo.model import Elmo
from relmo.errors import ConfigError, FormatError, InputError, TrainingError
from relmo.formats import relmo_format
from relmo.tasks.config import TaskTraining, TokenConfig
from relmo.tasks.folder import ELMO, TaskModel
from relmo.tasks.inputs import (
    InputSource,
    SentenceSource,
    WordVectors,
    elmo_sha256,
    epoch_batches,
    fill,
    own_words,
    vectors_sha256,
)
from relmo.tasks.layer_cache import CacheProgress, ComputedLayers, LayerSource, stored
from relmo.train.folder import LAST, RUN, RunFolder
from relmo.train.loop import Progress, Result, fit
from relmo.train.optimizers import clip_gradient

__all__ = ["Example", "Targets", "Task", "TaskData", "TaskJob", "train_task"]

Targets = Sequence[npt.NDArray[np.int64]]
"""Classes of each example by their numbers: such as one per token, or one for the sentence."""
_VALIDATION_TOKENS = 4096  # computed together
_MAY_CHANGE = {"epochs", "patience"}
_NOT_COMPARED = {"config", "files", "torch"}
_CHECKSUMS = {
    "train": "the training data differ",
    "dev": "the development data differ",
    "elmo": "the biLM differs",
    "vectors": "the word vectors differ",
}
"""What run.json has the checksum of, and the message where it is another one."""


@runtime_checkable
class Example(Protocol):
    """A dataclass of what a task learns from; its checksum is that of all but `source`, `line`."""

    @property
    def tokens(self) -> tuple[str, ...]:
        """Tokens of the sentence."""

    @property
    def source(self) -> str:
        """The file."""

    @property
    def line(self) -> int:
        """Its first line in the file."""


E = TypeVar("E", bound=Example)


@dataclass(frozen=True, kw_only=True)
class TaskData(Generic[E]):
    """What a task is trained on."""

    train: Sequence[E]
    dev: Sequence[E]
    """Development data for the score after each epoch, by which the best is chosen."""
    elmo: Elmo | None = None
    """The biLM, where the network reads one; a biLM that is fine-tuned is changed in place."""
    vectors: WordVectors | None = None
    """Words and their vectors (n_words, word_dim), which stay as they are (see
    `inputs.word_vectors`); None: random ones, which are trained."""
    cache: Path | None = None
    """Folder for the layers of the frozen biLM; None: they are computed in each epoch."""
    scheme: Scheme | None = None
    """Scheme of the tags of a tagger, see `relmo.data.spans`; spans in another one are written in
    it. None: detected."""


class Task(TaskModel, ABC, Generic[E]):
    """What each task defines: what it predicts, what its network reads, its loss and its score."""

    training_class: ClassVar[type[TaskTraining]] = TaskTraining

    @classmethod
    @abstractmethod
    def prepare(cls, data: TaskData[E], config: Any) -> tuple[dict[str, Any], Targets, Targets]:
        """Check the data, and return what is to be predicted and the targets of both parts.

        Args:
            data: of which at least one example of each part has tokens.
            config: the network's shape.

        Returns:
            the values of `outputs`, and the targets of the training and the development data.

        Raises:
            InputError: the data do not fit the task.
        """

    @staticmethod
    def sentences(examples: Sequence[E]) -> list[Sequence[str]]:
        """Return the tokens of all sentences of the examples, as `encode` numbers them."""
        return [example.tokens for example in examples]

    def encode(
        self, sentences: Sequence[Sequence[str]], layers: LayerSource | None = None
    ) -> InputSource[Any]:
        """Return the sentences as inputs of the network.

        Args:
            sentences: tokens.
            layers: the biLM's layers of them; None: they are computed, where the network reads any.
        """
        if layers is None and self.elmo is not None:
            layers = ComputedLayers(self.elmo, sentences)
        return SentenceSource(
            self.network.config, self.words, sentences, layers, self.device, self.elmo
        )

    @abstractmethod
    def loss(self, inputs: Any, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch, in nats.

        Args:
            inputs: the batch, as `encode` gives it.
            targets: the concatenated targets of its examples.
        """

    @abstractmethod
    def score(
        self, source: InputSource[Any], targets: Targets, token_budget: int
    ) -> dict[str, float]:
        """Return scores of examples, "score" (lower is better) among them.

        Args:
            source: the examples' inputs.
            targets: their targets.
            token_budget: tokens computed together.
        """

    @classmethod
    def train(  # noqa: PLR0913 - each is a setting of its own
        cls,
        train: Sequence[E],
        dev: Sequence[E],
        out: str | os.PathLike[str],
        *,
        elmo: Elmo | None = None,
        config: TokenConfig | None = None,
        training: TaskTraining | None = None,
        vectors: WordVectors | None = None,
        cache: Path | None = None,
        scheme: Scheme | None = None,
        resume: bool = False,
    ) -> Self:
        """Train, and return the best epoch.

        It computes where the biLM does. `train_task` is the same with callbacks for progress and
        for a stop.

        Args:
            train: the training data.
            dev: development data, by whose score the best epoch is chosen.
            out: folder of the run; the result is its `best`.
            elmo: see `TaskData`, as for `vectors`, `cache` and `scheme`.
            config: the network's shape; None: the default.
            training: how it is trained; None: the default.
            vectors: given word vectors.
            cache: folder for the layers of the frozen biLM.
            scheme: scheme of the tags, for a tagger.
            resume: continue where the folder holds a checkpoint, start where it does not.

        Raises:
            InputError: the data or the folder cannot be used.
            ConfigError: the settings contradict each other or the run that is resumed.
            FormatError: the run to resume is damaged.
            TrainingError: a loss, a gradient or a weight is not finite; the last checkpoint stands.
        """
        config, training = config or cls.config_class(), training or cls.training_class()
        data = TaskData(
            train=train, dev=dev, elmo=elmo, vectors=vectors, cache=cache, scheme=scheme
        )
        train_task(cls, data, out, config, training, resume=resume)
        device = "cpu" if elmo is None else elmo.device
        return cls.load(out, elmo=None if training.finetune_elmo else elmo, device=device)


def train_task(  # noqa: PLR0913 - what is trained, on what, and its callbacks
    task: type[Task[E]],
    data: TaskData[E],
    out: str | os.PathLike[str],
    config: TokenConfig,
    training: TaskTraining,
    *,
    resume: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_cache: Callable[[CacheProgress], None] = lambda _: None,
) -> Result:
    """Train a task; see `Task.train`.

    Args:
        task: such as `Tagger`.
        data: the data.
        out: folder of the run; the best epoch is its `best`.
        config: the network's shape.
        training: how it is trained.
        resume: continue where the folder holds a checkpoint, start where it does not.
        should_stop: asked after each step; a stop saves first.
        on_progress: told after each step.
        on_cache: told before and while layers are written to the cache.

    Returns:
        How it ended; its best is the "score" of the task, lower is better.
    """
    folder = RunFolder(Path(out), task.mismatch)
    folder.check(resume)
    run = TaskJob(task, data, folder, config, training, on_cache)
    with folder.held(resume):
        return fit(
            run,
            max_steps=run.max_steps,
            save_every_steps=run.steps_per_epoch,
            validate_every_steps=run.steps_per_epoch,
            patience=training.patience,
            progress=run.start(),
            should_stop=should_stop,
            on_progress=on_progress,
        )


class TaskJob(Generic[E]):
    """The job (`loop.Job`) of training a task; see `train_task` for the arguments."""

    def __init__(
        self,
        task: type[Task[E]],
        data: TaskData[E],
        folder: RunFolder,
        config: TokenConfig,
        training: TaskTraining,
        on_cache: Callable[[CacheProgress], None] = lambda _: None,
    ) -> None:
        self.data, self.folder, self.config, self.training = data, folder, config, training
        self._class = task
        for name, examples in (("training", data.train), ("development", data.dev)):
            if not any(example.tokens for example in examples):
                raise InputError(f"the {name} data hold no token")
        self._check_elmo()
        self.elmo = data.elmo if config.elmo else None
        self.device = torch.device("cpu") if self.elmo is None else self.elmo.device
        # Before training: fine-tuning changes the biLM in place.
        self.elmo_sha256 = self.elmo and elmo_sha256(self.elmo, softmax=config.softmax_words)
        self._untuned = {} if not self._tuned else copy.deepcopy(self._tuned[0].bilm.state_dict())
        self.outputs, self.targets, self.dev_targets = task.prepare(data, config)
        sentences = [task.sentences(examples) for examples in (data.train, data.dev)]
        self.words = own_words(sentences[0], config, training, data.vectors)
        self._begin()
        self.train_inputs, self.dev_inputs = (
            self.task.encode(of_part, self._layers(of_part, on_cache)) for of_part in sentences
        )
        self.lengths = self.train_inputs.lengths

    def _check_elmo(self) -> None:
        """Check that settings and biLM go together, before anything takes time."""
        if self.config.elmo and self.data.elmo is None:
            raise ConfigError("a network with elmo=True needs a biLM")
        if self.training.finetune_elmo and not self.config.elmo:
            raise ConfigError("--finetune-elmo: the network reads no biLM")
        if self.data.elmo is not None:
            self.config.mixed(self.data.elmo.n_layers)  # raises where it has no such layer

    @property
    def _tuned(self) -> list[Elmo]:
        """The biLM where it is fine-tuned."""
        return [self.elmo] if self.training.finetune_elmo and self.elmo is not None else []

    def _layers(
        self, sentences: list[Sequence[str]], on_cache: Callable[[CacheProgress], None]
    ) -> LayerSource | None:
        """Return the biLM's layers of sentences, where it is read."""
        cache = self.data.cache
        if self.elmo is None:
            return None
        if cache is not None and not self._tuned:
            return stored(self.elmo, sentences, cache, on_progress=on_cache)
        return ComputedLayers(self.elmo, sentences, trains=bool(self._tuned))

    def _begin(self) -> None:
        """Set up the task and its optimizer as they are before the first step."""
        torch.manual_seed(self.training.seed)
        network = self._class.build(self.config, self.outputs, self.elmo, self.words)
        fill(network, self.words, self.data.vectors)
        self.task = self._class(
            network.to(self.device),
            **self.outputs,
            words=self.words,
            elmo=self.elmo,
            elmo_source="here" if self._tuned else None,
        )
        for tuned in self._tuned:
            tuned.bilm.requires_grad_(True).load_state_dict(self._untuned)
        # "share" is what a group's rate is of the network's; saved runs have that name.
        groups: list[dict[str, Any]] = [
            {"params": [p for p in network.parameters() if p.requires_grad], "share": 1.0}
        ]
        rate = self.training.learning_rate
        for tuned in self._tuned:
            share = self.training.elmo_learning_rate / rate
            groups.append({"params": list(tuned.bilm.parameters()), "share": share})
        self.optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=self.training.weight_decay)
        self._skipped = 0
        self._batches: tuple[int, list[list[int]]] = (-1, [])

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches of the training data."""
        return -(-int(np.count_nonzero(self.lengths)) // self.training.batch_size)

    @property
    def max_steps(self) -> int:
        """Steps of the whole run."""
        return self.training.epochs * self.steps_per_epoch

    def start(self) -> dict[str, Any] | None:
        """Begin in the run's folder, or load what it holds and return the progress to resume.

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

    def _description(self) -> dict[str, Any]:
        """Return what run.json holds: the settings, and checksums of everything else."""
        data = self.data
        return {
            "config": {**self.config.to_dict(), **self.training.to_dict()},
            "files": sorted({example.source for example in (*data.train, *data.dev)}),
            "train": _sha256(data.train),
            "dev": _sha256(data.dev),
            "elmo": self.elmo_sha256,
            "vectors": vectors_sha256(data.vectors),
            "scheme": data.scheme,
            "torch": str(torch.__version__),
        }

    def roll_back(self) -> dict[str, Any]:
        """Load the last checkpoint, or begin again where there is none; see `loop.Job`."""
        if not self.folder.holds_run():
            self._begin()
            return {}
        self.optimizer.zero_grad(set_to_none=True)
        return self._load()

    def skip(self) -> None:
        """Skip the examples of a step; see `loop.Job`."""
        self._skipped += 1

    def step(self, number: int, rate_share: float) -> dict[str, float]:
        """Update the network once and return measures; see `loop.Job`."""
        training, network = self.training, self.task.network
        numbers = self._batch(number - 1 + self._skipped)
        network.train()
        targets = np.concatenate([self.targets[n] for n in numbers])
        loss = self.task.loss(self.train_inputs(numbers), torch.from_numpy(targets).to(self.device))
        measures = {"loss": loss.item(), "tokens": float(sum(self.lengths[numbers]))}
        if not math.isfinite(measures["loss"]):
            return measures
        (loss + training.mix_penalty * network.penalty()).backward()  # type: ignore[no-untyped-call]
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        measures["gradient_norm"] = float(clip_gradient(parameters, training.clip_norm))
        if not math.isfinite(measures["gradient_norm"]):
            return measures
        remaining = 1 - (number - 1) / self.max_steps
        rate = rate_share * remaining * training.learning_rate
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {**measures, "learning_rate": rate}

    def _batch(self, number: int) -> list[int]:
        """Return the examples of a step, counted from 0: they follow from the seed alone."""
        epoch, position = divmod(number, self.steps_per_epoch)
        if self._batches[0] != epoch:
            batches = epoch_batches(
                self.lengths, self.training.batch_size, self.training.seed, epoch
            )
            self._batches = epoch, batches
        return self._batches[1][position]

    def validate(self) -> dict[str, float]:
        """Return the scores of the development data, in percent; see `loop.Job`."""
        self.task.network.eval()
        scores = self.task.score(self.dev_inputs, self.dev_targets, _VALIDATION_TOKENS)
        return {name: float(score) for name, score in scores.items()}  # numpy's cannot be resumed

    def record(self, measures: dict[str, Any]) -> None:
        """Append a line to the run's metrics; see `loop.Job`."""
        self.folder.record(measures)

    def save(self, name: str, progress: dict[str, Any]) -> None:
        """Write a checkpoint whole or not at all; see `loop.Job`.

        Raises:
            InputError: it cannot be written; the earlier one stands.
            TrainingError: a weight is not finite; the earlier one stands.
        """
        for key, tensor in self.task.network.state_dict().items():
            if not bool(torch.isfinite(tensor).all()):
                raise TrainingError(
                    f"step {progress['step']}: {key!r} is no longer finite and is not saved"
                )
        on_gpu = self.device.type == "cuda"
        state = {
            "progress": progress,
            "optimizer": self.optimizer.state_dict(),
            "torch_random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state(self.device) if on_gpu else None,
            "skipped": self._skipped,
        }
        self.folder.save_with(name, self.task.write, state if name == LAST else None)

    def _load(self) -> dict[str, Any]:
        """Load the last checkpoint and return its progress.

        Raises:
            FormatError, ConfigError: it is damaged, or not of this run.
        """
        where = self.folder.path / LAST
        last = self._class.read(where)
        expected = (self.config, self.outputs, self.words)
        if (last.network.config, last.outputs, last.words) != expected:
            raise FormatError(f"{where}: not the {self._class.kind} of {RUN}")
        self.task.network.load_state_dict(last.network.state_dict())
        state = self.folder.state()
        for tuned in self._tuned:
            tuned.bilm.load_state_dict(relmo_format.read(where / ELMO).tensors)
        try:
            self.optimizer.load_state_dict(state["optimizer"])
            torch.set_rng_state(state["torch_random"])
            if state["cuda_random"] is not None and self.device.type == "cuda":
                torch.cuda.set_rng_state(state["cuda_random"], self.device)
            self._skipped = int(state["skipped"])
            progress: dict[str, Any] = state["progress"]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise FormatError(f"{where}: training.pt is not of this run: {error!r}") from error
        return progress


def _sha256(examples: Sequence[Any]) -> str:
    """Return the checksum of examples, wherever they stand: of tokens and tags, for a tagger."""
    digest = hashlib.sha256()
    for example in examples:
        values = [
            getattr(example, f.name) for f in fields(example) if f.name not in ("source", "line")
        ]
        digest.update(json.dumps(values).encode())
    return digest.hexdigest()


def _check_continues(started: dict[str, Any], resumed: dict[str, Any], source: Path) -> None:
    """Check that a run had these settings, data and biLM; only its length may change.

    Raises:
        ConfigError: it had not.
    """
    before, after = (
        {**run["config"], **{key: run[key] for key in run.keys() - _NOT_COMPARED}}
        for run in (started, resumed)
    )
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new or name in _MAY_CHANGE:
            continue
        message = f"{name}: expected {old} as the run was started, got {new}"
        if name in _CHECKSUMS:
            old, new = (f"sha256 {sha256:.12}" if sha256 else "none" for sha256 in (old, new))
            message = f"{_CHECKSUMS[name]}: expected {old} as the run was started, got {new}"
        raise ConfigError(f"{source}: {message}; resume with that, or start in another folder")
