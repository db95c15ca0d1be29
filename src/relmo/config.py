"""The shape of a biLM, as typed, frozen dataclasses; an unknown key is an error."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar

from relmo.errors import ConfigError

__all__ = [
    "MOST_CHARACTERS",
    "BiLMConfig",
    "CharCNNConfig",
    "LayerMix",
    "LexiconConfig",
    "tail_width",
]

MOST_CHARACTERS = 1000
"""The most character ids that a model may read of a token; the published ones read 50."""

_T = TypeVar("_T")


def _positive(owner: object, **values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise ConfigError(f"{type(owner).__name__}: {name} must be at least 1, got {value}")


def _check_characters(owner: object, number: int, unit: str) -> None:
    name = f"{type(owner).__name__}: max_characters_per_token"
    if number < 3:
        raise ConfigError(f"{name} must be at least 3 (two marks and one {unit}), got {number}")
    if number > MOST_CHARACTERS:  # every token takes memory for so many
        raise ConfigError(f"{name} must be at most {MOST_CHARACTERS}, got {number}")


def _check_keys(cls: type[Any], values: Mapping[str, Any], source: str) -> None:
    known = {field.name for field in dataclasses.fields(cls)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(
            f"{source}: unknown key {unknown[0]!r}; {cls.__name__} knows {', '.join(sorted(known))}"
        )


@dataclass(frozen=True, kw_only=True)
class CharCNNConfig:
    """The character-aware token encoder (Peters et al. 2018, section 3.4)."""

    filters: tuple[tuple[int, int], ...]
    """(width in characters, number of filters), in the order their outputs are joined."""
    embedding_dim: int = 16
    """Width of a character vector."""
    n_highway: int = 2
    """Highway layers between the convolutions and the projection."""
    activation: Literal["relu", "tanh"] = "relu"
    """Nonlinearity after the maximum over positions."""
    max_characters_per_token: int = 50
    """Character ids per token, the begin-of-word and end-of-word marks counted."""

    def __post_init__(self) -> None:
        if not self.filters:
            raise ConfigError("CharCNNConfig: filters is empty; give (width, number) pairs")
        for width, number in self.filters:
            _positive(self, filter_width=width, filter_number=number)
            if width > self.max_characters_per_token:
                raise ConfigError(
                    f"CharCNNConfig: a filter of width {width} is wider than "
                    f"max_characters_per_token = {self.max_characters_per_token}"
                )
        _positive(self, embedding_dim=self.embedding_dim)
        _check_characters(self, self.max_characters_per_token, "byte")
        if self.n_highway < 0:
            raise ConfigError(f"CharCNNConfig: n_highway must be at least 0, got {self.n_highway}")
        if self.activation not in ("relu", "tanh"):
            raise ConfigError(
                f"CharCNNConfig: activation must be 'relu' or 'tanh', got {self.activation!r}"
            )

    @property
    def n_filters(self) -> int:
        """Width of the joined convolution outputs."""
        return sum(number for _, number in self.filters)


@dataclass(frozen=True, kw_only=True)
class LexiconConfig:
    """The token encoder of ELMoForManyLangs (Che et al. 2018): a word vector beside characters.

    Words and Unicode characters are looked up in lexicons of the model's own; either may be absent.
    """

    kind: Literal["cnn", "lstm"] = "cnn"
    """What reads the characters: convolutions and highway layers, or a bidirectional LSTM."""
    n_words: int | None = None
    """Words of the lexicon, or None for a model without word vectors."""
    word_dim: int | None = None
    """Width of a word vector."""
    n_characters: int | None = None
    """Characters of the lexicon, or None for a model that does not read them."""
    char_dim: int | None = None
    """Width of a character vector, and of each direction of the LSTM."""
    filters: tuple[tuple[int, int], ...] = ()
    """Of the convolutions: (width in characters, number of filters)."""
    n_highway: int = 0
    """Highway layers behind the convolutions."""
    activation: Literal["relu", "tanh"] = "relu"
    """Nonlinearity after the maximum over positions."""
    max_characters_per_token: int = 50
    """Character ids per token, the begin-of-word and end-of-word marks counted."""

    def __post_init__(self) -> None:
        for number, dim in (("n_words", "word_dim"), ("n_characters", "char_dim")):
            given = {name: getattr(self, name) for name in (number, dim)}
            if (given[number] is None) != (given[dim] is None):
                raise ConfigError(f"LexiconConfig: give both {number} and {dim}, or neither")
            _positive(self, **{name: value for name, value in given.items() if value is not None})
        if self.n_words is None and self.n_characters is None:
            raise ConfigError("LexiconConfig: give n_words, n_characters or both")
        if self.kind not in ("cnn", "lstm"):
            raise ConfigError(f"LexiconConfig: kind must be 'cnn' or 'lstm', got {self.kind!r}")
        if self.char_cnn is None:
            if self.filters or self.n_highway:
                raise ConfigError(
                    "LexiconConfig: filters and n_highway belong to characters read by a 'cnn'"
                )
            _check_characters(self, self.max_characters_per_token, "character")

    @property
    def char_cnn(self) -> CharCNNConfig | None:
        """The convolutions and highway layers over the characters, where there are any."""
        if self.kind != "cnn" or self.char_dim is None:
            return None
        return CharCNNConfig(
            filters=self.filters,
            embedding_dim=self.char_dim,
            n_highway=self.n_highway,
            activation=self.activation,
            max_characters_per_token=self.max_characters_per_token,
        )

    @property
    def joined_dim(self) -> int:
        """Width of the word vector and what was read of the characters, side by side."""
        read = 2 * (self.char_dim or 0) if self.char_cnn is None else self.char_cnn.n_filters
        return (self.word_dim or 0) + read


@dataclass(frozen=True, kw_only=True)
class BiLMConfig:
    """A bidirectional language model: token encoder and projected LSTMs (section 3.1)."""

    lstm_dim: int
    """Width of an LSTM cell."""
    projection_dim: int
    """Width of a token vector and of an LSTM output; equal to lstm_dim: no LSTM projection."""
    n_layers: int = 2
    """LSTM layers in each direction."""
    cell_clip: float | None = 3.0
    """Cell states are clipped to +-cell_clip; None: not clipped."""
    projection_clip: float | None = 3.0
    """LSTM outputs are clipped to +-projection_clip; None: not clipped."""
    skip_connections: bool = True
    """Add a layer's input to its output, from the second LSTM layer on."""
    char_cnn: CharCNNConfig | None = None
    """The character token encoder, or None."""
    n_words: int | None = None
    """Rows of the word embedding of a word-input model, else None."""
    lexicon: LexiconConfig | None = None
    """The token encoder of ELMoForManyLangs, or None; a model has exactly one of the three."""

    def __post_init__(self) -> None:
        _positive(
            self,
            lstm_dim=self.lstm_dim,
            projection_dim=self.projection_dim,
            n_layers=self.n_layers,
        )
        if self.projection_dim > self.lstm_dim:
            raise ConfigError(
                f"BiLMConfig: projection_dim {self.projection_dim} is larger than "
                f"lstm_dim {self.lstm_dim}"
            )
        for name in ("cell_clip", "projection_clip"):
            clip = getattr(self, name)
            if clip is not None and not clip > 0:
                raise ConfigError(f"BiLMConfig: {name} must be positive or None, got {clip}")
        if [self.char_cnn, self.n_words, self.lexicon].count(None) != 2:
            raise ConfigError("BiLMConfig: give either char_cnn or n_words or lexicon, one of them")
        if self.n_words is not None:
            _positive(self, n_words=self.n_words)
        if self.char_cnn is not None and self.char_cnn.n_filters < self.projection_dim:
            raise ConfigError(
                f"BiLMConfig: the filters give {self.char_cnn.n_filters} numbers, fewer than "
                f"projection_dim {self.projection_dim}"
            )

    @property
    def has_lstm_projection(self) -> bool:
        """Whether the LSTM output is projected from lstm_dim down to projection_dim."""
        return self.projection_dim < self.lstm_dim

    @property
    def has_char_projection(self) -> bool:
        """Whether the convolution outputs are projected down to projection_dim."""
        return self.char_cnn is not None and self.char_cnn.n_filters != self.projection_dim

    @property
    def dim(self) -> int:
        """Width of one layer's vectors: both directions side by side."""
        return 2 * self.projection_dim

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, as written to config.json."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "config") -> Self:
        """The inverse of `to_dict`.

        Args:
            values: what config.json holds.
            source: the file's name, for messages.

        Raises:
            ConfigError: an unknown or missing key, or values that contradict each other.
        """
        _check_keys(cls, values, source)
        fields = dict(values)
        parts: tuple[tuple[str, type[Any]], ...] = (
            ("char_cnn", CharCNNConfig), ("lexicon", LexiconConfig),
        )  # fmt: skip
        for name, kind in parts:
            part = fields.pop(name, None)
            if part is not None:
                fields[name] = _part(kind, part, f"{source}: {name}")
        _check_types(cls, fields, source)
        return _made(cls, fields, source)


