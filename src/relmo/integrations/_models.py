"""What the integrations share: models by name, each loaded once, and vectors one row a token.

Estimators and pipelines are cloned, pickled and rebuilt as a matter of course; they hold a model's
name, and the model itself is found here. A model is never changed by those who share it.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from relmo.elmo.model import BOX, Elmo, load

__all__ = ["Model", "embed_rows", "shared", "width"]

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


def width(elmo: Elmo, layers: Any) -> int:
    """Numbers in a row of `embed_rows`."""
    return elmo.dim * elmo.n_layers if _is_all(layers) else elmo.dim


def embed_rows(
    elmo: Elmo,
    sentences: Iterable[str | Sequence[str]],
    layers: Any,
    *,
    token_budget: int | None = None,
) -> Iterator[npt.NDArray[np.float32]]:
    """`Elmo.embed_stream` as arrays (tokens, width): with "all" the layers are side by side."""
    stream = elmo.embed_stream(sentences, layers, token_budget=token_budget)
    return (np.concatenate(list(array), axis=1) for array in stream) if _is_all(layers) else stream


def _is_all(layers: Any) -> bool:
    return isinstance(layers, str) and layers == "all"
