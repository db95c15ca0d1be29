"""Streaming readers of text: plain, .gz, .xz or .zst, in memory bounded by the longest line.

A line ends at a line feed and nowhere else: U+2028, U+0085, form feeds and the like are part of
their line. A sentence is a line split as by `str.split()`: at any Unicode white space, so at
no-break spaces (U+00A0), ideographic spaces (U+3000) and U+2028 too. Tokens never hold white
space, therefore, and the same text gives the same tokens as `"...".split()` in Python.
"""

import gzip
import lzma
import os
import zlib
from collections.abc import Iterable, Iterator
from io import BufferedIOBase
from pathlib import Path

from relmo.errors import InputError, MissingExtraError

__all__ = ["MAX_LINE_BYTES", "Corpus", "PathLike", "lines", "read_sentences"]

PathLike = str | os.PathLike[str]

MAX_LINE_BYTES = 16 * 2**20
"""A longer line is an error: a file without line feeds would be read into memory whole."""
_CHUNK_BYTES = 2**20
# A run of one byte is 4 bytes of .zst for 128 KiB of text: at most 16 MiB come from one piece.
_ZSTD_PIECE_BYTES = 512
_BOM = b"\xef\xbb\xbf"


def lines(path: PathLike, skip: int = 0) -> Iterator[str]:
    """The lines of a UTF-8 file without their line ends, blank ones too, so they can be counted.

    Args:
        path: a file; .gz, .xz and .zst are decompressed (by name).
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


def read_sentences(paths: PathLike | Iterable[PathLike]) -> Iterator[list[str]]:
    """The sentences of one or several files, one a line, split on white space; blank lines skipped.

    Args:
        paths: a file or several, read one after another; see `lines`.

    Raises:
        InputError: at once for a missing file; while reading as `lines` does; at the end where
            no file held a token.
    """
    return iter(Corpus(paths))


class Corpus:
    """Sentences of one or several files, streamed anew each time it is iterated over.

    Args:
        paths: a file or several; see `lines`.

    Raises:
        InputError: no file is given, or one is missing or a folder.
    """

    def __init__(self, paths: PathLike | Iterable[PathLike]) -> None:
        given = [paths] if isinstance(paths, str | os.PathLike) else paths
        self.paths = tuple(Path(path) for path in given)
        if not self.paths:
            raise InputError("corpus: no file given")
        for path in self.paths:
            if not path.exists():
                raise InputError(f"{path}: no such file")
            if path.is_dir():
                raise InputError(f"{path}: a folder, expected a text file")

    def __iter__(self) -> Iterator[list[str]]:
        """The sentences, file after file.

        Raises:
            InputError: as `lines` does; at the end where no file held a token.
        """
        is_empty = True
        for path in self.paths:
            for line in lines(path):
                if tokens := line.split():
                    is_empty = False
                    yield tokens
        if is_empty:
            names = ", ".join(map(str, self.paths[:3])) + (", ..." if self.paths[3:] else "")
            raise InputError(f"{names}: no usable line; expected one tokenised sentence a line")


def _byte_lines(path: Path) -> Iterator[bytes]:
    """Lines without what ends them, and without the byte order mark before the first."""
    start = _BOM
    for line in _split(_chunks(path), path):
        yield line.removeprefix(start).rstrip(b"\r")
        start = b""


def _split(chunks: Iterable[bytes], path: Path) -> Iterator[bytes]:
    """Cut chunks at line feeds; text after the last one is a line too."""
    parts: list[bytes] = []  # of the line being read
    size, number = 0, 1
    for chunk in chunks:
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


def _chunks(path: Path) -> Iterator[bytes]:
    """The decompressed bytes of a file, at most `_CHUNK_BYTES` at a time."""
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
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def _open(path: Path, suffix: str) -> BufferedIOBase:
    if suffix == ".gz":
        return gzip.open(path, "rb")
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
