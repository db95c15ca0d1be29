"""The oracle of ELMoForManyLangs itself, held against the vectors of the original code."""

import json
from pathlib import Path

import numpy as np

from tests.reference.manylangs_numpy import layers, random_model, read_model, token_vector


def test_the_oracle_gives_the_original_layers(goldens: Path):
    folder = goldens / "manylangs"
    model, expected = read_model(folder), np.load(folder / "expected.npz")
    for number, sentence in enumerate(json.loads((folder / "sentences.json").read_text())):
        np.testing.assert_allclose(layers(model, sentence), expected[f"s{number}"], atol=1e-5)


def test_a_word_of_no_lexicon_is_oov_and_its_characters_still_count():
    for kind in ("cnn", "lstm"):
        model = random_model(2, kind=kind)
        tea, eat = (token_vector(model, token) for token in ("tea", "eat"))
        assert np.abs(tea - eat).max() > 1e-3
        np.testing.assert_array_equal(token_vector(model, "qq"), token_vector(model, "xx"))
