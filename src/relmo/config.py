"""The shape of a biLM, as typed, frozen dataclasses; an unknown key is an error."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from relmo.errors import ConfigError
from relmo.settings import Bounds, Settings

__all__ = [
    "MOST_CHARACTERS",
    "BiLMConfig",
    "CharCNNConfig",
    "LayerMix",
    "LexiconConfig",
    "tail_width",
]

MOST_CHARACTERS = 1000
"""The most character ids that a model may read per token; the published ones read 50."""

_Size = Annotated[int, Bounds(at_least=1)]
_OptionalSize = Annotated[int | None, Bounds(at_least=1)]
_Clip = Annotated[float | None, Bounds(above=0)]
# At least two boundary characters and one of the word; at most what a token may take of memory.
_Characters = Annotated[int, Bounds(at_least=3, at_most=MOST_CHARACTERS)]


@dataclass(frozen=True, kw_only=True)
class CharCNNConfig(Settings):
    """The character-aware token encoder (Peters et al. 2018, section 3.4)."""

    filters: tuple[tuple[_Size, _Size], ...]
    """(width in characters, number of filters), in the order their outputs are joined."""
    embedding_dim: _Size = 16
    """Width of a character vector."""
    n_highway: Annotated[int, Bounds(at_least=0)] = 2
    """Highway layers between the convolutions and the projection."""
    activation: Literal["relu", "tanh"] = "relu"
    """Nonlinearity after the maximum over positions."""
    max_characters_per_token: _Characters = 50
    """Character ids per token, the begin-of-word and end-of-word marks counted."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.filters:
            raise ConfigError("filters is empty; give (width, number) pairs")
        for width, _ in self.filters:
            if width > self.max_characters_per_token:
                raise ConfigError(
                    f"a filter of width {width} is wider than "
                    f"max_characters_per_token = {self.max_characters_per_token}"
                )

    @property
    def n_filters(self) -> int:
        """Width of the joined convolution outputs."""
        return sum(number for _, number in self.filters)


@dataclass(frozen=True, kw_only=True)
class LexiconConfig(Settings):
    """The token encoder of ELMoForManyLangs (Che et al. 2018): a word vector beside characters.

    Words and Unicode characters are looked up in lexicons of the model's own; either may be absent.
    """

    kind: Literal["cnn", "lstm"] = "cnn"
    """What reads the characters: convolutions and highway layers, or a bidirectional LSTM."""
    n_words: _OptionalSize = None
    """Words of the lexicon, or None for a model without word vectors."""
    word_dim: _OptionalSize = None
    """Width of a word vector."""
    n_characters: _OptionalSize = None
    """Characters of the lexicon, or None for a model that does not read them."""
    char_dim: _OptionalSize = None
    """Width of a character vector, and of each direction of the LSTM."""
    filters: tuple[tuple[_Size, _Size], ...] = ()
    """Of the convolutions: (width in characters, number of filters)."""
    n_highway: Annotated[int, Bounds(at_least=0)] = 0
    """Highway layers behind the convolutions."""
    activation: Literal["relu", "tanh"] = "relu"
    """Nonlinearity after the maximum over positions."""
    max_characters_per_token: _Characters = 50
    """Character ids per token, the begin-of-word and end-of-word marks counted."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for number, dim in (("n_words", "word_dim"), ("n_characters", "char_dim")):
            if (getattr(self, number) is None) != (getattr(self, dim) is None):
                raise ConfigError(f"give both {number} and {dim}, or neither")
        if self.n_words is None and self.n_characters is None:
            raise ConfigError("give n_words, n_characters or both")
        if self.char_cnn is None and (self.filters or self.n_highway):
            raise ConfigError("filters and n_highway belong to characters read by a 'cnn'")

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
class BiLMConfig(Settings):
    """A bidirectional language model: token encoder and projected LSTMs (section 3.1)."""

    lstm_dim: _Size
    """Width of an LSTM cell."""
    projection_dim: _Size
    """Width of a token vector and of an LSTM output; equal to lstm_dim: no LSTM projection."""
    n_layers: _Size = 2
    """LSTM layers in each direction."""
    cell_clip: _Clip = 3.0
    """Cell states are clipped to +-cell_clip; None: not clipped."""
    projection_clip: _Clip = 3.0
    """LSTM outputs are clipped to +-projection_clip; None: not clipped."""
    skip_connections: bool = True
    """Add a layer's input to its output, from the second LSTM layer on."""
    char_cnn: CharCNNConfig | None = None
    """The character token encoder, or None."""
    n_words: _OptionalSize = None
    """Rows of the word embedding of a word-input model, else None."""
    lexicon: LexiconConfig | None = None
    """The token encoder of ELMoForManyLangs, or None; a model has exactly one of the three."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.projection_dim > self.lstm_dim:
            raise ConfigError(
                f"projection_dim {self.projection_dim} is larger than lstm_dim {self.lstm_dim}"
            )
        if [self.char_cnn, self.n_words, self.lexicon].count(None) != 2:
            raise ConfigError("give either char_cnn or n_words or lexicon, one of them")
        if self.char_cnn is not None and self.char_cnn.n_filters < self.projection_dim:
            raise ConfigError(
                f"the filters give {self.char_cnn.n_filters} numbers, fewer than "
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


@dataclass(frozen=True, kw_only=True)
class LayerMix(Settings):
    """A learned weighting of the layers, from a model trained on a task (equation 1)."""

    weights: tuple[float, ...]
    """One a layer, the token layer first, before the softmax."""
    gamma: float = 1.0
    """What the weighted sum is multiplied by."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.weights:
            raise ConfigError("weights is empty; give one per layer")

    def shares(self) -> tuple[float, ...]:
        """What each layer is multiplied by: ``gamma * softmax(weights)``."""
        highest = max(self.weights)
        powers = [math.exp(weight - highest) for weight in self.weights]
        return tuple(self.gamma * power / sum(powers) for power in powers)


def tail_width(projection_dim: int, number: int) -> int:
    """Width of tail `number` of an adaptive softmax, from 0: a quarter of what is before it."""
    return max(1, projection_dim >> 2 * (number + 1))
