"""options.json of bilm-tf and AllenNLP <-> BiLMConfig.

    {"lstm": {"cell_clip": 3, "proj_clip": 3, "dim": 4096, "projection_dim": 512, "n_layers": 2,
              "use_skip_connections": true},
     "char_cnn": {"activation": "relu", "embedding": {"dim": 16}, "filters": [[1, 32], ...],
                  "n_highway": 2, "n_characters": 262, "max_characters_per_token": 50}}

Without `char_cnn` it is a word-input model. Published files carry keys of the training too; what
is not read here is ignored.
"""

from typing import Any

from relmo.config import BiLMConfig, CharCNNConfig
from relmo.errors import ConfigError
from relmo.formats import _options
from relmo.formats._checks import located
from relmo.formats._options import Options

__all__ = ["config_from_options", "has_characters", "options_from_config"]

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
    lstm = _options.section(options, "lstm", where)
    for section in (options, lstm, options.get("char_cnn")):
        for key, value in _COMPUTED.items():
            if isinstance(section, dict) and section.get(key, value) != value:
                raise ConfigError(f"{where}: {key} is {section[key]!r}, relmo computes {value!r}")
    skip = lstm.get("use_skip_connections")
    if not isinstance(skip, bool):
        raise ConfigError(
            f"{where}: lstm.use_skip_connections: expected true or false, "
            f"{_options.got(lstm, 'use_skip_connections')}"
        )
    with located(where):
        return BiLMConfig(
            lstm_dim=_options.whole(lstm, "lstm.dim", where),
            projection_dim=_options.whole(lstm, "lstm.projection_dim", where),
            n_layers=_options.whole(lstm, "lstm.n_layers", where, default=1),
            cell_clip=_options.clip(lstm, "lstm.cell_clip", where),
            projection_clip=_options.clip(lstm, "lstm.proj_clip", where),
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
    cnn = _options.section(options, "char_cnn", where)
    embedding = _options.section(cnn, "char_cnn.embedding", where)
    n_characters = cnn.get("n_characters", 262)
    if n_characters not in (261, 262):
        raise ConfigError(
            f"{where}: char_cnn.n_characters: expected 261 or 262, got {n_characters!r}"
        )
    return CharCNNConfig(
        filters=_options.filters(cnn, "char_cnn.filters", where),
        embedding_dim=_options.whole(embedding, "char_cnn.embedding.dim", where),
        n_highway=_options.whole(cnn, "char_cnn.n_highway", where, default=0, least=0),
        activation=_options.activation(cnn, "char_cnn.activation", where),
        max_characters_per_token=_options.whole(cnn, "char_cnn.max_characters_per_token", where),
    )
