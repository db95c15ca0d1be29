"""A checkpoint of TensorFlow, version 2, read without TensorFlow.

    PREFIX.index                    a table: name of a variable -> where it lies
    PREFIX.data-00000-of-00001      the numbers, little-endian, in one file or several

Values of the table are protocol buffers: under the empty name a BundleHeaderProto, else a
BundleEntryProto. Nothing is read from the data files until a variable is asked for, and nothing
is allocated for one whose shape does not fit its bytes or whose bytes are not there.

A table file of TensorFlow (LevelDB's sorted strings) read into a dict, every bound checked.

    block ... block, index block, footer (48 bytes: where the index block is; the magic number)
    block:  entries, restart points, their number; then 1 byte of compression, 4 of CRC
    entry:  bytes shared with the key before, bytes of its own, bytes of the value; the two

TensorFlow writes its blocks uncompressed. Numbers are variable-length (`varint`) or little-endian.
"""

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from relmo._files import check_regular, open_regular, read_regular, readable
from relmo.config import BiLMConfig
from relmo.errors import FormatError
from relmo.formats import _checks
from relmo.formats._bilm_table import Row, bilm_table
from relmo.formats._tensors import can_scatter, filled, read_rows, scattering
from relmo.formats.checkpoint import Shape
from relmo.text.chars import N_CHARACTERS

__all__ = [
    "Bundle",
    "Variable",
    "crc32c_masked",
    "is_table",
    "read_parameters",
    "read_table",
    "variable_names",
    "varint",
]


MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
_FOOTER, _TRAILER = 48, 5
_MAX_FILE_BYTES = 2**22
_MAX_KEY_BYTES = 2**10
_MAX_ENTRIES = 2**12
"""More than any model has. Keys share their beginnings, so a small file could ask for many."""

Span = tuple[int, int]  # of bytes: first, last + 1


def is_table(path: Path) -> bool:
    """Whether a file ends as a table does."""
    with readable(f"'{path}'"), open_regular(path) as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - len(MAGIC)))
        return file.read(len(MAGIC)) == MAGIC


def read_table(path: Path, where: str) -> dict[bytes, bytes]:
    """Every key and its value, in the order of the file.

    Raises:
        InputError: the file cannot be opened.
        FormatError: it is truncated, damaged, compressed, or no table.
    """
    data = read_regular(path, _MAX_FILE_BYTES, where)
    if len(data) < _FOOTER or not data.endswith(MAGIC):
        raise FormatError(
            f"{where}: does not end as an index of TensorFlow's does (truncated, or another kind "
            "of file)"
        )
    footer = (len(data) - _FOOTER, len(data) - len(MAGIC))
    _, at = _span(data, footer, where)  # of the metaindex block, which is empty
    index, _ = _span(data, (at, footer[1]), where)
    found: dict[bytes, bytes] = {}
    last = 0
    for _, handle in _entries(data, _block(data, index, where), where):
        block, _ = _span(data, handle, where)
        if block[0] < last:  # no byte is looked at twice, however many handles there are
            raise FormatError(f"{where}: the block at byte {block[0]} is out of order")
        last = block[1]
        for key, value in _entries(data, _block(data, block, where), where):
            if found and key <= next(reversed(found)):
                raise FormatError(f"{where}: the key {_named(key)} is out of order")
            if len(found) >= _MAX_ENTRIES:
                raise FormatError(f"{where}: holds more than {_MAX_ENTRIES} entries")
            found[key] = data[slice(*value)]
    return found


def _block(data: bytes, block: Span, where: str) -> Span:
    """The entries of a block, its trailer and restart points checked and left off."""
    start, stop = block
    if stop + _TRAILER > len(data) - _FOOTER or stop - start < 4:
        raise FormatError(
            f"{where}: a block of bytes {start} to {stop} in a file of {len(data)} bytes"
        )
    compression = data[stop]
    if compression:
        kind = "snappy" if compression == 1 else f"type {compression}"
        raise FormatError(
            f"{where}: the block at byte {start} is compressed ({kind}), expected none, as "
            "TensorFlow writes it"
        )
    stored = int.from_bytes(data[stop + 1 : stop + _TRAILER], "little")
    computed = crc32c_masked(data[start : stop + 1])
    if stored != computed:
        raise FormatError(
            f"{where}: the block at byte {start} is damaged: its CRC is {computed:#010x}, "
            f"expected {stored:#010x}"
        )
    n_restarts = int.from_bytes(data[stop - 4 : stop], "little")
    end = stop - 4 - 4 * n_restarts
    if end < start:
        raise FormatError(
            f"{where}: the block at byte {start} has {n_restarts} restart points in "
            f"{stop - start} bytes"
        )
    return start, end