@dataclass(frozen=True, kw_only=True)
class LayerMix:
    """A learned weighting of the layers, from a model trained on a task (equation 1)."""

    weights: tuple[float, ...]
    """One a layer, the token layer first, before the softmax."""
    gamma: float = 1.0
    """What the weighted sum is multiplied by."""

    def __post_init__(self) -> None:
        if not self.weights or not all(map(_is_finite, (*self.weights, self.gamma))):
            raise ConfigError(
                f"LayerMix: expected finite numbers, got weights {self.weights!r:.120} and gamma "
                f"{self.gamma!r:.40}"
            )

    def shares(self) -> tuple[float, ...]:
        """What each layer is multiplied by: ``gamma * softmax(weights)``."""
        highest = max(self.weights)
        powers = [math.exp(weight - highest) for weight in self.weights]
        return tuple(self.gamma * power / sum(powers) for power in powers)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, as written to config.json."""
        return {"weights": list(self.weights), "gamma": self.gamma}

    @classmethod
    def from_dict(cls, values: object, source: str = "mix") -> Self:
        """The inverse of `to_dict`; ConfigError for anything else."""
        if not isinstance(values, Mapping):
            raise ConfigError(f"{source}: expected an object, got {values!r:.60}")
        _check_keys(cls, values, source)
        weights, gamma = values.get("weights"), values.get("gamma", 1.0)
        if not isinstance(weights, list) or not all(map(_is_finite, (*weights, gamma))):
            raise ConfigError(f"{source}: expected finite numbers, got {values!r:.120}")
        return _made(cls, {"weights": tuple(map(float, weights)), "gamma": float(gamma)}, source)


def tail_width(projection_dim: int, number: int) -> int:
    """Width of tail `number` of an adaptive softmax, from 0: a quarter of what is before it."""
    return max(1, projection_dim >> 2 * (number + 1))


_KINDS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "int": (lambda value: type(value) is int, "a whole number"),
    "int | None": (lambda value: value is None or type(value) is int, "a whole number or null"),
    "float | None": (lambda value: value is None or _is_finite(value), "a finite number or null"),
    "bool": (lambda value: type(value) is bool, "true or false"),
    str(Literal["relu", "tanh"]): (
        lambda value: isinstance(value, str) and value in ("relu", "tanh"),
        "'relu' or 'tanh'",
    ),
    str(Literal["cnn", "lstm"]): (
        lambda value: isinstance(value, str) and value in ("cnn", "lstm"),
        "'cnn' or 'lstm'",
    ),
}


def _is_finite(value: object) -> bool:
    try:
        return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
    except OverflowError:
        return False


def _check_types(cls: type[Any], values: Mapping[str, Any], source: str) -> None:
    for field in dataclasses.fields(cls):
        kind = _KINDS.get(field.type.__name__ if isinstance(field.type, type) else str(field.type))
        if field.name in values and kind is not None and not kind[0](values[field.name]):
            got = values[field.name]
            raise ConfigError(f"{source}: {field.name!r} is {got!r:.60}, expected {kind[1]}")


def _part(cls: type[_T], values: object, source: str) -> _T:
    """A token encoder's part of the configuration."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{source} is {values!r:.60}, expected an object")
    _check_keys(cls, values, source)
    _check_types(cls, values, source)
    fields = dict(values)
    if "filters" in fields:
        pairs = fields["filters"]
        is_list = isinstance(pairs, list | tuple) and all(
            isinstance(pair, list | tuple) and len(pair) == 2 and all(type(n) is int for n in pair)
            for pair in pairs
        )
        if not is_list:
            raise ConfigError(
                f"{source}: 'filters' is {pairs!r:.60}, expected a list of [width, number] pairs"
            )
        fields["filters"] = tuple((width, number) for width, number in pairs)
    return _made(cls, fields, source)


def _made(cls: type[_T], fields: dict[str, Any], source: str) -> _T:
    """The dataclass, or an error that names the keys it lacks."""
    missing = [
        field.name
        for field in dataclasses.fields(cls)  # type: ignore[arg-type]
        if field.default is dataclasses.MISSING and field.name not in fields
    ]
    if missing:
        raise ConfigError(f"{source}: the key {missing[0]!r} is missing")
    try:
        return cls(**fields)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None
