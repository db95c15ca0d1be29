"""A checkpoint of TensorFlow, version 2, read without TensorFlow.

    PREFIX.index                    a table (`_tf_table`): name of a variable -> where it lies
    PREFIX.data-00000-of-00001      the numbers, little-endian, in one file or several

Values of the table are protocol buffers: under the empty name a BundleHeaderProto, else a
BundleEntryProto. Nothing is read from the data files until a variable is asked for, and nothing
is allocated for one whose shape does not fit its bytes or whose bytes are not there.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from relmo._files import open_regular
from relmo.errors import FormatError
from relmo.formats import _checks
from relmo.formats._places import can_scatter, filled, scattering
from relmo.formats._tf_table import read_table, varint
from relmo.formats.checkpoint import Shape

__all__ = ["Bundle", "Variable"]

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
        with _checks.readable(self.where), open_regular(path) as file:
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
        with _checks.readable(self.where), open_regular(path) as file:
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
                if not path.is_file():
                    raise FormatError(f"{self.where}: expected {path.name} beside it, found none")
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
