"""HDF5 files of numbers, read without trusting them: nothing is declared that is not there."""

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from relmo.errors import FormatError
from relmo.formats import _checks, _pieces

__all__ = ["check_floats", "check_storage", "datasets", "opened", "read_parts", "read_tensor"]

_MOST_COMPRESSED = 100
"""A file of weights that declares more bytes for each of its own is not one."""
_Rows = npt.NDArray[Any]
_Reader = Callable[[int, _Rows], None]
"""Fills rows from the dataset's, beginning at a number."""
_MOST_PIECES = 1024
"""Places that one read may fill (IOV_MAX)."""


@contextmanager
def opened(path: Path, where: str) -> Iterator[h5py.File]:
    """The file, open to read; whatever the library raises in the block is a FormatError."""
    _checks.check_readable(path, where)
    try:
        # best-effort: a file system that knows no locks serves too
        with h5py.File(path, "r", locking="best-effort") as file:
            yield file
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise FormatError(
            f"{where}: cannot be read as HDF5 (truncated, or another kind of file): "
            f"{' '.join(str(error).split())}"
        ) from error


def datasets(file: h5py.File, where: str) -> dict[str, h5py.Dataset]:
    """Every dataset by its full name; FormatError for anything but datasets and groups."""
    found: dict[str, h5py.Dataset] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item
        elif not isinstance(item, h5py.Group):
            raise FormatError(f"{where}: {name!r} is a {type(item).__name__}, expected a dataset")

    file.visititems(visit)
    return found


def check_floats(found: Mapping[str, h5py.Dataset], where: str) -> None:
    """Each dataset is of floating point, else FormatError."""
    for name, item in found.items():
        if item.dtype.kind != "f" or item.dtype.itemsize not in (2, 4, 8):
            raise FormatError(f"{where}: {name!r} is {item.dtype}, expected float32")


def check_storage(found: Mapping[str, h5py.Dataset], where: str, file_bytes: int) -> None:
    """The numbers are in the file: a dataset that was declared only reads as zeros of any size."""
    for name, item in found.items():
        if not item.id.get_storage_size():
            raise FormatError(f"{where}: {name!r} was declared as {item.shape} but never written")
    declared = sum(math.prod(item.shape) * item.dtype.itemsize for item in found.values())
    if declared > _MOST_COMPRESSED * file_bytes:
        raise FormatError(
            f"{where}: declares {declared} bytes of numbers in {file_bytes} bytes, expected at "
            f"most {_MOST_COMPRESSED} times its size"
        )


def read_tensor(dataset: h5py.Dataset, name: str, where: str) -> Tensor:
    """The dataset as float32, float64 kept; FormatError where a number is not finite."""
    (tensor,) = read_parts(dataset, (dataset.shape[0],), (0,), name, where)
    return tensor


def read_parts(
    dataset: h5py.Dataset, counts: Sequence[int], order: Sequence[int], name: str, where: str
) -> list[Tensor]:
    """A dataset cut at some rows into tensors, the blocks of its last axis in another order.

    No number is in memory twice but for a piece.

    Args:
        dataset: (rows, ...) of floating point; with several blocks (rows, blocks * width).
        counts: rows of each tensor.
        order: which of the dataset's blocks is first in memory, which second, ...
        name: the dataset's, for messages.
        where: the format and the file, for messages.

    Raises:
        FormatError: the file ends too early, or a number is not finite.
    """
    arrays = [_pieces.empty((count, *dataset.shape[1:]), _kept(dataset)) for count in counts]
    read = _reader_as_stored(dataset, order) or _reader_converting(dataset, order)
    row_bytes = math.prod(dataset.shape[1:]) * _kept(dataset)().itemsize
    together = min(_MOST_PIECES // len(order), max(1, _pieces.TOGETHER_BYTES // max(1, row_bytes)))
    first = 0
    for array in arrays:
        for start in range(0, len(array), together):
            rows = array[start : start + together]
            read(first + start, rows)
            _pieces.check_piece(name, rows, where)
        first += len(array)
    return [torch.from_numpy(array) for array in arrays]


def _reader_as_stored(dataset: h5py.Dataset, order: Sequence[int]) -> _Reader | None:
    """Reads each block of the file straight to its place in memory.

    None where the numbers do not lie in the file one after another and as they are in memory.
    """
    kind, offset = dataset.id.get_type(), dataset.id.get_offset()
    is_plain = kind.equal(h5py.h5t.IEEE_F32LE) or kind.equal(h5py.h5t.IEEE_F64LE)
    if offset is None or not is_plain or sys.byteorder != "little" or not hasattr(os, "preadv"):
        return None  # without an offset: in chunks, perhaps compressed, or in another file
    file = dataset.file.id.get_vfd_handle()
    place = sorted(range(len(order)), key=order.__getitem__)  # of each block of the file

    def read(first: int, rows: _Rows) -> None:
        raw = memoryview(rows.data).cast("B")
        row = len(raw) // len(rows)
        pieces = [raw]
        if len(place) > 1:
            size = row // len(place)
            starts = (row * number + size * at for number in range(len(rows)) for at in place)
            pieces = [raw[start : start + size] for start in starts]
        if os.preadv(file, pieces, offset + first * row) != len(raw):
            raise OSError(f"the file ends within {dataset.name!r}")

    return read


def _reader_converting(dataset: h5py.Dataset, order: Sequence[int]) -> _Reader:
    """Reads by way of the library, whatever the storage and the type."""

    def read(first: int, rows: _Rows) -> None:
        staged = np.empty_like(rows)
        dataset.read_direct(staged, np.s_[first : first + len(rows)])
        blocks = staged.reshape(len(rows), len(order), -1)
        np.take(blocks, order, axis=1, out=rows.reshape(blocks.shape))

    return read


def _kept(dataset: h5py.Dataset) -> Any:
    return np.float64 if dataset.dtype.itemsize == 8 else np.float32
