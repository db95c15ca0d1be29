"""What the tests of the formats share: shapes of models, a model of each, and sameness."""

from pathlib import Path
from typing import Any

import pytest
import torch

from relmo.errors import FormatError
from relmo.formats import bilm_hdf5, detect
from relmo.formats.checkpoint import Checkpoint
from tests.reference.bilm_numpy import random_model, random_words, save_model

SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "one layer": {"n_layers": 1},
    "four layers, no skip": {"n_layers": 4, "skip": False},
    "no LSTM projection": {"dim": 6, "projection_dim": 6},
    "no character projection": {"projection_dim": 6, "filters": ((1, 2), (3, 4))},
    "no highway, no clip": {"n_highway": 0, "cell_clip": None, "proj_clip": None},
    "tanh, ten characters": {"activation": "tanh", "max_characters": 10, "cell_clip": 2.5},
    "words": {"n_words": 11},
}


def save_random(folder: Path, seed: int = 1, **shape: Any) -> Path:
    """A model folder as bilm-tf writes it."""
    options, arrays = random_model(seed, **shape)
    n_words = shape.get("n_words")
    return save_model(folder, options, arrays, random_words(n_words) if n_words else None)


def random_checkpoint(folder: Path, **shape: Any) -> Checkpoint:
    """A checkpoint, by way of a model folder at `folder`."""
    return bilm_hdf5.read_folder(save_random(folder, **shape))


def assert_same_tensors(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    """Same names, same types, same bits."""
    assert a.keys() == b.keys()
    for name, tensor in a.items():
        assert tensor.dtype == b[name].dtype, name
        assert torch.equal(tensor, b[name]), name


def assert_same(a: Checkpoint, b: Checkpoint) -> None:
    """Same model: all but where it came from."""
    assert a.config == b.config
    assert_same_tensors(a.tensors, b.tensors)
    assert (a.vocab and a.vocab.words) == (b.vocab and b.vocab.words)
    assert a.lexicon == b.lexicon
    assert (a.softmax is None) == (b.softmax is None)
    if a.softmax is not None and b.softmax is not None:
        assert_same_tensors(a.softmax, b.softmax)
    assert a.card == b.card


def assert_refused(path: Path, *parts: str, error: type[Exception] = FormatError) -> None:
    """Reading is that error, on one line that says all the parts."""
    with pytest.raises(error) as caught:
        detect.read(path)
    message = str(caught.value)
    assert type(caught.value) is error
    assert "\n" not in message
    for part in parts:
        assert part in message, message
