"""The cache folder, and what is known of each file in it.

RELMO_HOME, else $XDG_CACHE_HOME/relmo, else ~/.cache/relmo:

models/NAME/FILE        a model of the catalogue
urls/KEY/FILE           what came from an address; KEY is a hash of it
.FILE.relmo.json        beside each: where it came from, its length and sha256 at first use
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
    "home",
    "is_offline",
    "read_notes",
    "readable",
    "record",
    "sha256_of",
    "write_notes",
]

_BLOCK = 2**20


def home() -> Path:
    """The cache folder; it may not exist yet."""
    if named := os.environ.get("RELMO_HOME"):
        return Path(named).expanduser()
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named).expanduser() / "relmo"
    return Path.home() / ".cache" / "relmo"


def is_offline(asked: bool | None = None) -> bool:
    """Whether the network is out of bounds: as asked, else as RELMO_OFFLINE says."""
    if asked is not None:
        return asked
    return os.environ.get("RELMO_OFFLINE", "").strip().lower() not in ("", "0", "false", "no")


def check(path: Path, *, thoroughly: bool = False) -> None:
    """A file in the cache is what it was at its first use; the first time, its sha256 is recorded.

    Args:
        path: the file.
        thoroughly: compute the sha256 even where length and time of change are as recorded.

    Raises:
        FormatError: it has changed.
        InputError: it cannot be read.
    """
    with readable(path):
        state = path.stat()
        known = read_notes(_record_path(path))
        as_recorded = (known.get("bytes"), known.get("mtime_ns")) == (
            state.st_size,
            state.st_mtime_ns,
        )
        if as_recorded and not thoroughly:
            return
        found = sha256_of(path)
    expected = known.get("sha256", found)
    if found != expected:
        raise FormatError(
            f"'{path}' has changed since its first use: it has {state.st_size} bytes with sha256 "
            f"{found}, expected {known.get('bytes')} bytes with {expected}; remove its folder "
            "to download it anew"
        )
    if not as_recorded:
        record(path, str(known.get("url", "")), found)


def record(path: Path, url: str, sha256: str) -> None:
    """Note what a whole file is; where the folder may not be written, nothing is noted."""
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


def sha256_of(path: Path, kind: str = "sha256") -> str:
    """The checksum of a file, in hexadecimal."""
    with open_regular(path) as file:
        return hashlib.file_digest(
            file, lambda: hashlib.new(kind, usedforsecurity=False)
        ).hexdigest()


def read_notes(path: Path) -> Mapping[str, Any]:
    """The object in a small JSON file; an empty one where there is none, or none that is whole."""
    try:
        return read_json(path)
    except RelmoError:
        return {}


def write_notes(path: Path, notes: Mapping[str, Any]) -> None:
    """Write them, whole or not at all; InputError where that fails."""
    with replacing_file(path) as aside:
        aside.write_text(json.dumps(notes, indent=2) + "\n", encoding="utf-8")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """An error of the system in the block is an InputError that names the path."""
    try:
        yield
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}") from error
