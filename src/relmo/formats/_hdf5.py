"""HDF5 files read without trusting them: what is read is in the file, and no more than it can hold.

A file can name others (links, external storage, virtual datasets), claim shapes that it does not
hold, or unpack to a thousand times its size. Each is an error that names the dataset.
"""

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from torch import Tensor

from relmo._files import check_regular
from relmo.errors import FormatError
from relmo.formats._tensors import Reader, Rows, can_scatter, filled, scattering

__all__ = ["check_storage", "datasets", "opened", "read_parts", "read_tensor"]

_MOST_COMPRESSED = 100
"""A file of weights that declares more bytes for each of its own is not one."""
_MOST_LINKS = 2_000
"""Groups and datasets of a file; a released model has 60, and each layer adds 10."""
_MOST_DEPTH = 32
"""Groups around a dataset; bilm-tf has 5."""
_MOST_NAME = 1024
"""Characters of a full name."""
_SMALL_CHUNK_BYTES = 2**22
"""A chunk may be so large in any dataset; else no larger than the dataset."""
_SPARE_CHUNK_BYTES = 2**12
"""What filters may add to a chunk, such as a checksum."""
_LAYOUTS = (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED)
"""Ways to lie in the file itself."""
_FILTERS = (
    h5py.h5z.FILTER_DEFLATE,
    h5py.h5z.FILTER_SHUFFLE,
    h5py.h5z.FILTER_FLETCHER32,
    h5py.h5z.FILTER_SZIP,
    h5py.h5z.FILTER_NBIT,
    h5py.h5z.FILTER_SCALEOFFSET,
    h5py.h5z.FILTER_LZF,
)
"""Those that HDF5 and h5py have in them."""


@contextmanager
def opened(path: Path, where: str) -> Iterator[h5py.File]:
    """The file, open to read; whatever the library raises in the block is a FormatError."""
    check_regular(path, where)
    try:
        # best-effort: a file system that knows no locks serves too; fewer slots than by default:
        # those of each dataset that is opened take 64 KiB
        with h5py.File(path, "r", locking="best-effort", rdcc_nslots=521) as file:
            yield file
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, zlib.error) as error:
        raise FormatError(
            f"{where}: cannot be read as HDF5 (truncated, or another kind of file): "
            f"{' '.join(str(error).split())}"
        ) from error


def datasets(file: h5py.File, where: str) -> dict[str, h5py.Dataset]:
    """List every dataset by its full name, having checked that its numbers are in this file.

    A file can name others: as links, as the storage of a dataset, as the pieces of a virtual one.
    None of them is opened.

    Raises:
        FormatError: there is anything but groups and datasets with one name each; a dataset is
            not of floating point, its numbers are in another file, or packed by a filter that is
            not HDF5's own or comes twice; there are too many objects, groups in groups too deep,
            or too long names.
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
            _check_is_float(item, f"{where}: {path!r}")
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
        raise FormatError(
            f"{where}: more than {_MOST_LINKS} groups and datasets, expected at most so many; a "
            "released model has 60"
        )
    if links and prefix.count("/") > _MOST_DEPTH:
        name = prefix + links[0][0]
        raise FormatError(
            f"{where}: groups in groups, more than {_MOST_DEPTH} deep: {name!r:.200}; expected at "
            "most so many, bilm-tf writes 5"
        )
    for name, kind in links:
        if "/" in name or name in ("", "."):  # as a path it would lead elsewhere
            raise FormatError(f"{where}: {prefix + name!r:.100} cannot be the name of a dataset")
        if len(prefix) + len(name) > _MOST_NAME:
            raise FormatError(
                f"{where}: {prefix + name!r:.100} is too long a name, expected {_MOST_NAME} "
                f"characters at most, got {len(prefix) + len(name)}"
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
    filters = [stored.get_filter(number) for number in range(stored.get_nfilters())]
    for number, (code, _, _, name) in enumerate(filters):
        if code not in _FILTERS:  # such come as plug-ins, which HDF5 looks for in the file system
            raise FormatError(
                f"{where} is packed by filter {code} ({_shown(name)}), expected gzip, lzf, szip or "
                "none; write it anew without, as h5repack -f NONE does"
            )
        if code in (earlier[0] for earlier in filters[:number]):  # gzip twice: a million to one
            raise FormatError(
                f"{where} is packed twice by filter {code} ({_shown(name)}), expected once; write "
                "it anew without, as h5repack -f NONE does"
            )


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _shown(text: bytes) -> str:
    """A text of the file for a message, on one line and no longer than that."""
    return f"{text.decode('utf-8', 'replace')!r:.200}"


def _check_is_float(item: h5py.h5d.DatasetID, where: str) -> None:
    """Check the type at once: others, of which numpy's could be made, take memory and time."""
    kind = item.get_type()
    if kind.get_class() == h5py.h5t.FLOAT and kind.get_size() in (2, 4, 8):
        return
    is_simple = kind.get_class() in (h5py.h5t.FLOAT, h5py.h5t.INTEGER, h5py.h5t.STRING)
    name = str(kind.dtype) if is_simple else f"of HDF5's type class {kind.get_class()}"
    raise FormatError(f"{where} is {name}, expected float32")


