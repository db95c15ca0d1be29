"""ELMoForManyLangs: the vectors of its own code, every shape of it, and there and back."""

import dataclasses
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import relmo
from relmo.elmo.model import Elmo
from relmo.errors import InputError
from relmo.formats import manylangs, relmo_format
from relmo.formats._torch_tables import encoder_table, token_embedder_table
from relmo.formats.checkpoint import parameter_shapes
from tests.formats.helpers import assert_same
from tests.reference.manylangs_numpy import (
    CHARACTERS,
    WORDS,
    Model,
    layers,
    random_model,
    save_model,
    save_tensors,
)

SENTENCES = [
    ["the", "cat", "eats", "東京", "é", "ea" * 8, "ea" * 10, ""],
    ["naïve"],
    ["<eos>", "cat", "<bos>", "the" * 30, "the" * 31, "\ud800", "🙂"],
]
SHAPES: dict[str, dict[str, Any]] = {
    "words and characters": {},
    "words alone": {"char_dim": 0},
    "characters alone": {"word_dim": 0},
    "tanh, no highway": {"activation": "tanh", "n_highway": 0},
    "wide filters, one layer": {"filters": ((7, 3), (1, 9)), "n_layers": 1},
    "clipped": {"clip": 0.2, "n_layers": 3},
    "an LSTM": {"kind": "lstm"},
    "an LSTM alone": {"kind": "lstm", "word_dim": 0},
    "an LSTM, without a limit": {"kind": "lstm", "max_characters": None},
}


@pytest.fixture(scope="module")
def golden(goldens: Path) -> Path:
    return goldens / "manylangs"


def double(elmo: Elmo) -> Elmo:
    elmo.bilm.double()
    return elmo


