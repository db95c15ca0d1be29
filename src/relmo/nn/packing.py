"""The packed, time-major order the LSTMs run in, and how many rows sentences are laid out in.

Nothing is ever padded: a batch is its sentences one after another (the flat order), and the
LSTMs read it step by step, each step only the rows still alive (the packed order). A row is one
sentence, or short sentences end to end.

    >>> pack(np.array([3, 1])).batch_sizes
    (2, 1, 1)
    >>> pack(np.array([3, 1])).forward.tolist()  # flat: a0 a1 a2 b0; packed: a0 b0 a1 a2
    [0, 3, 1, 2]
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heapreplace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from relmo.errors import InputError

__all__ = ["PackedIndex", "Packing", "pack", "pack_rows"]


@dataclass(frozen=True)
class PackedIndex:
    """How a batch of sentences is laid out for the LSTMs.

    N positions together; a sentence's tokens include its begin and end marks. Positions count
    through the sentences one after another ("flat"). A row is a sentence or several end to end.

    Args:
        batch_sizes: rows still alive at each step, non-increasing.
        forward: flat position of each packed position, reading forwards, (N,).
        backward: the same, each sentence read from its end, (N,).
        unpack_forward: packed position of each flat position, (N,).
        unpack_backward: the same for the backward order, (N,).
        keep: (N, 1) in packed order, 0 where a sentence follows another in its row and starts
            from a zero state, else 1; None: each row is one sentence.
    """

    batch_sizes: Sequence[int]
    forward: Tensor
    backward: Tensor
    unpack_forward: Tensor
    unpack_backward: Tensor
    keep: Tensor | None = None


Indices = npt.NDArray[np.int64]

_ROWS_A_STEP_COSTS = 11
"""A step with few rows takes as long as so many rows more would: see docs/log.md, 2026-11-24."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Packing:
    """How the tokens of a batch go between the flat and the packed order, N tokens in all."""

    lengths: Indices
    """Tokens of each sentence, `(n_sentences,)`."""
    batch_sizes: tuple[int, ...]
    """Rows still alive at each step, never rising; `len(batch_sizes)` is the longest row."""
    forward: Indices
    """Flat position of each packed position, reading left to right, `(N,)`."""
    backward: Indices
    """The same with each sentence read from its last token to its first, `(N,)`."""
    unpack_forward: Indices
    """Packed position of each flat position: the inverse of `forward`, `(N,)`."""
    unpack_backward: Indices
    """The inverse of `backward`, `(N,)`."""
    starts: Indices
    """Packed positions, in either direction, where a sentence follows another in its row."""


def pack(lengths: Sequence[int] | Indices) -> Packing:
    """The packed order of a batch, each sentence a row.

    Args:
        lengths: tokens of each sentence, at least 1 each, falling, `(n_sentences,)`.

    Raises:
        InputError: a length below 1, or lengths that rise.
    """
    sizes = _falling(lengths, "pack")
    return _packing(sizes, np.arange(len(sizes)), np.zeros_like(sizes))


def _falling(lengths: Sequence[int] | Indices, caller: str) -> Indices:
    sizes = np.asarray(lengths, dtype=np.int64)
    if sizes.size and (sizes.min() < 1 or (np.diff(sizes) > 0).any()):
        raise InputError(
            f"{caller}: lengths must be at least 1 and falling, got {sizes.tolist()[:10]}"
        )
    return sizes


