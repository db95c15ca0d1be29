"""Bytes from an address, from the beginning or from where an earlier attempt stopped.

Everything goes through fsspec. Over http(s) its session and thread are used, but the answer is read
as one stream, since its files fetch block by block, or do not resume; any other file system opens
and seeks.
"""

import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from relmo.errors import InputError, MissingExtraError
from relmo.hub._cache import read_notes, write_notes

__all__ = ["Progress", "Source", "TransientError", "children", "download", "opened"]


_CHUNK = 2**20
_CONNECT, _SILENCE = 30.0, 60.0  # seconds until a server that says nothing is given up
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_MAX_FILES = 1000
_EXTRAS = {"hf": ("huggingface_hub", "hf")}


class TransientError(Exception):
    """Something that may be over when tried again."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """An address, opened."""

    start: int
    """Where in the file the chunks begin: as asked for, or 0 where that is not possible."""
    n_bytes: int | None
    """Of the whole file, where the other side says."""
    version: str | None
    """What changes when the file does, where the other side says."""
    chunks: Iterator[bytes]
    """What it holds from `start` on."""


@contextmanager
def opened(url: str, start: int = 0, version: str | None = None) -> Iterator[Source]:
    """Open an address.

    Args:
        url: http(s), or any address that fsspec knows.
        start: where to begin, in bytes; needs
        version: the version that the bytes before it came from.

    Raises:
        InputError: there is nothing, it may not be read, or no file system knows such addresses.
        MissingExtraError: the libraries for it are not installed.
        TransientError: it failed in a way that may pass, here or while the chunks are read.
    """
    scheme = urlsplit(url).scheme
    with (_http if scheme in ("http", "https") else _other)(url, start, version) as source:
        yield source


@contextmanager
def _http(url: str, start: int, version: str | None) -> Iterator[Source]:
    try:
        import aiohttp
        from fsspec.implementations.http import HTTPFileSystem
    except ImportError as error:
        raise MissingExtraError(error.name or "fsspec", "download") from error

    sessions: list[aiohttp.ClientSession] = []

    async def client(**options: Any) -> aiohttp.ClientSession:
        sessions.append(aiohttp.ClientSession(**options))
        return sessions[-1]

    patience = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=_SILENCE)
    system = HTTPFileSystem(
        get_client=client,
        client_kwargs={"timeout": patience, "trust_env": True},
        skip_instance_cache=True,
    )
    try:
        answer = _Answer(system, url, start, version)
        if not answer.fits(start, version):  # it is not what the first part came from
            answer.close()
            answer = _Answer(system, url, 0, None)
        try:
            yield answer.source()
        finally:
            answer.close()
    finally:
        for session in sessions:
            _sync(system, session.close)


class _Answer:
    """What a server answered; fsspec's thread does the reading."""

    def __init__(self, system: Any, url: str, start: int, version: str | None) -> None:
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if version is not None and not version.startswith("W/"):
                headers["If-Range"] = version

        async def ask() -> Any:
            session = await system.set_session()
            return await session.get(system.encode_url(url), headers=headers)

        self._system, self._url = system, url
        with _explained_http(url):
            self._response = _sync(system, ask)

    def fits(self, start: int, version: str | None) -> bool:
        """Whether it can be put behind the first `start` bytes of a version, or is the whole."""
        status = self._response.status
        if status == 206:
            return (self._span()[0], self._version()) == (start, version)
        return not (start and status == 416)  # beyond its end

    def source(self) -> Source:
        """The file, if it was found."""
        self._check()
        start, n_bytes = self._span()
        return Source(
            start=start,
            n_bytes=n_bytes,
            version=self._version(),
            chunks=_chunks(self._read, lambda: _explained_http(self._url)),
        )

    def close(self) -> None:
        """Hang up."""

        async def close() -> None:
            self._response.close()

        _sync(self._system, close)

    def _read(self) -> bytes:
        block: bytes = _sync(self._system, self._response.content.read, _CHUNK)
        return block

    def _version(self) -> str | None:
        headers: Mapping[str, str] = self._response.headers
        return headers.get("ETag") or headers.get("Last-Modified")

    def _span(self) -> tuple[int, int | None]:
        """Where the answer begins in the file, and the length of the whole file."""
        headers = self._response.headers
        if self._response.status == 206:
            found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
            if found is None:
                raise TransientError(f"an answer of the range {headers.get('Content-Range')!r}")
            return int(found[1]), None if found[2] == "*" else int(found[2])
        length = headers.get("Content-Length", "")
        packed = headers.get("Content-Encoding", "identity") not in ("", "identity")
        return 0, int(length) if length.isdecimal() and not packed else None

    def _check(self) -> None:
        status, headers = self._response.status, self._response.headers
        if status not in (200, 206):
            said = f"the server answered {status} {self._response.reason}".rstrip()
            if status in _BUSY:
                raise TransientError(said)
            raise InputError(f"{self._url}: {said}")
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind == "text/html" and not urlsplit(self._url).path.endswith((".html", ".htm")):
            raise InputError(
                f"{self._url}: the server answered with a web page (text/html), expected a file; "
                "it may have moved: look there with a browser"
            )


