"""Sentences of like length together, a few batches' worth of a stream at a time."""

from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from relmo.errors import InputError

__all__ = ["length_batches", "read_ahead", "window"]

Indices = npt.NDArray[np.int64]
T = TypeVar("T", bound=Sized)

_ROW_MULTIPLE = 32  # sentences of a batch come in such numbers, see kernels.padded_rows
_WINDOW_BATCHES = 4  # batches' worth of sentences read ahead and sorted by length together


def length_batches(
    lengths: Sequence[int] | Indices,
    token_budget: int,
    max_rows: int | None = None,
    row_multiple: int = 1,
) -> list[Indices]:
    """Sort sentences by length and cut them into batches of at most `token_budget` tokens.

    Args:
        lengths: tokens of each sentence, `(n_sentences,)`.
        token_budget: tokens in a batch; a longer sentence is a batch of its own.
        max_rows: sentences in a batch at most; None: as many as the budget allows.
        row_multiple: cut a batch to a multiple of so many sentences, where it has more and is
            not the last: a kernel may be made for round numbers.

    Returns:
        Index arrays into `lengths`, longest batch first, each of decreasing length, equal lengths
        in their given order; together they hold every index once.

    Raises:
        InputError: a negative length, or a budget or number of rows below 1.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    if sizes.size and sizes.min() < 0:
        raise InputError(f"length_batches: a length is negative: {sizes.min()}")
    if token_budget < 1:
        raise InputError(f"length_batches: token_budget must be at least 1, got {token_budget}")
    if max_rows is not None and max_rows < 1:
        raise InputError(f"length_batches: max_rows must be at least 1, got {max_rows}")
    order = np.argsort(-sizes, kind="stable").astype(np.int64, copy=False)
    ends = np.cumsum(sizes[order])  # tokens up to and with each sentence of the order
    batches: list[Indices] = []
    start, spent = 0, 0
    while start < len(order):
        stop = max(start + 1, int(np.searchsorted(ends, spent + token_budget, side="right")))
        if max_rows is not None:
            stop = min(stop, start + max_rows)
        if stop < len(order) and stop - start > row_multiple:
            stop -= (stop - start) % row_multiple
        batches.append(order[start:stop])
        start, spent = stop, int(ends[stop - 1])
    return batches


def window(sentences: Iterable[T], tokens: int) -> Iterator[list[T]]:
    """Yield groups of consecutive sentences, lazily, so that a stream is worked through in pieces.

    Args:
        sentences: anything with a length; an empty one counts as one token here, so that a
            group never holds more than `tokens` sentences either.
        tokens: tokens in a group at most; a longer sentence is a group of its own.

    Yields:
        Groups that are never empty and that joined are the sentences, in order.

    Raises:
        InputError: `tokens` is below 1.
    """
    if tokens < 1:
        raise InputError(f"window: tokens must be at least 1, got {tokens}")
    group: list[T] = []
    total = 0
    for sentence in sentences:
        size = max(1, len(sentence))
        if group and total + size > tokens:
            yield group
            group, total = [], 0
        group.append(sentence)
        total += size
    if group:
        yield group


def read_ahead(
    sentences: Iterable[list[str]], token_budget: int
) -> Iterator[tuple[list[list[str]], list[list[int]]]]:
    """Yield a few batches' worth of sentences at a time, sorted into batches of like length.

    Args:
        sentences: tokenized; read as far as they are needed.
        token_budget: tokens in a batch, two boundary tokens counted for each sentence.

    Yields:
        Consecutive sentences, and for each batch the positions of its sentences among them, of
        decreasing length.
    """
    for group in window(sentences, _WINDOW_BATCHES * token_budget):
        lengths = [len(sentence) + 2 for sentence in group]
        batches = length_batches(lengths, token_budget, row_multiple=_ROW_MULTIPLE)
        yield group, [positions.tolist() for positions in batches]
