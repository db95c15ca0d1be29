"""A table file of TensorFlow (LevelDB's sorted strings) read into a dict, every bound checked.

    block ... block, index block, footer (48 bytes: where the index block is; the magic number)
    block:  entries, restart points, their number; then 1 byte of compression, 4 of CRC
    entry:  bytes shared with the key before, bytes of its own, bytes of the value; the two

TensorFlow writes its blocks uncompressed. Numbers are variable-length (`varint`) or little-endian.
"""

from collections.abc import Iterator
from pathlib import Path

from relmo._files import open_regular
from relmo.errors import FormatError
from relmo.formats import _checks

__all__ = ["crc32c_masked", "is_table", "read_table", "varint"]

MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
_FOOTER, _TRAILER = 48, 5
_MAX_FILE_BYTES = 2**22
_MAX_KEY_BYTES = 2**10
_MAX_ENTRIES = 2**12
"""More than any model has. Keys share their beginnings, so a small file could ask for many."""

Span = tuple[int, int]  # of bytes: first, last + 1


def is_table(path: Path) -> bool:
    """Whether a file ends as a table does."""
    with _checks.readable(f"'{path}'"), open_regular(path) as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - len(MAGIC)))
        return file.read(len(MAGIC)) == MAGIC


def read_table(path: Path, where: str) -> dict[bytes, bytes]:
    """Every key and its value, in the order of the file.

    Raises:
        InputError: the file cannot be opened.
        FormatError: it is truncated, damaged, compressed, or no table.
    """
    with _checks.readable(where), open_regular(path) as file:
        data = file.read(_MAX_FILE_BYTES + 1)
    if len(data) > _MAX_FILE_BYTES:
        raise FormatError(f"{where}: expected an index, got more than {_MAX_FILE_BYTES} bytes")
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


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)  # Castagnoli, reversed
        table.append(byte)
    return tuple(table)


_CRC = _crc_table()


def crc32c_masked(data: bytes) -> int:
    """CRC-32C as a table stores it: rotated by 15 bits, a constant added."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
