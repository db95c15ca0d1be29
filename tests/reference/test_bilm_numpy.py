"""The oracle itself, held against the public goldens."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.reference.bilm_numpy import (
    bilm_layers,
    random_model,
    random_words,
    read_arrays,
    token_vectors,
)


@pytest.fixture(scope="module")
def golden(goldens: Path) -> tuple[dict[str, Any], dict[str, np.ndarray], list[list[list[str]]]]:
    folder = goldens / "allennlp"
    options = json.loads((folder / "options.json").read_text())
    streams = json.loads((folder / "sentences.json").read_text())
    sentences = [[sentence.split() for sentence in stream] for stream in streams]
    return options, read_arrays(folder / "lm_weights.hdf5"), sentences


def test_zero_state_gives_allennlp_layers(golden, goldens: Path):
    # The token layer of the golden is float32 of size 7: three roundings are 1.2e-6, hence rtol.
    options, arrays, streams = golden
    expected = np.load(goldens / "allennlp" / "zero_state_layers.npz")
    assert len(expected.files) == 30
    for name in expected.files:
        stream, number = map(int, name.split("_"))
        layers, _ = bilm_layers(options, arrays, streams[stream][number])
        np.testing.assert_allclose(layers, expected[name], rtol=5e-7, atol=1e-6)
        np.testing.assert_allclose(layers[1:], expected[name][1:], rtol=0, atol=1e-6)


def test_carried_state_gives_the_original_tensorflow_vectors(golden, goldens: Path):
    options, arrays, streams = golden
    for stream, sentences in enumerate(streams):
        state = None
        with h5py.File(goldens / "allennlp" / f"lm_embeddings_{stream}.hdf5") as file:
            for number, tokens in enumerate(sentences):
                layers, state = bilm_layers(options, arrays, tokens, state=state)
                halves = np.stack(np.split(layers[-1], 2, axis=1))  # (2, T, 16)
                np.testing.assert_allclose(halves, file[str(number)][()], rtol=0, atol=2e-6)


def test_token_vectors_are_those_of_the_cached_vocabulary(golden, goldens: Path):
    options, arrays, _ = golden
    folder = goldens / "allennlp"
    words = (folder / "vocab_test.txt").read_text().splitlines()
    expected = read_arrays(folder / "elmo_token_embeddings.hdf5")["embedding"]
    arrays = {name: value.astype(np.float64) for name, value in arrays.items()}
    vectors = token_vectors(options, arrays, words)
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=2e-6)


def test_a_word_input_model_reads_rows_and_unknown_words_are_unk():
    options, arrays = random_model(5, n_words=9)
    known, _ = bilm_layers(options, arrays, ["w4", "<UNK>"], words=random_words(9))
    other, _ = bilm_layers(options, arrays, ["w4", "ornithopter"], words=random_words(9))
    np.testing.assert_array_equal(known, other)
    np.testing.assert_array_equal(known[0, 0, :6], arrays["embedding"][4])


def test_a_large_model_reaches_its_clips():
    options, arrays = random_model(7, scale=30.0, cell_clip=0.5, proj_clip=0.25, skip=False)
    layers, state = bilm_layers(options, arrays, ["a", "b", "c"])
    assert np.abs(layers[1:]).max() == 0.25
    assert max(np.abs(c).max() for direction in state for c, _ in direction) == 0.5
