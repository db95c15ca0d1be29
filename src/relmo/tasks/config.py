"""Settings of tasks: typed, frozen, written into folders and read back strictly.

`TokenConfig` is the part of a network that all tasks have, `TaskTraining` how any is trained. Each
field is a flag of `relmo tag train` or `relmo classify train`; what follows it is its help.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from relmo.errors import ConfigError
from relmo.settings import Bounds, Settings

__all__ = [
    "ClassifierConfig",
    "ClassifierSettings",
    "ClassifierTraining",
    "TaggerConfig",
    "TaggerTraining",
    "TaskTraining",
    "TokenConfig",
]

_Width = Annotated[int, Bounds(at_least=1, at_most=2**16)]  # more than any task needs
_WidthOrNone = Annotated[int, Bounds(at_least=0, at_most=2**16)]
_Rate = Annotated[float, Bounds(at_least=0, below=1)]
_Count = Annotated[int, Bounds(at_least=1, at_most=2**31)]


@dataclass(frozen=True, kw_only=True)
class TokenConfig(Settings):
    """What a network reads of each token, and the biLSTMs above it."""

    needs_every_key: ClassVar[bool] = True

    elmo: bool = True
    """Whether the network reads the layers of a biLM."""
    layers: str = "mix"
    """A learned mix of the biLM's layers (mix), or one of them by its number, from 0, the token
    layer."""
    softmax_words: bool = False
    """Whether the network reads each word's row of the biLM's softmax too."""
    char_dim: _WidthOrNone = 64
    """Width of the network's own character CNN; 0: none."""
    word_dim: _WidthOrNone = 64
    """Width of the network's own word vectors; 0: none."""
    lstm_dim: _Width = 128
    """Width of each direction of each biLSTM layer."""
    n_layers: Annotated[int, Bounds(at_least=0, at_most=64)] = 2
    """BiLSTM layers; from the second on, each layer's output is added to that of the one before."""
    mix_dropout: _Rate = 0.5
    """Dropout rate of each mix."""
    dropout: _Rate = 0.5
    """Dropout rate of each other input of a layer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.char_dim % 4:
            raise ConfigError(f"char_dim must be a multiple of 4, got {self.char_dim}")
        if not (self.elmo or self.char_dim or self.word_dim):
            raise ConfigError("a network without a biLM needs char_dim or word_dim, or both")
        if self.softmax_words and not self.elmo:
            raise ConfigError("softmax_words: the network reads no biLM")
        digits = self.layers.isascii() and self.layers.isdecimal() and len(self.layers) < 3
        if self.layers != "mix" and not digits:
            raise ConfigError(
                f"layers must be mix or the number of a layer from 0, got {self.layers!r:.60}"
            )

    def mixed(self, n_layers: int) -> slice:
        """Return which of a biLM's layers are mixed; none where the network reads no biLM.

        Raises:
            ConfigError: the biLM does not have that layer.
        """
        if not self.elmo:
            return slice(0, 0)
        if self.layers == "mix":
            return slice(0, n_layers)
        if int(self.layers) >= n_layers:
            raise ConfigError(f"layers {self.layers}: the biLM has the layers 0 to {n_layers - 1}")
        return slice(int(self.layers), int(self.layers) + 1)


@dataclass(frozen=True, kw_only=True)
class TaskTraining(Settings):
    """How a task's network is trained."""

    needs_every_key: ClassVar[bool] = True

    epochs: _Count = 20
    """Times through the training data at most; the learning rate decreases to 0 at their end."""
    batch_size: Annotated[int, Bounds(at_least=1, at_most=2**20)] = 32
    """Sentences per step."""
    learning_rate: Annotated[float, Bounds(above=0, at_most=1e3)] = 2e-3
    """The highest learning rate, of AdamW."""
    elmo_learning_rate: Annotated[float, Bounds(at_least=0, at_most=1e3)] = 1e-4
    """Learning rate of a biLM that is fine-tuned."""
    finetune_elmo: bool = False
    """Whether the biLM is fine-tuned; its layers are not cached then."""
    weight_decay: Annotated[float, Bounds(at_least=0, at_most=1)] = 0.01
    """AdamW's decay of matrices."""
    mix_penalty: Annotated[float, Bounds(at_least=0, at_most=1e6)] = 1e-3
    """The paper's lambda: times the squared weights of the mixes it is added to the loss, which
    draws each mix to the mean of the layers."""
    clip_norm: Annotated[float, Bounds(above=0, at_most=1e30)] = 1.0
    """Largest norm of the gradient."""
    patience: Annotated[int, Bounds(at_least=0, at_most=2**31)] = 5
    """Epochs in a row without a better score on the development data that end the run; 0: none
    do."""
    min_count: _Count = 2
    """Words seen less often in training have no word vector of their own."""
    seed: Annotated[int, Bounds(at_least=0, below=2**63)] = 1
    """Decides initial weights, order and dropout."""


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings(TokenConfig):
    """What `relmo classify train` takes of the shape of its network."""

    n_layers: Annotated[int, Bounds(at_least=0, at_most=64)] = 1
    """BiLSTM layers, as a tagger's; 0: the vectors of the tokens are pooled as they are."""
    pooling: Literal["max", "mean", "attention"] = "max"
    """From the vectors of the tokens to one of the sentence."""


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(ClassifierSettings):
    """The shape of a classifier's network."""

    pairs: bool = False
    """Whether it classifies pairs of sentences."""


@dataclass(frozen=True, kw_only=True)
class ClassifierTraining(TaskTraining):
    """How a classifier is trained."""


@dataclass(frozen=True, kw_only=True)
class TaggerConfig(TokenConfig):
    """The shape of a tagger's network."""

    n_layers: Annotated[int, Bounds(at_least=1, at_most=64)] = 2
    """BiLSTM layers; from the second on, each layer's output is added to that of the one before."""
    n_mixtures: Annotated[int, Bounds(at_least=1, at_most=2)] = 1
    """1: a mix of the layers at the input; 2: another beside the output of the LSTMs (section
    3.2)."""
    output: Literal["crf", "softmax"] = "crf"
    """Tags as a chain (crf, `relmo.nn.crf`), or each by itself (softmax)."""
    constrained: bool = True
    """Whether tags that the scheme does not allow after each other are never predicted."""


@dataclass(frozen=True, kw_only=True)
class TaggerTraining(TaskTraining):
    """How a tagger is trained."""