def _entries(data: bytes, block: Span, where: str) -> Iterator[tuple[bytes, Span]]:
    """The keys of a block, each with where its value lies."""
    at, stop = block
    key = b""
    while at < stop:
        sizes = []
        for _ in range(3):
            size, at = varint(data, at, stop, where)
            sizes.append(size)
        shared, own, n_value = sizes
        if shared > len(key) or shared + own > _MAX_KEY_BYTES or own + n_value > stop - at:
            raise FormatError(f"{where}: the entry before byte {at} runs past its block")
        key = key[:shared] + data[at : at + own]
        at += own
        yield key, (at, at + n_value)
        at += n_value


def _span(data: bytes, handle: Span, where: str) -> tuple[Span, int]:
    """Where a block lies, less its trailer, as a handle says: offset and size; the handle's end."""
    offset, at = varint(data, *handle, where)
    size, at = varint(data, at, handle[1], where)
    return (offset, offset + size), at


def varint(data: bytes, at: int, stop: int, where: str) -> tuple[int, int]:
    """A number of 7 bits a byte, the lowest first, and the byte after it.

    Raises:
        FormatError: it does not end before `stop` or after ten bytes.
    """
    value = 0
    for place in range(10):
        if at >= stop:
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at
    raise FormatError(f"{where}: a number at byte {at} does not end")


def _named(key: bytes) -> str:
    return repr(key.decode("utf-8", "replace"))


@cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)  # Castagnoli, reversed
        table.append(byte)
    return tuple(table)


def crc32c_masked(data: bytes) -> int:
    """CRC-32C as a table stores it: rotated by 15 bits, a constant added."""
    table, crc = _crc_table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


# DataType of TensorFlow's types.proto.
_FLOATS = {1: torch.float32, 2: torch.float64, 14: torch.bfloat16, 19: torch.float16}
_AS_STORED = {torch.float32: np.float32, torch.float64: np.float64}
"""Those that are in memory what they are in the file."""
_MAX_AXES = 8


@dataclass(frozen=True)
class Variable:
    """Where one variable lies."""

    dtype: int
    """TensorFlow's number of its type."""
    shape: Shape
    """Its axes."""
    shard: int
    """Which of the data files."""
    offset: int
    """Its first byte there."""
    size: int
    """Its bytes."""


