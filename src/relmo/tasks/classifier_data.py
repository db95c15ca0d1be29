"""Labelled sentences and pairs to what a classifier's network reads."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from relmo.data.labelled import LabelledSentence
from relmo.errors import InputError
from relmo.nn.precision import exact
from relmo.tasks.inputs import Encoder
from relmo.tasks.network import ClassifierInputs, ClassifierNetwork
from relmo.text import batching

__all__ = ["PairEncoder", "check_pairs", "in_one_list", "label_ids", "probabilities"]

Tokens = Sequence[str]


def in_one_list(firsts: Sequence[Tokens], seconds: Sequence[Tokens] | None) -> list[Tokens]:
    """All sentences, as a `PairEncoder` numbers them: the first ones, then the second ones."""
    return [*firsts, *(seconds or ())]


class PairEncoder:
    """Sentences, or pairs of them, as inputs.

    Args:
        encoder: of all sentences, see `in_one_list`.
        pairs: whether they are pairs.
    """

    def __init__(self, encoder: Encoder, *, pairs: bool) -> None:
        self._encoder = encoder
        self._each = encoder.lengths.reshape(2 if pairs else 1, -1).T  # (n, 1 or 2)
        self.lengths: npt.NDArray[np.int64] = self._each.sum(1)
        """Tokens of each sentence or pair."""

    def __call__(self, numbers: Sequence[int]) -> ClassifierInputs:
        """A batch of the sentences or pairs of these numbers, in any order."""
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
            owner=torch.from_numpy(owner).to(self._encoder.device),
            n_sentences=len(order),
            rows=torch.from_numpy(rows.reshape(wanted.shape)).to(self._encoder.device),
        )

    def batches(self, token_budget: int) -> Iterator[list[int]]:
        """Each number once, those of like length together."""
        for batch in batching.length_batches(self.lengths, token_budget):
            if len(batch):
                yield batch.tolist()


def check_pairs(sentences: Sequence[LabelledSentence], *, pairs: bool) -> None:
    """Whether all are pairs, or none is.

    Raises:
        InputError: one is not as it should be.
    """
    for sentence in sentences:
        if (sentence.second is not None) != pairs:
            wanted, got = ("a pair", "one sentence") if pairs else ("one sentence", "a pair")
            raise InputError(
                f"{sentence.source}: line {sentence.line}: expected {wanted}, got {got}"
            )


def label_ids(
    sentences: Sequence[LabelledSentence], labels: Sequence[str] | None = None
) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """The labels, sorted, and the number of that of each sentence.

    Args:
        sentences: with labels.
        labels: the known ones; None: those of the sentences.

    Raises:
        InputError: a sentence has no label, or one that is not known.
    """
    known = sorted({s.label for s in sentences if s.label}) if labels is None else list(labels)
    numbers = {label: number for number, label in enumerate(known)}
    for sentence in sentences:
        if sentence.label not in numbers:
            some = f"{', '.join(known[:10])}{', ...' if len(known) > 10 else ''}"
            raise InputError(
                f"{sentence.source}: line {sentence.line}: "
                + ("expected a label, got none" if sentence.label is None else
                   f"the label {sentence.label!r} is not among the {len(known)} of the training "
                   f"data: {some}")
            )  # fmt: skip
    ids = [numbers[sentence.label] for sentence in sentences if sentence.label is not None]
    return tuple(known), np.array(ids, dtype=np.int64)


def probabilities(
    network: ClassifierNetwork, encoder: PairEncoder, token_budget: int
) -> npt.NDArray[np.float32]:
    """Of each label for each sentence or pair, in order, (n, n_labels).

    Args:
        network: in evaluation mode.
        encoder: of the sentences.
        token_budget: tokens computed together.
    """
    found = np.zeros((len(encoder.lengths), network.scores.bias.shape[0]), np.float32)
    with exact(network.scores.bias.device):
        for numbers in encoder.batches(token_budget):
            found[numbers] = network(encoder(numbers)).softmax(1).cpu().numpy()
    return found
