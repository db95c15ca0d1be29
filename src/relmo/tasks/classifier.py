"""A classifier: sentences, or pairs of them, in; labels and their probabilities out.

    classifier = Classifier.load("sentiment")
    for prediction in classifier.predict(["a gorgeous , witty film ."]):
        print(prediction.label, prediction.score)
    classifier = Classifier.train(read_labelled("train.tsv"), read_labelled("dev.tsv"), "sentiment",
                                  elmo=elmo)

The vectors of a sentence's tokens are pooled to one. A pair's two sentences go through the same
network, and their vectors u and v are classified side by side with |u - v| and u * v.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from relmo._typing import Float
from relmo.data.labelled import LabelledSentence
from relmo.elmo.model import Elmo
from relmo.errors import InputError
from relmo.nn.precision import exact
from relmo.nn.token_encoders import Projection
from relmo.tasks.config import ClassifierConfig, ClassifierTraining
from relmo.tasks.inputs import InputSource
from relmo.tasks.layer_cache import LayerSource
from relmo.tasks.network import (
    AttentionPooling,
    MaxPooling,
    MeanPooling,
    TokenInputs,
    TokenNetwork,
)
from relmo.tasks.scores import label_scores
from relmo.tasks.training import Targets, Task, TaskData
from relmo.text import batching
from relmo.text.tokenizers import Sentence, tokenised
from relmo.text.vocab import Vocabulary

__all__ = ["Classified", "Classifier", "ClassifierNetwork", "check_pairs", "matched"]


@dataclass(frozen=True)
class ClassifierInputs:
    """A batch of B sentences or pairs.

    Args:
        tokens: inputs of the sentences that have tokens, longest first; None: none has.
        owner: index of the sentence of each token, (N,).
        n_sentences: number of sentences that have tokens.
        rows: which of them is the sentence, or are the two of the pair, (B, 1 or 2);
            n_sentences: one without tokens.
    """

    tokens: TokenInputs | None
    owner: Tensor
    n_sentences: int
    rows: Tensor


class ClassifierNetwork(TokenNetwork):
    """The network without the biLM.

    Args:
        config: its shape.
        n_labels: number of labels.
        elmo: number of the biLM's layers and their width; not used without a biLM.
        n_words: rows of its word vectors, where it has any.
    """

    config: ClassifierConfig

    def __init__(
        self, config: ClassifierConfig, n_labels: int, elmo: tuple[int, int], n_words: int
    ) -> None:
        super().__init__(config, elmo, n_words)
        self.pooling: nn.Module
        if config.pooling == "attention":
            self.pooling = AttentionPooling(self.width)
        else:
            self.pooling = MaxPooling() if config.pooling == "max" else MeanPooling()
        self.scores = Projection((4 if config.pairs else 1) * self.width, n_labels)

    def sentence_vectors(self, inputs: ClassifierInputs) -> Float[Tensor, "n1 width"]:
        """Return the vectors of the sentences, and last that of one without tokens: zeros."""
        empty = self.scores.bias.new_zeros(1, self.width)
        if inputs.tokens is None:
            return empty
        x, _ = self.encode(inputs.tokens)
        return torch.cat([self.pooling(x, inputs.owner, inputs.n_sentences), empty])

    def forward(self, inputs: ClassifierInputs) -> Float[Tensor, "B labels"]:
        """Return scores of each label for each sentence or pair, (B, n_labels)."""
        vectors = self.sentence_vectors(inputs)[inputs.rows].unbind(1)  # 1 or 2 of (B, width)
        x = matched(*vectors) if len(vectors) == 2 else vectors[0]
        scores: Tensor = self.scores(self.dropout(x))
        return scores


def matched(u: Float[Tensor, "B width"], v: Float[Tensor, "B width"]) -> Float[Tensor, "B wide"]:
    """Return ``[u; v; |u - v|; u * v]``, (B, 4 * width): the last two ignore the order."""
    return torch.cat([u, v, (u - v).abs(), u * v], dim=1)


class _PairSource:
    """Sentences, or pairs of them, as inputs of a network.

    Args:
        encoder: all sentences: the first ones of all pairs, then the second ones.
        device: where to put the inputs.
        pairs: whether they are pairs.
    """

    def __init__(
        self, encoder: InputSource[TokenInputs], device: torch.device, *, pairs: bool
    ) -> None:
        self._encoder, self._device = encoder, device
        self._each = encoder.lengths.reshape(2 if pairs else 1, -1).T  # (n, 1 or 2)
        self.lengths: npt.NDArray[np.int64] = self._each.sum(1)
        """Tokens of each sentence or pair."""

    def __call__(self, numbers: Sequence[int]) -> ClassifierInputs:
        """Return the inputs for the sentences or pairs of these numbers, in any order."""
        n, n_each = self._each.shape
        wanted = np.asarray(numbers)[:, None] + n * np.arange(n_each)  # (B, 1 or 2)
        sizes = self._encoder.lengths[wanted].reshape(-1)
        order = np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]
        rows = np.full(sizes.shape, len(order))
        rows[order] = np.arange(len(order))
        owner = np.repeat(np.arange(len(order)), sizes[order])
        sentences = wanted.reshape(-1)[order].tolist()
        return ClassifierInputs(
            tokens=self._encoder(sentences) if sentences else None,
            owner=torch.from_numpy(owner).to(self._device),
            n_sentences=len(order),
            rows=torch.from_numpy(rows.reshape(wanted.shape)).to(self._device),
        )

    def batches(self, token_budget: int) -> Iterator[list[int]]:
        """Yield each number once, those of like length together."""
        for batch in batching.length_batches(self.lengths, token_budget):
            if len(batch):
                yield batch.tolist()


@dataclass(frozen=True, kw_only=True)
class Classified:
    """What a classifier predicts for a sentence or pair."""

    label: str
    probabilities: dict[str, float]
    """Probability of each label."""

    @property
    def score(self) -> float:
        """The probability of the label."""
        return self.probabilities[self.label]


class Classifier(Task[LabelledSentence]):
    """A trained classifier, with the biLM under it.

    Args:
        network: the network.
        labels: the labels by their numbers in the network.
        words, elmo, elmo_source, card: see `relmo.tasks.folder.TaskModel`.
    """

    kind = "classifier"
    outputs = ("labels",)
    config_class = ClassifierConfig
    training_class = ClassifierTraining
    network_class = ClassifierNetwork
    network: ClassifierNetwork

    def __init__(
        self,
        network: ClassifierNetwork,
        labels: tuple[str, ...],
        *,
        words: Vocabulary | None = None,
        elmo: Elmo | None = None,
        elmo_source: str | None = None,
        card: str | None = None,
    ) -> None:
        super().__init__(network, words=words, elmo=elmo, elmo_source=elmo_source, card=card)
        self.labels = labels

    @property
    def config(self) -> ClassifierConfig:
        """The network's shape."""
        return self.network.config

    def __repr__(self) -> str:
        what = "pairs" if self.config.pairs else "sentences"
        return f"Classifier({len(self.labels)} labels of {what}, elmo={self.elmo!r})"

    def predict(
        self,
        sentences: Iterable[Sentence],
        seconds: Iterable[Sentence] | None = None,
        *,
        token_budget: int = 4096,
    ) -> list[Classified]:
        """Predict labels of sentences, or of pairs.

        Args:
            sentences: lists of tokens, or strings that are split on white space.
            seconds: as many, the second sentences of pairs; None where it does not classify pairs.
            token_budget: tokens computed together; it changes no label.

        Raises:
            InputError: `sentences` is a single string, a token is not a string, the number of
                second sentences differs, or there are some where it does not classify pairs.
        """
        probabilities = self.predict_proba(sentences, seconds, token_budget=token_budget)
        return [
            Classified(
                label=self.labels[best],
                probabilities=dict(zip(self.labels, row.tolist(), strict=True)),
            )
            for best, row in zip(probabilities.argmax(1), probabilities, strict=True)
        ]

    def predict_proba(
        self,
        sentences: Iterable[Sentence],
        seconds: Iterable[Sentence] | None = None,
        *,
        token_budget: int = 4096,
    ) -> npt.NDArray[np.float32]:
        """Return probabilities of each of `labels`, (n, n_labels); see `predict`."""
        firsts = list(tokenised(sentences))
        others = None if seconds is None else list(tokenised(seconds))
        if (others is not None) != self.config.pairs:
            raise InputError(
                f"expected {'pairs' if self.config.pairs else 'no second sentences'}: the "
                f"classifier was trained on {self!r:.60}"
            )
        if others is not None and len(others) != len(firsts):
            raise InputError(f"expected {len(firsts)} second sentences, got {len(others)}")
        return self._probabilities(self.encode([*firsts, *(others or ())]), token_budget)

    def _probabilities(
        self, source: InputSource[ClassifierInputs], token_budget: int
    ) -> npt.NDArray[np.float32]:
        """Return probabilities of each label for each sentence or pair, in order, (n, n_labels)."""
        probabilities = np.zeros((len(source.lengths), len(self.labels)), np.float32)
        with exact(self.device):
            for numbers in source.batches(token_budget):
                scores: Tensor = self.network(source(numbers))
                probabilities[numbers] = scores.softmax(1).cpu().numpy()
        return probabilities

    def classify(self, sentences: Sequence[LabelledSentence]) -> list[str]:
        """Predict labels of sentences that have true ones, to compare with those.

        Raises:
            InputError: the classifier does not know a true label, or a sentence is a pair where it
                does not classify pairs, or the other way round.
        """
        check_pairs(sentences, pairs=self.config.pairs)
        _label_ids(sentences, self.labels)
        seconds = [s.second or () for s in sentences] if self.config.pairs else None
        predictions = self.predict([s.tokens for s in sentences], seconds)
        return [prediction.label for prediction in predictions]

    @classmethod
    def prepare(
        cls,
        data: TaskData[LabelledSentence],
        config: ClassifierConfig,
    ) -> tuple[dict[str, Any], Targets, Targets]:
        """Return the labels of the training data, sorted, and each label; see `Task.prepare`."""
        for sentences in (data.train, data.dev):
            check_pairs(sentences, pairs=config.pairs)
        labels = tuple(sorted({s.label for s in data.train if s.label}))
        targets = _label_ids(data.train, labels)
        if len(labels) == 1:
            raise InputError(
                f"the training data have the label {labels[0]!r} alone, expected several"
            )
        return {"labels": labels}, targets, _label_ids(data.dev, labels)

    @staticmethod
    def sentences(examples: Sequence[LabelledSentence]) -> list[Sequence[str]]:
        """Return the tokens of all first sentences, then of all second ones."""
        seconds = [example.second for example in examples if example.second is not None]
        return [*(example.tokens for example in examples), *seconds]

    def encode(
        self, sentences: Sequence[Sequence[str]], layers: LayerSource | None = None
    ) -> InputSource[ClassifierInputs]:
        """Return sentences, or pairs of them, as inputs; see `Task.encode`."""
        return _PairSource(super().encode(sentences, layers), self.device, pairs=self.config.pairs)

    def loss(self, inputs: ClassifierInputs, targets: Tensor) -> Tensor:
        """Return the negative log-likelihood of the labels, in nats per sentence or pair."""
        return nn.functional.cross_entropy(self.network(inputs), targets)

    def score(
        self, source: InputSource[ClassifierInputs], targets: Targets, token_budget: int
    ) -> dict[str, float]:
        """Return accuracy and macro-F1 in percent; "score" is 100 - accuracy."""
        best = self._probabilities(source, token_budget).argmax(1)
        scores = label_scores(
            [self.labels[label] for label in np.concatenate(targets)],
            [self.labels[label] for label in best],
        )
        return {
            "score": 100 - scores.accuracy,
            "accuracy": scores.accuracy,
            "macro_f1": scores.macro_f1,
        }