def _sync(system: Any, coroutine: Callable[..., Any], *arguments: Any) -> Any:
    """Run a coroutine in fsspec's thread, and wait for it."""
    from fsspec.asyn import sync

    return sync(system.loop, coroutine, *arguments)


def _chunks(
    read: Callable[[], bytes], explained: Callable[[], AbstractContextManager[None]]
) -> Iterator[bytes]:
    while True:
        with explained():
            chunk = read()
        if not chunk:
            return
        yield chunk


@contextmanager
def _explained_http(url: str) -> Iterator[None]:
    import aiohttp

    try:
        yield
    except (InputError, TransientError):
        raise
    except aiohttp.ClientSSLError as error:
        raise InputError(f"{url}: no safe connection: {error}") from error
    except (aiohttp.InvalidURL, ValueError) as error:
        raise InputError(f"{url}: not an address: {error}") from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise TransientError(_said(error)) from error


@contextmanager
def _other(url: str, start: int, version: str | None) -> Iterator[Source]:
    with _explained_other(url):
        system, path = _system(url)
        n_bytes = system.info(path).get("size")
        now = str(system.ukey(path))
        start = start if version == now else 0
        file = system.open(path, "rb")
    with file:
        with _explained_other(url):
            if start:
                file.seek(start)
        chunks = _chunks(lambda: file.read(_CHUNK), lambda: _explained_other(url))
        yield Source(start=start, n_bytes=n_bytes, version=now, chunks=chunks)


def children(url: str) -> tuple[dict[str, str], str]:
    """The files of a folder at an address that is not http(s).

    Returns:
        name in the folder to address, nothing where it is a file; and what changes when a file of
        it does.

    Raises:
        InputError, MissingExtraError, TransientError: as `opened`.
    """
    with _explained_other(url):
        system, path = _system(url)
        if not system.isdir(path):
            return {}, ""
        found = system.find(path, detail=True)
        if len(found) > _MAX_FILES:
            raise InputError(f"{url}: {len(found)} files, expected a model of {_MAX_FILES} at most")
        root = path.rstrip("/") + "/"
        names = {name.removeprefix(root): system.unstrip_protocol(name) for name in found}
        state = hashlib.sha256(str(sorted(found.items())).encode("utf-8", "replace")).hexdigest()
    return {name: place for name, place in names.items() if not _is_hidden(name, url)}, state


def _is_hidden(name: str, url: str) -> bool:
    parts = name.split("/")
    if ".." in parts or name.startswith("/") or "\\" in name:
        raise InputError(f"{url}: a file is named {name!r}, expected a name inside the folder")
    return any(part.startswith(".") for part in parts)


