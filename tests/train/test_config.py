"""Settings of a run: read back as written, refused with the field named, continued unchanged."""

import dataclasses
import json
import math
import re
from typing import Any

import pytest

from relmo.errors import ConfigError
from relmo.formats.checkpoint import parameter_shapes
from relmo.train.config import PRESETS, TrainConfig, preset
from tests.train.helpers import SHAPE, WORD_MODEL, config


@pytest.mark.parametrize(
    ("name", "n_parameters"),
    [("small", 13_593_296), ("medium", 28_027_728), ("original", 93_600_848)],
)
def test_presets_have_the_published_sizes(name: str, n_parameters: int):
    shapes = parameter_shapes(preset(name))
    assert sum(math.prod(shape) for _, shape in shapes) == n_parameters


def test_an_unknown_preset_is_an_error_that_lists_them():
    with pytest.raises(ConfigError, match=r"preset must be one of mini, small, .* got 'huge'"):
        preset("huge")


@pytest.mark.parametrize("name", PRESETS)
def test_settings_are_read_back_from_json_as_written(name: str):
    settings = config(model=PRESETS[name], mode="stream", learning_rate=1 / 3, cutoffs=(3, 4))
    assert TrainConfig.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


BAD: list[tuple[dict[str, Any], str]] = [
    *(({name: 0}, name + " must be at least 1, got 0")
      for name in ("batch_tokens", "pool_batches", "unroll_steps", "n_candidates", "max_steps",
                   "save_every_steps", "validate_every_steps")),
    *(({name: value}, name + " must be above 0")
      for name in ("learning_rate", "clip_norm", "gradient_scale")
      for value in (0, -1, 1e31)),
    *(({name: value}, f"{name} is {value}, expected a finite number")
      for name in ("learning_rate", "clip_norm", "gradient_scale", "dropout", "weight_decay")
      for value in (math.nan, math.inf)),
    *(({name: -1}, name + " must be at least 0.*, got -1")
      for name in ("warmup_steps", "valid_tokens", "seed", "weight_decay")),
    ({"weight_decay": 1.5}, "weight_decay must be at least 0 and at most 1, got 1.5"),
    *(({"layer_decay": value}, "layer_decay must be above 0 and at most 1") for value in (0, 1.1)),
    ({"softmax_steps": -1}, "softmax_steps must be at least 0, got -1"),
    ({"softmax_steps": 13}, "softmax_steps must be from 0 to max_steps 12, got 13"),
    ({"seed": 2**63}, "seed must be at least 0 and below"),
    ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
    ({"batch_tokens": 1}, "batch_tokens must be at least 2"),
    ({"parts": 0}, "parts must be at least 1, got 0"),
    ({"parts": 3}, "batch_tokens 40 is not a multiple of parts 3"),
    ({"parts": 40}, "batch_tokens must be at least 80: a word and a .* in each of parts=40"),
    ({"mode": "rows", "parts": 3},
     "batch_tokens 40 is not a multiple of unroll_steps 5 times parts 3"),
    ({"mode": "stream", "batch_tokens": 11},
     "batch_tokens 11 is not a multiple of unroll_steps 5"),
    *(({"cutoffs": value}, "cutoffs must be increasing numbers from 1 on, got ")
      for value in ((0,), (-1, 4), (4, 4), (5, 3))),
    *(({name: value}, name + ": the model reads characters and has no")
      for name, value in (("tied", True), ("word_vectors", "glove.txt"))),
    ({"tied": True, "softmax": "adaptive", "model": WORD_MODEL},
     "tied: an adaptive softmax has no matrix of the word embedding's shape"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_an_impossible_value_is_an_error_that_names_its_field(
    changes: dict[str, Any], message: str
):
    with pytest.raises(ConfigError, match=message):
        config(**changes)


@pytest.mark.parametrize("name", ["mode", "softmax", "optimizer", "decay", "precision"])
def test_an_unknown_choice_is_an_error_that_lists_them(name: str):
    settings = config()
    known = getattr(settings, name)
    object.__setattr__(settings, name, "other")  # past the type checks of the tests
    with pytest.raises(ConfigError, match=f"{name} must be one of .*{known}.* got 'other'"):
        settings.__post_init__()
    with pytest.raises(ConfigError, match=r"a/run\.json: .*"):
        TrainConfig.from_dict({name: "other"}, "a/run.json")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learnin_rate": 1}, "unknown key 'learnin_rate'"),
        ({"model": {"lstm_dim": 4}}, "model: "),
        ({"model": {**SHAPE.to_dict(), "dim": 4}}, "model: unknown key 'dim'"),
        ({"model": 5}, ""),
        ({"cutoffs": 5}, ""),
        ({"cutoffs": ["a", None]}, ""),
    ],
)
def test_a_damaged_run_file_is_an_error_that_names_it(values: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=rf"a/run\.json: .*{message}"):
        TrainConfig.from_dict(values, "a/run.json")


OTHER: dict[str, Any] = {
    "mode": "stream",
    "batch_tokens": 45,
    "parts": 2,
    "pool_batches": 7,
    "unroll_steps": 4,
    "softmax": "full",
    "n_candidates": 5,
    "optimizer": "adagrad",
    "learning_rate": 0.01,
    "warmup_steps": 4,
    "decay": "linear",
    "weight_decay": 0.5,
    "gradient_scale": 2.0,
    "clip_norm": 2.0,
    "dropout": 0.2,
    "seed": 2,
    "precision": "bfloat16",
    "layer_decay": 0.9,
    "softmax_steps": 3,
    "cutoffs": (3, 9),
    "tied": True,
    "word_vectors": "glove.txt",
    "dropout_kind": "variational",
}
MAY_CHANGE = {
    "max_steps": 99,
    "save_every_steps": 9,
    "validate_every_steps": 9,
    "patience": 9,
    "valid_tokens": 9,
}


def test_every_setting_is_in_one_of_the_two_lists():
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    assert names == {"model", *OTHER, *MAY_CHANGE}


@pytest.mark.parametrize("name", OTHER)
def test_a_run_is_not_continued_with_another_setting(name: str):
    before = getattr(config(), name)
    message = re.escape(f"a/run.json: {name}: expected {before} as the run was started, got ")
    model = WORD_MODEL if name in ("tied", "word_vectors") else SHAPE
    started, now = config(model=model), config(model=model, **{name: OTHER[name]})
    with pytest.raises(ConfigError, match=message + re.escape(f"{OTHER[name]};")):
        now.check_continues(started, "a/run.json")


def test_a_run_is_not_continued_with_another_shape():
    assert SHAPE.char_cnn is not None
    wider = dataclasses.replace(SHAPE, lstm_dim=8)
    words = dataclasses.replace(SHAPE, char_cnn=None, n_words=15)
    deeper = dataclasses.replace(
        SHAPE, char_cnn=dataclasses.replace(SHAPE.char_cnn, filters=((1, 3), (2, 6)))
    )
    for model, message in (
        (wider, "preset: lstm_dim: expected 6 .* got 8"),
        (words, "preset: char_cnn"),
        (deeper, "preset: char_cnn.filters: expected"),
    ):
        with pytest.raises(ConfigError, match=message):
            config(model=model).check_continues(config(), "run.json")


def test_a_run_may_be_made_longer_and_looked_at_more_often():
    config(**MAY_CHANGE).check_continues(config(), "run.json")
