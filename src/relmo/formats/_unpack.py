"""Zips and tars unpacked without trusting them: names, kinds, sizes and headers can all lie.

What is refused, each with an error that names the archive and the member: a path out of the
folder, links and devices, encryption, a name that comes twice, too many members, and too many
bytes, which are counted as they come, whatever the headers declare.
"""

import bz2
import gzip
import io
import lzma
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from relmo._files import open_regular
from relmo.errors import FormatError, InputError

__all__ = ["MAX_BYTES", "MAX_MEMBERS", "MAX_RATIO", "kind", "open_zip", "unpack"]

MAX_MEMBERS = 10_000
"""Files and folders in one archive."""
MAX_BYTES = 16 * 2**30
"""Bytes that one archive may unpack to; a released model with its softmax and slots has 5 GB."""
MAX_RATIO = 100
"""Bytes that each byte of an archive may unpack to; of a model's numbers it is 1 or 2."""
SMALL_BYTES = 64 * 2**20
"""So much may come of an archive at any ratio: words and zeros compress well."""
SPARE_BYTES = 64 * 2**20
"""Bytes of the disk that are left free."""

_Read = Callable[[int], bytes]
_CHUNK = 2**20
_MOST_AT_ONCE = 4 * 2**20  # of the file: a longer read is a header or a list that lies
_MOST_HEADER = 2**13  # bytes before a tar's next file: names and their long forms
_DIGITS = re.compile(rb"\d{256}")  # no name of a file has as many: see _MOST_STEP
_MOST_NAME, _MOST_STEP = 1024, 255  # bytes of a path, and of one step of it
_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_DAMAGED = (
    ArithmeticError,
    EOFError,
    LookupError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
)
"""What the libraries raise on a damaged file."""


def kind(path: Path) -> str | None:
    """What the file is by its first bytes: "zip", "tar" or None.

    Raises:
        OSError: the file cannot be opened.
    """
    with open_regular(path) as file:
        start = file.read(512)
    if start.startswith((b"PK\3\4", b"PK\5\6")):
        return "zip"
    try:
        with _decompressed(path, start) as file:
            tarfile.TarInfo.frombuf(file.read(512), "utf-8", "surrogateescape")
    except (*_DAMAGED, OSError):
        return None
    return "tar"


def unpack(path: Path, folder: Path, where: str) -> None:
    """Unpack an archive.

    Args:
        path: a zip or a tar.
        folder: an empty folder.
        where: the format and the archive, for messages.

    Raises:
        FormatError: the archive is truncated, damaged, encrypted, or is refused (see the module).
        InputError: the disk has no room, or the system refuses.
    """
    unpack_members = _unpack_zip if kind(path) == "zip" else _unpack_tar
    try:
        unpack_members(path, _Sink(folder, where, path.stat().st_size))
    except _DAMAGED as error:
        raise FormatError(f"{where}: truncated or damaged: {_said(error)}") from error
    except OSError as error:
        if error.errno is None:  # the libraries' own, such as gzip.BadGzipFile
            raise FormatError(f"{where}: truncated or damaged: {_said(error)}") from error
        raise InputError(f"{where}: cannot be unpacked: {error.strerror}") from error


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class _Sink:
    """The folder that members go to, which counts them and their bytes.

    Args:
        folder: where they go.
        where: the format and the archive, for messages.
        archive_bytes: size of the archive.
    """

    def __init__(self, folder: Path, where: str, archive_bytes: int) -> None:
        self.folder = folder
        self.where = where
        self._archive_bytes = archive_bytes
        self._n_members = 0
        self._left = min(MAX_BYTES, max(SMALL_BYTES, MAX_RATIO * archive_bytes))

    def expect(self, n_bytes: int) -> None:
        """So many bytes are declared to come: they are allowed, and the disk has room."""
        self._check(n_bytes)
        free = shutil.disk_usage(self.folder).free
        if n_bytes > free - SPARE_BYTES:
            raise InputError(
                f"{self.where}: unpacks to {n_bytes} bytes, and '{self.folder.parent}' has {free} "
                "left; make room or set TMPDIR to a folder that has more"
            )

    def _check(self, n_bytes: int) -> None:
        if n_bytes < 0 or n_bytes > self._left:
            raise FormatError(
                f"{self.where}: unpacks to too much, expected at most {MAX_RATIO} times its "
                f"{self._archive_bytes} bytes (or {SMALL_BYTES}) and at most {MAX_BYTES}"
            )

    def add(self, name: str, read: _Read | None, n_bytes: int) -> None:
        """Write one member.

        Args:
            name: its path in the archive.
            read: gives its bytes; None: it is a folder.
            n_bytes: how many they are, by its header.

        Raises:
            FormatError: see `unpack`.
        """
        self._n_members += 1
        if self._n_members > MAX_MEMBERS:
            raise FormatError(f"{self.where}: more than {MAX_MEMBERS} files and folders")
        target = self.folder.joinpath(*_parts(name, self.where))
        try:
            (target if read is None else target.parent).mkdir(parents=True, exist_ok=True)
            if read is None:
                return
            with target.open("xb") as file:
                n_written = self._copy(read, file)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise FormatError(f"{self.where}: {name!r} comes more than once") from error
        if n_written != n_bytes:
            raise FormatError(f"{self.where}: {name!r} has {n_written} bytes, expected {n_bytes}")

    def _copy(self, read: _Read, file: io.BufferedIOBase) -> int:
        n_written = 0
        while chunk := read(_CHUNK):
            self._check(len(chunk))
            self._left -= len(chunk)
            n_written += file.write(chunk)
        return n_written


