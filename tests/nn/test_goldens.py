"""The published vectors: AllenNLP's from a zero state, TensorFlow's with the state carried."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import relmo
from relmo.elmo.model import Elmo
from relmo.nn import packing
from relmo.nn.bilm import BiLMState
from relmo.text.chars import BOS_TOKEN, EOS_TOKEN


@pytest.fixture(scope="module")
def golden(goldens: Path) -> Path:
    return goldens / "allennlp"


@pytest.fixture(scope="module")
def elmo(golden: Path) -> Elmo:
    return relmo.load(options=golden / "options.json", weights=golden / "lm_weights.hdf5")


@pytest.fixture(scope="module")
def streams(golden: Path) -> list[list[list[str]]]:
    """Three streams of ten sentences."""
    lines = json.loads((golden / "sentences.json").read_text())
    return [[line.split() for line in stream] for stream in lines]


def test_zero_state_gives_allennlps_layers(elmo: Elmo, streams, golden: Path):
    # Numbers up to 7, in float32 on both sides: rtol grants each one rounding more, for the order
    # of a sum differs between processors.
    expected = np.load(golden / "zero_state_layers.npz")
    names = [f"{s}_{n}" for s, stream in enumerate(streams) for n in range(len(stream))]
    assert sorted(names) == sorted(expected.files)
    vectors = elmo.embed([sentence for stream in streams for sentence in stream], layers="all")
    for name, layers in zip(names, vectors, strict=True):
        np.testing.assert_allclose(layers, expected[name], rtol=1.2e-7, atol=1e-6)


def test_carried_state_gives_the_vectors_of_the_original_code(elmo: Elmo, streams, golden: Path):
    carried: BiLMState | None = None  # rows are streams
    for number, batch in enumerate(zip(*streams, strict=True)):
        order = sorted(range(len(batch)), key=lambda stream: -len(batch[stream]))
        to_rows, to_streams = torch.tensor(order), torch.tensor(np.argsort(order))
        marked = [[BOS_TOKEN, *batch[stream], EOS_TOKEN] for stream in order]
        tokens = elmo.token_vectors([token for sentence in marked for token in sentence])
        with torch.no_grad():
            output = elmo.bilm(
                tokens,
                packing.pack([len(sentence) for sentence in marked]),
                carried and carried.rows(to_rows),
            )
        carried = output.state.rows(to_streams)
        stop = 0
        for stream, sentence in zip(order, marked, strict=True):
            start, stop = stop, stop + len(sentence)
            top = output.layer(-1)[start + 1 : stop - 1]  # (tokens, 32)
            with h5py.File(golden / f"lm_embeddings_{stream}.hdf5") as file:
                expected = np.concatenate(file[str(number)], axis=1)
            np.testing.assert_allclose(top, expected, rtol=0, atol=2e-6)


def test_carried_and_zero_states_differ(elmo: Elmo, streams, golden: Path):
    top = elmo.embed([streams[0][1]], layers="top")[0]
    with h5py.File(golden / "lm_embeddings_0.hdf5") as file:
        assert np.abs(top - np.concatenate(file["1"], axis=1)).max() > 1e-3


def test_token_vectors_are_those_of_the_cached_vocabulary(elmo: Elmo, golden: Path):
    words = (golden / "vocab_test.txt").read_text().splitlines()
    with h5py.File(golden / "elmo_token_embeddings.hdf5") as file:
        expected = file["embedding"][()]
    np.testing.assert_allclose(elmo.token_vectors(words), expected, rtol=0, atol=2e-6)
