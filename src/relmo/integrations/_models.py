"""Models by name, each loaded once.

Estimators and pipelines are cloned, pickled and rebuilt as a matter of course; they hold a model's
name, and the model itself is found here. A model is never changed by those who share it.
"""

import os
from functools import lru_cache
from pathlib import Path

from relmo.model import BOX, Elmo, load

__all__ = ["Model", "shared"]

Model = str | Path | Elmo | None
"""What `relmo.load` takes, or a model that is there already; None: the model in the box."""


def shared(model: Model, device: str = "cpu") -> Elmo:
    """The model, read from its files the first time and when they have been replaced.

    Raises:
        FormatError, InputError: see `relmo.load`.
    """
    if isinstance(model, Elmo):
        return model
    name = os.fspath(BOX if model is None else model)
    try:
        found = Path(name).stat()
        version = (found.st_ino, found.st_mtime_ns)
    except OSError:
        version = None  # no path: relmo.load knows the name, or says what is wrong
    return _loaded(name, device, version)


@lru_cache(maxsize=2)
def _loaded(name: str, device: str, version: tuple[int, int] | None) -> Elmo:
    return load(name, device=device)