class Bundle:
    """The variables of a checkpoint.

    Args:
        index: PREFIX.index.
        name: the format that asks, for messages.

    Raises:
        InputError: a file cannot be opened.
        FormatError: the index is truncated, damaged or no index, a data file is missing or
            truncated, or a variable is stored in slices.
    """

    def __init__(self, index: Path, name: str) -> None:
        self.where = f"{name}: {index}"
        self._prefix = index.with_suffix("")
        entries = read_table(index, self.where)
        self._n_shards = self._read_header(entries.pop(b"", None))
        self.variables = {
            variable: self._read_entry(entry, variable)
            for variable, entry in self._decoded(entries)
        }
        self._check_shards()

    @property
    def shapes(self) -> dict[str, Shape]:
        """The shape of each variable."""
        return {name: variable.shape for name, variable in self.variables.items()}

    def read(self, name: str) -> Tensor:
        """A variable as float32, float64 kept; all its numbers finite.

        Raises:
            FormatError: it is of another type, its bytes are not those of its shape, or a number
                is NaN or infinite.
        """
        variable, dtype = self._checked(name)
        if not variable.shape:
            return self._read_whole(name, variable, dtype)
        (tensor,) = self.read_parts(name, variable.shape[:1], (0,))
        return tensor

    def read_parts(self, name: str, counts: Sequence[int], order: Sequence[int]) -> list[Tensor]:
        """A variable cut at some rows into tensors, the blocks of its last axis in another order.

        Args:
            name: of a variable (rows, ...); with several blocks (rows, blocks * width).
            counts: rows of each tensor.
            order: which of the variable's blocks is first in memory, which second, ...

        Raises:
            FormatError: see `read`.
        """
        variable, dtype = self._checked(name)
        numpy_dtype = _AS_STORED.get(dtype)
        if numpy_dtype is None or not can_scatter():
            tensor = self._read_whole(name, variable, dtype)
            if len(order) > 1:
                blocks = tensor.view(len(tensor), len(order), -1)
                tensor = blocks[:, list(order)].view(tensor.shape)
            return list(torch.split(tensor, list(counts)))
        shapes = [(count, *variable.shape[1:]) for count in counts]
        path = self._shard(variable.shard)
        with readable(self.where), open_regular(path) as file:
            where = f"{self.where}: {path.name}"
            read = scattering(file.fileno(), variable.offset, order, name, where)
            return filled(shapes, numpy_dtype, read, len(order), name, self.where)

    def _checked(self, name: str) -> tuple[Variable, torch.dtype]:
        """Where a variable of floating point lies, and the type of its numbers there."""
        variable = self.variables[name]
        dtype = _FLOATS.get(variable.dtype)
        if dtype is None:
            raise FormatError(
                f"{self.where}: {name!r} is of TensorFlow's type {variable.dtype}, expected 1 "
                "(float32)"
            )
        n_bytes = math.prod(variable.shape) * dtype.itemsize
        if n_bytes != variable.size:
            raise FormatError(
                f"{self.where}: {name!r} has shape {variable.shape} in {variable.size} bytes, "
                f"expected {n_bytes}"
            )
        return variable, dtype

    def _read_whole(self, name: str, variable: Variable, dtype: torch.dtype) -> Tensor:
        path = self._shard(variable.shard)
        tensor = torch.empty(math.prod(variable.shape), dtype=dtype)
        with readable(self.where), open_regular(path) as file:
            file.seek(variable.offset)
            n_read = file.readinto(tensor.view(torch.uint8).numpy().data)
        if n_read != variable.size:
            raise FormatError(f"{self.where}: {path.name}: the file ends within {name!r}")
        tensor = tensor.reshape(variable.shape).to(_checks.kept(dtype))
        _checks.check_finite(name, tensor, self.where)
        return tensor

    def _read_header(self, header: bytes | None) -> int:
        """The number of data files."""
        if header is None:
            raise FormatError(f"{self.where}: has no header, expected one under the empty name")
        fields = self._fields(header, "its header")
        if fields.number(2):
            raise FormatError(f"{self.where}: its numbers are big-endian, expected little-endian")
        n_shards = fields.number(1)
        if not 1 <= n_shards <= 99999:
            raise FormatError(f"{self.where}: its header tells of {n_shards} data files")
        return n_shards

    def _decoded(self, entries: Mapping[bytes, bytes]) -> Iterator[tuple[str, bytes]]:
        for key, value in entries.items():
            try:
                yield key.decode("utf-8"), value
            except UnicodeDecodeError:
                # A slice of a partitioned variable is stored under a key of its own, which begins
                # with a byte of zero and need not be text.
                raise FormatError(
                    f"{self.where}: the name {key!r:.60} is not UTF-8; variables stored in slices "
                    "are not read"
                ) from None

    def _read_entry(self, entry: bytes, name: str) -> Variable:
        fields = self._fields(entry, repr(name))
        if name.startswith("\0") or 7 in fields.parts:
            raise FormatError(
                f"{self.where}: {name!r:.80} is stored in slices (a partitioned variable), "
                "expected whole"
            )
        shape = self._read_shape(fields.parts.get(2, [b""])[-1], name)
        variable = Variable(
            fields.number(1), shape, fields.number(3), fields.number(4), fields.number(5)
        )
        if variable.shard >= self._n_shards:
            raise FormatError(
                f"{self.where}: {name!r} is in data file {variable.shard} of {self._n_shards}"
            )
        return variable

    def _read_shape(self, shape: bytes, name: str) -> Shape:
        """The axes of a TensorShapeProto."""
        axes = [
            self._fields(axis, repr(name)).number(1)
            for axis in self._fields(shape, repr(name)).parts.get(2, [])
        ]
        if len(axes) > _MAX_AXES or any(axis >= 2**63 for axis in axes):
            raise FormatError(f"{self.where}: {name!r} has shape {axes!s:.80}")
        return tuple(axes)

    def _fields(self, message: bytes, what: str) -> "_Fields":
        return _Fields(message, f"{self.where}: {what}")

    def _shard(self, number: int) -> Path:
        suffix = f".data-{number:05d}-of-{self._n_shards:05d}"
        return self._prefix.with_name(self._prefix.name + suffix)

    def _check_shards(self) -> None:
        """Each variable lies in a file that is there and is as long; none share their bytes."""
        sizes: dict[int, int] = {}
        claimed: dict[int, int] = {}
        for name, variable in self.variables.items():
            path = self._shard(variable.shard)
            if variable.shard not in sizes:
                if not path.exists():
                    raise FormatError(f"{self.where}: expected {path.name} beside it, found none")
                check_regular(path, f"{self.where}: {path.name}")
                sizes[variable.shard] = path.stat().st_size
            stop, size = variable.offset + variable.size, sizes[variable.shard]
            claimed[variable.shard] = claimed.get(variable.shard, 0) + variable.size
            if claimed[variable.shard] > size >= stop:
                raise FormatError(
                    f"{self.where}: its variables share bytes of {path.name}: up to {name!r} they "
                    f"claim {claimed[variable.shard]}, it has {size}"
                )
            if stop > size:
                raise FormatError(
                    f"{self.where}: {name!r} is at bytes {variable.offset} to {stop} of "
                    f"{path.name}, which has {size} bytes (truncated?)"
                )


