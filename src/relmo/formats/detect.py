"""Which format a path is in: each is asked in turn, and an error lists what each one said."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from relmo.errors import FormatError, InputError
from relmo.formats import bilm_hdf5, manylangs, relmo_format
from relmo.formats._checks import readable
from relmo.formats.checkpoint import Checkpoint

__all__ = ["FORMATS", "Format", "read"]


@dataclass(frozen=True)
class Format:
    """One format that relmo reads."""

    name: str
    why_not: Callable[[Path], str | None]
    """Says why a path is not in this format, or None where it looks like it."""
    read: Callable[[Path], Checkpoint]


FORMATS = (
    Format(relmo_format.NAME, relmo_format.why_not, relmo_format.read),
    Format(bilm_hdf5.NAME, bilm_hdf5.why_not, bilm_hdf5.read_folder),
    Format(manylangs.NAME, manylangs.why_not, manylangs.read),
)


def read(
    path: str | os.PathLike[str] | None = None,
    *,
    options: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
) -> Checkpoint:
    """Read a model in any format.

    Args:
        path: a model folder, or
        options: options.json, and
        weights: the HDF5 file that goes with it.

    Raises:
        InputError: there is nothing at a path, or the arguments do not go together.
        ConfigError: the model's configuration is impossible.
        FormatError: no format fits, or the files are not what they say.
    """
    if path is not None:
        if options is not None or weights is not None:
            raise InputError("give either a model folder or options= and weights=, not both")
        with readable(f"'{os.fspath(path)}'"):
            return _read_path(Path(path))
    if options is None or weights is None:
        raise InputError("give a model folder, or both options= and weights=")
    return bilm_hdf5.read(options, weights)


def _read_path(path: Path) -> Checkpoint:
    if not path.exists():
        raise InputError(f"'{path}': there is no such model folder")
    reasons = []
    for candidate in FORMATS:
        reason = candidate.why_not(path)
        if reason is None:
            return candidate.read(path)
        reasons.append(f"{candidate.name}: {reason}")
    if (path / "best" / "config.json").is_file():
        raise FormatError(f"'{path}' is a training run, not a model; give '{path / 'best'}'")
    raise FormatError(f"'{path}' is no model that relmo reads: {'; '.join(reasons)}")
