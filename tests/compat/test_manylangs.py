"""The Embedder of ELMoForManyLangs: its arguments, its shapes, and none of its noise."""

import json
from pathlib import Path

import numpy as np
import pytest

from relmo.compat.manylangs import Embedder
from relmo.errors import InputError


@pytest.fixture(scope="module")
def golden(goldens: Path) -> Path:
    return goldens / "manylangs"


@pytest.fixture(scope="module")
def embedder(golden: Path) -> Embedder:
    return Embedder(str(golden))


@pytest.fixture(scope="module")
def sentences(golden: Path) -> list[list[str]]:
    found: list[list[str]] = json.loads((golden / "sentences.json").read_text())
    return found


@pytest.mark.parametrize(
    ("output_layer", "of"),
    [
        (-1, lambda layers: layers.mean(axis=0)),
        (-2, lambda layers: layers),
        (0, lambda layers: layers[0]),
        (1, lambda layers: layers[1]),
        (2, lambda layers: layers[2]),
    ],
)
def test_each_output_layer_is_that_of_the_original(
    embedder: Embedder, sentences, golden: Path, output_layer: int, of
):
    expected = np.load(golden / "expected.npz")
    vectors = embedder.sents2elmo(sentences, output_layer=output_layer)
    assert len(vectors) == len(sentences)
    for number, array in enumerate(vectors):
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, of(expected[f"s{number}"]), rtol=1e-7, atol=1e-5)


def test_the_same_sentence_has_the_same_vectors_in_any_batch(golden: Path, sentences):
    many = sentences * 3
    for batch_size in (1, 2, 100):
        embedder = Embedder(golden, batch_size)
        first, again = embedder.sents2elmo(many, -2), embedder.sents2elmo(many, -2)
        for number, (one, other) in enumerate(zip(first, again, strict=True)):
            np.testing.assert_array_equal(one, other)
            np.testing.assert_allclose(one, first[number % 4], rtol=1e-6, atol=1e-6)


def test_no_sentence_no_tokens_and_strings(embedder: Embedder):
    assert embedder.sents2elmo([]) == []
    assert embedder.sents2elmo([[]])[0].shape == (0, 20)
    assert embedder.sents2elmo([[]], -2)[0].shape == (3, 0, 20)
    (spelled,), (listed,) = embedder.sents2elmo(["cat"]), embedder.sents2elmo([["c", "a", "t"]])
    np.testing.assert_array_equal(spelled, listed)


@pytest.mark.parametrize("output_layer", [-3, 3])
def test_a_layer_that_is_not_there_is_an_error(embedder: Embedder, output_layer: int):
    with pytest.raises(InputError, match=f"below 3, got {output_layer}"):
        embedder.sents2elmo([["a"]], output_layer)


def test_arguments_that_make_no_sense_are_errors(embedder: Embedder, golden: Path):
    with pytest.raises(InputError, match="sents is one string"):
        embedder.sents2elmo("the cat")
    with pytest.raises(InputError, match="batch_size must be at least 1, got 0"):
        Embedder(golden, 0)
