"""The files that paths, folders and patterns stand for, always in the same order."""

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from relmo.errors import InputError

__all__ = ["expand"]


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
