"""The files that paths, folders and patterns stand for, always in the same order."""

import bz2
import glob
import gzip
import lzma
import os
import zlib
from collections.abc import Iterable, Iterator
from io import BufferedIOBase
from itertools import islice
from pathlib import Path

from relmo.errors import InputError, MissingExtraError

__all__ = [
    "COMPRESSED",
    "MAX_LINE_BYTES",
    "PathLike",
    "chunks",
    "content",
    "expand",
    "line_batches",
    "lines",
]


def expand(given: Iterable[str | os.PathLike[str]]) -> tuple[Path, ...]:
    """Files as they are given; in place of a folder or a pattern, what it stands for, sorted.

    A folder stands for every file in it and in the folders below it, those whose name begins with
    a dot left out. A pattern has `*`, `?` or `[...]`, or `**` for folders of any depth; a file
    that has such a name itself is that file.

    Raises:
        InputError: there is no such file, no file in a folder or none that a pattern matches, or
            a folder cannot be read.
    """
    files: list[Path] = []
    for place in given:
        name = os.fspath(place)
        if os.path.isdir(name):  # noqa: PTH112 - Path.is_dir raises on a very long name
            files += _files_in(Path(name))
        elif os.path.exists(name):  # noqa: PTH110 - so does Path.exists
            files.append(Path(name))
        elif glob.has_magic(name):
            files += _matches(name)
        else:
            raise InputError(f"{name}: no such file")
    return tuple(files)


def _files_in(folder: Path) -> list[Path]:
    files: list[Path] = []

    def fail(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from error

    for root, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += (Path(root, name) for name in names if not name.startswith("."))
    if not files:
        raise InputError(f"{folder}: a folder without a file in it (hidden ones do not count)")
    return sorted(files)


def _matches(pattern: str) -> list[Path]:
    """Each file once, though `**` finds it by its folders too."""
    files: set[Path] = set()
    for path in map(Path, glob.glob(pattern, recursive=True)):  # noqa: PTH207 - leaves hidden ones
        if not path.is_dir():
            files.add(path)
        elif any(path.iterdir()):
            files.update(_files_in(path))
    if not files:
        raise InputError(f"{pattern}: no file matches")
    return sorted(files)


PathLike = str | os.PathLike[str]

MAX_LINE_BYTES = 16 * 2**20
"""A longer line is an error: a file without line feeds would be read into memory whole."""
_CHUNK_BYTES = 2**20
_BATCH_LINES = 2**16
# A run of one byte is 4 bytes of .zst for 128 KiB of text: at most 16 MiB come from one piece.
_ZSTD_PIECE_BYTES = 512
_BOM = b"\xef\xbb\xbf"
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
"""Suffixes of the files that are decompressed as they are read."""


def lines(path: PathLike, skip: int = 0) -> Iterator[str]:
    """The lines of a UTF-8 file without their line ends, blank ones too, so they can be counted.

    Args:
        path: a file; .gz, .bz2, .xz and .zst are decompressed (by name).
        skip: lines to leave out at the start, undecoded: `skip=n` continues after n lines.

    Raises:
        InputError: the file is missing, unreadable, truncated, not UTF-8 (named with its line),
            or holds a line longer than `MAX_LINE_BYTES`.
        MissingExtraError: a .zst file and no zstandard.
    """
    path = Path(path)
    for number, line in enumerate(_byte_lines(path), start=1):
        if number <= skip:
            continue
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: line {number}: not UTF-8: byte 0x{line[error.start]:02x} at column "
                f"{error.start + 1} ({error.reason}); convert the file to UTF-8"
            ) from error


def line_batches(path: PathLike) -> Iterator[list[str]]:
    """Yield the lines of a file as `lines` does, many at a time, which is faster for short ones."""
    stream = lines(path)
    while batch := list(islice(stream, _BATCH_LINES)):
        yield batch


def content(path: PathLike, most: int) -> bytes:
    """All bytes of a file, decompressed as by `lines`.

    Args:
        path: a file.
        most: bytes at most.

    Raises:
        InputError: the file is missing, unreadable, truncated or longer.
        MissingExtraError: a .zst file and no zstandard.
    """
    path, parts, size = Path(path), [], 0
    for chunk in chunks(path):
        parts.append(chunk)
        size += len(chunk)
        if size > most:
            raise InputError(f"{path}: longer than {most} bytes, the most that is read at once")
    return b"".join(parts)


def _byte_lines(path: Path) -> Iterator[bytes]:
    """Lines without what ends them, and without the byte order mark before the first."""
    start = _BOM
    for line in _split(chunks(path), path):
        yield line.removeprefix(start).rstrip(b"\r")
        start = b""


def _split(pieces: Iterable[bytes], path: Path) -> Iterator[bytes]:
    """Cut chunks at line feeds; text after the last one is a line too."""
    parts: list[bytes] = []  # of the line being read
    size, number = 0, 1
    for chunk in pieces:
        first, *others = chunk.split(b"\n")
        parts.append(first)
        size += len(first)
        if size > MAX_LINE_BYTES:
            raise InputError(
                f"{path}: line {number}: longer than {MAX_LINE_BYTES} bytes; expected one "
                "tokenised sentence a line"
            )
        if others:
            yield b"".join(parts)
            yield from others[:-1]
            parts, size = [others[-1]], len(others[-1])
            number += len(others)
    if size:
        yield b"".join(parts)


def chunks(path: Path) -> Iterator[bytes]:
    """The decompressed bytes of a file, at most `_CHUNK_BYTES` at a time; see `lines`."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".zst":
            yield from _zstd_chunks(path)
            return
        with _open(path, suffix) as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: truncated or damaged, or not {suffix}: {error}") from error
    except OSError as error:
        if suffix == ".bz2" and error.errno is None:  # its module has no error of its own
            raise InputError(f"{path}: truncated or damaged, or not .bz2: {error}") from error
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def _open(path: Path, suffix: str) -> BufferedIOBase:
    if suffix == ".gz":
        return gzip.open(path, "rb")
    if suffix == ".bz2":
        return bz2.open(path, "rb")
    if suffix == ".xz":
        return lzma.open(path, "rb")
    return path.open("rb")


def _zstd_chunks(path: Path) -> Iterator[bytes]:
    """The bytes of all frames of a .zst file; EOFError where the last one has no end."""
    try:
        import zstandard
    except ImportError as error:
        raise MissingExtraError("zstandard", "zstd") from error
    frame = None
    with path.open("rb") as file:
        while piece := file.read(_ZSTD_PIECE_BYTES):
            while piece:
                if frame is None:
                    frame = zstandard.ZstdDecompressor().decompressobj()
                try:
                    data = frame.decompress(piece)
                except zstandard.ZstdError as error:
                    raise EOFError(str(error)) from error
                for start in range(0, len(data), _CHUNK_BYTES):
                    yield data[start : start + _CHUNK_BYTES]
                piece = frame.unused_data if frame.eof else b""
                frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError("the last frame has no end")
