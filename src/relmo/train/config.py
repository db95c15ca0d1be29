"""Settings of a training run: typed, frozen, written into the run's folder.

Each field is a flag of `relmo train` or `relmo finetune` and a key of their --config; what follows
it is its help. `TrainConfig` is all of them and the model's shape.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

from relmo.config import BiLMConfig, CharCNNConfig
from relmo.errors import ConfigError
from relmo.settings import Bounds, Settings

__all__ = ["PRESETS", "FinetuneSettings", "RunSettings", "TrainConfig", "TrainSettings", "preset"]

_SMALL_FILTERS = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256))
_PUBLISHED_FILTERS = (*_SMALL_FILTERS, (6, 512), (7, 1024))


def _shape(
    lstm_dim: int,
    projection_dim: int,
    n_highway: int,
    filters: tuple[tuple[int, int], ...] = _PUBLISHED_FILTERS,
) -> BiLMConfig:
    return BiLMConfig(
        lstm_dim=lstm_dim,
        projection_dim=projection_dim,
        char_cnn=CharCNNConfig(filters=filters, n_highway=n_highway),
    )


PRESETS: Mapping[str, BiLMConfig] = {
    "mini": _shape(512, 128, 1, _SMALL_FILTERS),
    "small": _shape(1024, 128, 1),
    "medium": _shape(2048, 256, 1),
    "original": _shape(4096, 512, 2),
}
"""The published shapes (small 13.6 M, medium 28.0 M, original 93.6 M parameters), and `mini`
(3.2 M), which two cores can train."""


def preset(name: str) -> BiLMConfig:
    """Return the shape of a preset.

    Raises:
        ConfigError: no preset has that name.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset must be one of {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name]


_Count = Annotated[int, Bounds(at_least=1)]
_CountOrNone = Annotated[int, Bounds(at_least=0)]
_Factor = Annotated[float, Bounds(above=0, at_most=1e30)]  # torch refuses what overflows a float32


@dataclass(frozen=True, kw_only=True)
class RunSettings(Settings):
    """What `relmo train` and `relmo finetune` share: everything that decides how a run trains."""

    seed: Annotated[int, Bounds(at_least=0, below=2**63)] = 1
    """Decides initial weights, order, candidates and dropout."""
    save_every_steps: _Count = 500
    """Steps between checkpoints."""
    validate_every_steps: _Count = 1000
    """Steps between validations."""
    patience: _CountOrNone = 0
    """Validations in a row without a better perplexity that end the run; 0: none do."""
    valid_tokens: _CountOrNone = 20_000
    """Tokens of the validation file used at most, spread over it; 0: all."""
    mode: Literal["sentence", "rows", "stream"] = "rows"
    """Each sentence from a zero state, in batches of similar length (sentence) or in rows of
    running text (rows); or running text with the state carried along, as published (stream)."""
    batch_tokens: _Count = 2560
    """Predictions per direction and step."""
    parts: _Count = 1
    """Micro-batches of a step, computed one after another in the memory of one, or divided among
    the processes of torchrun."""
    pool_batches: _Count = 100
    """Sentence mode: batches' worth of sentences sorted by length together; 1 mixes all lengths in
    a batch."""
    unroll_steps: _Count = 20
    """Rows and stream mode: steps between truncations."""
    softmax: Literal["sampled", "full", "adaptive"] = "sampled"
    """The training loss: of a sample of the words, of all, or of an adaptive softmax, whose rare
    words take less memory; validation is over all words."""
    cutoffs: tuple[int, ...] = ()
    """Adaptive softmax: ranks at which its tails begin, such as 2000,20000; none: chosen by the
    size of the vocabulary."""
    n_candidates: _Count = 1024
    """Candidates of the sampled softmax, shared by a batch."""
    optimizer: Literal["adamw", "adagrad"] = "adamw"
    """AdamW, or Adagrad as published."""
    learning_rate: _Factor = 2e-3
    """The highest learning rate (published: 0.2 with Adagrad)."""
    warmup_steps: _CountOrNone = 500
    """Steps over which the learning rate rises from zero."""
    decay: Literal["cosine", "linear", "none"] = "cosine"
    """How the learning rate decreases to a twentieth at the last step."""
    weight_decay: Annotated[float, Bounds(at_least=0, at_most=1)] = 0.01
    """AdamW's decay of matrices."""
    gradient_scale: _Factor = 1.0
    """Factor of the loss before differentiation (published: unroll_steps, with Adagrad)."""
    clip_norm: _Factor = 1.0
    """Largest norm of the whole gradient (published: 10)."""
    dropout: Annotated[float, Bounds(at_least=0, below=1)] = 0.1
    """Dropout rate of each LSTM layer's input and of the output."""
    dropout_kind: Literal["plain", "variational"] = "plain"
    """A new mask at each step, or one mask for all steps of a batch's row."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Type of the matrix products in training; weights and sums stay float32."""
    layer_decay: Annotated[float, Bounds(above=0, at_most=1)] = 1.0
    """Factor of each layer's learning rate relative to the layer above it, from the softmax down to
    the token encoder."""
    softmax_steps: _CountOrNone = 0
    """First steps, in which only the softmax is trained: for a model that has none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_micro_batches()
        if any(low >= high for low, high in pairwise((0, *self.cutoffs))):
            got = ",".join(map(str, self.cutoffs))
            raise ConfigError(f"cutoffs must be increasing numbers from 1 on, got {got}")

    def _check_micro_batches(self) -> None:
        """Check that a step's predictions make whole rows and equal micro-batches."""
        factors = {} if self.mode == "sentence" else {"unroll_steps": self.unroll_steps}
        if self.parts > 1:
            factors["parts"] = self.parts
        if self.batch_tokens % math.prod(factors.values()):
            names = " times ".join(f"{name} {n}" for name, n in factors.items())
            raise ConfigError(f"batch_tokens {self.batch_tokens} is not a multiple of {names}")
        if self.mode == "sentence" and self.batch_tokens < 2 * self.parts:
            raise ConfigError(
                f"batch_tokens must be at least {2 * self.parts}: a word and a sentence's end"
                + f" in each of parts={self.parts}" * (self.parts > 1)
            )


