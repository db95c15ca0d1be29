"""A tagger's training run: what it needs to start, to go on bit for bit, and each of its steps.

The folder of a run is that of `relmo.train.folder`, with taggers in `last` and `best`. With
several seeds there is one such folder for each, `seed-1`, `seed-2`, ...
"""

import copy
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relmo.errors import ConfigError, FormatError, InputError, TrainingError
from relmo.formats import relmo_format
from relmo.formats.verify import parameters_sha256
from relmo.model import Elmo
from relmo.tasks import tagger_files
from relmo.tasks.evaluation import evaluate
from relmo.tasks.layer_cache import CacheProgress, ComputedLayers, LayerSource, stored
from relmo.tasks.tagger import Tagger
from relmo.tasks.tagger_config import TaggerConfig, TaggerTraining
from relmo.tasks.tagger_data import Encoder, decoded, epoch_batches, tag_ids
from relmo.tasks.tagger_files import HERE
from relmo.tasks.tagger_model import TaggerNetwork
from relmo.text.chars import UNK_TOKEN
from relmo.text.spans import detect
from relmo.text.tagged import TaggedSentence
from relmo.text.vocab import Vocabulary
from relmo.train.folder import LAST, RUN, RunFolder
from relmo.train.loop import Progress, Result, fit
from relmo.train.optimizers import clip_gradient

__all__ = ["TaggerData", "TaggingRun", "train_tagger"]

_VALIDATION_TOKENS = 4096  # computed together
_MAY_CHANGE = {"epochs", "patience"}


@dataclass(frozen=True, kw_only=True)
class TaggerData:
    """What a tagger is trained on."""

    train: Sequence[TaggedSentence]
    dev: Sequence[TaggedSentence]
    """For the score after each epoch, by which the best is chosen."""
    elmo: Elmo | None = None
    """The biLM, where the tagger reads one; fine-tuned, it is changed in place."""
    vectors: tuple[Vocabulary, Tensor] | None = None
    """Words and their vectors (n_words, word_dim), which stay as they are (see
    `tagger_data.word_vectors`); None: random ones, learned."""
    cache: Path | None = None
    """Folder for the layers of the frozen biLM; None: they are computed in each epoch."""


def train_tagger(
    data: TaggerData,
    out: str | os.PathLike[str],
    config: TaggerConfig,
    training: TaggerTraining,
    *,
    resume: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_cache: Callable[[CacheProgress], None] = lambda _: None,
) -> Result:
    """Train a tagger; it computes where the biLM does.

    Args:
        data: what it is trained on.
        out: the run's folder; the tagger is its `best`.
        config: the network's shape.
        training: how it is trained.
        resume: continue where the folder holds a checkpoint, start where it does not.
        should_stop: asked after each step; a stop saves first.
        on_progress: told after each step.
        on_cache: told before and while layers are put into the cache.

    Returns:
        How it ended; its score is 100 - F1 (100 - accuracy where the tags are no spans).

    Raises:
        InputError: the data or the folder cannot be used.
        ConfigError: the settings contradict each other or the run that is resumed.
        FormatError: the run to resume is damaged.
        TrainingError: a loss, a gradient or a weight is not finite; the last checkpoint stands.
    """
    folder = RunFolder(Path(out), tagger_files.why_not)
    folder.check(resume)
    run = TaggingRun(data, folder, config, training, on_cache)
    progress = run.start(resume)
    return fit(
        run,
        max_steps=run.max_steps,
        save_every_steps=run.steps_an_epoch,
        validate_every_steps=run.steps_an_epoch,
        patience=training.patience,
        progress=progress,
        should_stop=should_stop,
        on_progress=on_progress,
    )


