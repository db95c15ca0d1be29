"""Streaming readers of text, in memory bounded by the longest line.

A file is plain text or JSON lines, as it is or compressed (.gz, .bz2, .xz, .zst), or a Parquet
table. Which, its name says: `.jsonl` and `.ndjson`, `.parquet`; any other is plain text.

A line ends at a line feed and nowhere else: U+2028, U+0085, form feeds and the like are part of
their line. A sentence is a line split as by `str.split()`: at any Unicode white space, so at
no-break spaces (U+00A0), ideographic spaces (U+3000) and U+2028 too. Tokens never hold white
space, therefore, and the same text gives the same tokens as `"...".split()` in Python.
"""

import bz2
import copy
import gzip
import lzma
import os
import zlib
from collections.abc import Iterable, Iterator
from io import BufferedIOBase
from itertools import islice
from pathlib import Path
from typing import Self

from relmo.errors import InputError, MissingExtraError
from relmo.text import records
from relmo.text.places import expand
from relmo.text.tokenizers import Tokenize

__all__ = [
    "COMPRESSED",
    "MAX_LINE_BYTES",
    "Corpus",
    "PathLike",
    "chunks",
    "content",
    "lines",
    "read_sentences",
]

PathLike = str | os.PathLike[str]

MAX_LINE_BYTES = 16 * 2**20
"""A longer line is an error: a file without line feeds would be read into memory whole."""
_CHUNK_BYTES = 2**20
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


def read_sentences(paths: PathLike | Iterable[PathLike]) -> Iterator[list[str]]:
    """The sentences of a `Corpus`, one a line, split on white space; blank lines skipped.

    Args:
        paths: a file, folder or pattern or several, read one after another.

    Raises:
        InputError: at once for a missing file; while reading as `lines` does; at the end where
            no file held a token.
    """
    return iter(Corpus(paths))


class Corpus:
    """Sentences of any number of files, streamed anew each time it is iterated over.

    Args:
        paths: a file or several, a folder for all files in it, or a pattern; see `places.expand`.
        field: of the objects of JSON lines and the columns of Parquet tables, the one that holds
            text. Each of its lines is a sentence.
        tokenize: from a line to its tokens, none with white space in it.

    Raises:
        InputError: no file is given, or there is none.
    """

    def __init__(
        self,
        paths: PathLike | Iterable[PathLike],
        *,
        field: str = "text",
        tokenize: Tokenize = str.split,
    ) -> None:
        self.paths = expand([paths] if isinstance(paths, str | os.PathLike) else paths)
        self.field, self.tokenize = field, tokenize
        self.shard_number, self.n_shards = 0, 1
        if not self.paths:
            raise InputError("corpus: no file given")

    def shard(self, number: int, n_shards: int) -> Self:
        """One of so many corpora that hold each line of this one, blank ones too, exactly once.

        Every n-th line of each file, the first of a file being the next shard's in the next file,
        so that files of a line go round as well. Each shard reads all the files.

        Args:
            number: which, from 0.
            n_shards: how many there are.
        """
        shard = copy.copy(self)
        shard.shard_number, shard.n_shards = number, n_shards
        return shard

    def __iter__(self) -> Iterator[list[str]]:
        """The sentences, file after file.

        Raises:
            InputError: as `text_lines` does; at the end where no file held a token.
        """
        return (tokens for _, tokens in self.by_file())

    def by_file(self) -> Iterator[tuple[int, list[str]]]:
        """The sentences, each with the number of its file, from 0; else as `iter` does."""
        is_empty = True
        for number in range(len(self.paths)):
            for line in self.text_lines(number):
                if tokens := self.tokenize(line):
                    is_empty = False
                    yield number, tokens
        if is_empty:
            raise self.is_empty()

    def text_lines(self, number: int, skip: int = 0) -> Iterator[str]:
        """The lines of text in one of its files, blank ones too, so they can be counted.

        Args:
            number: which file, from 0.
            skip: lines to leave out at the start; of a shard, lines of its own.

        Raises:
            InputError: the file is not what `lines` or the readers in `records` can read.
            MissingExtraError: it needs an optional library that is not installed.
        """
        first = (self.shard_number - number) % self.n_shards
        found = self._all_lines(self.paths[number], first + skip * self.n_shards)
        return islice(found, 0, None, self.n_shards)

    def _all_lines(self, path: Path, skip: int) -> Iterator[str]:
        """The lines of a file, whatever the shard."""
        kind = _kind(path)
        if kind == "text":
            return lines(path, skip)
        if kind == "parquet":
            texts = records.of_parquet(path, self.field, longest=MAX_LINE_BYTES)
        else:
            texts = records.of_json_lines(lines(path), path, self.field)
        return islice((line for text in texts for line in _cut(text)), skip, None)

    def is_empty(self) -> InputError:
        """The error to raise where no file held a token."""
        names = ", ".join(map(str, self.paths[:3])) + (", ..." if self.paths[3:] else "")
        if self.n_shards > 1:
            return InputError(
                f"{names}: no usable line among those of part {self.shard_number + 1} of "
                f"{self.n_shards}; expected more sentences, or fewer parts"
            )
        return InputError(f"{names}: no usable line; expected one tokenised sentence a line")


def _kind(path: Path) -> str:
    """`text`, `json` or `parquet`, by name."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    last = suffixes[-1] if suffixes else ""
    return {".jsonl": "json", ".ndjson": "json", ".parquet": "parquet"}.get(last, "text")


def _cut(text: str) -> Iterator[str]:
    """The lines of a record's text, as `lines` has them of a file that holds it."""
    return (line.rstrip("\r") for line in text.removesuffix("\n").split("\n"))


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
