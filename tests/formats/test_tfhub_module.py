"""TF-Hub's modules: the golden, what is inferred, DeepPavlov's names, and folders that lie."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relmo
from relmo.config import LayerMix
from relmo.errors import ConfigError, RelmoError
from relmo.formats import bilm_hdf5, detect, relmo_format
from tests.formats.helpers import (
    SHAPES,
    assert_refused,
    assert_same,
    assert_same_tensors,
    save_random,
)
from tests.formats.tf_writer import hub, save_hub
from tests.helpers import golden_layers
from tests.helpers import relmo as command
from tests.reference.bilm_numpy import random_options

CELL = "bilm/RNN_0/RNN/MultiRNNCell/Cell1/rnn/lstm_cell"


def test_the_golden_has_the_layers_and_the_mix_of_the_original(goldens: Path):
    elmo = relmo.load(goldens / "tfhub_module")
    sentences, expected = golden_layers(goldens)
    powers = np.exp([0.3, -0.2, 0.1])
    shares = (1.7 * powers / powers.sum())[:, None, None]
    mixed = elmo.embed(sentences, layers="mix")
    for n, layers in enumerate(elmo.embed(sentences, layers="all")):
        np.testing.assert_allclose(layers, expected[n], rtol=1.2e-7, atol=1e-6)
        np.testing.assert_allclose(mixed[n], (shares * expected[n]).sum(0), rtol=1e-6, atol=2e-6)


def test_the_golden_is_the_model_of_the_hdf5_file(goldens: Path):
    checkpoint = detect.read(goldens / "tfhub_module")
    allennlp = goldens / "allennlp"
    expected = bilm_hdf5.read(allennlp / "options.json", allennlp / "lm_weights.hdf5")
    assert checkpoint.format == "tfhub"
    assert checkpoint.config == expected.config
    assert_same_tensors(checkpoint.tensors, expected.tensors)


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "one layer",
        "no LSTM projection",
        "no character projection",
    ],
)
def test_the_shape_of_a_model_is_read_off_its_variables(name: str, tmp_path: Path):
    shape = SHAPES[name]
    checkpoint = detect.read(save_hub(tmp_path / "hub", hub(1, **shape)))
    expected = bilm_hdf5.read_folder(save_random(tmp_path / "hdf5", **shape))
    assert checkpoint.config == expected.config
    assert_same_tensors(checkpoint.tensors, expected.tensors)
    n_layers = checkpoint.config.n_layers + 1
    assert checkpoint.mixes == (LayerMix(weights=tuple(i / 4 for i in range(n_layers)), gamma=1.5),)


@pytest.mark.parametrize("name", ["four layers, no skip", "no highway, no clip", "tanh, ten chara"])
def test_options_beside_it_say_what_shapes_do_not(name: str, tmp_path: Path):
    shape = next(shape for key, shape in SHAPES.items() if key.startswith(name))
    folder = save_hub(tmp_path / "hub", hub(1, **shape))
    (folder / "options.json").write_text(json.dumps(random_options(**shape)))
    expected = bilm_hdf5.read_folder(save_random(tmp_path / "hdf5", **shape))
    assert detect.read(folder).config == expected.config


def test_a_row_for_the_mask_is_dropped(tmp_path: Path):
    variables = hub(1)
    expected = detect.read(save_hub(tmp_path / "a", variables))
    characters = variables["bilm/char_embed"]
    variables["bilm/char_embed"] = np.concatenate([np.zeros_like(characters[:1]), characters])
    assert_same(detect.read(save_hub(tmp_path / "b", variables)), expected)


def test_deeppavlovs_names_are_read_and_the_state_of_its_graph_is_left(tmp_path: Path):
    variables = hub(1)
    expected = detect.read(save_hub(tmp_path / "a", variables, n_shards=2))
    for theirs, ours, shape in (("W", "weights", (3,)), ("gamma", "scaling", (1,))):
        values = variables.pop(f"aggregation/{ours}").reshape(shape)
        variables[f"aggregation/elmo_output_ELMo_{theirs}"] = values
    for name in ("bilm/Variable", "bilm/Variable_15", "bilm_1/Variable_3"):
        variables[name] = np.zeros((8, 12), np.float32)
    checkpoint = detect.read(save_hub(tmp_path / "b", variables))
    assert_same(checkpoint, expected)
    assert checkpoint.mixes == expected.mixes


def test_a_module_without_a_mix_has_none(tmp_path: Path):
    variables = {name: array for name, array in hub(1).items() if name.startswith("bilm/")}
    assert detect.read(save_hub(tmp_path, variables)).mixes == ()


def test_what_was_read_can_be_kept_in_relmos_format_with_its_mix(tmp_path: Path):
    checkpoint = detect.read(save_hub(tmp_path / "hub", hub(1)))
    relmo_format.write(checkpoint, tmp_path / "relmo")
    again = detect.read(tmp_path / "relmo")
    assert_same(again, checkpoint)
    assert again.mixes == checkpoint.mixes


def test_info_describes_it(goldens: Path):
    ran = command("info", goldens / "tfhub_module")
    assert ran.code == 0, ran
    assert "format          tfhub, " in ran.out
    assert "dim             32: 16 forward, 16 backward\n" in ran.out


# --- what is wrong --------------------------------------------------------------------------------


def put(name: str, *shape: int, value: float = 0) -> Callable[[Path], object]:
    variables = hub(1) | {name: np.full(shape, value, np.float32)}
    return lambda folder: save_hub(folder, variables)


def without(name: str) -> Callable[[Path], object]:
    variables = hub(1)
    del variables[name]
    return lambda folder: save_hub(folder, variables)


def options(**shape: Any) -> Callable[[Path], object]:
    text = json.dumps(random_options(**shape))
    return lambda folder: (folder / "options.json").write_text(text)


@pytest.mark.parametrize(
    ("broken", "parts"),
    [
        (without("bilm/char_embed"), ("'bilm/char_embed' missing",)),
        (without("bilm/CNN/W_cnn_0"), ("'bilm/CNN/W_cnn_0' missing, which every module has",)),
        (without("bilm/CNN/W_cnn_1"), ("the shapes are not those", "the filters give 4")),
        (without(f"{CELL}/kernel"), (f"'{CELL}/bias'", "not expected")),
        (without(f"{CELL}/bias"), (f"'{CELL}/bias' missing, which the other variables ask",)),
        (without("aggregation/scaling"), ("'aggregation/scaling' missing, which goes with",)),
        (put("bilm/more", 3), ("'bilm/more' not expected",)),
        (put("bilm/char_embed", 263, 4), ("'bilm/char_embed' has shape (263, 4)", "(261, 4)")),
        (put("bilm/char_embed", 261), ("'bilm/char_embed' has shape (261,)", "(characters, dim)")),
        (put("bilm/CNN/W_cnn_0", 1, 1, 5, 4), ("'bilm/CNN/W_cnn_0'", "(1, 1, 4, 4)")),
        (put("bilm/CNN/W_cnn_0", 1, 51, 4, 4), ("the shapes are not those", "width 51")),
        (
            put("bilm/CNN/W_cnn_0", 1, 0, 4, 4),
            ("the shapes are not those", "filters[0][0] must be at least 1, got 0"),
        ),
        (put("bilm/CNN_proj/W_proj", 15, 5), ("'bilm/CNN_proj/W_proj' has shape (15, 5)",)),
        (put(f"{CELL}/kernel", 12, 44), (f"'{CELL}/kernel' has shape (12, 44)", "(12, 48)")),
        (put(f"{CELL.replace('Cell1', 'Cell0')}/bias", 0), ("the shapes are not those",)),
        (put("aggregation/weights", 4), ("'aggregation/weights' has shape (4,)", "(3,)")),
        (put("aggregation/scaling", 2), ("'aggregation/scaling' has shape (2,)", "() or (1,)")),
        (put("bilm/CNN/b_cnn_0", 4, value=np.nan), ("'bilm/CNN/b_cnn_0' holds 4 numbers",)),
        (put("aggregation/scaling", value=np.inf), ("'aggregation/scaling' holds 1 numbers",)),
        (options(n_layers=3), ("Cell2/rnn/lstm_cell", "missing, which options.json asks for")),
        (options(dim=10**9), ("(12, 48), expected (12, 4000000000) from options.json lstm.proj",)),
        (
            lambda folder: (folder / "variables/variables.data-00000-of-00001").write_bytes(b"ab"),
            ("truncated?",),
        ),
        (
            lambda folder: (folder / "variables/variables.index").write_bytes(b"ab"),
            ("tfhub: ", "truncated, or another kind of file"),
        ),
        (
            lambda folder: (folder / "variables/variables.index").unlink(),
            ("tfhub: it has no variables/variables.index",),
        ),
        (
            lambda folder: (folder / "saved_model.pb").unlink(),
            ("tfhub: it has no saved_model.pb or tfhub_module.pb",),
        ),
    ],
)
def test_a_module_that_is_broken_is_one_error(
    broken: Callable[[Path], object], parts: tuple[str], tmp_path: Path
):
    save_hub(tmp_path, hub(1))
    broken(tmp_path)
    assert_refused(tmp_path, str(tmp_path), *parts)


def test_options_that_are_broken_are_named(tmp_path: Path):
    save_hub(tmp_path, hub(1))
    for text, part in (
        ('{"lstm": {}, "char_cnn": {}}', "options.json: lstm.use_skip_connections"),
        ('{"lstm": {}}', "options.json: 'char_cnn' is missing, which every module has"),
    ):
        (tmp_path / "options.json").write_text(text)
        with pytest.raises(ConfigError, match=part):
            detect.read(tmp_path)


def test_a_module_of_another_model_says_what_it_holds(tmp_path: Path):
    save_hub(tmp_path, {"nnlm/embeddings": np.zeros(3, np.float32)})
    with pytest.raises(RelmoError, match="no variable begins with 'bilm/'; it has 'nnlm/embed"):
        detect.read(tmp_path)
