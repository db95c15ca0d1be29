"""The packed, time-major order the LSTMs run in, and how many rows sentences are laid out in.

Nothing is ever padded: a batch is its sentences one after another (the flat order), and the
LSTMs read it step by step, each step only the rows still alive (the packed order). A row is one
sentence, or short sentences end to end.

    >>> pack([3, 1]).batch_sizes
    (2, 1, 1)
    >>> pack([3, 1]).forward.tolist()  # flat: a0 a1 a2 b0; packed: a0 b0 a1 a2
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

__all__ = ["Packing", "pack", "pack_rows"]

Indices = npt.NDArray[np.int64]
Device = torch.device | str

_ROWS_A_STEP_COSTS = 11
"""A step takes as long as so many more rows would (docs/makers/log.md, 2026-11-24)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Packing:
    """The layout of a batch: how its N tokens go between the flat and the packed order.

    Where the LSTMs run over boundary tokens too, these count as tokens. The tensors are int64.
    """

    batch_sizes: tuple[int, ...]
    """Rows still alive at each step, never rising; `len(batch_sizes)` is the longest row."""
    forward: Tensor
    """Flat position of each packed position, reading left to right, (N,)."""
    backward: Tensor
    """The same with each sentence read from its last token to its first, (N,)."""
    unpack_forward: Tensor
    """Packed position of each flat position: the inverse of `forward`, (N,)."""
    unpack_backward: Tensor
    """The inverse of `backward`, (N,)."""
    carry_mask: Tensor | None
    """(N, 1), float32, in either packed order: 0 where a sentence follows another in its row and
    starts from a zero state, else 1, the state being carried on; None: a row is one sentence."""


def pack(lengths: Sequence[int] | Indices, *, device: Device = "cpu") -> Packing:
    """Return the packed order of a batch, each sentence a row.

    Args:
        lengths: tokens of each sentence, at least 1 each, decreasing, (n_sentences,).
        device: of the layout's tensors.

    Raises:
        InputError: a length below 1, or lengths that rise.
    """
    sizes = _decreasing(lengths, "pack")
    return _packing(sizes, np.arange(len(sizes)), np.zeros_like(sizes), device)


def pack_rows(
    lengths: Sequence[int] | Indices,
    padded_rows: Callable[[int], int] = lambda rows: rows,
    *,
    device: Device = "cpu",
) -> Packing:
    """Return the packed order with sentences end to end in a few rows of about the same length.

    Steps in which few rows are alive wait for the weights to come from memory; here there is hardly
    one.

        >>> pack_rows([4, 2, 2]).batch_sizes, pack([4, 2, 2]).batch_sizes
        ((2, 2, 2, 2), (3, 3, 1, 1))

    Args:
        lengths: tokens of each sentence, at least 1 each, decreasing, (n_sentences,).
        padded_rows: how many rows are computed where so many are alive, never falling: a
            kernel may be made for round numbers.
        device: of the layout's tensors.

    Raises:
        InputError: a length below 1, or lengths that rise.
    """
    sizes = _decreasing(lengths, "pack_rows")
    if not sizes.size:
        return _packing(sizes, sizes, sizes, device)
    # A step costs its rows and a constant (reading the weights): few long rows are cheap until
    # the products are wide enough to be bound by arithmetic.
    fewest = -(-int(sizes.sum()) // int(sizes[0]))  # more would end before the longest sentence
    # How many rows are computed for each number alive, up to the largest that is tried.
    padded = [padded_rows(alive) for alive in range(padded_rows(padded_rows(fewest) + 1) + 1)]
    choices = [_in_rows(sizes.tolist(), n) for n in _row_numbers(fewest, len(sizes), padded)]
    rows, offsets, _ = min(choices, key=lambda choice: _cost(choice[2], padded))
    return _packing(sizes, rows, offsets, device)


def _decreasing(lengths: Sequence[int] | Indices, caller: str) -> Indices:
    sizes = np.asarray(lengths, dtype=np.int64)
    if sizes.size and (sizes.min() < 1 or (np.diff(sizes) > 0).any()):
        raise InputError(
            f"{caller}: lengths must be at least 1 and decreasing, got {sizes.tolist()[:10]}"
        )
    return sizes


def _row_numbers(fewest: int, most: int, padded: Sequence[int]) -> list[int]:
    """Return numbers of rows worth trying: the next round ones from `fewest` up, and two below."""
    up = padded[fewest]
    below = [rows for rows in range(1, up) if padded[rows] == rows]
    return sorted({min(most, rows) for rows in (*below[-2:], up, padded[up + 1])})


def _in_rows(sizes: list[int], n_rows: int) -> tuple[Indices, Indices, Indices]:
    """Return each sentence's row and first step, and the length of each row, decreasing."""
    rows, offsets = np.zeros(len(sizes), np.int64), np.zeros(len(sizes), np.int64)
    filled = [(0, row) for row in range(n_rows)]  # a heap
    for sentence, size in enumerate(sizes):
        # The next longest sentence goes to the shortest row (Graham 1969).
        length, row = filled[0]
        heapreplace(filled, (length + size, row))
        rows[sentence], offsets[sentence] = row, length
    by_row = np.zeros(n_rows, np.int64)
    for length, row in filled:
        by_row[row] = length
    order = np.argsort(-by_row, kind="stable")
    return _inverse(order)[rows], offsets, by_row[order]


def _cost(row_lengths: Indices, padded: Sequence[int]) -> int:
    """Return what the steps take, a row of one step being the unit."""
    steps = row_lengths - np.append(row_lengths[1:], 0)  # in which so many rows are alive
    return sum(
        n_steps * (padded[alive] + _ROWS_A_STEP_COSTS)
        for alive, n_steps in enumerate(steps.tolist(), start=1)
        if n_steps
    )


def _packing(sizes: Indices, rows: Indices, offsets: Indices, device: Device) -> Packing:
    """Return the layout in which each sentence stands in a row, from a step (`offsets`) on.

    Rows are numbered by decreasing length, so that those alive at a step are the first ones.
    """
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
    # Backwards a sentence keeps its steps and is read from the other end, so that restarts, and
    # with them the mask, are at the same packed positions in both directions.
    unpack_backward = first[offset + np.repeat(sizes, sizes) - 1 - inside] + row
    later = offsets > 0
    carry_mask = None
    if later.any():
        carry_mask = torch.ones(len(inside), 1)
        carry_mask[torch.from_numpy(first[offsets[later]] + rows[later])] = 0
        carry_mask = carry_mask.to(device)
    return Packing(
        batch_sizes=tuple(alive.tolist()),
        forward=torch.from_numpy(_inverse(unpack_forward)).to(device),
        backward=torch.from_numpy(_inverse(unpack_backward)).to(device),
        unpack_forward=torch.from_numpy(unpack_forward).to(device),
        unpack_backward=torch.from_numpy(unpack_backward).to(device),
        carry_mask=carry_mask,
    )


def _inverse(permutation: Indices) -> Indices:
    inverse = np.empty_like(permutation)
    inverse[permutation] = np.arange(len(permutation))
    return inverse