class TaggingRun:
    """The job of training a tagger; see `train_tagger` for the arguments."""

    def __init__(
        self,
        data: TaggerData,
        folder: RunFolder,
        config: TaggerConfig,
        training: TaggerTraining,
        on_cache: Callable[[CacheProgress], None] = lambda _: None,
    ) -> None:
        _check(data, config, training)
        self.data, self.folder, self.config, self.training = data, folder, config, training
        self.elmo = data.elmo if config.elmo else None
        self.device = torch.device("cpu") if self.elmo is None else self.elmo.device
        counts = Counter(tag for sentence in data.train for tag in sentence.tags)
        tags = tuple(sorted(counts, key=lambda tag: (-counts[tag], tag)))
        self.gold = tag_ids(data.train, tags)
        tag_ids(data.dev, tags)  # which are unknown is said now, not after the first epoch
        # Before anything is learned: a biLM that is fine-tuned is another one soon.
        self.elmo_sha256 = self.elmo and parameters_sha256(self.elmo.checkpoint())
        self.tags, self.scheme = tags, detect([s.tags for s in data.train])
        self.words = _words(data, config, training)
        self.train_inputs, self.dev_inputs = (
            self._encoder(sentences, on_cache) for sentences in (data.train, data.dev)
        )
        n_sentences = int(np.count_nonzero(self.train_inputs.lengths))
        self.steps_an_epoch = -(-n_sentences // training.batch_size)
        self.max_steps = training.epochs * self.steps_an_epoch
        self._untuned = {} if not self._tuned else copy.deepcopy(self._tuned[0].bilm.state_dict())
        self._begin()

    def _begin(self) -> None:
        """The run before its first step."""
        config, elmo, words = self.config, self.elmo, self.words
        torch.manual_seed(self.training.seed)
        shape = (0, 0) if elmo is None else (elmo.n_layers, elmo.dim)
        network = TaggerNetwork(config, len(self.tags), shape, 0 if words is None else len(words))
        if self.data.vectors is not None and network.words is not None and words is not None:
            _fill(network.words, words, self.data.vectors)
            network.words.requires_grad_(False)
        self.tagger = Tagger(
            network.to(self.device), self.tags, self.scheme,
            words=words, elmo=elmo, elmo_source=HERE if self._tuned else None,
        )  # fmt: skip
        for tuned in self._tuned:
            tuned.bilm.requires_grad_(True).load_state_dict(self._untuned)
        self.optimizer = self._optimizer()
        self._skipped = 0
        self._batches: tuple[int, list[list[int]]] = (-1, [])

    def _encoder(
        self, sentences: Sequence[TaggedSentence], on_cache: Callable[[CacheProgress], None]
    ) -> Encoder:
        tokens = [sentence.tokens for sentence in sentences]
        layers: LayerSource | None = None
        if self.elmo is not None and self.data.cache is not None and not self._tuned:
            layers = stored(self.elmo, tokens, self.data.cache, on_progress=on_cache)
        elif self.elmo is not None:
            layers = ComputedLayers(self.elmo, tokens, trains=bool(self._tuned))
        return Encoder(self.config, self.words, tokens, layers, self.device)

    @property
    def _tuned(self) -> list[Elmo]:
        """The biLM where it learns too."""
        return [self.elmo] if self.training.finetune_elmo and self.elmo is not None else []

    def _optimizer(self) -> torch.optim.AdamW:
        network, training = self.tagger.network, self.training
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

    def start(self, resume: bool) -> dict[str, Any] | None:
        """Make the run's folder ready, or take up what it holds; returns the progress to go on.

        Raises:
            InputError: the folder holds a run and `resume` is not given, or cannot be written.
            ConfigError: the run to resume had other settings or data.
            FormatError: the run to resume is damaged.
        """
        self.folder.check(resume)
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
        training, network = self.training, self.tagger.network
        numbers = self._batch(number - 1 + self._skipped)
        network.train()
        tags = torch.from_numpy(np.concatenate([self.gold[n] for n in numbers])).to(self.device)
        loss = network.loss(self.train_inputs(numbers), tags)
        measures = {"loss": loss.item(), "tokens": float(len(tags))}
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
                self.train_inputs.lengths, self.training.batch_size, self.training.seed, epoch
            )
            self._batches = epoch, batches
        return self._batches[1][place]

    def validate(self) -> dict[str, float]:
        """The scores of the development data, in percent; see `loop.Job`."""
        tagger = self.tagger
        network = tagger.network.eval()
        found = decoded(network, self.dev_inputs, tagger.allowed, _VALIDATION_TOKENS)
        predicted = [[tagger.tags[tag] for tag in tags] for tags, _ in found]
        scores = evaluate([s.tags for s in self.data.dev], predicted, tagger.scheme)
        return {
            "score": 100 - scores.f1, "precision": scores.precision, "recall": scores.recall,
            "f1": scores.f1, "accuracy": scores.accuracy,
        }  # fmt: skip

    def record(self, measures: dict[str, Any]) -> None:
        """Append a line to the run's metrics; see `loop.Job`."""
        self.folder.record(measures)

    def save(self, name: str, progress: dict[str, Any]) -> None:
        """Write a checkpoint whole or not at all; see `loop.Job`.

        Raises:
            InputError: it cannot be written; the earlier one stands.
            TrainingError: a weight is not finite; the earlier one stands.
        """
        for what, tensor in self.tagger.network.state_dict().items():
            if not bool(torch.isfinite(tensor).all()):
                raise TrainingError(
                    f"step {progress['step']}: {what!r} is no longer finite and is not saved"
                )
        state = self._resumable(progress) if name == LAST else None
        self.folder.save_with(name, self.tagger.write, state)

    def _resumable(self, progress: dict[str, Any]) -> dict[str, Any]:
        on_gpu = self.device.type == "cuda"
        return {
            "progress": progress,
            "optimizer": self.optimizer.state_dict(),
            "torch_random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state(self.device) if on_gpu else None,
            "skipped": self._skipped,
        }

    def _description(self) -> dict[str, Any]:
        return {
            "config": {**self.config.to_dict(), **self.training.to_dict()},
            "files": sorted({s.source for s in (*self.data.train, *self.data.dev)}),
            "train": _sha256(self.data.train),
            "dev": _sha256(self.data.dev),
            "elmo": self.elmo_sha256,
            "vectors": self.data.vectors and _vectors_sha256(*self.data.vectors),
            "torch": str(torch.__version__),
        }

    def _load(self) -> dict[str, Any]:
        """Take up the last checkpoint; its progress."""
        where = self.folder.path / LAST
        files, saved = tagger_files.read(where), self.folder.state()
        if (files.config, files.tags, files.words) != (
            self.config, self.tagger.tags, self.tagger.words,
        ):  # fmt: skip
            raise FormatError(f"{where}: another tagger than in {RUN}")
        self.tagger.network.load_state_dict(files.tensors)
        for tuned in self._tuned:
            tuned.bilm.load_state_dict(relmo_format.read(where / tagger_files.ELMO).tensors)
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


