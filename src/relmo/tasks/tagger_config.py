"""What a tagger is and how it is trained: typed, frozen, written into its folder."""

from dataclasses import dataclass

from relmo.errors import ConfigError
from relmo.tasks.settings import TaskTraining, TokenConfig

__all__ = ["TaggerConfig", "TaggerTraining"]


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
