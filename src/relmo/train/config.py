"""What a training run is: typed, frozen, written into the run folder."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, Self

from relmo.config import BiLMConfig, CharCNNConfig
from relmo.errors import ConfigError

__all__ = ["PRESETS", "TrainConfig", "preset"]

_SMALL_FILTERS = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256))
_PUBLISHED_FILTERS = (*_SMALL_FILTERS, (6, 512), (7, 1024))


def _shape(lstm_dim: int, projection_dim: int, n_highway: int,
           filters: tuple[tuple[int, int], ...] = _PUBLISHED_FILTERS) -> BiLMConfig:  # fmt: skip
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
    """The shape of a preset.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in PRESETS:
        raise ConfigError(f"--preset: expected one of {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides what a run computes, its corpus aside."""

    model: BiLMConfig = field(default_factory=lambda: PRESETS["mini"])
    """The biLM's shape."""
    mode: Literal["sentence", "rows", "stream"] = "rows"
    """`sentence`: each from a zero state, as embedding reads it, batches of like length; `rows`:
    the same sentences end to end in parallel rows, the state set to zero where one starts;
    `stream`: rows whose state is carried along from sentence to sentence, as published."""
    batch_tokens: int = 2560
    """Predictions a direction and step."""
    parts: int = 1
    """Equal parts of a step's predictions, each with sentences, candidates and state of its own,
    that one process computes after another, in the memory of one, or that several share."""
    pool_batches: int = 100
    """Sentence mode: batches' worth of sentences sorted by length together; many make batches of
    like length, one mixes all lengths in a batch."""
    unroll_steps: int = 20
    """Other modes: steps between truncations, batch_tokens / unroll_steps rows."""
    softmax: Literal["sampled", "full", "adaptive"] = "sampled"
    """The training loss: of a softmax over all words, by a sample or in full, or of an adaptive
    softmax, whose rare words take less; validation is always over all words."""
    cutoffs: tuple[int, ...] = ()
    """Adaptive softmax: the ranks in the vocabulary with which its tails begin; none: as fits it,
    2000 and 20,000 for a large one."""
    tied: bool = False
    """One matrix is the word embedding and the softmax's weight, of a model that reads words."""
    word_vectors: str | None = None
    """File of word vectors with which the word embedding starts, word2vec's or GloVe's."""
    n_candidates: int = 1024
    """Candidates of the sampled softmax, shared by a batch."""
    optimizer: Literal["adamw", "adagrad"] = "adamw"
    """AdamW, or Adagrad as published."""
    learning_rate: float = 2e-3
    """The highest learning rate (published: 0.2 with Adagrad)."""
    warmup_steps: int = 500
    """Steps over which the learning rate rises from zero."""
    decay: Literal["cosine", "linear", "none"] = "cosine"
    """How it falls to a twentieth at max_steps."""
    weight_decay: float = 0.01
    """AdamW's decay of matrices."""
    gradient_scale: float = 1.0
    """Multiplies the loss before differentiation (published: unroll_steps, with Adagrad)."""
    clip_norm: float = 1.0
    """Largest norm of the whole gradient (published: 10)."""
    dropout: float = 0.1
    """Share zeroed of each LSTM layer's input and of the output."""
    dropout_kind: Literal["plain", "variational"] = "plain"
    """Anew at each step, or the same at each step of a batch's row."""
    seed: int = 1
    """Decides initial weights, order, candidates and dropout."""
    max_steps: int = 10_000
    """Steps of the whole run; the decay ends there."""
    save_every_steps: int = 500
    """Steps between resumable checkpoints."""
    validate_every_steps: int = 1000
    """Steps between validations."""
    patience: int = 0
    """Validations in a row without a better perplexity that end the run; 0: none do."""
    valid_tokens: int = 20_000
    """Tokens of the validation file that are used at most, spread over it; 0: all."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Type of the matrix products in training; weights and sums stay float32."""
    layer_decay: float = 1.0
    """Fine-tuning: each layer's learning rate is this share of that of the layer above it, the
    softmax uppermost, the token encoder lowest."""
    softmax_steps: int = 0
    """Fine-tuning: first steps, in which the softmax alone is learned and the biLM is frozen; the
    learning rate starts anew when all is."""

    def __post_init__(self) -> None:
        for name in ("batch_tokens", "parts", "pool_batches", "unroll_steps", "n_candidates",
                     "max_steps", "save_every_steps", "validate_every_steps"):  # fmt: skip
            if getattr(self, name) < 1:
                raise ConfigError(f"{_flag(name)} must be at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "clip_norm", "gradient_scale"):
            if not 0 < getattr(self, name) <= _LARGEST:
                got = getattr(self, name)
                raise ConfigError(f"{_flag(name)} must be above 0, at most {_LARGEST}, got {got}")
        if not 0 < self.layer_decay <= 1:
            raise ConfigError(f"--layer-decay must be above 0, at most 1, got {self.layer_decay}")
        if not 0 <= self.softmax_steps <= self.max_steps:
            raise ConfigError(
                f"--softmax-steps must be from 0 to --max-steps {self.max_steps}, got "
                f"{self.softmax_steps}"
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"--dropout must be from 0 to below 1, got {self.dropout}")
        for name in ("warmup_steps", "patience", "valid_tokens", "seed", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{_flag(name)} must be at least 0, got {getattr(self, name)}")
        if self.seed >= 2**63 or self.weight_decay > 1:
            raise ConfigError(
                "--seed must be below 2**63 and --weight-decay at most 1, got "
                f"{self.seed} and {self.weight_decay}"
            )
        choices = {"mode": ("sentence", "rows", "stream"),
                   "softmax": ("sampled", "full", "adaptive"),
                   "dropout_kind": ("plain", "variational"),
                   "optimizer": ("adamw", "adagrad"), "decay": ("cosine", "linear", "none"),
                   "precision": ("float32", "bfloat16")}  # fmt: skip
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                got = getattr(self, name)
                raise ConfigError(f"{_flag(name)} must be one of {', '.join(allowed)}, got {got!r}")
        self._check_words()
        self._check_parts()

    def _check_parts(self) -> None:
        """A step's predictions come in whole rows and in equal parts."""
        factors = {} if self.mode == "sentence" else {"unroll_steps": self.unroll_steps}
        if self.parts > 1:
            factors["parts"] = self.parts
        if self.batch_tokens % math.prod(factors.values()):
            names = " times ".join(f"{_flag(name)} {n}" for name, n in factors.items())
            raise ConfigError(f"--batch-tokens {self.batch_tokens} is not a multiple of {names}")
        if self.mode == "sentence" and self.batch_tokens < 2 * self.parts:
            raise ConfigError(
                f"--batch-tokens must be at least {2 * self.parts}: a word and a sentence's end"
                + " in each of --parts" * (self.parts > 1)
            )

    def _check_words(self) -> None:
        """What the softmax and the word embedding may be."""
        if any(type(high) is not int or low >= high for low, high in pairwise((0, *self.cutoffs))):
            got = ",".join(map(str, self.cutoffs))
            raise ConfigError(f"--cutoffs must be rising numbers from 1 on, got {got}")
        if self.tied and self.softmax == "adaptive":
            raise ConfigError(
                "--tied: an adaptive softmax has no matrix of the word embedding's shape; take "
                "--softmax sampled or full"
            )
        for name in ("tied", "word_vectors"):
            if getattr(self, name) and self.model.n_words is None:
                raise ConfigError(
                    f"{_flag(name)}: the model reads characters and has no word embedding; take "
                    "--input words, or leave it out"
                )

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, as written to run.json."""
        return {**dataclasses.asdict(self), "model": self.model.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "run.json") -> Self:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: an unknown key or an impossible value.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ConfigError(f"{source}: unknown key {unknown[0]!r}")
        fields = dict(values)
        try:
            if "model" in fields:
                fields["model"] = BiLMConfig.from_dict(fields["model"], f"{source}: model")
            if "cutoffs" in fields:
                fields["cutoffs"] = tuple(fields["cutoffs"])  # a file has a list
            return cls(**fields)
        except TypeError as error:
            raise ConfigError(f"{source}: {error}") from error

    def check_continues(self, started: "TrainConfig", source: str) -> None:
        """These settings continue a run that was started with others.

        Its length, its patience and how often it saves and validates may change (the decay follows
        max_steps).

        Raises:
            ConfigError: anything else differs.
        """
        before, now = _flat(started.to_dict()), _flat(self.to_dict())
        for name in sorted(before.keys() | now.keys()):
            if name not in _MAY_CHANGE and before.get(name) != now.get(name):
                shape = name.removeprefix("model.")
                what = _flag(name) if shape == name else f"--preset: {shape}"
                raise ConfigError(
                    f"{source}: {what}: expected {before.get(name)} as the run was started, got "
                    f"{now.get(name)}; resume with that, or start in another folder"
                )


_LARGEST = 1e30  # of a factor: torch refuses what overflows a float32
_MAY_CHANGE = (
    "max_steps", "save_every_steps", "validate_every_steps", "patience", "valid_tokens",
)  # fmt: skip


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            result |= _flat(value, f"{prefix}{name}.")
        else:
            result[prefix + name] = value
    return result
