"""options.json + HDF5: the golden, what each number becomes, and there and back."""

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from relmo.config import BiLMConfig, CharCNNConfig
from relmo.errors import FormatError, InputError
from relmo.formats import bilm_hdf5
from relmo.formats.checkpoint import parameter_shapes
from relmo.nn.bilm import BiLM
from relmo.text.vocab import Vocabulary
from tests.formats.helpers import SHAPES, assert_same, random_checkpoint, save_random
from tests.reference.bilm_numpy import random_model, random_words, read_arrays, save_model

every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())


def test_the_golden_is_read_and_written_back_to_the_bit(goldens: Path, tmp_path: Path):
    weights = goldens / "allennlp" / "lm_weights.hdf5"
    checkpoint = bilm_hdf5.read(goldens / "allennlp" / "options.json", weights)
    assert checkpoint.config == BiLMConfig(
        lstm_dim=64,
        projection_dim=16,
        char_cnn=CharCNNConfig(
            filters=((1, 4), (2, 8), (3, 16), (4, 32), (5, 64)), embedding_dim=4
        ),
    )
    assert (checkpoint.format, checkpoint.source) == ("bilm_hdf5", weights)
    bilm_hdf5.write(checkpoint, tmp_path / "copy")
    before, after = read_arrays(weights), read_arrays(tmp_path / "copy" / "weights.hdf5")
    assert len(before) == 33
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert value.dtype == after[name].dtype
        np.testing.assert_array_equal(value, after[name])


@every_shape
def test_file_to_model_to_file_gives_identical_datasets(shape: dict[str, Any], tmp_path: Path):
    options, arrays = random_model(2, **shape)
    words = random_words(shape["n_words"]) if "n_words" in shape else None
    save_model(tmp_path / "a", options, arrays, words)
    bilm_hdf5.write(bilm_hdf5.read_folder(tmp_path / "a"), tmp_path / "b")
    again = read_arrays(tmp_path / "b" / "weights.hdf5")
    assert again.keys() == arrays.keys()
    for name, value in arrays.items():
        np.testing.assert_array_equal(value, again[name], err_msg=name)
    assert json.loads((tmp_path / "b" / "options.json").read_text()) == options


@every_shape
def test_what_is_written_is_read_back(shape: dict[str, Any], tmp_path: Path):
    checkpoint = random_checkpoint(tmp_path / "a", **shape)
    bilm_hdf5.write(checkpoint, tmp_path / "b")
    assert_same(bilm_hdf5.read_folder(tmp_path / "b"), checkpoint)


@every_shape
def test_every_parameter_is_there_in_its_shape(shape: dict[str, Any], tmp_path: Path):
    checkpoint = random_checkpoint(tmp_path / "a", **shape)
    found = {name: tuple(tensor.shape) for name, tensor in checkpoint.tensors.items()}
    assert found == dict(parameter_shapes(checkpoint.config))
    assert {tensor.dtype for tensor in checkpoint.tensors.values()} == {torch.float32}


@every_shape
def test_the_parameters_are_those_of_the_network(shape: dict[str, Any], tmp_path: Path):
    checkpoint = random_checkpoint(tmp_path / "a", **shape)
    BiLM(checkpoint.config).load_state_dict(checkpoint.tensors, strict=True)