def check_storage(found: Mapping[str, h5py.Dataset], where: str, file_bytes: int) -> None:
    """Check that all numbers of the datasets are in the file, before memory is taken for them.

    What was never written reads as a fill value of any size.

    Args:
        found: the datasets, whose shapes are known to be right.
        where: the format and the file, for messages.
        file_bytes: the size of the file.

    Raises:
        FormatError: a dataset is not there, or only in part; it lies in chunks larger than itself;
            or all of them are too many for the file.
    """
    for name, item in found.items():
        n_bytes, stored = math.prod(item.shape) * item.dtype.itemsize, item.id.get_storage_size()
        if not stored:
            raise FormatError(
                f"{where}: {name!r} was declared as {item.shape} but never written, expected its "
                "numbers in the file"
            )
        if item.chunks is None:
            if stored < n_bytes:
                raise FormatError(
                    f"{where}: {name!r} has {stored} bytes in the file, expected {n_bytes} of its "
                    f"shape {item.shape}; it was not written to the end"
                )
            continue
        expected = math.prod(
            -(-n // chunk) for n, chunk in zip(item.shape, item.chunks, strict=True)
        )
        if (n_chunks := item.id.get_num_chunks()) != expected:
            raise FormatError(
                f"{where}: {name!r} has {n_chunks} chunks in the file, expected {expected} of its "
                f"shape {item.shape}; it was not written to the end"
            )
        chunk_bytes = math.prod(item.chunks) * item.dtype.itemsize
        if chunk_bytes > max(n_bytes, _SMALL_CHUNK_BYTES):
            raise FormatError(
                f"{where}: {name!r} lies in chunks of {chunk_bytes} bytes, expected at most the "
                f"{n_bytes} of its shape {item.shape} (or {_SMALL_CHUNK_BYTES})"
            )
    declared = sum(math.prod(item.shape) * item.dtype.itemsize for item in found.values())
    if declared > _MOST_COMPRESSED * file_bytes:
        raise FormatError(
            f"{where}: declares {declared} bytes of numbers in {file_bytes} bytes, expected at "
            f"most {_MOST_COMPRESSED} times its size"
        )
    for name, item in found.items():
        if item.chunks is not None:
            chunk_bytes = math.prod(item.chunks) * item.dtype.itemsize
            _check_unpacks(item.id, chunk_bytes, f"{where}: {name!r}")


def _check_unpacks(item: h5py.h5d.DatasetID, chunk_bytes: int, where: str) -> None:
    """Check that no chunk unpacks to more than its size: HDF5 takes memory for all there is."""
    stored = item.get_create_plist()
    codes = [stored.get_filter(number)[0] for number in range(stored.get_nfilters())]
    if h5py.h5z.FILTER_DEFLATE not in codes:
        return
    position = codes.index(h5py.h5z.FILTER_DEFLATE)
    offsets: list[tuple[int, ...]] = []
    item.chunk_iter(lambda chunk: offsets.append(chunk.chunk_offset))
    for offset in offsets:
        skipped, data = item.read_direct_chunk(offset)
        if not skipped >> position & 1:
            unpacked = zlib.decompressobj().decompress(data, chunk_bytes + _SPARE_CHUNK_BYTES)
            if len(unpacked) == chunk_bytes + _SPARE_CHUNK_BYTES:
                raise FormatError(
                    f"{where}: the chunk at {offset} unpacks to more than the {chunk_bytes} bytes "
                    "of its shape"
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
