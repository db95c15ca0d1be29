"""Numbers read straight to their place in memory.

Numbers are checked a megabyte at a time, while they are in the cache, and no number is in memory
twice but for those. By numpy, which starts no threads: for so little at a time, waiting for torch's
is the most of it.
"""

import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from relmo.errors import FormatError
from relmo.formats._bilm_table import Row
from relmo.formats._checks import check_finite, kept
from relmo.formats.checkpoint import Shape

__all__ = [
    "TOGETHER_BYTES",
    "Reader",
    "Rows",
    "can_scatter",
    "check_piece",
    "copied",
    "filled",
    "read_rows",
    "scattering",
    "taken",
]


TOGETHER_BYTES = 2**20
"""So much stays in the processor's cache until it has been checked."""


def empty(shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
    """Memory to fill: numpy's, whose large arrays come in large pages, unlike torch's."""
    return np.empty(shape, dtype)


def check_piece(name: str, numbers: npt.NDArray[Any], where: str) -> None:
    """No number is NaN, which the extremes would be too, or infinite, else FormatError."""
    with np.errstate(invalid="ignore"):
        is_finite = math.isfinite(numbers.max()) and math.isfinite(numbers.min())
    if not is_finite:
        check_finite(name, torch.from_numpy(numbers), where)


def copied(name: str, tensor: Tensor, where: str) -> Tensor:
    """A copy as float32, float64 kept.

    Raises:
        FormatError: a number is not finite.
    """
    kept = np.float64 if tensor.dtype == torch.float64 else np.float32
    values = empty(tuple(tensor.shape), kept)
    if tensor.dtype == torch.bfloat16:  # which numpy does not know
        tensor = tensor.float()
    source, target = tensor.numpy().reshape(-1), values.reshape(-1)
    together = TOGETHER_BYTES // values.itemsize
    for start in range(0, len(target), together):
        piece = target[start : start + together]
        np.copyto(piece, source[start : start + together])
        check_piece(name, piece, where)
    return torch.from_numpy(values)


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
    arrays = [empty(shape, dtype) for shape in shapes]
    first = 0
    for array in arrays:
        row_bytes = max(1, array[:1].nbytes)
        together = min(_MOST_PIECES // n_blocks, max(1, TOGETHER_BYTES // row_bytes))
        for start in range(0, len(array) if array.size else 0, together):
            rows = array[start : start + together]
            read(first + start, rows)
            check_piece(name, rows, where)
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


def taken(rows: Iterable[Row], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the parameters of the rows, each tensor let go of once it is used.

    They are copies: a tensor may be a part of a file's storage, which would be held whole.
    """
    parameters = {}
    for row in rows:
        tensor = tensors.pop(row.dataset).detach()
        tensor = tensor.to(kept(tensor.dtype))  # before the 1 is taken off
        for name, part in zip(row.parameters, row.layout.split(tensor), strict=True):
            parameters[name] = part.clone(memory_format=torch.contiguous_format)
    return parameters
