"""What a classifier is and how it is trained: typed, frozen, written into its folder."""

from dataclasses import dataclass

from relmo.errors import ConfigError
from relmo.tasks.settings import TaskTraining, TokenConfig

__all__ = ["ClassifierConfig", "ClassifierTraining"]

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
