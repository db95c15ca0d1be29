"""Settings of tasks: typed, frozen, written into folders and read back strictly.

`TokenConfig` is the part of a network that all tasks have, `TaskTraining` how any is trained.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from relmo.errors import ConfigError

__all__ = [
    "ClassifierConfig",
    "ClassifierTraining",
    "Settings",
    "TaggerConfig",
    "TaggerTraining",
    "TaskTraining",
    "TokenConfig",
]


_MOST = 2**16  # of a width: what no task needs


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Fields that all have defaults, to a JSON object and back."""

    def to_dict(self) -> dict[str, Any]:
        """As written to a file."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: object, source: str = "config.json") -> Self:
        """The inverse of `to_dict`: exactly its keys, each of the type that its default has.

        Raises:
            ConfigError: anything else; it begins with `source`.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"{source}: expected an object, got {values!r:.60}")
        defaults = {field.name: field.default for field in dataclasses.fields(cls)}
        for name in values:
            if name not in defaults:
                raise ConfigError(
                    f"{source}: unknown key {name!r:.60}; expected {', '.join(defaults)}"
                )
        for name, default in defaults.items():
            if name not in values:
                raise ConfigError(f"{source}: the key {name!r} is missing")
            kinds = (int, float) if type(default) is float else (type(default),)
            if type(values[name]) not in kinds:
                raise ConfigError(f"{source}: {name!r} is {values[name]!r:.60}, expected a value "
                                  f"such as {default!r}")  # fmt: skip
        try:
            return cls(**values)
        except ConfigError as error:
            raise ConfigError(f"{source}: {error}") from None

    def _check_whole(self, name: str, least: int, most: int) -> None:
        value = getattr(self, name)
        if not least <= value <= most:
            raise ConfigError(f"{_flag(name)} must be a whole number from {least} to {most}, "
                              f"got {value!r:.60}")  # fmt: skip

    def _check_number(self, name: str, least: float, most: float, *, below: bool = False) -> None:
        value = getattr(self, name)
        if not least <= value <= most or (below and value == most):  # NaN is no such number either
            end = f"below {most:g}" if below else f"{most:g}"
            raise ConfigError(f"{_flag(name)} must be from {least:g} to {end}, got {value!r:.60}")

    def _check_bool(self, name: str) -> None:
        value = getattr(self, name)
        if type(value) is not bool:
            raise ConfigError(f"{name!r} is {value!r:.60}, expected true or false")


@dataclass(frozen=True, kw_only=True)
class TokenConfig(Settings):
    """What a network reads of each token, and the biLSTMs above it."""

    elmo: bool = True
    """Whether it reads a biLM's layers."""
    layers: str = "mix"
    """"mix": a learned mix of the biLM's layers; else one of them by its number, from "0", the
    token layer."""
    softmax_words: bool = False
    """Whether it reads the row that each word has in the biLM's softmax too."""
    char_dim: int = 64
    """Width of its own character CNN; 0: it has none."""
    word_dim: int = 64
    """Width of its own word vectors; 0: it has none."""
    lstm_dim: int = 128
    """Width of each direction of each biLSTM layer."""
    n_layers: int = 2
    """BiLSTM layers; from the second on, each layer's output is added to that of the one before."""
    mix_dropout: float = 0.5
    """Share of each mix's numbers zeroed in training."""
    dropout: float = 0.5
    """Share zeroed of each other input of a layer in training."""

    def __post_init__(self) -> None:
        for name in ("elmo", "softmax_words"):
            self._check_bool(name)
        for name, least, most in (
            ("char_dim", 0, _MOST), ("word_dim", 0, _MOST), ("lstm_dim", 1, _MOST),
            ("n_layers", 0, 64),
        ):  # fmt: skip
            self._check_whole(name, least, most)
        for name in ("mix_dropout", "dropout"):
            self._check_number(name, 0, 1, below=True)
        if self.char_dim % 4:
            raise ConfigError(f"--char-dim must be a multiple of 4, got {self.char_dim}")
        if not (self.elmo or self.char_dim or self.word_dim):
            raise ConfigError("a network without a biLM needs --char-dim or --word-dim, or both")
        if self.softmax_words and not self.elmo:
            raise ConfigError("--softmax-words: the network reads no biLM")
        digits = self.layers.isascii() and self.layers.isdecimal() and len(self.layers) < 3
        if self.layers != "mix" and not digits:
            raise ConfigError(
                f"--layers must be mix or the number of a layer from 0, got {self.layers!r:.60}"
            )

    def mixed(self, n_layers: int) -> slice:
        """Which of a biLM's layers are mixed; none where it reads no biLM.

        Raises:
            ConfigError: it has not got that layer.
        """
        if not self.elmo:
            return slice(0, 0)
        if self.layers == "mix":
            return slice(0, n_layers)
        if int(self.layers) >= n_layers:
            raise ConfigError(
                f"--layers {self.layers}: the biLM has the layers 0 to {n_layers - 1}"
            )
        return slice(int(self.layers), int(self.layers) + 1)


