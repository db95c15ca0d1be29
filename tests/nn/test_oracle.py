"""Embedding a file's model equals the numpy oracle, whatever the model's shape."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import relmo
from relmo.text.chars import CharSpace
from tests.nn.helpers import SENTENCES
from tests.reference.bilm_numpy import bilm_layers, random_model, random_words, save_model

SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "one layer": {"n_layers": 1},
    "three layers, no skip": {"n_layers": 3, "skip": False},
    "three layers, skip": {"n_layers": 3},
    "no highway": {"n_highway": 0},
    "tanh, one highway": {"activation": "tanh", "n_highway": 1},
    "no character projection": {"projection_dim": 6, "filters": ((1, 2), (3, 4))},
    "no LSTM projection": {"dim": 6, "projection_dim": 6},
    "no LSTM projection, clips": {
        "dim": 6, "projection_dim": 6, "cell_clip": 0.3, "proj_clip": 0.1, "scale": 3.0,
    },
    "clips that bite": {"cell_clip": 0.4, "proj_clip": 0.2, "scale": 3.0},
    "no clips": {"cell_clip": None, "proj_clip": None, "scale": 3.0},
    "cell clip alone": {"cell_clip": 0.4, "proj_clip": None, "scale": 3.0},
    "five characters": {"max_characters": 5, "filters": ((1, 4), (5, 3))},
    "a filter as wide as a token": {"max_characters": 20, "filters": ((20, 7),)},
    "one filter, one number": {"projection_dim": 1, "filters": ((2, 1),), "dim": 2},
    "words": {"n_words": 11},
    "words, no LSTM projection": {"n_words": 11, "dim": 6, "projection_dim": 6, "n_layers": 1},
}  # fmt: skip


def assert_equals_oracle(folder: Path, shape: dict[str, Any], seed: int = 1) -> None:
    n_words = shape.get("n_words")
    words = random_words(n_words) if n_words else None
    sentences = [["w4", "w9", "ornithopter", "w4"], [], ["w3"]] if words else SENTENCES
    options, arrays = random_model(seed, **shape)
    elmo = relmo.load(save_model(folder, options, arrays, words))
    vectors = elmo.embed(sentences, layers="all")
    assert len(vectors) == len(sentences)
    for sentence, layers in zip(sentences, vectors, strict=True):
        expected, _ = bilm_layers(options, arrays, sentence, words=words)
        assert layers.dtype == np.float32
        # Roundings of the largest numbers (22 with weights scaled by 3) reach the small ones.
        atol = max(1e-5, 2e-6 * float(np.abs(expected).max(initial=0)))
        np.testing.assert_allclose(layers, expected, rtol=2e-5, atol=atol)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_layer_equals_the_oracle(shape: dict[str, Any], tmp_path: Path):
    assert_equals_oracle(tmp_path / "model", shape)


@st.composite
def shapes(draw: st.DrawFn) -> dict[str, Any]:
    longest = draw(st.integers(5, 50))
    filters = st.tuples(st.integers(1, min(7, longest)), st.integers(1, 6))
    chosen = draw(st.lists(filters, min_size=1, max_size=4))
    projection_dim = draw(st.integers(1, sum(number for _, number in chosen)))
    return {
        "filters": tuple(chosen),
        "max_characters": longest,
        "char_dim": draw(st.integers(1, 5)),
        "n_highway": draw(st.integers(0, 2)),
        "activation": draw(st.sampled_from(["relu", "tanh"])),
        "projection_dim": projection_dim,
        "dim": projection_dim + draw(st.integers(0, 6)),
        "n_layers": draw(st.integers(1, 3)),
        "skip": draw(st.booleans()),
        "cell_clip": draw(st.sampled_from([None, 0.5, 3.0])),
        "proj_clip": draw(st.sampled_from([None, 0.25, 3.0])),
        "scale": draw(st.sampled_from([0.5, 2.0])),
    }


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=shapes(), seed=st.integers(0, 99))
def test_any_shape_equals_the_oracle(
    shape: dict[str, Any], seed: int, tmp_path_factory: pytest.TempPathFactory
):
    assert_equals_oracle(tmp_path_factory.mktemp("model"), shape, seed)


def test_the_mask_row_of_262_characters_is_not_used(tmp_path: Path):
    options, arrays = random_model(1)
    expected = relmo.load(save_model(tmp_path / "261", options, arrays)).embed(SENTENCES, "all")
    mask = np.full((1, arrays["char_embed"].shape[1]), 9, np.float32)
    more = {**arrays, "char_embed": np.concatenate([mask, arrays["char_embed"]])}
    found = relmo.load(save_model(tmp_path / "262", options, more)).embed(SENTENCES, "all")
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_two_files_and_their_folder_are_the_same_model(tmp_path: Path):
    folder = save_model(tmp_path, *random_model(1))
    elmo = relmo.load(options=folder / "options.json", weights=folder / "weights.hdf5")
    expected = relmo.load(folder).embed(SENTENCES)
    for a, b in zip(elmo.embed(SENTENCES), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_file_of_float64_gives_float32_arrays(tmp_path: Path):
    options, arrays = random_model(1)
    folder = save_model(tmp_path, options, arrays)
    with h5py.File(folder / "weights.hdf5", "w") as file:
        for name, value in arrays.items():
            file[name] = value.astype(np.float64)
    layers = relmo.load(folder).embed(SENTENCES, layers="all")
    for sentence, found in zip(SENTENCES, layers, strict=True):
        assert found.dtype == np.float32
        expected, _ = bilm_layers(options, arrays, sentence)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_the_sentences_here_hold_truncated_and_byteless_tokens():
    tokens = [token for sentence in SENTENCES for token in sentence]
    assert any(CharSpace(50).is_truncated(token) for token in tokens)
    assert any(not token.encode("utf-8", "ignore") for token in tokens)