def check_pairs(sentences: Sequence[LabelledSentence], *, pairs: bool) -> None:
    """Check that all are pairs, or that none is.

    Raises:
        InputError: one is not as it should be.
    """
    for sentence in sentences:
        if (sentence.second is not None) != pairs:
            wanted, got = ("a pair", "one sentence") if pairs else ("one sentence", "a pair")
            raise InputError(
                f"{sentence.source}: line {sentence.line}: expected {wanted}, got {got}"
            )


def _label_ids(
    sentences: Sequence[LabelledSentence], labels: Sequence[str]
) -> list[npt.NDArray[np.int64]]:
    """Return the label of each sentence by its number, (1,) each.

    Raises:
        InputError: a sentence has no label, or one that is not known.
    """
    numbers = {label: number for number, label in enumerate(labels)}
    for sentence in sentences:
        where = f"{sentence.source}: line {sentence.line}"
        if sentence.label is None:
            raise InputError(f"{where}: expected a label, got none")
        if sentence.label not in numbers:
            some = f"{', '.join(labels[:10])}{', ...' if len(labels) > 10 else ''}"
            raise InputError(
                f"{where}: the label {sentence.label!r} is not among the {len(labels)} of the "
                f"training data: {some}"
            )
    return [np.array([numbers[s.label]], dtype=np.int64) for s in sentences if s.label is not None]
