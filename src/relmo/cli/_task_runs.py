"""What the commands that train taggers and classifiers share: their flags, and runs by seed."""

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from relmo.cli import _flags, _inputs, _output
from relmo.data.files import STDIN
from relmo.errors import ConfigError
from relmo.tasks.config import TokenConfig

if TYPE_CHECKING:
    from relmo.elmo.model import Elmo
    from relmo.tasks.inputs import WordVectors
    from relmo.tasks.layer_cache import CacheProgress
    from relmo.train.loop import Result

__all__ = ["TaskReport", "TaskRun", "with_vectors"]

C = TypeVar("C", bound=TokenConfig)
TaskReport = Literal["markdown", "json"]
"""How scores are printed."""


@dataclass(frozen=True, kw_only=True)
class TaskRun:
    """A task's data and folder."""

    train: str
    """Training data."""
    dev: str
    """Development data, by whose score the best network is chosen."""
    test: str | None = None
    """Test data, for the score at the end."""
    out: Path
    """Folder of the run."""
    seeds: str | None = None
    """Several runs, OUT/seed-N each, such as 1,2,3; their mean and deviation are printed."""
    resume: _flags.Resume = False
    model: _flags.Model | None = None
    cache: str | None = None
    """Folder in which the layers of the biLM are kept for later epochs and runs, or none (default:
    relmo's cache folder)."""
    vectors: str | None = None
    """File of word vectors of word2vec or GloVe for the words of the data, kept as they are
    (default: trained)."""
    device: _flags.Device = "cpu"

    def __post_init__(self) -> None:
        files = {"--train": self.train, "--dev": self.dev, "--test": self.test}
        flags = [flag for flag, file in files.items() if file == STDIN]
        if len(flags) > 1:
            raise ConfigError(
                f"{', '.join(flags)}: standard input can be read only once; give a file for the "
                "rest"
            )

    def elmo(self, config: TokenConfig) -> "Elmo | None":
        """Return the biLM that a network of this shape reads, on the device."""
        if not config.elmo:
            return None
        return _inputs.load_model(self.model).to(_inputs.device(self.device))

    def cache_folder(self) -> Path | None:
        """Return the folder in which layers are kept; None: they are not."""
        from relmo.tasks.layer_cache import default_folder

        if self.cache == "none":
            return None
        return default_folder() if self.cache is None else Path(self.cache)

    def each_seed(
        self, seed: int, score: str, run: Callable[[int, Path], tuple[float, ...]]
    ) -> None:
        """Run one seed in the folder, or --seeds in folders of their own, and print their mean.

        Args:
            seed: that of one run.
            score: the name of the scores.
            run: from a seed and its folder to the scores on development and test data.
        """
        if self.seeds is None:
            run(seed, self.out)
            return
        scores = [run(number, self.out / f"seed-{number}") for number in _numbers(self.seeds)]
        for name, column in zip(("development", "test"), zip(*scores, strict=True), strict=False):
            deviation = statistics.stdev(column) if len(column) > 1 else 0.0
            mean = statistics.mean(column)
            print(f"{name} {score}: {mean:.2f} ± {deviation:.2f} of {len(column)} seeds")

    def run_training(self, train: "Callable[..., Result]", out: Path, score: str) -> float:
        """Run the training of a task, shown and stopped as any; return the development score.

        Args:
            train: of a task, with its data and settings.
            out: folder of the run.
            score: the name of the score.

        Raises:
            SystemExit: it was stopped.
        """
        with _output.stop_on_signals() as received, _output.display() as show:
            result = train(
                resume=self.resume,
                should_stop=lambda: bool(received),
                on_progress=show,
                on_cache=_show_cache(),
            )
        print(_closing(result, out, score))
        if result.stopped:
            sys.exit(128 + received[0])
        assert result.best is not None  # the last step is always validated
        return 100 - result.best


def _numbers(text: str) -> list[int]:
    """Return the numbers of --seeds."""
    numbers = [part.strip() for part in text.split(",")]
    if not all(number.isdecimal() for number in numbers) or len(set(numbers)) < len(numbers):
        raise ConfigError(f"--seeds: expected different integers, such as 1,2,3, got {text!r}")
    return list(map(int, numbers))


def _closing(result: "Result", out: Path, score: str) -> str:
    """Return the line on how a run ended; its best is 100 - the score."""
    seen = f"{result.step:,} steps, {result.tokens:,} tokens"
    if result.stopped or result.best is None:
        return f"{out}: stopped and saved after {seen}; go on with --resume"
    line = f"{out / 'best'}: {seen}, development {score} {100 - result.best:.2f}"
    if result.ended_early:
        line += f" at step {result.best_step:,}; ended early, as none after it was better"
    return line


def with_vectors(
    config: C, file: str | None, sentences: Iterable[Sequence[str]]
) -> "tuple[C, WordVectors | None]":
    """Return the word vectors of --vectors for the words of sentences, and a config of their width.

    Args:
        config: of the network.
        file: of vectors; None: they are trained.
        sentences: tokens of all data.

    Raises:
        ConfigError: --word-dim is given and differs from their width.
    """
    if file is None:
        return config, None
    from relmo.tasks.inputs import word_vectors

    is_given = config.word_dim != TokenConfig.word_dim
    vectors = word_vectors(file, sentences, config.word_dim if is_given else None)
    return replace(config, word_dim=vectors[1].shape[1]), vectors


def _show_cache() -> "Callable[[CacheProgress], None]":
    """Return what prints on standard error how large the cache will be, then how far it is."""
    last = 0.0

    def show(p: "CacheProgress") -> None:
        nonlocal last
        if not p.n_done:
            last = time.monotonic()
            tokens, size = _output.count(p.n_tokens, "token"), _output.in_bytes(p.n_bytes)
            print(f"layers of {tokens}: {size} in {p.path}", file=sys.stderr)
        elif time.monotonic() - last > 30:
            last = time.monotonic()
            print(f"layers: {p.n_done / p.n_tokens:.0%}", file=sys.stderr)

    return show
