"""A trained AllenNLP model: the golden, what each number becomes, and what lies around ELMo."""

import json
import logging
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import relmo
from relmo.config import LayerMix
from relmo.formats import allennlp_model, bilm_hdf5, detect
from relmo.formats._torch_tables import allennlp_table
from relmo.formats.checkpoint import parameter_shapes
from tests.formats.allennlp_state import elmo_state
from tests.formats.helpers import SHAPES
from tests.reference.bilm_numpy import random_model, read_arrays, save_model

TASK = {"encoder.weight": torch.ones(3, 3), "steps": torch.tensor(7)}
PREFIX = "text_field_embedder.token_embedder_elmo._elmo."
with_characters = pytest.mark.parametrize(
    "shape", [s for s in SHAPES.values() if "n_words" not in s],
    ids=[name for name, s in SHAPES.items() if "n_words" not in s],
)  # fmt: skip


def saved(
    path: Path,
    options: dict[str, Any],
    arrays: dict[str, np.ndarray],
    *,
    mixes: list[list[float]] | None = None,
    prefix: str = PREFIX,
    **more: torch.Tensor,
) -> Path:
    """A file of weights in a folder of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({**elmo_state(options, arrays, mixes or [], prefix), **TASK, **more}, path)
    return path


def archive(folder: Path, goldens: Path) -> Path:
    """The golden biLM as AllenNLP archives a trained model: model.tar.gz."""
    golden = goldens / "allennlp"
    options = json.loads((golden / "options.json").read_text())
    arrays = read_arrays(golden / "lm_weights.hdf5")
    saved(folder / "m" / "weights.th", options, arrays, mixes=[[0.3, -0.2, 0.1, 1.7]])
    (folder / "m" / "config.json").write_text('{"model": {"type": "crf_tagger"}}')
    (folder / "m" / "vocabulary").mkdir()
    (folder / "m" / "fta").mkdir()
    shutil.copy(
        golden / "options.json",
        folder / "m" / "fta" / "model.text_field_embedder.elmo.options_file",
    )
    with tarfile.open(folder / "model.tar.gz", "w:gz") as file:
        for path in (folder / "m").iterdir():
            file.add(path, path.name)
    return folder / "model.tar.gz"


@pytest.mark.parametrize("packed", [True, False])
def test_the_golden_layers_and_the_mix_come_out_of_a_trained_model(
    packed: bool, goldens: Path, tmp_path: Path
):
    path = archive(tmp_path, goldens)
    elmo = relmo.load(path if packed else tmp_path / "m")
    assert elmo.checkpoint_info is not None
    assert elmo.checkpoint_info.format == "allennlp"
    assert elmo.checkpoint_info.source == (path if packed else tmp_path / "m")
    (mix,) = elmo.mixes
    assert mix.weights == pytest.approx((0.3, -0.2, 0.1))
    assert mix.gamma == pytest.approx(1.7)
    stream = json.loads((goldens / "allennlp" / "sentences.json").read_text())[0]
    expected = np.load(goldens / "allennlp" / "zero_state_layers.npz")
    sentences = [line.split() for line in stream]
    for number, layers in enumerate(elmo.embed(sentences, layers="all")):
        np.testing.assert_allclose(layers, expected[f"0_{number}"], rtol=2.5e-7, atol=2e-6)
    mixed = elmo.embed(sentences[:1], layers="mix")[0]
    shares = 1.7 * np.exp([0.3, -0.2, 0.1]) / np.exp([0.3, -0.2, 0.1]).sum()
    np.testing.assert_allclose(mixed, np.tensordot(shares, expected["0_0"], 1), rtol=0, atol=5e-6)


@with_characters
def test_the_parameters_are_those_of_the_hdf5_file(shape: dict[str, Any], tmp_path: Path):
    options, arrays = random_model(2, **shape)
    expected = bilm_hdf5.read_folder(save_model(tmp_path / "hdf5", options, arrays))
    path = saved(tmp_path / "m" / "best.th", options, arrays)
    (tmp_path / "m" / "options.json").write_text(json.dumps(options))
    found = allennlp_model.read(path)
    assert found.config == expected.config
    assert found.tensors.keys() == expected.tensors.keys()
    for name, tensor in expected.tensors.items():
        assert found.tensors[name].is_contiguous()
        atol = 2.4e-7 if name.endswith("bias") and "lstm" in name else 0  # 1 added and taken off
        torch.testing.assert_close(found.tensors[name], tensor, rtol=0, atol=atol)


@with_characters
def test_the_table_is_reversible(shape: dict[str, Any], tmp_path: Path):
    options, arrays = random_model(2, **shape)
    config = bilm_hdf5.read_folder(save_model(tmp_path / "hdf5", options, arrays)).config
    state = elmo_state(options, arrays, [], "")
    shapes = dict(parameter_shapes(config))
    rows = list(allennlp_table(config))
    assert {f"_elmo_lstm.{row.dataset}" for row in rows} == set(state)
    for row in rows:
        theirs = state[f"_elmo_lstm.{row.dataset}"]
        parts = row.layout.split(theirs)
        assert [tuple(part.shape) for part in parts] == [shapes.pop(n) for n in row.parameters]
        atol = 2.4e-7 if "state_linearity.bias" in row.dataset else 0
        torch.testing.assert_close(row.layout.join(parts), theirs, rtol=0, atol=atol)
    assert not shapes


@pytest.mark.parametrize("n_characters", [261, 262])
@pytest.mark.parametrize("legacy", [True, False])
def test_without_options_the_shape_is_inferred_and_the_rest_is_as_published(
    legacy: bool, n_characters: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    options, arrays = random_model(3, n_layers=3, n_highway=1)
    expected = bilm_hdf5.read_folder(save_model(tmp_path / "hdf5", options, arrays))
    state = {**elmo_state(options, arrays, [], PREFIX), **TASK}
    name = f"{PREFIX}_elmo_lstm._token_embedder._char_embedding_weights"
    state[name] = state[name][-n_characters:]
    torch.save(state, tmp_path / "model.pt", _use_new_zipfile_serialization=not legacy)
    with caplog.at_level(logging.INFO, "relmo"):
        found = detect.read(tmp_path / "model.pt")
    assert (found.format, found.source) == ("allennlp", tmp_path / "model.pt")
    assert found.config == expected.config
    assert "clipped at 3, relu, 50 characters" in caplog.text
    assert "2 tensors of the task's model are left" in caplog.text
    for key, tensor in expected.tensors.items():
        torch.testing.assert_close(found.tensors[key], tensor, rtol=0, atol=2.4e-7)


@pytest.mark.parametrize("prefix", ["", "elmo.", "module.text_field_embedder.x._elmo."])
def test_elmo_is_found_wherever_it_is(prefix: str, tmp_path: Path):
    options, arrays = random_model(3)
    state = elmo_state(options, arrays, [[0, 0, 1, 1], [1, 2, 3, -1]], prefix)
    torch.save(state, tmp_path / "m.th")
    mixes = allennlp_model.read(tmp_path / "m.th").mixes
    assert mixes == (
        LayerMix(weights=(0.0, 0.0, 1.0)),
        LayerMix(weights=(1.0, 2.0, 3.0), gamma=-1.0),
    )


def test_a_cached_vocabulary_is_left(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    options, arrays = random_model(3)
    cache = {f"{PREFIX}_elmo_lstm._word_embedding.weight": torch.zeros(9, 6)}
    path = saved(tmp_path / "m" / "weights.th", options, arrays, **cache)
    with caplog.at_level(logging.INFO, "relmo"):
        allennlp_model.read(path)
    assert "cached vocabulary are left" in caplog.text


def test_of_several_files_the_weights_come_before_the_best(tmp_path: Path):
    options, arrays = random_model(3)
    folder = saved(tmp_path / "m" / "best.th", options, arrays).parent
    saved(folder / "model_state_epoch_0.th", options, random_model(4)[1])
    best = detect.read(folder).tensors["token_encoder.char_embedding"]
    np.testing.assert_array_equal(best, arrays["char_embed"])
    saved(folder / "weights.th", options, random_model(5)[1])
    weights = detect.read(folder).tensors["token_encoder.char_embedding"]
    np.testing.assert_array_equal(weights, random_model(5)[1]["char_embed"])


def test_half_precision_becomes_float32_and_float64_is_kept(tmp_path: Path):
    options, arrays = random_model(3)
    for stored, kept in ((torch.float16, torch.float32), (torch.float64, torch.float64)):
        state = {n: t.to(stored) for n, t in elmo_state(options, arrays, [], "").items()}
        torch.save(state, tmp_path / "m.th")
        tensors = allennlp_model.read(tmp_path / "m.th").tensors
        assert {tensor.dtype for tensor in tensors.values()} == {kept}