def test_the_layers_are_those_of_the_original_code(golden: Path):
    # Token vectors are of size 50, where float32 is 4e-6 apart: rtol grants one such step.
    sentences = json.loads((golden / "sentences.json").read_text())
    expected = np.load(golden / "expected.npz")
    assert len(expected.files) == len(sentences) == 4
    for number, vectors in enumerate(relmo.load(golden).embed(sentences, layers="all")):
        np.testing.assert_allclose(vectors, expected[f"s{number}"], rtol=1e-7, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_shape_equals_the_oracle(shape: dict[str, Any], tmp_path: Path):
    model = random_model(3, **shape)
    elmo = relmo.load(save_model(tmp_path / "m", model))
    for sentence, vectors in zip(SENTENCES, elmo.embed(SENTENCES, layers="all"), strict=True):
        np.testing.assert_allclose(vectors, layers(model, sentence), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["cnn", "lstm"])
def test_a_word_has_the_same_vector_in_any_company(kind: str, tmp_path: Path):
    elmo = double(relmo.load(save_model(tmp_path / "m", random_model(4, kind=kind))))
    words = [word for sentence in SENTENCES for word in sentence]
    together = elmo.tokens.encode(words)
    for word, vector in zip(words, together, strict=True):
        torch.testing.assert_close(elmo.tokens.encode([word])[0], vector, rtol=1e-12, atol=1e-12)
    assert elmo.tokens.encode([]).shape == (0, 5)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_rename_table_is_reversible_and_names_every_parameter(
    shape: dict[str, Any], tmp_path: Path
):
    model = random_model(5, **shape)
    checkpoint = manylangs.read(save_model(tmp_path / "m", model))
    tables = (
        (token_embedder_table(checkpoint.config), model.tokens),
        (encoder_table(checkpoint.config), model.encoder),
    )
    named: dict[str, torch.Size] = {}
    for table, arrays in tables:
        for row in table:
            parts = [checkpoint.tensors[name] for name in row.parameters]
            named |= {name: part.shape for name, part in zip(row.parameters, parts, strict=True)}
            expected = torch.from_numpy(arrays[row.dataset]).float()
            # exact but for the forget gate's bias, from which 1 is taken and added again
            tolerance = 1e-6 if row.dataset.endswith("state_linearity.bias") else 0
            torch.testing.assert_close(row.layout.join(parts), expected, rtol=0, atol=tolerance)
    assert named == dict(parameter_shapes(checkpoint.config))
    assert named.keys() == checkpoint.tensors.keys()


@pytest.mark.parametrize("name", ["words alone", "characters alone", "an LSTM"])
def test_what_is_written_as_relmo_is_read_back(name: str, tmp_path: Path):
    words = [*WORDS, "\u3000", "a\tb", "\u2028", " lead", "\\", '"']
    model = random_model(6, words=words, **SHAPES[name])
    checkpoint = manylangs.read(save_model(tmp_path / "m", model))
    relmo_format.write(checkpoint, tmp_path / "r")
    again = relmo_format.read(tmp_path / "r")
    assert_same(again, checkpoint)
    assert again.lexicon == checkpoint.lexicon
    expected = relmo.load(tmp_path / "m").embed(SENTENCES)
    for one, other in zip(relmo.load(tmp_path / "r").embed(SENTENCES), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_bias_stored_in_half_precision_loses_nothing_more(tmp_path: Path):
    model = random_model(9)
    path = save_model(tmp_path / "m", model) / "encoder.pkl"
    name = "forward_layer_0.state_linearity.bias"
    tensors = {key: tensor.half() for key, tensor in torch.load(path).items()}
    torch.save(tensors, path)
    found = manylangs.read(tmp_path / "m").tensors["forward_lstm.layers.0.bias"]
    _, forget, _, _ = tensors[name].float().chunk(4)
    assert torch.equal(found.chunk(4)[1], forget - 1)


def test_the_layout_of_before_torch_1_6_is_read_too(tmp_path: Path):
    model = random_model(7)
    old = manylangs.read(save_model(tmp_path / "old", model, legacy=True))
    assert_same(old, manylangs.read(save_model(tmp_path / "new", model)))


def test_tensors_in_memory_do_not_look_into_the_file(tmp_path: Path):
    folder = save_model(tmp_path / "m", random_model(7))
    checkpoint, again = manylangs.read(folder), manylangs.read(folder)
    for name in ("encoder.pkl", "token_embedder.pkl"):
        with (folder / name).open("r+b") as file:
            file.write(bytes((folder / name).stat().st_size))
    assert_same(checkpoint, again)
    assert all(tensor.is_contiguous() for tensor in checkpoint.tensors.values())


def test_the_shape_file_is_found_by_its_path_or_its_name_within_the_folder(tmp_path: Path):
    model = random_model(8, clip=0.5)
    folder = save_model(tmp_path / "m", model)
    (folder / "deep").mkdir()
    (tmp_path / "outside.json").write_text(json.dumps(random_model(8, clip=9.0).settings))
    shutil.move(folder / "shape.json", folder / "deep" / "shape.json")
    shutil.copy(folder / "deep" / "shape.json", folder / "outside.json")
    for path in ("deep/shape.json", "deep\\shape.json", "../outside.json", "C:\\x\\outside.json",
                 str(tmp_path / "outside.json")):  # fmt: skip
        (folder / "config.json").write_text(json.dumps({"config_path": path}))
        assert manylangs.read(folder).config.cell_clip == 0.5


@pytest.mark.parametrize(
    "shape",
    [
        shape
        for name, shape in SHAPES.items()
        if name not in ("tanh, no highway", "clipped", "an LSTM, without a limit")
    ],
)
def test_without_the_shape_file_the_tensors_tell(
    shape: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    model = random_model(9, max_characters=50, **shape)
    told = manylangs.read(save_model(tmp_path / "told", model))
    with caplog.at_level(logging.WARNING):
        inferred = manylangs.read(save_model(tmp_path / "silent", model, shape_file=None))
    assert_same(inferred, told)
    assert "'gone.json': its shape is inferred from its tensors" in caplog.text
    assert "cell_clip 3, proj_clip 3, activation relu" in caplog.text


def classifier(kind: str, n_words: int = len(WORDS), p: int = 5) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    weight, bias = random.standard_normal((n_words, p)), random.standard_normal(n_words)
    if kind == "softmax":
        return {"hidden2tag.weight": weight, "hidden2tag.bias": bias}
    return {"column_emb.weight": weight, "column_bias.weight": bias[:, None],
            "oov_column": np.zeros((p, 1))}  # fmt: skip


@pytest.mark.parametrize("kind", ["softmax", "sampled_softmax"])
def test_a_softmax_is_read_with_its_words(kind: str, tmp_path: Path):
    folder = save_model(tmp_path / "m", random_model(10, word_dim=0))
    save_tensors(folder / "classifier.pkl", classifier(kind))
    checkpoint = manylangs.read(folder)
    assert checkpoint.softmax is not None
    assert checkpoint.vocab is not None
    assert list(checkpoint.vocab.words) == WORDS
    expected = classifier("softmax")
    for name, tensor in checkpoint.softmax.items():
        np.testing.assert_array_equal(tensor, expected[f"hidden2tag.{name}"].astype(np.float32))
    relmo_format.write(checkpoint, tmp_path / "r")
    assert_same(relmo_format.read(tmp_path / "r"), checkpoint)


@pytest.mark.parametrize(
    "arrays",
    [
        classifier("softmax", n_words=7),
        classifier("softmax", p=4),
        {"M": np.zeros((5, 2)), "corr.weight": np.zeros((8, 2)), "oov_column": np.zeros((5, 1))},
    ],
)
def test_another_classifier_is_left_aside_and_said(
    arrays: dict[str, np.ndarray], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder = save_model(tmp_path / "m", random_model(10))
    save_tensors(folder / "classifier.pkl", arrays)
    checkpoint = manylangs.read(folder)
    assert (checkpoint.softmax, checkpoint.vocab) == (None, None)
    assert "classifier.pkl: left aside, as it is no softmax over the 8 words" in caplog.text


def test_it_cannot_be_written_as_hdf5(golden: Path, tmp_path: Path):
    with pytest.raises(InputError, match=r"as bilm_hdf5: .*lexicon.*no place; write it as relmo"):
        relmo.load(golden).save(tmp_path / "m", format="bilm_hdf5")
    assert not (tmp_path / "m").exists()


def test_half_precision_is_float32_in_memory(tmp_path: Path):
    model = random_model(11)
    folder = save_model(tmp_path / "m", model)
    halves = {name: torch.from_numpy(array).half() for name, array in model.encoder.items()}
    torch.save(halves, folder / "encoder.pkl")
    found = manylangs.read(folder).tensors["forward_lstm.layers.0.input_weight"]
    assert found.dtype == torch.float32
    i = halves["forward_layer_0.input_linearity.weight"][0].float()
    torch.testing.assert_close(found[:, 0], i, rtol=0, atol=0)


def test_the_characters_of_a_model_are_those_of_its_dic(tmp_path: Path):
    model: Model = random_model(12)
    checkpoint = manylangs.read(save_model(tmp_path / "m", model))
    assert checkpoint.lexicon is not None
    assert checkpoint.lexicon.words == tuple(WORDS)
    assert checkpoint.lexicon.characters == tuple(dict.fromkeys(CHARACTERS))
    assert dataclasses.asdict(checkpoint.config)["lexicon"]["n_characters"] == len(set(CHARACTERS))