@dataclass(frozen=True, kw_only=True)
class TrainSettings(RunSettings):
    """What `relmo train` takes, the model's shape aside."""

    max_steps: _Count = 10_000
    """Steps of the whole run."""
    tied: bool = False
    """One matrix is the word embedding and the softmax's weight, of a model that reads words."""
    word_vectors: str | None = None
    """File of word vectors of word2vec or GloVe with which the word embedding starts, as wide as
    the projection (default: random)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.softmax_steps > self.max_steps:
            raise ConfigError(
                f"softmax_steps must be from 0 to max_steps {self.max_steps}, got "
                f"{self.softmax_steps}"
            )
        if self.tied and self.softmax == "adaptive":
            raise ConfigError(
                "tied: an adaptive softmax has no matrix of the word embedding's shape; take "
                "softmax=sampled or softmax=full"
            )


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings(RunSettings):
    """What `relmo finetune` takes: as `RunSettings`, with gentler defaults."""

    epochs: _Factor = 1.0
    """Times through the corpus, about, in which all is trained."""
    max_steps: Annotated[int | None, Bounds(at_least=1)] = None
    """Steps of the whole run (default: as many as epochs says)."""
    batch_tokens: _Count = 640
    """Predictions per direction and step."""
    learning_rate: _Factor = 1e-3
    """The highest learning rate."""
    warmup_steps: _CountOrNone = 20
    """Steps over which the learning rate rises from zero."""
    layer_decay: Annotated[float, Bounds(above=0, at_most=1)] = 0.9
    """Factor of each layer's learning rate relative to the layer above it, from the softmax down to
    the token encoder."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(TrainSettings):
    """Everything that decides what a run computes, its corpus aside."""

    model: BiLMConfig = PRESETS["mini"]
    """The biLM's shape."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("tied", "word_vectors"):
            if getattr(self, name) and self.model.n_words is None:
                raise ConfigError(
                    f"{name}: the model reads characters and has no word embedding; take "
                    "input=words, or leave it out"
                )

    def check_continues(self, started: "TrainConfig", source: str) -> None:
        """Check that these settings continue a run that was started with others.

        Its length, its patience and how often it saves and validates may change (the decay follows
        max_steps).

        Args:
            started: the settings of the run.
            source: its run.json, for messages.

        Raises:
            ConfigError: anything else differs.
        """
        before, after = _flat(started.to_dict()), _flat(self.to_dict())
        for name in sorted(before.keys() | after.keys()):
            if name not in _MAY_CHANGE and before.get(name) != after.get(name):
                shape = name.removeprefix("model.")
                what = name if shape == name else f"preset: {shape}"
                raise ConfigError(
                    f"{source}: {what}: expected {before.get(name)} as the run was started, got "
                    f"{after.get(name)}; resume with that, or start in another folder"
                )


_MAY_CHANGE = {
    "max_steps",
    "save_every_steps",
    "validate_every_steps",
    "patience",
    "valid_tokens",
}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return `{"a": {"b": 1}}` as `{"a.b": 1}`."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            result |= _flat(value, f"{prefix}{name}.")
        else:
            result[prefix + name] = value
    return result
