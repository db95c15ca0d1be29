"""One file from an address to the disk: resumed, tried again, checked, and whole or not there."""

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from relmo.errors import InputError
from relmo.hub import _remote
from relmo.hub._cache import read_notes, write_notes
from relmo.hub._remote import Source, TransientError

__all__ = ["Progress", "download"]

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
    with _remote.opened(url, start, version) as source:
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