def _system(url: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    scheme = urlsplit(url).scheme
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtraError("fsspec", "download") from error
    try:
        system, path = url_to_fs(url, skip_instance_cache=True)
    except ImportError as error:
        if scheme in _EXTRAS:
            raise MissingExtraError(*_EXTRAS[scheme]) from error
        raise InputError(f"{url}: a library for {scheme}:// is not installed: {error}") from error
    except ValueError as error:
        raise InputError(f"{url}: fsspec knows no such addresses: {error}") from error
    return system, path


@contextmanager
def _explained_other(url: str) -> Iterator[None]:
    try:
        yield
    except (InputError, MissingExtraError, TransientError):
        raise
    except FileNotFoundError as error:
        raise InputError(f"{url}: there is no such file") from error
    except PermissionError as error:
        raise InputError(f"{url}: may not be read: {_said(error)}") from error
    except (OSError, TimeoutError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(status, int) and status not in _BUSY:
            raise InputError(f"{url}: {_said(error)}") from error
        raise TransientError(_said(error)) from error
    except Exception as error:  # each file system has errors of its own
        raise InputError(f"{url}: cannot be read: {_said(error)}") from error


def _said(error: BaseException) -> str:
    """In one line, and not at the length of the data that some errors quote."""
    text = " ".join(str(error)[:2000].split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."


logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int | None], None]
"""Called now and then with a file's name, its bytes so far, and its bytes where that is known."""

_WAITS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each further attempt."""
_HEADWAY = 2**20
"""An attempt that brought so many bytes does not count as failed."""


def download(
    url: str, path: Path, *, progress: Progress | None = None, max_bytes: int | None = None
) -> str:
    """Download a file; what an earlier attempt left at `.NAME.part` is not fetched again.

    Args:
        url: http(s), or any address that fsspec knows.
        path: where it appears when it is whole; its folder is there.
        progress: told how far it is.
        max_bytes: the largest file that is taken.

    Returns:
        its sha256, in hexadecimal.

    Raises:
        InputError: it is not there, too large, or did not come whole; the disk is full.
    """
    part = path.with_name(f".{path.name}.part")
    n_failed = n_attempts = 0
    while True:
        n_before = _size(part)
        n_attempts += 1
        try:
            sha256 = _attempt(url, part, progress or _silent, path.name, max_bytes)
            break
        except TransientError as error:
            n_failed = 0 if _size(part) - n_before >= _HEADWAY else n_failed
            if n_failed == len(_WAITS):
                kept = f"; its first {_size(part)} bytes are kept" if _size(part) else ""
                raise InputError(
                    f"{url}: {error} (tried {n_attempts} times){kept}; try again later"
                ) from error
            logger.info("%s: %s; trying again in %g s", url, error, _WAITS[n_failed])
            time.sleep(_WAITS[n_failed])
            n_failed += 1
    try:
        part.replace(path)
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror or error}") from error
    _notes_path(part).unlink(missing_ok=True)
    return sha256


def _attempt(url: str, part: Path, progress: Progress, name: str, max_bytes: int | None) -> str:
    """Fetch what is missing of the file; its sha256 when it is whole."""
    start, version = _resumable(url, part)
    with opened(url, start, version) as source:
        if source.start and source.n_bytes != read_notes(_notes_path(part)).get("bytes"):
            part.unlink()
            raise TransientError("the file has changed since its first part came")
        _check_room(url, source, part.parent, max_bytes)
        try:
            return _write(url, source, part, lambda n: progress(name, n, source.n_bytes), max_bytes)
        except OSError as error:  # of the disk: those of the other side are TransientError
            raise InputError(
                f"cannot write '{part}': {error.strerror or error}; its first {_size(part)} bytes "
                "are kept, and the download goes on from there"
            ) from error


def _resumable(url: str, part: Path) -> tuple[int, str | None]:
    """How many bytes of the part count, and the version they came from; none without a version."""
    notes = read_notes(_notes_path(part))
    version, n_bytes = notes.get("version"), notes.get("bytes")
    if notes.get("url") != url or not isinstance(version, str) or not isinstance(n_bytes, int):
        return 0, None
    # one byte short of the whole: a server has no answer to "from the end on"
    start = min(_size(part), n_bytes - 1)
    return (start, version) if start > 0 else (0, None)


def _check_room(url: str, source: Source, folder: Path, max_bytes: int | None) -> None:
    if source.n_bytes is None:
        return
    if max_bytes is not None and source.n_bytes > max_bytes:
        raise InputError(
            f"{url}: {source.n_bytes} bytes, expected at most {max_bytes}; give a larger max_bytes"
        )
    needed, free = source.n_bytes - source.start, shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{url}: needs {needed} bytes, but '{folder}' has room for {free}; make room, or set "
            "RELMO_HOME to a folder on another disk"
        )


def _write(
    url: str,
    source: Source,
    part: Path,
    progress: Callable[[int], None],
    max_bytes: int | None,
) -> str:
    digest = hashlib.sha256()
    with part.open("r+b" if source.start else "wb") as file:
        while file.tell() < source.start:
            digest.update(file.read(min(2**20, source.start - file.tell())))
        file.truncate()
        if not source.start:
            notes = {"url": url, "version": source.version, "bytes": source.n_bytes}
            write_notes(_notes_path(part), notes)
        n_bytes = source.start
        progress(n_bytes)
        for chunk in source.chunks:
            n_bytes += len(chunk)
            if max_bytes is not None and n_bytes > max_bytes:
                raise InputError(f"{url}: more than {max_bytes} bytes; give a larger max_bytes")
            digest.update(chunk)
            file.write(chunk)
            progress(n_bytes)
        file.flush()
        os.fsync(file.fileno())
    if source.n_bytes is not None and n_bytes != source.n_bytes:
        raise TransientError(f"cut off after {n_bytes} bytes, expected {source.n_bytes}")
    return digest.hexdigest()


def _notes_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _silent(name: str, n_bytes: int, total: int | None) -> None:
    """No progress."""