class _Fields:
    """The fields of a protocol buffer: numbers, and parts (bytes) in their order."""

    def __init__(self, message: bytes, where: str) -> None:
        self.numbers: dict[int, int] = {}
        self.parts: dict[int, list[bytes]] = {}
        at = 0
        while at < len(message):
            key, at = varint(message, at, len(message), where)
            field, kind = key >> 3, key & 7
            if kind == 0:
                self.numbers[field], at = varint(message, at, len(message), where)
                continue
            size = {1: 8, 5: 4}.get(kind)
            if kind == 2:
                size, at = varint(message, at, len(message), where)
            if size is None or size > len(message) - at:
                raise FormatError(f"{where}: is no protocol buffer at its byte {at}")
            if kind == 2:
                self.parts.setdefault(field, []).append(message[at : at + size])
            at += size

    def number(self, field: int) -> int:
        """A number, 0 where it is not said."""
        return self.numbers.get(field, 0)


_IN_TABLE = re.compile(r"RNN_(\d)/RNN/MultiRNNCell/Cell(\d+)/LSTMCell/(\w+)")
_IN_CELL = {"W_0": "kernel", "B": "bias", "W_P_0": "projection/kernel"}


def variable_names(scope: str, cell: str) -> Callable[[str], str]:
    """The function from a dataset of `bilm_table` to the variable that holds the same.

    Args:
        scope: what every name begins with, such as "lm/".
        cell: the name of an LSTM cell, with {direction} and {layer} in it.
    """

    def named(dataset: str) -> str:
        match = _IN_TABLE.fullmatch(dataset)
        if match is None:
            return scope + dataset
        direction, layer, part = match.groups()
        return f"{scope}{cell.format(direction=direction, layer=layer)}/{_IN_CELL[part]}"

    return named


def read_parameters(
    bundle: Bundle,
    config: BiLMConfig,
    named: Callable[[str], str],
    others: Collection[str],
    asked_by: str,
) -> dict[str, Tensor]:
    """Every parameter of the biLM; every variable is one of its own or among `others`.

    Args:
        bundle: the checkpoint.
        config: the shape of the model.
        named: from a dataset of `bilm_table` to its variable.
        others: names of variables that are none of the biLM's.
        asked_by: what settles the shapes, for messages.

    Raises:
        FormatError: a variable is missing, superfluous, of another shape or type, or not finite.
    """
    shapes = {name: shape for name, shape in bundle.shapes.items() if name not in others}
    characters = shapes.get(named("char_embed"), ())
    mask_row = characters[:1] == (N_CHARACTERS + 1,)

    def table() -> Iterator[Row]:
        rows = bilm_table(config, mask_row=mask_row)
        return (replace(row, dataset=named(row.dataset)) for row in rows)

    def read(row: Row) -> Sequence[Tensor]:
        stacked = row.layout.stacked
        if stacked is None:
            return row.layout.split(bundle.read(row.dataset))
        return bundle.read_parts(row.dataset, stacked.counts, stacked.order)

    return read_rows(_checks.check_rows(table, shapes, bundle.where, asked_by), read)
