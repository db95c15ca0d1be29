"""relmo's own format: there and back, half precision, and what may be written over."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from relmo.config import BiLMConfig, LexiconConfig
from relmo.errors import FormatError, InputError
from relmo.formats import bilm_hdf5, relmo_format
from relmo.formats.checkpoint import Checkpoint, parameter_shapes
from relmo.nn.bilm import BiLM
from relmo.text.vocab import Vocabulary
from tests.formats.helpers import SHAPES, assert_same, random_checkpoint
from tests.reference.bilm_numpy import random_words, read_arrays

CARD = "---\nlicense: apache-2.0\nlanguage: en\n---\n# Model\r\nhäßlich 🦜\n\n"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    """A model with everything: vocabulary, softmax and card."""
    softmax = {"weight": torch.randn(9, 6), "bias": torch.randn(9)}
    plain = random_checkpoint(tmp_path / "source")
    vocab = Vocabulary(random_words(9))
    return dataclasses.replace(plain, vocab=vocab, softmax=softmax, card=CARD)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_what_is_written_is_read_back(shape: dict[str, Any], tmp_path: Path):
    checkpoint = random_checkpoint(tmp_path / "a", **shape)
    relmo_format.write(checkpoint, tmp_path / "b")
    assert_same(relmo_format.read(tmp_path / "b"), checkpoint)


LEXICONS: dict[str, dict[str, Any]] = {
    "words": {"n_words": 9, "word_dim": 3},
    "convolutions": {"n_characters": 7, "char_dim": 4, "filters": ((1, 4), (2, 5)), "n_highway": 2},
    "an LSTM": {"kind": "lstm", "n_words": 9, "word_dim": 3, "n_characters": 7, "char_dim": 4},
}


@pytest.mark.parametrize("name", [*SHAPES, *LEXICONS])
def test_the_parameters_that_files_are_checked_for_are_those_of_the_network(
    name: str, tmp_path: Path
):
    if name in SHAPES:
        config = random_checkpoint(tmp_path / "a", **SHAPES[name]).config
    else:
        lexicon = LexiconConfig(**LEXICONS[name])
        config = BiLMConfig(lstm_dim=8, projection_dim=4, lexicon=lexicon)
    network = BiLM(config).state_dict()
    assert dict(parameter_shapes(config)) == {name: tuple(network[name].shape) for name in network}


def test_all_that_comes_with_a_model_is_read_back(checkpoint: Checkpoint, tmp_path: Path):
    relmo_format.write(checkpoint, tmp_path / "b")
    again = relmo_format.read(tmp_path / "b")
    assert_same(again, checkpoint)
    assert again.card == CARD
    assert (again.format, again.source) == ("relmo", tmp_path / "b")
    names = sorted(path.name for path in (tmp_path / "b").iterdir())
    expected = ["README.md", "config.json", "model.safetensors", "softmax.safetensors", "vocab.txt"]
    assert names == expected


def test_there_and_back_through_hdf5_too_is_exact(goldens: Path, tmp_path: Path):
    weights = goldens / "allennlp" / "lm_weights.hdf5"
    relmo_format.write(bilm_hdf5.read(weights.with_name("options.json"), weights), tmp_path / "a")
    bilm_hdf5.write(relmo_format.read(tmp_path / "a"), tmp_path / "b")
    before, after = read_arrays(weights), read_arrays(tmp_path / "b" / "weights.hdf5")
    assert before.keys() == after.keys()
    assert all((value == after[name]).all() for name, value in before.items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_stored_in_half_are_float32_in_memory(
    checkpoint: Checkpoint, dtype: torch.dtype, tmp_path: Path
):
    relmo_format.write(checkpoint, tmp_path / "b", dtype)
    again = relmo_format.read(tmp_path / "b")
    kept = torch.float64 if dtype == torch.float64 else torch.float32
    for name, tensor in checkpoint.tensors.items():
        assert again.tensors[name].dtype == kept
        assert torch.equal(again.tensors[name], tensor.to(dtype).to(kept))
    full = sum(tensor.numel() for tensor in checkpoint.tensors.values())
    size = (tmp_path / "b" / "model.safetensors").stat().st_size
    assert size - full * dtype.itemsize < 10_000  # the header


def test_a_softmax_stored_in_whole_numbers_is_right_to_half_a_127th_of_each_row(
    checkpoint: Checkpoint, tmp_path: Path
):
    assert checkpoint.softmax is not None
    weight = checkpoint.softmax["weight"]
    weight[3] = 0.0
    weight[4] *= 1000
    relmo_format.write(checkpoint, tmp_path / "b", torch.float16, softmax_dtype=torch.int8)
    again = relmo_format.read(tmp_path / "b")
    assert again.softmax is not None
    assert again.softmax.keys() == {"weight", "bias"}
    assert torch.equal(again.softmax["bias"], checkpoint.softmax["bias"])
    error = (again.softmax["weight"] - weight).abs()
    assert bool((error <= weight.abs().amax(1, keepdim=True) / 127 * 0.5001).all())
    with safe_open(tmp_path / "b" / "softmax.safetensors", "pt") as file:
        assert file.get_tensor("weight").dtype == torch.int8
    relmo_format.write(again, tmp_path / "c", softmax_dtype=torch.int8)
    assert_same(relmo_format.read(tmp_path / "c"), again)


def test_a_number_too_large_for_half_is_not_written(checkpoint: Checkpoint, tmp_path: Path):
    checkpoint.tensors["forward_lstm.layers.0.bias"][3] = 1e6
    with pytest.raises(InputError, match=r"'forward_lstm\.layers\.0\.bias'.*1e\+06.*65504"):
        relmo_format.write(checkpoint, tmp_path / "b", torch.float16)
    assert not (tmp_path / "b").exists()


def test_only_floating_types_can_be_asked_for(checkpoint: Checkpoint, tmp_path: Path):
    with pytest.raises(InputError, match=r"torch\.int8.*torch\.float16"):
        relmo_format.write(checkpoint, tmp_path / "b", torch.int8)


def test_tensors_that_share_memory_or_lie_otherwise_are_written(
    checkpoint: Checkpoint, tmp_path: Path
):
    tensors = checkpoint.tensors
    tensors["backward_lstm.layers.0.bias"] = tensors["forward_lstm.layers.0.bias"]
    name = "token_encoder.highways.0.gate_weight"
    tensors[name] = tensors[name].T.requires_grad_()
    relmo_format.write(checkpoint, tmp_path / "b")
    assert_same(relmo_format.read(tmp_path / "b"), checkpoint)


def test_a_model_can_be_saved_over_itself_and_links_are_followed(
    checkpoint: Checkpoint, tmp_path: Path
):
    relmo_format.write(checkpoint, tmp_path / "b")
    (tmp_path / "link").symlink_to(tmp_path / "b")
    again = relmo_format.read(tmp_path / "link")
    relmo_format.write(again, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert_same(relmo_format.read(tmp_path / "b"), checkpoint)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "link", "source"]


def test_tensors_in_memory_do_not_look_into_the_file(checkpoint: Checkpoint, tmp_path: Path):
    relmo_format.write(checkpoint, tmp_path / "b")
    again = relmo_format.read(tmp_path / "b")
    path = tmp_path / "b" / "model.safetensors"
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert_same(again, checkpoint)


def test_what_is_no_model_is_not_replaced_unless_asked(checkpoint: Checkpoint, tmp_path: Path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "README.md").write_text("a project's own")
    with pytest.raises(InputError, match=r"project.*has no config\.json.*overwrite=True"):
        relmo_format.write(checkpoint, project)
    (project / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"project.*thesis\.tex.*overwrite=True"):
        relmo_format.write(checkpoint, project)
    assert (project / "thesis.tex").read_text() == "years of work"
    relmo_format.write(checkpoint, project, overwrite=True)
    assert_same(relmo_format.read(project), checkpoint)


def test_an_empty_folder_and_missing_parents_are_no_obstacle(
    checkpoint: Checkpoint, tmp_path: Path
):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "deep" / "down" / "model"):
        relmo_format.write(checkpoint, folder)
        assert_same(relmo_format.read(folder), checkpoint)


def test_a_file_in_the_way_is_an_error(checkpoint: Checkpoint, tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="file of that name"):
        relmo_format.write(checkpoint, tmp_path / "file", overwrite=True)
    assert (tmp_path / "file").read_text() == "mine"


def spoil_name(checkpoint: Checkpoint) -> None:
    checkpoint.tensors["surplus"] = torch.zeros(1)


def spoil_shape(checkpoint: Checkpoint) -> None:
    checkpoint.tensors["forward_lstm.layers.1.bias"] = torch.zeros(47)


def spoil_number(checkpoint: Checkpoint) -> None:
    checkpoint.tensors["forward_lstm.layers.1.bias"][5] = float("nan")


def spoil_type(checkpoint: Checkpoint) -> None:
    name = "forward_lstm.layers.1.bias"
    checkpoint.tensors[name] = checkpoint.tensors[name].int()


def spoil_softmax(checkpoint: Checkpoint) -> None:
    assert checkpoint.softmax is not None
    checkpoint.softmax["bias"] = torch.zeros(8)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_name, "'surplus' not expected"),
        (spoil_shape, r"'forward_lstm\.layers\.1\.bias' has shape \(47,\), expected \(48,\)"),
        (spoil_number, r"'forward_lstm\.layers\.1\.bias' holds 1 number.* NaN"),
        (spoil_type, r"'forward_lstm\.layers\.1\.bias' is torch\.int32, expected"),
        (spoil_softmax, r"softmax: 'bias' has shape \(8,\), expected \(9,\)"),
    ],
)
def test_a_checkpoint_that_is_not_whole_is_not_written(
    checkpoint: Checkpoint, spoil: Any, message: str, tmp_path: Path
):
    spoil(checkpoint)
    with pytest.raises(FormatError, match=message):
        relmo_format.write(checkpoint, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_config_json_is_plain_and_dated_by_a_version(checkpoint: Checkpoint, tmp_path: Path):
    relmo_format.write(checkpoint, tmp_path / "b")
    values = json.loads((tmp_path / "b" / "config.json").read_text())
    assert list(values) == ["format", "version", "bilm"]
    assert (values["format"], values["version"]) == ("relmo", 1)
    assert values["bilm"]["char_cnn"]["filters"] == [[1, 4], [2, 5], [3, 6]]


def test_who_may_read_the_folder_may_read_the_tensors(checkpoint: Checkpoint, tmp_path: Path):
    relmo_format.write(checkpoint, tmp_path / "b")
    modes = {path.name: path.stat().st_mode for path in (tmp_path / "b").iterdir()}
    assert modes["model.safetensors"] == modes["softmax.safetensors"] == modes["config.json"]
