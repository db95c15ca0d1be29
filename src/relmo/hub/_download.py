"""Download a file, from the beginning or from where an earlier attempt stopped.

http(s) is read with the standard library, hf:// through huggingface_hub and any other address
through fsspec, where it and its library for such addresses are installed.
"""

import base64
import hashlib
import logging
import os
import re
import shutil
import socket
import ssl
import string
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, InvalidURL
from pathlib import Path
from typing import Any
from urllib import request as urllib_request
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote_to_bytes, urlsplit, urlunsplit

from relmo.errors import InputError, MissingExtraError, RelmoError
from relmo.hub._cache import read_notes, write_notes

__all__ = ["MAX_BYTES", "Progress", "TransientError", "UnreachableError", "children", "download"]

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int | None], None]
"""Function called now and then with a file's name, its bytes so far, and its size or None."""

MAX_BYTES = 16 * 10**9
"""Size of the largest file that is downloaded, unless another limit is given."""
_CHUNK = 2**18
_CONNECT = 4.0  # seconds for name lookup, connection and TLS: two addresses fail within 10
_SILENCE = 60.0  # seconds until a server that sends nothing is given up
_WAITS = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds before each further attempt
_N_WAITS_REFUSED = 3  # of them, for a host that has refused every connection so far
_HEADWAY = 2**20  # an attempt that brought so many bytes does not count as failed
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_MAX_FILES = 1000


class TransientError(InputError):
    """Failure that may be over when tried again."""


class UnreachableError(TransientError):
    """Host to which there is no connection."""


class _ChangedError(TransientError):
    """File of which the bytes that came earlier are worth nothing any more."""


@dataclass(frozen=True, kw_only=True)
class _Source:
    """File at an address, opened."""

    start: int
    """Position in the file of the first byte that is read: as requested, or 0."""
    n_bytes: int | None
    """Size of the whole file, where it is known."""
    version: str | None
    """Value that changes when the file does, where there is one."""
    read: Callable[[int], bytes]
    """Function that returns the next bytes, at most so many; none at the end."""


def download(
    url: str, path: Path, *, progress: Progress | None = None, max_bytes: int = MAX_BYTES
) -> str:
    """Download a file; what an earlier attempt left at `.NAME.part` is not fetched again.

    Args:
        url: http(s), or any address that fsspec knows.
        path: where the file appears when it is whole, in a folder that exists.
        progress: called with the file's name, its bytes so far, and its size or None.
        max_bytes: the largest size that is accepted.

    Returns:
        its sha256, in hexadecimal.

    Raises:
        InputError: it does not exist, is too large, or did not come whole; the disk is full.
        UnreachableError: there is no connection.
        MissingExtraError: a library that reads the address is not installed.
    """
    part = path.with_name(f".{path.name}.part")
    n_attempts = n_failed = 0
    was_reached = False
    while True:
        n_attempts += 1
        n_before = _size(part)
        try:
            sha256 = _attempt(url, part, path.name, progress, max_bytes)
            break
        except TransientError as error:
            if isinstance(error, _ChangedError):
                part.unlink(missing_ok=True)
            was_reached = was_reached or not isinstance(error, UnreachableError)
            n_failed = 0 if _size(part) - n_before >= _HEADWAY else n_failed
            n_waits = len(_WAITS)
            if not was_reached:  # no network, most likely: nobody wants to wait for that
                is_refused = isinstance(error.__cause__, ConnectionRefusedError)
                n_waits = _N_WAITS_REFUSED if is_refused else 0
            if n_failed == n_waits:
                times = f" (tried {n_attempts} times)" if n_attempts > 1 else ""
                kept = f"; its first {_size(part)} bytes are kept" if _size(part) else ""
                later = "; try again later" if was_reached else ""
                raise type(error)(f"{error}{times}{kept}{later}") from None
            logger.info("%s; trying again in %g s", error, _WAITS[n_failed])
            time.sleep(_WAITS[n_failed])
            n_failed += 1
    try:
        part.replace(path)
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror or error}") from error
    _notes_path(part).unlink(missing_ok=True)
    return sha256


def _attempt(url: str, part: Path, name: str, progress: Progress | None, max_bytes: int) -> str:
    """Fetch the missing bytes of a file and return the sha256 of the whole."""
    notes = read_notes(_notes_path(part))
    version, n_bytes = notes.get("version"), notes.get("bytes")
    start = 0
    if notes.get("url") == url and isinstance(version, str) and isinstance(n_bytes, int):
        # one byte short of the whole: a server has no answer to "from the end on"
        start = max(0, min(_size(part), n_bytes - 1))
    open_source = _open_http if _is_http(url) else _open_other
    with open_source(url, start, version if start else None) as source:
        if source.start and source.n_bytes != n_bytes:
            raise _ChangedError(f"{url}: the file has changed since its first bytes came")
        _check_size(url, source, part.parent, max_bytes)
        try:
            return _write(url, source, part, name, progress, max_bytes)
        except OSError as error:  # of the disk: those of the network are InputErrors by now
            raise InputError(
                f"cannot write '{part}': {error.strerror or error}; its first {_size(part)} bytes "
                "are kept, and the download goes on from there"
            ) from error


