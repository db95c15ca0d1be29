"""A tagger's training run: what it needs to start, to go on bit for bit, and each of its steps.

The folder of a run is that of `relmo.train.folder`, with taggers in `last` and `best`. With
several seeds there is one such folder for each, `seed-1`, `seed-2`, ...
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relmo.data.spans import Scheme
from relmo.data.tagged import TaggedSentence, canonical_tags
from relmo.elmo.model import Elmo
from relmo.errors import FormatError, InputError
from relmo.tasks import tagger_files
from relmo.tasks.config import TaggerConfig, TaggerTraining
from relmo.tasks.folder import HERE
from relmo.tasks.inputs import (
    Encoder,
    WordVectors,
    decoded,
    fill,
    own_words,
    tag_ids,
    vectors_sha256,
)
from relmo.tasks.layer_cache import CacheProgress
from relmo.tasks.network import TaggerNetwork
from relmo.tasks.scores import span_scores
from relmo.tasks.tagger import Tagger
from relmo.tasks.training import TaskRun
from relmo.train.folder import RUN, RunFolder
from relmo.train.loop import Progress, Result

__all__ = ["TaggerData", "TaggingRun", "train_tagger"]

_VALIDATION_TOKENS = 4096  # computed together


@dataclass(frozen=True, kw_only=True)
class TaggerData:
    """What a tagger is trained on."""

    train: Sequence[TaggedSentence]
    dev: Sequence[TaggedSentence]
    """For the score after each epoch, by which the best is chosen."""
    elmo: Elmo | None = None
    """The biLM, where the tagger reads one; fine-tuned, it is changed in place."""
    vectors: WordVectors | None = None
    """Words and their vectors (n_words, word_dim), which stay as they are (see
    `own_words.word_vectors`); None: random ones, learned."""
    cache: Path | None = None
    """Folder for the layers of the frozen biLM; None: they are computed in each epoch."""
    scheme: Scheme | None = None
    """Of the tags, see `relmo.data.spans`; spans in another one are written in it. None: found."""


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
    return run.fit(resume, should_stop, on_progress)


class TaggingRun(TaskRun):
    """The job of training a tagger; see `train_tagger` for the arguments."""

    def __init__(
        self,
        data: TaggerData,
        folder: RunFolder,
        config: TaggerConfig,
        training: TaggerTraining,
        on_cache: Callable[[CacheProgress], None] = lambda _: None,
    ) -> None:
        _check(data)
        super().__init__(folder, config, training, data.elmo)
        self.data, self.config = data, config
        train, self.scheme = canonical_tags(data.train, data.scheme)
        self.dev, _ = canonical_tags(data.dev, self.scheme)
        counts = Counter(tag for sentence in train for tag in sentence.tags)
        tags = tuple(sorted(counts, key=lambda tag: (-counts[tag], tag)))
        if len(tags) == 1:
            raise InputError(f"the training data have the tag {tags[0]!r} alone, expected several; "
                             "is it the right column?")  # fmt: skip
        self.gold = tag_ids(train, tags)
        tag_ids(self.dev, tags)  # which are unknown is said now, not after the first epoch
        self.tags = tags
        self.words = own_words([s.tokens for s in data.train], config, training, data.vectors)
        self.train_inputs, self.dev_inputs = (
            self._encoder(sentences, on_cache) for sentences in (data.train, data.dev)
        )
        self.lengths = self.train_inputs.lengths
        self._begin()

    @property
    def tagger(self) -> Tagger:
        """What is trained."""
        assert isinstance(self.trained, Tagger)
        return self.trained

    def _new(self) -> Tagger:
        config, elmo, words = self.config, self.elmo, self.words
        shape = (0, 0) if elmo is None else (elmo.n_layers, elmo.dim)
        network = TaggerNetwork(config, len(self.tags), shape, 0 if words is None else len(words))
        fill(network, words, self.data.vectors)
        return Tagger(
            network.to(self.device), self.tags, self.scheme,
            words=words, elmo=elmo, elmo_source=HERE if self._tuned else None,
        )  # fmt: skip

    def _encoder(
        self, sentences: Sequence[TaggedSentence], on_cache: Callable[[CacheProgress], None]
    ) -> Encoder:
        tokens = [sentence.tokens for sentence in sentences]
        layers = self._layers(tokens, self.data.cache, on_cache)
        return Encoder(self.config, self.words, tokens, layers, self.device, self.elmo)

    def _loss(self, numbers: Sequence[int]) -> Tensor:
        tags = torch.from_numpy(np.concatenate([self.gold[n] for n in numbers])).to(self.device)
        return self.tagger.network.loss(self.train_inputs(numbers), tags)

    def validate(self) -> dict[str, float]:
        """The scores of the development data, in percent; see `loop.Job`."""
        tagger = self.tagger
        network = tagger.network.eval()
        found = decoded(network, self.dev_inputs, tagger.allowed, _VALIDATION_TOKENS)
        predicted = [[tagger.tags[tag] for tag in tags] for tags, _ in found]
        scores = span_scores([s.tags for s in self.dev], predicted, tagger.scheme)
        return {
            "score": 100 - scores.f1, "precision": scores.precision, "recall": scores.recall,
            "f1": scores.f1, "accuracy": scores.accuracy,
        }  # fmt: skip

    def _description(self) -> dict[str, Any]:
        return {
            "config": {**self.config.to_dict(), **self.training.to_dict()},
            "files": sorted({s.source for s in (*self.data.train, *self.data.dev)}),
            "train": _sha256(self.data.train),
            "dev": _sha256(self.data.dev),
            "elmo": self.elmo_sha256,
            "vectors": vectors_sha256(self.data.vectors),
            "scheme": self.data.scheme,
            "torch": str(torch.__version__),
        }

    def _tensors(self, where: Path) -> dict[str, Tensor]:
        files = tagger_files.read(where)
        if (files.config, files.tags, files.words) != (self.config, self.tags, self.words):
            raise FormatError(f"{where}: another tagger than in {RUN}")
        return files.tensors


def _check(data: TaggerData) -> None:
    """Whether these go together; said before anything takes time."""
    for name, sentences in (("training", data.train), ("development", data.dev)):
        if not any(sentence.tokens for sentence in sentences):
            raise InputError(f"the {name} data hold no tagged token")


def _sha256(sentences: Sequence[TaggedSentence]) -> str:
    """Of tokens and tags."""
    digest = hashlib.sha256()
    for sentence in sentences:
        digest.update(json.dumps([sentence.tokens, sentence.tags]).encode())
    return digest.hexdigest()
