"""ELMoForManyLangs: the vectors of its own code, and how its files are found and read."""

import json
from pathlib import Path

import numpy as np
import pytest

import relmo
from relmo.model import Elmo


@pytest.fixture(scope="module")
def golden(goldens: Path) -> Path:
    return goldens / "manylangs"


@pytest.fixture(scope="module")
def elmo(golden: Path) -> Elmo:
    return relmo.load(golden)


def test_the_layers_are_those_of_the_original_code(elmo: Elmo, golden: Path):
    # Token vectors are of size 60, where float32 is 4e-6 apart: rtol grants one such step.
    sentences = json.loads((golden / "sentences.json").read_text())
    expected = np.load(golden / "expected.npz")
    assert len(expected.files) == len(sentences) == 4
    for number, layers in enumerate(elmo.embed(sentences, layers="all")):
        np.testing.assert_allclose(layers, expected[f"s{number}"], rtol=1e-7, atol=1e-5)