def _check(data: TaggerData, config: TaggerConfig, training: TaggerTraining) -> None:
    """Whether these go together; said before anything takes time."""
    for name, sentences in (("training", data.train), ("development", data.dev)):
        if not any(sentence.tokens for sentence in sentences):
            raise InputError(f"the {name} data hold no tagged token")
    if config.elmo and data.elmo is None:
        raise ConfigError("a tagger with elmo=True needs a biLM")
    if training.finetune_elmo and not config.elmo:
        raise ConfigError("--finetune-elmo: the tagger reads no biLM")
    if data.vectors is not None and data.vectors[1].shape[1] != config.word_dim:
        raise ConfigError(
            f"word vectors: expected {config.word_dim} numbers each, as --word-dim says, got "
            f"{data.vectors[1].shape[1]}"
        )


def _words(data: TaggerData, config: TaggerConfig, training: TaggerTraining) -> Vocabulary | None:
    """Of the network's own word vectors: those that come with it, or the training data's."""
    if not config.word_dim:
        return None
    if data.vectors is not None:
        words = data.vectors[0]
        return words if UNK_TOKEN in words else Vocabulary([UNK_TOKEN, *words.words])
    lowered = ([token.lower() for token in sentence.tokens] for sentence in data.train)
    return Vocabulary.build(lowered, min_count=training.min_count)


@torch.no_grad()
def _fill(rows: Tensor, words: Vocabulary, vectors: tuple[Vocabulary, Tensor]) -> None:
    """Take the vectors of the words; that of `<UNK>`, where they have none, is their mean."""
    if UNK_TOKEN not in vectors[0]:
        rows[words.unk] = vectors[1].mean(0)
    rows[torch.from_numpy(words.ids(vectors[0].words))] = vectors[1].float()


def _sha256(sentences: Sequence[TaggedSentence]) -> str:
    """Of tokens and tags."""
    digest = hashlib.sha256()
    for sentence in sentences:
        digest.update(json.dumps([sentence.tokens, sentence.tags]).encode())
    return digest.hexdigest()


def _vectors_sha256(words: Vocabulary, vectors: Tensor) -> str:
    digest = hashlib.sha256(json.dumps(words.words).encode())
    digest.update(vectors.float().cpu().numpy().tobytes())
    return digest.hexdigest()


def _check_continues(started: dict[str, Any], now: dict[str, Any], source: Path) -> None:
    """The run to resume had these settings, data and biLM; only its length may change."""
    flat = [{**run["config"], **{k: run.get(k) for k in ("train", "dev", "elmo", "vectors")}}
            for run in (started, now)]  # fmt: skip
    for name in sorted(flat[0].keys() | flat[1].keys()):
        before, here = (run.get(name) for run in flat)
        if before != here and name not in _MAY_CHANGE:
            raise ConfigError(
                f"{source}: {name}: expected {before} as the run was started, got {here}; resume "
                "with that, or start in another folder"
            )