def test_each_number_is_where_relmo_expects_it(tmp_path: Path):
    options, arrays = random_model(3)
    tensors = bilm_hdf5.read_folder(save_model(tmp_path / "a", options, arrays)).tensors
    cell = "RNN_1/RNN/MultiRNNCell/Cell0/LSTMCell"
    weight, bias = arrays[f"{cell}/W_0"], arrays[f"{cell}/B"]
    d, p = 12, 6
    theirs = {gate: slice(k * d, (k + 1) * d) for k, gate in enumerate("ijfo")}
    for k, gate in enumerate("ifoj"):
        ours = slice(k * d, (k + 1) * d)
        for name, expected in (
            ("input_weight", weight[:p, theirs[gate]]),
            ("recurrent_weight", weight[p:, theirs[gate]]),
            ("bias", bias[theirs[gate]]),
        ):
            found = tensors[f"backward_lstm.layers.0.{name}"][..., ours]
            np.testing.assert_array_equal(found, expected, err_msg=f"{name} {gate}")
    for ours, expected in (
        ("backward_lstm.layers.0.projection_weight", arrays[f"{cell}/W_P_0"]),
        ("token_encoder.char_embedding", arrays["char_embed"]),
        ("token_encoder.convolutions.2.weight", arrays["CNN/W_cnn_2"][0]),
        ("token_encoder.convolutions.2.bias", arrays["CNN/b_cnn_2"]),
        ("token_encoder.highways.1.gate_weight", arrays["CNN_high_1/W_carry"]),
        ("token_encoder.highways.1.gate_bias", arrays["CNN_high_1/b_carry"]),
        ("token_encoder.highways.0.transform_weight", arrays["CNN_high_0/W_transform"]),
        ("token_encoder.projection.weight", arrays["CNN_proj/W_proj"]),
    ):
        np.testing.assert_array_equal(tensors[ours], expected, err_msg=ours)


@pytest.mark.parametrize("n_characters", [261, 262, None])
def test_a_row_for_the_mask_is_dropped_whatever_n_characters_says(
    n_characters: int | None, tmp_path: Path
):
    options, arrays = random_model(4)
    plain = bilm_hdf5.read_folder(save_model(tmp_path / "a", options, arrays))
    if n_characters is None:
        del options["char_cnn"]["n_characters"]
    else:
        options["char_cnn"]["n_characters"] = n_characters
    mask = np.ones((1, 4), np.float32)
    arrays["char_embed"] = np.concatenate([mask, arrays["char_embed"]])
    assert_same(bilm_hdf5.read_folder(save_model(tmp_path / "b", options, arrays)), plain)


@pytest.mark.parametrize("stored", ["<f2", ">f4", "<f8"])
def test_other_floats_are_read_and_float64_is_kept(stored: str, tmp_path: Path):
    options, arrays = random_model(4)
    arrays = {name: value.astype(np.float16).astype(stored) for name, value in arrays.items()}
    checkpoint = bilm_hdf5.read_folder(save_model(tmp_path / "a", options, arrays))
    kept = torch.float64 if stored == "<f8" else torch.float32
    assert {tensor.dtype for tensor in checkpoint.tensors.values()} == {kept}
    found = checkpoint.tensors["token_encoder.char_embedding"]
    np.testing.assert_array_equal(found, arrays["char_embed"].astype(np.float64))
    bilm_hdf5.write(checkpoint, tmp_path / "b")
    assert_same(bilm_hdf5.read_folder(tmp_path / "b"), checkpoint)


def test_compressed_datasets_are_read(tmp_path: Path):
    options, arrays = random_model(4)
    plain = bilm_hdf5.read_folder(save_model(tmp_path / "a", options, arrays))
    save_model(tmp_path / "b", options, {})
    with h5py.File(tmp_path / "b" / "weights.hdf5", "w") as file:
        for name, value in arrays.items():
            file.create_dataset(name, data=value, compression="gzip")
    assert_same(bilm_hdf5.read_folder(tmp_path / "b"), plain)


def test_what_options_may_leave_out_has_its_defaults_and_foreign_keys_are_ignored(tmp_path: Path):
    options, arrays = random_model(4, n_layers=1, n_highway=0)
    for key in ("n_layers", "cell_clip", "proj_clip"):
        del options["lstm"][key]
    del options["char_cnn"]["n_highway"]
    options |= {"reverse": False, "projection_after_highway": True, "dropout": 0.1}
    options["char_cnn"]["note"] = "hello"
    config = bilm_hdf5.read_folder(save_model(tmp_path / "a", options, arrays)).config
    assert (config.n_layers, config.cell_clip, config.projection_clip) == (1, None, None)
    assert config.char_cnn is not None
    assert config.char_cnn.n_highway == 0


def test_a_clip_of_zero_is_no_clip(tmp_path: Path):
    checkpoint = random_checkpoint(tmp_path / "a", cell_clip=0, proj_clip=0)
    assert checkpoint.config.cell_clip is None
    assert checkpoint.config.projection_clip is None


