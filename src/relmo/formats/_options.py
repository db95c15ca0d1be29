"""What is read of a JSON file of options: each value of its kind, or a ConfigError naming the key.

`where` begins each message; a key is written with the section it is in, such as "lstm.dim".

options.json of bilm-tf and AllenNLP <-> BiLMConfig.

    {"lstm": {"cell_clip": 3, "proj_clip": 3, "dim": 4096, "projection_dim": 512, "n_layers": 2,
              "use_skip_connections": true},
     "char_cnn": {"activation": "relu", "embedding": {"dim": 16}, "filters": [[1, 32], ...],
                  "n_highway": 2, "n_characters": 262, "max_characters_per_token": 50}}

Without `char_cnn` it is a word-input model. Published files carry keys of the training too; what
is not read here is ignored.
"""

import sys
from collections.abc import Mapping
from typing import Any, Literal

from relmo.config import BiLMConfig, CharCNNConfig
from relmo.errors import ConfigError
from relmo.formats._checks import located

__all__ = [
    "Options",
    "activation",
    "clip",
    "config_from_options",
    "filters",
    "got",
    "has_characters",
    "options_from_config",
    "section",
    "whole",
]


Options = Mapping[str, Any]


def section(options: Options, key: str, where: str) -> Options:
    """An object within the options."""
    value = options.get(_last(key))
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: {key}: expected an object, {got(options, key)}")
    return value


def whole(
    options: Options, key: str, where: str, *, default: int | None = None, least: int = 1
) -> int:
    """A whole number of at least `least`; `default` where the key is absent."""
    value = options.get(_last(key), default)
    if type(value) is not int or value < least:  # True is an int too
        raise ConfigError(
            f"{where}: {key}: expected a whole number of at least {least}, {got(options, key)}"
        )
    return value


def clip(options: Options, key: str, where: str) -> float | None:
    """A clip; absent, null and 0 are all no clip, as AllenNLP reads them."""
    value = options.get(_last(key))
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value <= sys.float_info.max:  # not NaN, inf
        raise ConfigError(f"{where}: {key}: expected a number of at least 0 or null, got {value!r}")
    return float(value) or None


def filters(options: Options, key: str, where: str) -> tuple[tuple[int, int], ...]:
    """Widths and numbers of convolutions."""
    value = options.get(_last(key))
    if not isinstance(value, list) or not value or not all(map(_is_pair, value)):
        raise ConfigError(f"{where}: {key}: expected [[width, number], ...], {got(options, key)}")
    return tuple((width, number) for width, number in value)


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(item) is int for item in value)


def activation(options: Options, key: str, where: str) -> Literal["relu", "tanh"]:
    """A nonlinearity."""
    match options.get(_last(key)):
        case "relu":
            return "relu"
        case "tanh":
            return "tanh"
    raise ConfigError(f"{where}: {key}: expected 'relu' or 'tanh', {got(options, key)}")


def got(options: Options, key: str) -> str:
    """What there is in place of what was expected."""
    name = _last(key)
    return f"got {options[name]!r}" if name in options else "the key is missing"


def _last(key: str) -> str:
    return key.rpartition(".")[2]


_COMPUTED = {"bidirectional": True, "reverse": False, "projection_after_highway": True}
"""Keys of some published files that would change the arithmetic at any other value."""


def has_characters(options: Options) -> bool:
    """Whether the model reads characters, not word ids."""
    return options.get("char_cnn") is not None


def config_from_options(options: Options, where: str, n_words: int | None = None) -> BiLMConfig:
    """The configuration that options describe.

    Args:
        options: what options.json holds.
        where: the file, for messages.
        n_words: rows of the embedding of a word-input model, None for one with characters.

    Raises:
        ConfigError: a key is missing, of a wrong type, or contradicts another.
    """
    lstm = section(options, "lstm", where)
    for part in (options, lstm, options.get("char_cnn")):
        for key, value in _COMPUTED.items():
            if isinstance(part, dict) and part.get(key, value) != value:
                raise ConfigError(f"{where}: {key} is {part[key]!r}, relmo computes {value!r}")
    skip = lstm.get("use_skip_connections")
    if not isinstance(skip, bool):
        raise ConfigError(
            f"{where}: lstm.use_skip_connections: expected true or false, "
            f"{got(lstm, 'use_skip_connections')}"
        )
    with located(where):
        return BiLMConfig(
            lstm_dim=whole(lstm, "lstm.dim", where),
            projection_dim=whole(lstm, "lstm.projection_dim", where),
            n_layers=whole(lstm, "lstm.n_layers", where, default=1),
            cell_clip=clip(lstm, "lstm.cell_clip", where),
            projection_clip=clip(lstm, "lstm.proj_clip", where),
            skip_connections=skip,
            char_cnn=_char_cnn(options, where) if has_characters(options) else None,
            n_words=n_words,
        )


def options_from_config(config: BiLMConfig) -> dict[str, Any]:
    """The options that `config_from_options` reads back as `config`."""
    options: dict[str, Any] = {
        "lstm": {
            "cell_clip": config.cell_clip,
            "dim": config.lstm_dim,
            "n_layers": config.n_layers,
            "proj_clip": config.projection_clip,
            "projection_dim": config.projection_dim,
            "use_skip_connections": config.skip_connections,
        }
    }
    if config.char_cnn is not None:
        options["char_cnn"] = {
            "activation": config.char_cnn.activation,
            "embedding": {"dim": config.char_cnn.embedding_dim},
            "filters": [list(pair) for pair in config.char_cnn.filters],
            "max_characters_per_token": config.char_cnn.max_characters_per_token,
            "n_characters": 262,  # what inference with bilm-tf wants: the mask counted
            "n_highway": config.char_cnn.n_highway,
        }
    return options


def _char_cnn(options: Options, where: str) -> CharCNNConfig:
    cnn = section(options, "char_cnn", where)
    embedding = section(cnn, "char_cnn.embedding", where)
    n_characters = cnn.get("n_characters", 262)
    if n_characters not in (261, 262):
        raise ConfigError(
            f"{where}: char_cnn.n_characters: expected 261 or 262, got {n_characters!r}"
        )
    return CharCNNConfig(
        filters=filters(cnn, "char_cnn.filters", where),
        embedding_dim=whole(embedding, "char_cnn.embedding.dim", where),
        n_highway=whole(cnn, "char_cnn.n_highway", where, default=0, least=0),
        activation=activation(cnn, "char_cnn.activation", where),
        max_characters_per_token=whole(cnn, "char_cnn.max_characters_per_token", where),
    )
