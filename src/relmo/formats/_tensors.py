"""Numbers read straight to their place in memory, and HDF5 files read without trusting them.

Numbers are checked a megabyte at a time, while they are in the cache, and no number is in memory
twice but for those. By numpy, which starts no threads: for so little at a time, waiting for torch's
is the most of it.
"""

import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from relmo._files import check_regular
from relmo.errors import FormatError
from relmo.formats._bilm_table import Row
from relmo.formats._checks import check_finite
from relmo.formats.checkpoint import Shape

__all__ = [
    "TOGETHER_BYTES",
    "Reader",
    "Rows",
    "can_scatter",
    "check_floats",
    "check_piece",
    "check_storage",
    "copied",
    "datasets",
    "empty",
    "filled",
    "opened",
    "read_parts",
    "read_rows",
    "read_tensor",
    "scattering",
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


_MOST_COMPRESSED = 100
"""A file of weights that declares more bytes for each of its own is not one."""
_MOST_LINKS = 10_000
"""Groups and datasets of a file; a released model has 60."""
_MOST_DEPTH = 32
"""Groups around a dataset; bilm-tf has 5."""
_MOST_NAME = 1024
"""Characters of a full name."""
_LAYOUTS = (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED)
"""Ways to lie in the file itself."""
_FILTERS = (
    h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32,
    h5py.h5z.FILTER_SZIP, h5py.h5z.FILTER_NBIT, h5py.h5z.FILTER_SCALEOFFSET, h5py.h5z.FILTER_LZF,
)  # fmt: skip
"""Those that HDF5 and h5py have in them."""


@contextmanager
def opened(path: Path, where: str) -> Iterator[h5py.File]:
    """The file, open to read; whatever the library raises in the block is a FormatError."""
    check_regular(path, where)
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
    """List every dataset by its full name, having checked that its numbers are in this file.

    A file can name others: as links, as the storage of a dataset, as the pieces of a virtual one.
    None of them is opened.

    Raises:
        FormatError: there is anything but groups and datasets with one name each; a dataset's
            numbers are in another file, or packed by a filter that is not HDF5's own; there are
            too many objects, groups in groups too deep, or too long names.
    """
    found: dict[str, h5py.Dataset] = {}
    root = file["/"].id
    paths = {_address(root): "/"}
    waiting = [(root, name, name) for name in _names(root, "", 0, where)]
    n_links = len(waiting)
    while waiting:  # and no recursion, which a file may ask for at any depth
        group, name, path = waiting.pop()
        item = h5py.h5o.open(group, _encoded(name))
        first = paths.setdefault(_address(item), path)
        if first != path:
            raise FormatError(f"{where}: {path!r} is a second name of {first!r}, expected one each")
        if isinstance(item, h5py.h5d.DatasetID):
            _check_is_in_file(item, f"{where}: {path!r}")
            found[path] = h5py.Dataset(item, readonly=True)
        elif isinstance(item, h5py.h5g.GroupID):
            inside = _names(item, f"{path}/", n_links, where)
            n_links += len(inside)
            waiting += [(item, name, f"{path}/{name}") for name in inside]
        else:
            raise FormatError(f"{where}: {path!r} is a named datatype, expected a dataset")
    return found


def _address(item: h5py.h5g.GroupID | h5py.h5d.DatasetID | h5py.h5t.TypeID) -> int:
    """Where an object lies in the file: the same for each of its names."""
    return int(h5py.h5o.get_info(item).addr)


def _names(group: h5py.h5g.GroupID, prefix: str, n_before: int, where: str) -> list[str]:
    """The names in a group, each known to be a hard link, the last in the alphabet first.

    Args:
        group: the group.
        prefix: its full name and a slash, or nothing.
        n_before: links of the file that are known already.
        where: the format and the file, for messages.
    """
    links: list[tuple[str, int]] = []

    def add(name: bytes, link: h5py.h5l.LinkInfo) -> bool:
        links.append((name.decode("utf-8", "surrogateescape"), link.type))
        return n_before + len(links) > _MOST_LINKS  # ends the listing of one without end

    group.links.iterate(add, info=True, order=h5py.h5.ITER_NATIVE)
    if n_before + len(links) > _MOST_LINKS:
        raise FormatError(f"{where}: more than {_MOST_LINKS} groups and datasets")
    if links and prefix.count("/") > _MOST_DEPTH:
        name = prefix + links[0][0]
        raise FormatError(f"{where}: groups in groups, more than {_MOST_DEPTH} deep: {name!r:.200}")
    for name, kind in links:
        if "/" in name or name in ("", "."):  # as a path it would lead elsewhere
            raise FormatError(f"{where}: {prefix + name!r:.100} cannot be the name of a dataset")
        if len(prefix) + len(name) > _MOST_NAME:
            raise FormatError(
                f"{where}: {prefix + name!r:.100} is too long a name, expected {_MOST_NAME} "
                "characters at most"
            )
        if kind != h5py.h5l.TYPE_HARD:
            raise FormatError(
                f"{where}: {prefix + name!r} is {_link_kind(group, name, kind)}, expected a "
                "dataset or a group of this file; links are not followed"
            )
    return sorted((name for name, _ in links), reverse=True)


def _link_kind(group: h5py.h5g.GroupID, name: str, kind: int) -> str:
    """What a link is that is not a hard one, in words."""
    if kind == h5py.h5l.TYPE_SOFT:
        return f"a soft link to {_shown(group.links.get_val(_encoded(name)))}"
    if kind == h5py.h5l.TYPE_EXTERNAL:
        file, path = group.links.get_val(_encoded(name))
        return f"an external link to {_shown(path)} in the file {_shown(file)}"
    return f"a link of kind {kind}"


def _check_is_in_file(item: h5py.h5d.DatasetID, where: str) -> None:
    """The numbers are in the file itself, and nothing but HDF5 is needed to unpack them.

    To be called before anything is asked of a dataset: the mere shape of a virtual one opens the
    files that it is put together from.
    """
    stored = item.get_create_plist()
    if stored.get_external_count():
        raise FormatError(
            f"{where} has its numbers in another file, {_shown(stored.get_external(0)[0])}, which "
            "is not read; expected them in this one"
        )
    if stored.get_layout() not in _LAYOUTS:
        raise FormatError(
            f"{where} is a virtual dataset, put together from others, which are not read; expected "
            "the numbers themselves"
        )
    for number in range(stored.get_nfilters()):
        code, _, _, name = stored.get_filter(number)
        if code not in _FILTERS:  # such come as plug-ins, which HDF5 looks for in the file system
            raise FormatError(
                f"{where} is packed by filter {code} ({_shown(name)}), expected gzip, lzf, szip or "
                "none; write it anew without, as h5repack -f NONE does"
            )


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _shown(text: bytes) -> str:
    """A text of the file for a message, on one line and no longer than that."""
    return f"{text.decode('utf-8', 'replace')!r:.200}"


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

    Args:
        dataset: (rows, ...) of floating point; with several blocks (rows, blocks * width).
        counts: rows of each tensor.
        order: which of the dataset's blocks is first in memory, which second, ...
        name: the dataset's, for messages.
        where: the format and the file, for messages.

    Raises:
        FormatError: the file ends too early, or a number is not finite.
    """
    shapes = [(count, *dataset.shape[1:]) for count in counts]
    read = _scattering(dataset, order, name, where) or _converting(dataset, order)
    return filled(shapes, _kept(dataset), read, len(order), name, where)


def _scattering(
    dataset: h5py.Dataset, order: Sequence[int], name: str, where: str
) -> Reader | None:
    """None where the numbers do not lie in the file one after another and as they are in memory."""
    kind, offset = dataset.id.get_type(), dataset.id.get_offset()
    is_plain = kind.equal(h5py.h5t.IEEE_F32LE) or kind.equal(h5py.h5t.IEEE_F64LE)
    if offset is None or not is_plain or not can_scatter():
        return None  # without an offset: in chunks, perhaps compressed
    file = dataset.file.id.get_vfd_handle()
    return scattering(file, offset, order, name, where)


def _converting(dataset: h5py.Dataset, order: Sequence[int]) -> Reader:
    """Reads by way of the library, whatever the storage and the type."""

    def read(first: int, rows: Rows) -> None:
        staged = np.empty_like(rows)
        dataset.read_direct(staged, np.s_[first : first + len(rows)])
        blocks = staged.reshape(len(rows), len(order), -1)
        np.take(blocks, order, axis=1, out=rows.reshape(blocks.shape))

    return read


def _kept(dataset: h5py.Dataset) -> Any:
    return np.float64 if dataset.dtype.itemsize == 8 else np.float32
