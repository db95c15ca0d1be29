"""Whole files of data, in memory, as lines that can be written back byte for byte.

What is trained on or tagged is held whole anyway; a corpus, which need not fit, is for `corpora`.
"""

import codecs
import lzma
import os
import sys
import zipfile
import zlib
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from relmo._read import COMPRESSED, PathLike, content
from relmo.errors import InputError

__all__ = ["MAX_BYTES", "STDIN", "Source", "read_source", "suffix"]

MAX_BYTES = 2**30
"""Of a file, decompressed; a longer one is an error."""
STDIN = "-"
_BOM = "\ufeff"
_DAMAGED = (  # what zipfile raises; RuntimeError for a file that needs a password
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)


@dataclass(frozen=True, slots=True)
class Source:
    """The lines of a file, and what is needed to write it again."""

    name: str
    """Of the file, for messages; `standard input`."""
    lines: tuple[str, ...]
    """Without their ends, which `ends` has. A line ends at a line feed and nowhere else."""
    ends: tuple[str, ...]
    """Of each line, such as a line feed; empty for a last line that has none."""
    encoding: str
    has_bom: bool
    """Whether the file begins with a byte order mark, which is in none of the lines."""

    def where(self, index: int) -> str:
        """A line in a message: the file and the line's number, from 1."""
        return f"{self.name}: line {index + 1}"

    def end(self) -> str:
        """What ends a line of this file."""
        return self.ends[0] if self.ends and self.ends[0] else "\n"

    def written(self, lines: Sequence[str]) -> bytes:
        """The file with other lines in place of its own.

        Args:
            lines: as many as there are.

        Raises:
            InputError: a character is not in the file's encoding.
        """
        text = "".join(map("".join, zip(lines, self.ends, strict=True)))
        try:
            return (_BOM * self.has_bom + text).encode(self.encoding)
        except UnicodeEncodeError as error:
            raise InputError(
                f"{self.name}: {error.object[error.start]!r} cannot be written in {self.encoding}"
            ) from error


def read_source(
    path: PathLike, encoding: str | None = None, *, latin: Container[str] = ()
) -> Source:
    """The lines of a file.

    Args:
        path: a file, compressed or not (.gz, .bz2, .xz, .zst), `-` for standard input, a zip
            archive that holds one file, or a file in an archive as if that were a folder.
        encoding: any that Python knows; None: UTF-8.
        latin: with no encoding given, a file whose name has one of these suffixes is read as
            latin-1 where it is not UTF-8.

    Raises:
        InputError: the file is missing, unreadable, truncated, too long, or not in its encoding
            (named with line and byte), or the archive holds several files.
    """
    try:
        codecs.lookup(encoding or "utf-8")
    except LookupError as error:
        raise InputError(f"encoding {encoding!r}: Python knows none of that name") from error
    name, data = _data(path)
    if encoding is None and suffix(name) in latin and not _is_utf8(data):
        encoding = "latin-1"
    encoding = encoding or "utf-8"
    try:
        text = data.decode(encoding)
    except UnicodeError as error:
        raise InputError(f"{name}: {_undecoded(data, encoding, error)}") from error
    has_bom = text.startswith(_BOM)
    pieces = [f"{piece}\n" for piece in text[has_bom:].split("\n")]
    pieces[-1] = pieces[-1][:-1]
    if not pieces[-1]:
        pieces.pop()
    lines = tuple(piece.rstrip("\r\n") for piece in pieces)
    ends = tuple(piece[len(line) :] for piece, line in zip(pieces, lines, strict=True))
    return Source(name, lines, ends, encoding, has_bom)


def suffix(name: str) -> str:
    """The suffix of a file's name, in lower case, whether it is compressed or not."""
    path = PurePath(name.lower())
    return (path.with_suffix("") if path.suffix in COMPRESSED else path).suffix


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _undecoded(data: bytes, encoding: str, error: UnicodeError) -> str:
    if not isinstance(error, UnicodeDecodeError):  # such as UTF-16 without its mark
        return f"not {encoding}: {error}"
    number = data.count(b"\n", 0, error.start) + 1
    return (
        f"line {number}: not {encoding}: byte 0x{data[error.start]:02x} at offset {error.start} "
        f"({error.reason}); name the encoding it is in, such as latin-1, or convert the file"
    )


def _data(path: PathLike) -> tuple[str, bytes]:
    """A name for messages, and all bytes."""
    if os.fspath(path) == STDIN:
        data = sys.stdin.buffer.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise InputError(f"standard input: longer than {MAX_BYTES} bytes")
        return "standard input", data
    path = Path(path)
    for archive in (path, *path.parents):
        if archive.suffix.lower() == ".zip" and archive.is_file():
            member = path.relative_to(archive).as_posix() if archive != path else None
            return _from_zip(archive, member)
    return str(path), content(path, MAX_BYTES)


def _from_zip(archive: Path, member: str | None) -> tuple[str, bytes]:
    try:
        with zipfile.ZipFile(archive) as opened:
            files = [info for info in opened.infolist() if _is_data(info)]
            wanted = [info for info in files if _ends_with(info, member)]
            if len(wanted) != 1:
                held = ", ".join(info.filename for info in files[:8]) or "none"
                asked = f"no file {member!r}" if member else f"expected one file, got {len(files)}"
                raise InputError(f"{archive}: {asked}; it holds {held}: name one as {archive}/NAME")
            with opened.open(wanted[0]) as file:
                data = file.read(MAX_BYTES + 1)
    except _DAMAGED as error:
        raise InputError(f"{archive}: truncated or damaged, or not .zip: {error}") from error
    except OSError as error:
        raise InputError(f"{archive}: cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise InputError(f"{archive}: {wanted[0].filename} is longer than {MAX_BYTES} bytes")
    return f"{archive}/{wanted[0].filename}", data


def _is_data(info: zipfile.ZipInfo) -> bool:
    """Whether it is a file, and not what macOS or others hide in archives."""
    parts = PurePosixPath(info.filename).parts
    return not info.is_dir() and not any(part.startswith((".", "__MACOSX")) for part in parts)


def _ends_with(info: zipfile.ZipInfo, member: str | None) -> bool:
    """Whether it is the file that was asked for, whose folders need not be named."""
    return member is None or f"/{info.filename}".endswith(f"/{member}")