def test_the_vocabulary_beside_the_weights_is_read_plain_compressed_or_given(tmp_path: Path):
    folder = save_random(tmp_path / "a", n_words=7)
    words = tuple(random_words(7))
    assert bilm_hdf5.read_folder(folder).vocab == Vocabulary(words)
    data = (folder / "vocab.txt").read_bytes()
    (folder / "vocab.txt").rename(tmp_path / "elsewhere.txt")
    pair = (folder / "options.json", folder / "weights.hdf5")
    assert bilm_hdf5.read(*pair).vocab is None
    given = bilm_hdf5.read(*pair, vocab=tmp_path / "elsewhere.txt").vocab
    assert given is not None
    assert given.words == words
    (folder / "vocab.txt.gz").write_bytes(gzip.compress(data))
    assert bilm_hdf5.read(*pair).vocab == given


def test_a_folder_may_name_its_two_files_as_it_likes(tmp_path: Path):
    folder = save_random(tmp_path / "a")
    expected = bilm_hdf5.read_folder(folder)
    (folder / "options.json").rename(folder / "elmo_small_options.json")
    (folder / "weights.hdf5").rename(folder / "elmo_small_weights.H5")
    (folder / "._weights.hdf5").write_text("what another system leaves in an archive")
    assert_same(bilm_hdf5.read_folder(folder), expected)


def test_the_softmax_is_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    checkpoint = random_checkpoint(tmp_path / "a", n_words=7)
    softmax = {"weight": torch.zeros(7, 6), "bias": torch.zeros(7)}
    whole = type(checkpoint)(**{**vars(checkpoint), "softmax": softmax})
    with caplog.at_level(logging.INFO, "relmo.formats.bilm_hdf5"):
        bilm_hdf5.write(whole, tmp_path / "b")
    assert "softmax is left out" in caplog.text
    assert_same(bilm_hdf5.read_folder(tmp_path / "b"), checkpoint)


def test_an_earlier_export_is_replaced_and_nothing_else(tmp_path: Path):
    checkpoint = random_checkpoint(tmp_path / "a")
    bilm_hdf5.write(checkpoint, tmp_path / "b")
    bilm_hdf5.write(checkpoint, tmp_path / "b")
    (tmp_path / "b" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt"):
        bilm_hdf5.write(checkpoint, tmp_path / "b")
    assert (tmp_path / "b" / "notes.txt").read_text() == "mine"
    bilm_hdf5.write(checkpoint, tmp_path / "b", overwrite=True)
    names = sorted(path.name for path in (tmp_path / "b").iterdir())
    assert names == ["options.json", "weights.hdf5"]


def test_a_checkpoint_that_is_not_whole_is_not_written(tmp_path: Path):
    checkpoint = random_checkpoint(tmp_path / "a")
    del checkpoint.tensors["backward_lstm.layers.1.bias"]
    with pytest.raises(FormatError, match=r"'backward_lstm\.layers\.1\.bias' missing"):
        bilm_hdf5.write(checkpoint, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_model_of_one_layer_is_read_under_the_names_that_bilm_tf_dumps(tmp_path: Path):
    options, arrays = random_model(2, n_layers=1)
    expected = bilm_hdf5.read_folder(save_model(tmp_path / "usual", options, arrays, None))
    dumped = {name.replace("MultiRNNCell/Cell0/", ""): value for name, value in arrays.items()}
    assert "RNN_0/RNN/LSTMCell/W_0" in dumped
    found = bilm_hdf5.read_folder(save_model(tmp_path / "dumped", options, dumped, None))
    assert_same(found, expected)


@pytest.mark.parametrize("words", [b"the\ncat\nthe\n", b"caf\xe9\n"], ids=["twice", "latin-1"])
def test_a_vocabulary_that_cannot_be_read_is_left_where_none_is_needed(
    words: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder = save_random(tmp_path / "m")
    (folder / "vocab.txt").write_bytes(words)
    assert bilm_hdf5.read_folder(folder).vocab is None
    assert "the vocabulary is left, the model needs none" in caplog.text
    with pytest.raises((FormatError, InputError)):  # asked for, it has to be one
        bilm_hdf5.read(folder / "options.json", folder / "weights.hdf5", folder / "vocab.txt")
