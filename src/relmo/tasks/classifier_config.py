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
    layers: str = "mix"
    """"mix": a learned mix of the biLM's layers; else one of them by its number, from "0", the
    token layer."""
    pooling: str = "max"
    """"max", "mean" or "attention": from the vectors of the tokens to one of the sentence."""

    def __post_init__(self) -> None:
        TokenConfig.__post_init__(self)
        self._check_bool("pairs")
        if self.pooling not in _POOLINGS:
            raise ConfigError(f"--pooling must be max, mean or attention, got {self.pooling!r:.60}")
        digits = self.layers.isascii() and self.layers.isdecimal() and len(self.layers) < 3
        if self.layers != "mix" and not digits:
            raise ConfigError(
                f"--layers must be mix or the number of a layer from 0, got {self.layers!r:.60}"
            )

    def mixed(self, n_layers: int) -> slice:
        """Which of a biLM's layers are mixed.

        Raises:
            ConfigError: it has not got that layer.
        """
        if self.layers == "mix":
            return slice(0, n_layers)
        if int(self.layers) >= n_layers:
            raise ConfigError(
                f"--layers {self.layers}: the biLM has the layers 0 to {n_layers - 1}"
            )
        return slice(int(self.layers), int(self.layers) + 1)


@dataclass(frozen=True, kw_only=True)
class ClassifierTraining(TaskTraining):
    """How a classifier is trained."""