def _check_size(url: str, source: _Source, folder: Path, max_bytes: int) -> None:
    if source.n_bytes is None:
        return
    if source.n_bytes > max_bytes:
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
    url: str, source: _Source, part: Path, name: str, progress: Progress | None, max_bytes: int
) -> str:
    digest = hashlib.sha256()
    with part.open("r+b" if source.start else "wb") as file:
        while file.tell() < source.start:
            digest.update(file.read(min(_CHUNK, source.start - file.tell())))
        file.truncate()
        if not source.start:
            notes = {"url": url, "version": source.version, "bytes": source.n_bytes}
            write_notes(_notes_path(part), notes)
        n_bytes = source.start
        chunk = None
        while chunk != b"":
            if progress is not None:
                progress(name, n_bytes, source.n_bytes)
            chunk = source.read(_CHUNK)
            n_bytes += len(chunk)
            if n_bytes > max_bytes:
                raise InputError(f"{url}: more than {max_bytes} bytes; give a larger max_bytes")
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if source.n_bytes is not None and n_bytes != source.n_bytes:
        raise TransientError(f"{url}: cut off after {n_bytes} bytes, expected {source.n_bytes}")
    return digest.hexdigest()


def _notes_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


# --- http(s), by the standard library -------------------------------------------------------------


def _is_http(url: str) -> bool:
    return urlsplit(url).scheme in ("http", "https")