@dataclass(frozen=True, kw_only=True)
class TaskTraining(Settings):
    """How a task's network is trained."""

    epochs: int = 20
    """Times through the training data, unless it stops earlier; the learning rate falls to 0 at
    their end."""
    batch_size: int = 32
    """Sentences of a step."""
    learning_rate: float = 2e-3
    """The highest one, of AdamW."""
    elmo_learning_rate: float = 1e-4
    """That of the biLM where it is fine-tuned."""
    finetune_elmo: bool = False
    """Whether the biLM learns too."""
    weight_decay: float = 0.01
    """Of AdamW."""
    mix_penalty: float = 1e-3
    """The paper's lambda: times the squared weights of the mixes it is added to the loss, which
    draws the mix to the mean of the layers."""
    clip_norm: float = 1.0
    """Largest norm of the gradient."""
    patience: int = 5
    """Epochs without a better score on the development data after which it stops; 0: never."""
    min_count: int = 2
    """Words seen less often in training have no word vector of their own."""
    seed: int = 1
    """Decides initial weights, order and dropout."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("epochs", 1, 2**31), ("batch_size", 1, 2**20), ("patience", 0, 2**31),
            ("min_count", 1, 2**31), ("seed", 0, 2**63 - 1),
        ):  # fmt: skip
            self._check_whole(name, least, most)
        for name, highest in (("weight_decay", 1), ("mix_penalty", 1e6), ("learning_rate", 1e3),
                              ("elmo_learning_rate", 1e3), ("clip_norm", 1e30)):  # fmt: skip
            self._check_number(name, 0, highest)
        if self.learning_rate == 0 or self.clip_norm == 0:
            raise ConfigError("--learning-rate and --clip-norm must be above 0")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


_POOLINGS = ("max", "mean", "attention")


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(TokenConfig):
    """The shape of a classifier's network."""

    n_layers: int = 1
    """BiLSTM layers, as a tagger's; 0: the vectors of the tokens are pooled as they are."""
    pairs: bool = False
    """Whether it classifies pairs of sentences."""
    pooling: str = "max"
    """"max", "mean" or "attention": from the vectors of the tokens to one of the sentence."""

    def __post_init__(self) -> None:
        TokenConfig.__post_init__(self)
        self._check_bool("pairs")
        if self.pooling not in _POOLINGS:
            raise ConfigError(f"--pooling must be max, mean or attention, got {self.pooling!r:.60}")


@dataclass(frozen=True, kw_only=True)
class ClassifierTraining(TaskTraining):
    """How a classifier is trained."""


@dataclass(frozen=True, kw_only=True)
class TaggerConfig(TokenConfig):
    """The shape of a tagger's network."""

    n_mixtures: int = 1
    """1: a mix at the input; 2: another one beside the output of the LSTMs (section 3.2)."""
    output: str = "crf"
    """"softmax" or "crf": each tag by itself, or a chain of them (`relmo.nn.crf`)."""
    constrained: bool = True
    """Whether tags that the scheme does not allow after each other are never predicted."""

    def __post_init__(self) -> None:
        TokenConfig.__post_init__(self)
        self._check_whole("n_layers", 1, 64)
        self._check_whole("n_mixtures", 1, 2)
        self._check_bool("constrained")
        if self.output not in ("softmax", "crf"):
            raise ConfigError(f"--output must be softmax or crf, got {self.output!r:.60}")


@dataclass(frozen=True, kw_only=True)
class TaggerTraining(TaskTraining):
    """How a tagger is trained."""
