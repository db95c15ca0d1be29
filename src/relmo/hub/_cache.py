"""The cache folder, and what is recorded of each file in it.

RELMO_HOME, else $XDG_CACHE_HOME/relmo, else ~/.cache/relmo:

models/NAME/FILE        a model of the catalogue
urls/KEY/FILE           what came from an address; KEY is a hash of it
.FILE.relmo.json        beside each: where it came from, its size and sha256 at first use
.FILE.part, .FILE.part.json   what an interrupted download has so far, and of which version
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from relmo._files import open_regular, read_json, replacing_file
from relmo.errors import FormatError, InputError, RelmoError

__all__ = [
    "check",
    "files_of",
    "home",
    "is_offline",
    "read_notes",
    "readable",
    "record",
    "sha256_of",
    "write_notes",
]


def home() -> Path:
    """Return the cache folder, which may not exist yet."""
    if folder := os.environ.get("RELMO_HOME"):
        return Path(folder).expanduser()
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder).expanduser() / "relmo"
    return Path.home() / ".cache" / "relmo"


def is_offline(offline: bool | None = None) -> bool:
    """Whether the network is not to be used: as given, else as RELMO_OFFLINE says."""
    if offline is not None:
        return offline
    return os.environ.get("RELMO_OFFLINE", "").strip().lower() not in ("", "0", "false", "no")


def files_of(path: Path) -> Iterator[Path]:
    """Yield a file itself, or the files of a folder that are not hidden, sorted."""
    if not path.is_dir():
        yield path
        return
    for entry in sorted(path.rglob("*")):
        if entry.is_file() and not any(p.startswith(".") for p in entry.relative_to(path).parts):
            yield entry


def check(path: Path, *, thoroughly: bool = False) -> None:
    """Compare a file with what was recorded at its first use; record it where nothing was.

    Args:
        path: the file.
        thoroughly: compute the sha256 even where size and time of change are as recorded.

    Raises:
        FormatError: it has changed.
        InputError: it cannot be read.
    """
    with readable(path):
        state = path.stat()
        notes = read_notes(_record_path(path))
        recorded = (notes.get("bytes"), notes.get("mtime_ns"))
        as_recorded = recorded == (state.st_size, state.st_mtime_ns)
        if as_recorded and not thoroughly:
            return
        sha256 = sha256_of(path)
    expected = notes.get("sha256", sha256)
    if sha256 != expected:
        raise FormatError(
            f"'{path}' has changed since its first use: it has {state.st_size} bytes with sha256 "
            f"{sha256}, expected {notes.get('bytes')} bytes with {expected}; remove its folder to "
            "download it anew"
        )
    if not as_recorded:
        record(path, str(notes.get("url", "")), sha256)


def record(path: Path, url: str, sha256: str) -> None:
    """Record what a whole file is, unless its folder is not writable."""
    state = path.stat()
    notes = {
        "url": url,
        "bytes": state.st_size,
        "sha256": sha256,
        "mtime_ns": state.st_mtime_ns,
    }
    with suppress(InputError):
        write_notes(_record_path(path), notes)


def _record_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.relmo.json")


def sha256_of(path: Path, algorithm: str = "sha256") -> str:
    """Return the checksum of a file, in hexadecimal."""
    with open_regular(path) as file:
        new = hashlib.new(algorithm, usedforsecurity=False)
        return hashlib.file_digest(file, lambda: new).hexdigest()


def read_notes(path: Path) -> Mapping[str, Any]:
    """Return the object in a small JSON file, an empty one where there is none that is whole."""
    try:
        return read_json(path)
    except RelmoError:
        return {}


def write_notes(path: Path, notes: Mapping[str, Any]) -> None:
    """Write a small JSON file, whole or not at all; InputError where that fails."""
    with replacing_file(path) as aside:
        aside.write_text(json.dumps(notes, indent=2) + "\n", encoding="utf-8")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise an error of the system in the block as an InputError that names the path."""
    try:
        yield
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}") from error