def pack_rows(
    lengths: Sequence[int] | Indices, computed_rows: Callable[[int], int] = lambda rows: rows
) -> Packing:
    """The packed order with sentences end to end in a few rows of about the same length.

    Steps in which few rows are alive wait for the weights to come from memory; here there is hardly
    one. The state has to be zeroed at `starts`.

        >>> pack_rows([4, 2, 2]).batch_sizes, pack([4, 2, 2]).batch_sizes
        ((2, 2, 2, 2), (3, 3, 1, 1))

    Args:
        lengths: tokens of each sentence, at least 1 each, falling, `(n_sentences,)`.
        computed_rows: how many rows are computed where so many are alive, never falling: a
            kernel may be made for round numbers.

    Raises:
        InputError: a length below 1, or lengths that rise.
    """
    sizes = _falling(lengths, "pack_rows")
    if not sizes.size:
        return _packing(sizes, sizes, sizes)
    fewest = -(-int(sizes.sum()) // int(sizes[0]))  # more would end before the longest sentence
    choices = [
        _in_rows(sizes.tolist(), n_rows)
        for n_rows in _row_numbers(fewest, len(sizes), computed_rows)
    ]
    rows, offsets, _ = min(choices, key=lambda choice: _cost(choice[2], computed_rows))
    return _packing(sizes, rows, offsets)


def _row_numbers(fewest: int, most: int, computed_rows: Callable[[int], int]) -> list[int]:
    """Numbers of rows worth trying: the next round ones from `fewest` up, and the two below."""
    up = computed_rows(fewest)
    below = [rows for rows in range(1, up) if computed_rows(rows) == rows]
    return sorted({min(most, rows) for rows in (*below[-2:], up, computed_rows(up + 1))})


def _in_rows(sizes: list[int], n_rows: int) -> tuple[Indices, Indices, Indices]:
    """Each sentence's row and first step, and the length of each row, falling.

    The next longest sentence goes to the shortest row (Graham 1969).
    """
    rows, offsets = np.zeros(len(sizes), np.int64), np.zeros(len(sizes), np.int64)
    filled = [(0, row) for row in range(n_rows)]  # a heap
    for sentence, size in enumerate(sizes):
        length, row = filled[0]
        heapreplace(filled, (length + size, row))
        rows[sentence], offsets[sentence] = row, length
    by_row = np.zeros(n_rows, np.int64)
    for length, row in filled:
        by_row[row] = length
    order = np.argsort(-by_row, kind="stable")
    return _inverse(order)[rows], offsets, by_row[order]


def _cost(row_lengths: Indices, computed_rows: Callable[[int], int]) -> int:
    """What the steps take, a row of one step being the unit."""
    steps = row_lengths - np.append(row_lengths[1:], 0)  # in which so many rows are alive
    return sum(
        n_steps * (computed_rows(alive) + _ROWS_A_STEP_COSTS)
        for alive, n_steps in enumerate(steps.tolist(), start=1)
        if n_steps
    )


def _packing(sizes: Indices, rows: Indices, offsets: Indices) -> Packing:
    """The order in which each sentence stands in a row, from a step on; rows of falling length."""
    ends = offsets + sizes
    n_steps = int(ends.max()) if sizes.size else 0
    row_lengths = np.zeros(int(rows.max()) + 1 if sizes.size else 0, np.int64)
    np.maximum.at(row_lengths, rows, ends)
    finished = np.cumsum(np.bincount(row_lengths, minlength=1))[:n_steps]
    alive = len(row_lengths) - finished  # (steps,)
    first = np.cumsum(alive) - alive  # packed position of each step's first row
    stops = np.cumsum(sizes)  # flat position after each sentence
    inside = np.arange(int(sizes.sum())) - np.repeat(stops - sizes, sizes)  # (N,)
    row, offset = np.repeat(rows, sizes), np.repeat(offsets, sizes)
    unpack_forward = first[offset + inside] + row
    unpack_backward = first[offset + np.repeat(sizes, sizes) - 1 - inside] + row
    later = offsets > 0
    return Packing(
        lengths=sizes,
        batch_sizes=tuple(alive.tolist()),
        forward=_inverse(unpack_forward),
        backward=_inverse(unpack_backward),
        unpack_forward=unpack_forward,
        unpack_backward=unpack_backward,
        starts=first[offsets[later]] + rows[later],
    )


def _inverse(permutation: Indices) -> Indices:
    inverse = np.empty_like(permutation)
    inverse[permutation] = np.arange(len(permutation))
    return inverse


def packed_index(packing: Packing, device: torch.device | str = "cpu") -> PackedIndex:
    """The layout of a batch, marks counted, as the network takes it."""
    keep = None
    if len(packing.starts):
        keep = torch.ones(len(packing.forward), 1)
        keep[torch.from_numpy(packing.starts)] = 0
        keep = keep.to(device)
    forward, backward, unpack_forward, unpack_backward = (
        torch.from_numpy(positions).to(device)
        for positions in (
            packing.forward,
            packing.backward,
            packing.unpack_forward,
            packing.unpack_backward,
        )
    )
    return PackedIndex(
        packing.batch_sizes, forward, backward, unpack_forward, unpack_backward, keep
    )