def _parts(name: str, where: str) -> list[str]:
    """The steps of a member's path below the folder."""
    path = name.replace("\\", "/")  # as some programs pack them
    steps = [step for step in path.split("/") if step not in ("", ".")]
    if path.startswith("/") or ".." in steps or ":" in path.partition("/")[0] or "\0" in path:
        raise FormatError(f"{where}: {name!r:.200} is a path out of the archive, which is refused")
    sizes = [len(step.encode("utf-8", "surrogateescape")) for step in steps]
    if sum(sizes) > _MOST_NAME or max(sizes, default=0) > _MOST_STEP:
        raise FormatError(f"{where}: {name!r:.100} is too long a name")
    return steps


def _unpack_zip(path: Path, sink: _Sink) -> None:
    with open_zip(path, sink.where) as archive:
        members = archive.infolist()
        for member in members:
            _check_zip_member(member, sink.where)
        sink.expect(sum(member.file_size for member in members))
        for member in members:
            if member.is_dir():
                sink.add(member.filename, None, 0)
                continue
            try:
                with archive.open(member) as source:
                    sink.add(member.filename, source.read, member.file_size)
            except _DAMAGED as error:
                raise FormatError(
                    f"{sink.where}: {member.filename!r} is truncated or damaged: {_said(error)}"
                ) from error


def _check_zip_member(member: zipfile.ZipInfo, where: str) -> None:
    if member.flag_bits & 0x1:
        raise FormatError(f"{where}: {member.filename!r} is encrypted; unpack it with its password")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # the others' decoders give as many bytes at once as they like
        raise FormatError(
            f"{where}: {member.filename!r} is compressed by method {member.compress_type}, "
            "expected stored (0) or deflated (8)"
        )
    mode = stat.S_IFMT(member.external_attr >> 16)
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise FormatError(f"{where}: {member.filename!r} is a link or a device, which is refused")


@contextmanager
def open_zip(path: Path, where: str) -> Iterator[zipfile.ZipFile]:
    """A zip to read.

    Raises:
        FormatError: its list of members is absurdly long.
        OSError, zipfile.BadZipFile and others of the library: it cannot be opened.
    """
    with _ZipSource(path, where) as file, zipfile.ZipFile(file) as archive:
        yield archive


class _ZipSource(io.FileIO):
    """A zip on disk; a list of members of absurd length is not read into memory."""

    def __init__(self, path: Path, where: str) -> None:
        super().__init__(path)
        self._where = where

    def read(self, size: int | None = -1, /) -> bytes:
        most = _MOST_AT_ONCE + 1 if size is None or size < 0 else size
        data = super().read(min(most, _MOST_AT_ONCE + 1)) or b""
        if len(data) > _MOST_AT_ONCE:
            raise FormatError(
                f"{self._where}: its list of members is longer than {_MOST_AT_ONCE} bytes"
            )
        return data


@contextmanager
def _decompressed(path: Path, start: bytes) -> Iterator[io.BufferedIOBase]:
    opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)
    with open_regular(path) as stored:
        if opener is None:
            yield stored
            return
        with opener(stored, "rb") as file:
            yield file


def _unpack_tar(path: Path, sink: _Sink) -> None:
    with open_regular(path) as file:
        start = file.read(8)
    with _decompressed(path, start) as file:
        source = _TarSource(file.read, sink.where)
        source.allow(_MOST_HEADER, header=True)
        with tarfile.open(fileobj=source, mode="r:") as archive:  # type: ignore[call-overload]
            while (member := archive.next()) is not None:
                if not (member.isfile() or member.isdir()) or member.issparse():
                    raise FormatError(
                        f"{sink.where}: {member.name!r} is a link or a device, which is refused"
                    )
                sink.expect(member.size)
                source.allow(member.size + _CHUNK, header=False)
                content = archive.extractfile(member)
                sink.add(member.name, content and content.read, member.size)
                archive.members.clear()  # a list of all is not needed
                source.allow(_MOST_HEADER, header=True)


class _TarSource:
    """A tar as `tarfile` reads it: forwards only, and no more than was allowed.

    So a header of absurd length costs no memory, and one that points back ends the reading.
    """

    def __init__(self, read: _Read, where: str) -> None:
        self._read = read
        self._where = where
        self._position = self._allowed = 0
        self._in_header = True

    def allow(self, n_bytes: int, *, header: bool) -> None:
        """So many bytes may be read from here on; those passed over do not count."""
        self._allowed, self._in_header = n_bytes, header

    def read(self, size: int) -> bytes:
        self._allowed -= size
        if size < 0 or self._allowed < 0:
            raise FormatError(f"{self._where}: a header is longer than {_MOST_HEADER} bytes")
        data = self._read(size)
        if self._in_header and _DIGITS.search(data):
            # `tarfile` looks through them once for each of them (CVE-2024-6232, seen in 3.11.7)
            raise FormatError(
                f"{self._where}: a header at byte {self._position} has 256 digits in a row, "
                "expected a file name of at most 255 bytes"
            )
        self._position += len(data)
        return data

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        if position < self._position:
            raise FormatError(f"{self._where}: a header points back to byte {position}")
        while self._position < position:
            data = self._read(min(_CHUNK, position - self._position))
            if not data:
                return
            self._position += len(data)
