"""A classifier's training run: its data, its loss and its score; see `task_run` for the rest."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from relmo.data.labelled import LabelledSentence
from relmo.elmo.model import Elmo
from relmo.errors import FormatError, InputError
from relmo.tasks import classifier_files
from relmo.tasks.classifier import Classifier
from relmo.tasks.classifier_data import (
    PairEncoder,
    check_pairs,
    in_one_list,
    label_ids,
    probabilities,
)
from relmo.tasks.config import ClassifierConfig, ClassifierTraining
from relmo.tasks.folder import HERE
from relmo.tasks.inputs import Encoder, WordVectors, fill, own_words, vectors_sha256
from relmo.tasks.layer_cache import CacheProgress
from relmo.tasks.network import ClassifierNetwork
from relmo.tasks.scores import label_scores
from relmo.tasks.training import TaskRun
from relmo.train.folder import RUN, RunFolder
from relmo.train.loop import Progress, Result

__all__ = ["ClassifierData", "ClassifyingRun", "train_classifier"]

_VALIDATION_TOKENS = 4096  # computed together


@dataclass(frozen=True, kw_only=True)
class ClassifierData:
    """What a classifier is trained on."""

    train: Sequence[LabelledSentence]
    dev: Sequence[LabelledSentence]
    """For the score after each epoch, by which the best is chosen."""
    elmo: Elmo | None = None
    """The biLM, where the classifier reads one; fine-tuned, it is changed in place."""
    vectors: WordVectors | None = None
    """Words and their vectors (n_words, word_dim), which stay as they are (see
    `own_words.word_vectors`); None: random ones, learned."""
    cache: Path | None = None
    """Folder for the layers of the frozen biLM; None: they are computed in each epoch."""


def train_classifier(
    data: ClassifierData,
    out: str | os.PathLike[str],
    config: ClassifierConfig,
    training: ClassifierTraining,
    *,
    resume: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_cache: Callable[[CacheProgress], None] = lambda _: None,
) -> Result:
    """Train a classifier; it computes where the biLM does.

    Args:
        data: what it is trained on.
        out: the run's folder; the classifier is its `best`.
        config: the network's shape.
        training: how it is trained.
        resume: continue where the folder holds a checkpoint, start where it does not.
        should_stop: asked after each step; a stop saves first.
        on_progress: told after each step.
        on_cache: told before and while layers are put into the cache.

    Returns:
        How it ended; its score is 100 - accuracy.

    Raises:
        InputError: the data or the folder cannot be used.
        ConfigError: the settings contradict each other or the run that is resumed.
        FormatError: the run to resume is damaged.
        TrainingError: a loss, a gradient or a weight is not finite; the last checkpoint stands.
    """
    folder = RunFolder(Path(out), classifier_files.why_not)
    folder.check(resume)
    run = ClassifyingRun(data, folder, config, training, on_cache)
    return run.fit(resume, should_stop, on_progress)


class ClassifyingRun(TaskRun):
    """The job of training a classifier; see `train_classifier` for the arguments."""

    def __init__(
        self,
        data: ClassifierData,
        folder: RunFolder,
        config: ClassifierConfig,
        training: ClassifierTraining,
        on_cache: Callable[[CacheProgress], None] = lambda _: None,
    ) -> None:
        for name, sentences in (("training", data.train), ("development", data.dev)):
            if not any(sentence.tokens for sentence in sentences):
                raise InputError(f"the {name} data hold no token")
            check_pairs(sentences, pairs=config.pairs)
        super().__init__(folder, config, training, data.elmo)
        self.data, self.config = data, config
        self.labels, ids = label_ids(data.train)
        if len(self.labels) == 1:
            raise InputError(
                f"the training data have the label {self.labels[0]!r} alone, expected several"
            )
        label_ids(data.dev, self.labels)  # which are unknown is said now
        self.gold = torch.from_numpy(ids).to(self.device)
        self.words = own_words(_all_tokens(data.train), config, training, data.vectors)
        self.train_inputs, self.dev_inputs = (
            self._encoder(sentences, on_cache) for sentences in (data.train, data.dev)
        )
        self.lengths = self.train_inputs.lengths
        self._begin()

    @property
    def classifier(self) -> Classifier:
        """What is trained."""
        assert isinstance(self.trained, Classifier)
        return self.trained

    def _new(self) -> Classifier:
        elmo, words = self.elmo, self.words
        shape = (0, 0) if elmo is None else (elmo.n_layers, elmo.dim)
        network = ClassifierNetwork(
            self.config, len(self.labels), shape, 0 if words is None else len(words)
        )
        fill(network, words, self.data.vectors)
        return Classifier(
            network.to(self.device), self.labels,
            words=words, elmo=elmo, elmo_source=HERE if self._tuned else None,
        )  # fmt: skip

    def _encoder(
        self, sentences: Sequence[LabelledSentence], on_cache: Callable[[CacheProgress], None]
    ) -> PairEncoder:
        tokens = _all_tokens(sentences)
        layers = self._layers(tokens, self.data.cache, on_cache)
        encoder = Encoder(self.config, self.words, tokens, layers, self.device, self.elmo)
        return PairEncoder(encoder, pairs=self.config.pairs)

    def _loss(self, numbers: Sequence[int]) -> Tensor:
        scores = self.classifier.network(self.train_inputs(numbers))
        return nn.functional.cross_entropy(scores, self.gold[list(numbers)])

    def validate(self) -> dict[str, float]:
        """The scores of the development data, in percent; see `loop.Job`."""
        network = self.classifier.network.eval()
        best = probabilities(network, self.dev_inputs, _VALIDATION_TOKENS).argmax(1)
        true = [sentence.label or "" for sentence in self.data.dev]
        scores = label_scores(true, [self.labels[number] for number in best])
        return {
            "score": 100 - scores.accuracy, "accuracy": scores.accuracy, "macro_f1": scores.macro_f1
        }  # fmt: skip

    def _description(self) -> dict[str, Any]:
        return {
            "config": {**self.config.to_dict(), **self.training.to_dict()},
            "files": sorted({s.source for s in (*self.data.train, *self.data.dev)}),
            "train": _sha256(self.data.train),
            "dev": _sha256(self.data.dev),
            "elmo": self.elmo_sha256,
            "vectors": vectors_sha256(self.data.vectors),
            "torch": str(torch.__version__),
        }

    def _tensors(self, where: Path) -> dict[str, Tensor]:
        files = classifier_files.read(where)
        if (files.config, files.labels, files.words) != (self.config, self.labels, self.words):
            raise FormatError(f"{where}: another classifier than in {RUN}")
        return files.tensors


def _all_tokens(sentences: Sequence[LabelledSentence]) -> list[Sequence[str]]:
    seconds = [s.second for s in sentences if s.second is not None]
    return in_one_list([s.tokens for s in sentences], seconds)


def _sha256(sentences: Sequence[LabelledSentence]) -> str:
    """Of tokens and labels."""
    digest = hashlib.sha256()
    for sentence in sentences:
        digest.update(json.dumps([sentence.tokens, sentence.second, sentence.label]).encode())
    return digest.hexdigest()
