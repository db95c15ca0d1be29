"""Numbers read from a file straight to their place in memory, and checked while they are at hand.

No number is in memory twice but for `_pieces.TOGETHER_BYTES`.
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from relmo.errors import FormatError
from relmo.formats import _pieces
from relmo.formats._bilm_table import Row
from relmo.formats.checkpoint import Shape

__all__ = ["Reader", "Rows", "can_scatter", "filled", "read_rows", "scattering"]

Rows = npt.NDArray[Any]
Reader = Callable[[int, Rows], None]
"""Fills rows from the file's, beginning at a number."""

_MOST_PIECES = 1024
"""Places that one read may fill (IOV_MAX)."""


def can_scatter() -> bool:
    """Whether `scattering` works here: numbers lie in files little end first."""
    return sys.byteorder == "little" and hasattr(os, "preadv")


def scattering(file: int, offset: int, order: Sequence[int], name: str, where: str) -> Reader:
    """Reads numbers that lie in the file one after another and as they are in memory.

    Args:
        file: its descriptor.
        offset: of the first number, in bytes.
        order: which block of a row in the file is first in memory, which second, ...
        name: of what is read, for messages.
        where: the format and the file, for messages.
    """
    place = sorted(range(len(order)), key=order.__getitem__)  # of each block of the file

    def read(first: int, rows: Rows) -> None:
        raw = memoryview(rows.data).cast("B")
        row = len(raw) // len(rows)
        pieces = [raw]
        if len(place) > 1:
            size = row // len(place)
            starts = (row * number + size * at for number in range(len(rows)) for at in place)
            pieces = [raw[start : start + size] for start in starts]
        if os.preadv(file, pieces, offset + first * row) != len(raw):
            raise FormatError(f"{where}: the file ends within {name!r}")

    return read


def filled(
    shapes: Iterable[Shape],
    dtype: npt.DTypeLike,
    read: Reader,
    n_blocks: int,
    name: str,
    where: str,
) -> list[Tensor]:
    """Tensors of these shapes, whose rows lie in the file one after another.

    Args:
        shapes: (rows, ...) each, at least one axis.
        dtype: of the numbers in memory.
        read: reads rows of them.
        n_blocks: pieces that `read` puts each row together from.
        name: of what is read, for messages.
        where: the format and the file, for messages.

    Raises:
        FormatError: the file ends too early, or a number is not finite.
    """
    arrays = [_pieces.empty(shape, dtype) for shape in shapes]
    first = 0
    for array in arrays:
        row_bytes = max(1, array[:1].nbytes)
        together = min(_MOST_PIECES // n_blocks, max(1, _pieces.TOGETHER_BYTES // row_bytes))
        for start in range(0, len(array) if array.size else 0, together):
            rows = array[start : start + together]
            read(first + start, rows)
            _pieces.check_piece(name, rows, where)
        first += len(array)
    return [torch.from_numpy(array) for array in arrays]


def read_rows(rows: Sequence[Row], read: Callable[[Row], Sequence[Tensor]]) -> dict[str, Tensor]:
    """The parameters of the rows of a table, by their names in relmo.

    Args:
        rows: of the table.
        read: the parts of a row.
    """
    tensors: dict[str, Tensor] = {}
    for row in rows:
        tensors.update(zip(row.parameters, read(row), strict=True))
    return tensors