@contextmanager
def _open_http(url: str, start: int, version: str | None) -> Iterator[_Source]:
    """Open an http(s) address, to read from `start` on if that is of the same version still."""
    # neither ftp: nor file:, nor where an answer redirects there
    opener = urllib_request.OpenerDirector()
    for handler in (
        urllib_request.ProxyHandler(),  # as the environment says
        _Handler(),
        urllib_request.HTTPErrorProcessor(),
        urllib_request.HTTPDefaultErrorHandler(),
        _RedirectHandler(),
        urllib_request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    with _explained(url):
        try:
            response = opener.open(_request(url, start, version), timeout=_SILENCE)
        except HTTPError as error:
            if not (start and error.code == 416):
                raise
            error.close()
            raise _ChangedError(f"{url}: the file is shorter than what came of it") from error
    with response:
        yield _http_source(url, response, start, version)


def _request(url: str, start: int, version: str | None) -> urllib_request.Request:
    address = urlsplit(url)
    credentials, _, host = address.netloc.rpartition("@")
    plain = address._replace(netloc=host.encode("idna").decode("ascii"), fragment="")
    request = urllib_request.Request(quote(urlunsplit(plain), safe=string.punctuation))
    request.add_header("Accept-Encoding", "identity")
    if credentials:  # for this host, not for one that it redirects to
        basic = base64.b64encode(unquote_to_bytes(credentials)).decode("ascii")
        request.add_unredirected_header("Authorization", f"Basic {basic}")
    if start:
        request.add_header("Range", f"bytes={start}-")
        if version is not None and not version.startswith("W/"):
            request.add_header("If-Range", version)
    return request


def _http_source(url: str, response: HTTPResponse, start: int, version: str | None) -> _Source:
    headers, path = response.headers, urlsplit(url).path.lower()
    if response.status not in (200, 206):
        raise InputError(f"{url}: the server answered {response.status} {_line(response.reason)}")
    if headers.get_content_type() == "text/html" and not path.endswith((".html", ".htm")):
        raise InputError(
            f"{url}: the server answered with a web page (text/html), expected a file; it may have "
            "moved: look there with a browser"
        )
    encoding = headers.get("Content-Encoding", "identity").lower()
    # some servers call any .gz file encoded, though it is wanted as it is
    if encoding not in ("", "identity") and not path.endswith((".gz", ".tgz")):
        raise InputError(f"{url}: the server sends it encoded as {encoding!r}, expected as it is")
    current = headers.get("ETag") or headers.get("Last-Modified")
    n_bytes = response.length
    if response.status == 206:
        span = headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", span)
        if match is None:
            raise TransientError(f"{url}: the server sent Content-Range {_line(repr(span))}")
        if int(match[1]) != start or (start and current != version):
            raise _ChangedError(f"{url}: the file has changed since its first bytes came")
        n_bytes = None if match[2] == "*" else int(match[2])
    else:
        start = 0

    def read(n: int) -> bytes:
        with _explained(url):
            return response.read1(n)

    return _Source(start=start, n_bytes=n_bytes, version=current, read=read)


class _RedirectHandler(urllib_request.HTTPRedirectHandler):
    """Handler of redirects, which refuses those that bring credentials."""

    def redirect_request(
        self, req: urllib_request.Request, fp: Any, *answer: Any
    ) -> urllib_request.Request | None:
        if "@" in urlsplit(answer[-1]).netloc:
            fp.close()
            raise InputError(f"{req.full_url}: redirects to an address with a user's name")
        return super().redirect_request(req, fp, *answer)


class _Connection(HTTPConnection):
    """Connection that is made within `_CONNECT` seconds or not at all."""

    def connect(self) -> None:
        # in a thread: the timeout of a socket is one for each address of a host, and to look up
        # its name there is none
        errors: list[Exception] = []
        is_late = threading.Event()
        connect = super().connect

        def run() -> None:
            try:
                connect()
            except Exception as error:
                errors.append(error)
            if is_late.is_set():
                self.close()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(_CONNECT)
        if thread.is_alive():
            is_late.set()
            errors.append(TimeoutError(f"nothing heard for {_CONNECT:g} s"))
        for error in errors[:1]:
            if not isinstance(error, OSError) or isinstance(error, ssl.SSLCertVerificationError):
                raise error
            reason = error.strerror or _line(error)
            raise UnreachableError(f"no connection to {self.host}: {reason}") from error


class _SecureConnection(_Connection, HTTPSConnection):
    """The same with TLS."""


class _Handler(urllib_request.HTTPSHandler):
    """Handler of http and https."""

    http_request = urllib_request.HTTPSHandler.https_request

    def http_open(self, request: urllib_request.Request) -> HTTPResponse:
        return self.do_open(_Connection, request)

    def https_open(self, request: urllib_request.Request) -> HTTPResponse:
        return self.do_open(_SecureConnection, request)


# --- any other address, by fsspec -----------------------------------------------------------------


@contextmanager
def _open_other(url: str, start: int, version: str | None) -> Iterator[_Source]:
    """Open an address that fsspec knows; as `_open_http`."""
    with _explained(url):
        system, path = _file_system(url)
        n_bytes = system.info(path).get("size")
        current = str(system.ukey(path))
        start = start if version == current else 0
        file = system.open(path, "rb")
    with file:

        def read(n: int) -> bytes:
            with _explained(url):
                chunk: bytes = file.read(n)
                return chunk

        with _explained(url):
            file.seek(start)
        yield _Source(start=start, n_bytes=n_bytes, version=current, read=read)


def children(url: str) -> tuple[dict[str, str], str]:
    """Return the files of a folder at an address that is not http(s).

    Returns:
        their addresses by their names in the folder, nothing where the address is a file's; and a
        value that changes when a file of the folder does.

    Raises:
        InputError, MissingExtraError: as `download`.
    """
    with _explained(url):
        system, path = _file_system(url)
        if not system.isdir(path):
            return {}, ""
        entries = system.find(path, detail=True)
        if len(entries) > _MAX_FILES:
            raise InputError(
                f"{url}: {len(entries)} files, expected a model of {_MAX_FILES} at most"
            )
        root = path.rstrip("/") + "/"
        urls = {name.removeprefix(root): system.unstrip_protocol(name) for name in entries}
        state = hashlib.sha256(str(sorted(entries.items())).encode("utf-8", "replace")).hexdigest()
    for name in urls:
        if ".." in name.split("/") or name.startswith("/") or "\\" in name:
            raise InputError(f"{url}: a file is named {name!r}, expected a name inside the folder")
    is_hidden = re.compile(r"(^|/)\.").search
    return {name: address for name, address in urls.items() if not is_hidden(name)}, state


def _file_system(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of an address, and the path in it."""
    scheme = urlsplit(url).scheme
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(url, skip_instance_cache=True)
    except ImportError as error:
        if scheme == "hf":
            raise MissingExtraError("huggingface_hub", "hf") from error
        raise InputError(f"{url}: a library for {scheme}:// is not installed: {error}") from error
    except ValueError as error:
        raise InputError(f"{url}: fsspec knows no such addresses: {error}") from error
    return system, path


# --- errors ---------------------------------------------------------------------------------------


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Raise what fails in the block as an InputError that names the address."""
    try:
        yield
    except UnreachableError as error:
        raise UnreachableError(f"{url}: {error}") from error.__cause__
    except RelmoError:
        raise
    except Exception as error:  # each file system has errors of its own
        kind, text = _meaning(error)
        raise kind(f"{url}: {text}") from error


def _meaning(error: Exception) -> tuple[type[InputError], str]:
    """Return the class and the text of the InputError for what went wrong at an address."""
    text = _line(error)
    match error:
        case HTTPError():
            error.close()
            text = f"the server answered {error.code} {_line(error.reason)}"
            return TransientError if error.code in _BUSY else InputError, text
        case URLError(reason=ssl.SSLCertVerificationError() as reason):
            return InputError, f"no safe connection: {_line(reason)}"
        case URLError(reason=str() as reason):
            return InputError, f"not an address: {reason}"
        case InvalidURL() | ValueError():
            return InputError, f"not an address: {text}"
        case FileNotFoundError():
            return InputError, "there is no such file"
        case PermissionError():
            return InputError, f"may not be read: {text}"
        case OSError() | HTTPException():
            status = getattr(getattr(error, "response", None), "status_code", 503)
            return TransientError if status in _BUSY else InputError, text
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror | ConnectionError | TimeoutError):
            return UnreachableError, f"no connection: {text}"
        cause = cause.__cause__ or cause.__context__
    return InputError, f"cannot be read: {text}"


def _line(error: object) -> str:
    """Return an error's text in one line, and not at the length of the data that some quote."""
    text = " ".join(str(error)[:2000].split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."
