"""Configurations: round trips, unknown keys, contradictions."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relmo.config import BiLMConfig, CharCNNConfig, LexiconConfig
from relmo.errors import ConfigError

clips = st.none() | st.floats(min_value=0.1, max_value=100)


# Strategies give plain values, not relmo's objects: beartype looks at a random element of each
# container, which hypothesis forbids while it draws.
@st.composite
def char_cnns(draw: st.DrawFn) -> dict[str, Any]:
    size = draw(st.integers(3, 60))
    filters = st.tuples(st.integers(1, size), st.integers(1, 512))
    return {
        "filters": tuple(draw(st.lists(filters, min_size=1, max_size=7))),
        "embedding_dim": draw(st.integers(1, 32)),
        "n_highway": draw(st.integers(0, 3)),
        "activation": draw(st.sampled_from(["relu", "tanh"])),
        "max_characters_per_token": size,
    }


@st.composite
def lexicons(draw: st.DrawFn) -> dict[str, Any]:
    has_words, has_characters = draw(st.sampled_from([(True, True), (True, False), (False, True)]))
    kind = draw(st.sampled_from(["cnn", "lstm"]))
    cnn = draw(char_cnns())
    convolutions = {name: cnn[name] for name in ("filters", "n_highway", "activation")}
    if kind == "lstm" or not has_characters:
        convolutions |= {"filters": (), "n_highway": 0}
    return {
        "kind": kind,
        "n_words": draw(st.integers(1, 10**6)) if has_words else None,
        "word_dim": draw(st.integers(1, 512)) if has_words else None,
        "n_characters": draw(st.integers(1, 10**5)) if has_characters else None,
        "char_dim": cnn["embedding_dim"] if has_characters else None,
        "max_characters_per_token": cnn["max_characters_per_token"],
        **convolutions,
    }


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    char_cnn = draw(st.none() | char_cnns())
    lexicon = None if char_cnn else draw(st.none() | lexicons())
    widest = sum(number for _, number in char_cnn["filters"]) if char_cnn else 512
    projection_dim = draw(st.integers(1, widest))
    return {
        "projection_dim": projection_dim,
        "lstm_dim": projection_dim + draw(st.integers(0, 4096)),
        "n_layers": draw(st.integers(1, 4)),
        "cell_clip": draw(clips),
        "projection_clip": draw(clips),
        "skip_connections": draw(st.booleans()),
        "char_cnn": char_cnn,
        "n_words": None if char_cnn or lexicon else draw(st.integers(1, 10**6)),
        "lexicon": lexicon,
    }


CHARS = CharCNNConfig(filters=((1, 4), (2, 8)))
CONFIG = BiLMConfig(lstm_dim=16, projection_dim=8, char_cnn=CHARS)
LEXICON = LexiconConfig(n_words=9, word_dim=3, n_characters=20, char_dim=2, filters=((1, 4),))


@given(configs())
def test_what_is_written_as_json_is_read_back(values: dict[str, Any]):
    config = BiLMConfig.from_dict(values)
    assert config.to_dict() == values
    assert BiLMConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@given(st.text(min_size=1))
def test_an_unknown_key_is_an_error_that_names_key_and_source(key: str):
    known = {field.name for field in dataclasses.fields(BiLMConfig)}
    values = CONFIG.to_dict() | {key + "_": 1}
    assert key + "_" not in known
    with pytest.raises(ConfigError) as caught:
        BiLMConfig.from_dict(values, source="model/config.json")
    assert "model/config.json" in str(caught.value)
    assert repr(key + "_") in str(caught.value)


def test_an_unknown_key_inside_char_cnn_is_an_error_that_says_where():
    values = CONFIG.to_dict()
    values["char_cnn"] = {**values["char_cnn"], "filtres": []}
    with pytest.raises(ConfigError, match=r"here\.json: char_cnn: unknown key 'filtres'"):
        BiLMConfig.from_dict(values, source="here.json")


def test_a_missing_key_is_an_error_that_names_it():
    values = CONFIG.to_dict()
    del values["lstm_dim"]
    with pytest.raises(ConfigError, match=r"here\.json: .*lstm_dim"):
        BiLMConfig.from_dict(values, source="here.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lstm_dim": 0}, "lstm_dim must be at least 1"),
        ({"n_layers": 0}, "n_layers must be at least 1"),
        ({"projection_dim": 17, "lstm_dim": 16}, "projection_dim 17 is larger"),
        ({"projection_dim": 13}, "the filters give 12 numbers, fewer"),
        ({"cell_clip": 0.0}, "cell_clip must be above 0"),
        (
            {"projection_clip": float("nan")},
            "projection_clip is nan, expected a finite number or none",
        ),
        ({"n_words": 10}, "either char_cnn or n_words"),
        ({"char_cnn": None}, "either char_cnn or n_words"),
        ({"char_cnn": None, "n_words": 0}, "n_words must be at least 1"),
        ({"lexicon": LEXICON}, "either char_cnn or n_words or lexicon"),
    ],
)
def test_a_contradiction_is_an_error(changes: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(CONFIG, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"filters": ()}, "filters is empty"),
        ({"filters": ((0, 4),)}, r"filters\[0\]\[0\] must be at least 1"),
        ({"filters": ((51, 4),)}, "wider than"),
        ({"max_characters_per_token": 2}, "at least 3"),
        ({"max_characters_per_token": 10**12}, "at most 1000"),
        ({"n_highway": -1}, "n_highway must be at least 0"),
    ],
)
def test_a_contradiction_in_the_character_encoder_is_an_error(
    changes: dict[str, object], message: str
):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(CHARS, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"word_dim": None}, "give both n_words and word_dim, or neither"),
        ({"n_characters": None}, "give both n_characters and char_dim, or neither"),
        ({"char_dim": 0}, "char_dim must be at least 1"),
        ({"kind": "lstm"}, "filters and n_highway belong to"),
        ({"n_characters": None, "char_dim": None}, "filters and n_highway belong to"),
        ({"kind": "lstm", "filters": (), "max_characters_per_token": 2}, "at least 3"),
        ({"kind": "lstm", "filters": (), "max_characters_per_token": 1001}, "at most 1000"),
        ({"filters": ()}, "filters is empty"),
        ({"filters": ((51, 4),)}, "wider than"),
        (
            dict.fromkeys(("n_words", "word_dim", "n_characters", "char_dim")),
            "n_words, n_characters or both",
        ),
    ],
)
def test_a_contradiction_in_the_lexicon_encoder_is_an_error(
    changes: dict[str, object], message: str
):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(LEXICON, **changes)


@pytest.mark.parametrize(
    "values",
    [
        {"lstm_dim": "16"},
        {"char_cnn": []},
        {"char_cnn": {}},
        {"char_cnn": {"filters": 3}},
        {"char_cnn": {"filters": [[1, 2, 3]]}},
        {"char_cnn": {"filters": [[1, 2]], "activation": "gelu"}},
        {"lexicon": {"kind": "gru"}},
        {"lexicon": {"n_words": "3"}},
        {"lexicon": [1]},
    ],
)
def test_a_value_of_the_wrong_kind_is_a_config_error(values: dict[str, object]):
    with pytest.raises(ConfigError, match=r"here\.json"):
        BiLMConfig.from_dict(CONFIG.to_dict() | values, source="here.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lstm_dim": 12.0}, "lstm_dim is 12.0, expected an integer"),
        ({"lstm_dim": True}, "lstm_dim is True, expected an integer"),
        ({"skip_connections": "false"}, "skip_connections is 'false', expected true or false"),
        ({"cell_clip": 10**400}, "cell_clip is 1000"),
        ({"cell_clip": float("nan")}, "cell_clip is nan, expected a finite number or none"),
        ({"char_cnn": {}}, "char_cnn: the key 'filters' is missing"),
        ({"char_cnn": []}, "char_cnn: expected an object, got []"),
        (
            {"char_cnn": {"filters": [[1]]}},
            "filters[0] is (1,), expected a list of 2 integers",
        ),
        ({"char_cnn": {"filters": [[1, 4]], "x": 1}}, "char_cnn: unknown key 'x'"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(change, said):
    values = {"lstm_dim": 12, "projection_dim": 4, "char_cnn": {"filters": [[1, 4]]}}
    BiLMConfig.from_dict(values, "c.json")
    with pytest.raises(ConfigError) as caught:
        BiLMConfig.from_dict({**values, **change}, "c.json")
    assert str(caught.value).startswith("c.json: ")
    assert said in str(caught.value)
