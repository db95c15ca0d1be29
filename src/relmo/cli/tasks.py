"""What the commands that train taggers and classifiers share: their flags, and runs by seed."""

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from relmo.cli import given as models
from relmo.cli import watch
from relmo.cli.words import in_bytes, some
from relmo.data.files import STDIN
from relmo.errors import ConfigError
from relmo.tasks.config import TokenConfig

if TYPE_CHECKING:
    from relmo.tasks.inputs import WordVectors
    from relmo.tasks.layer_cache import CacheProgress
    from relmo.train.loop import Result

__all__ = [
    "WORD_DIM",
    "BatchSize",
    "Cache",
    "CharDim",
    "Dev",
    "Dropout",
    "ElmoLearningRate",
    "Epochs",
    "FinetuneElmo",
    "Layers",
    "LstmDim",
    "MinCount",
    "MixDropout",
    "MixPenalty",
    "Model",
    "Patience",
    "ReadsElmo",
    "Report",
    "Seeds",
    "SoftmaxWords",
    "Test",
    "Vectors",
    "WordDim",
    "cache_folder",
    "check_apart",
    "of_seeds",
    "trained",
    "with_vectors",
]


WORD_DIM = 64
"""Width of a network's own word vectors where nothing else is said."""
C = TypeVar("C", bound=TokenConfig)


class Report(StrEnum):
    """How scores are printed."""

    markdown = "markdown"
    json = "json"


Dev = Annotated[
    str,
    typer.Option(
        metavar="FILE", help="Others, by whose score the best is chosen.", show_default=False
    ),
]
Test = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Others, for the score at the end.", show_default="none"),
]
Epochs = Annotated[int, typer.Option(metavar="N", help="Times through the sentences at most.")]
Patience = Annotated[
    int,
    typer.Option(
        metavar="N", help="Epochs in a row without a better score that end it; 0: none do."
    ),
]
Seeds = Annotated[
    str | None,
    typer.Option(
        metavar="N,N,...",
        help="Several runs, DIR/seed-N each; their mean and deviation are printed.",
        show_default="one run",
    ),
]
ReadsElmo = Annotated[
    bool, typer.Option("--elmo/--no-elmo", help="Whether it reads the layers of a biLM.")
]
Model = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help=models.HELP, show_default="the model in the box"),
]
Layers = Annotated[
    str, typer.Option(metavar="mix|N", help="A mix of the biLM's layers, or one of them, from 0.")
]
SoftmaxWords = Annotated[
    bool,
    typer.Option("--softmax-words", help="It reads each word's row of the biLM's softmax too."),
]
FinetuneElmo = Annotated[
    bool,
    typer.Option("--finetune-elmo", help="Let the biLM learn too; there is no cache then."),
]
Cache = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|none",
        help="Where the layers of the biLM are kept, for later epochs and runs.",
        show_default="layers in relmo's cache folder",
    ),
]
CharDim = Annotated[
    int,
    typer.Option(metavar="N", help="Width of a character CNN of its own; 0: it has none."),
]
WordDim = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Width of word vectors of its own; 0: it has none.",
        show_default="64, or that of --vectors",
    ),
]
Vectors = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Word vectors of word2vec or GloVe for the words of the files, kept as they are.",
        show_default="learned",
    ),
]
LstmDim = Annotated[int, typer.Option(metavar="N", help="Width of each direction of its LSTMs.")]
Dropout = Annotated[float, typer.Option(metavar="X", help="Share zeroed of what layers read.")]
MixDropout = Annotated[float, typer.Option(metavar="X", help="Share zeroed of a mix.")]
MixPenalty = Annotated[
    float,
    typer.Option(metavar="X", help="What draws a mix to the mean of the layers (lambda)."),
]
BatchSize = Annotated[int, typer.Option(metavar="N", help="Sentences of a step.")]
ElmoLearningRate = Annotated[float, typer.Option(metavar="X", help="Of a biLM that learns too.")]
MinCount = Annotated[
    int, typer.Option(metavar="N", help="Rarer words have no vector of their own.")
]


def check_apart(**files: str | None) -> None:
    """Standard input can be only one of the files, given by their flags' names."""
    flags = [f"--{name}" for name, file in files.items() if file == STDIN]
    if len(flags) > 1:
        raise ConfigError(
            f"{', '.join(flags)}: standard input can be read only once; give a file for the rest"
        )


def of_seeds(
    run: Callable[[int, Path], list[float]], seeds: str | None, seed: int, out: Path, score: str
) -> None:
    """A run of one seed in a folder, or of several, each in its own, their mean printed.

    Args:
        run: from a seed and its folder to the scores of development and test data.
        seeds: numbers with commas between them; None: one run.
        seed: of that one.
        out: the folder.
        score: the name of the scores.
    """
    if seeds is None:
        run(seed, out)
        return
    found = [run(number, out / f"seed-{number}") for number in _numbers(seeds)]
    for name, column in zip(("development", "test"), zip(*found, strict=True), strict=False):
        deviation = statistics.stdev(column) if len(column) > 1 else 0.0
        mean = statistics.mean(column)
        print(f"{name} {score}: {mean:.2f} ± {deviation:.2f} of {len(column)} seeds")


def trained(train: "Callable[..., Result]", given: dict[str, Any], out: Path, score: str) -> float:
    """Run the training of a task, shown and stopped as any; the development data's score.

    Args:
        train: of a task, with its data and settings.
        given: the flags.
        out: folder of the run.
        score: its name.

    Raises:
        typer.Exit: it was stopped.
    """
    with watch.stop_on_signals() as received, watch.display() as show:
        result = train(
            resume=given["resume"], should_stop=lambda: bool(received), on_progress=show,
            on_cache=_telling(),
        )  # fmt: skip
    print(_closing(result, out, score))
    if result.stopped:
        raise typer.Exit(128 + received[0])
    assert result.best is not None  # the last step is always validated
    return 100 - result.best


def _numbers(text: str) -> list[int]:
    numbers = [part.strip() for part in text.split(",")]
    if not all(number.isdecimal() for number in numbers) or len(set(numbers)) < len(numbers):
        raise ConfigError(f"--seeds: expected different whole numbers, such as 1,2,3, got {text!r}")
    return list(map(int, numbers))


def _closing(result: "Result", out: Path, score: str) -> str:
    """The line on how a run ended; its best is 100 - the score."""
    seen = f"{result.step:,} steps, {result.tokens:,} tokens"
    if result.stopped or result.best is None:
        return f"{out}: stopped and saved after {seen}; go on with --resume"
    line = f"{out / 'best'}: {seen}, development {score} {100 - result.best:.2f}"
    if result.ended_early:
        line += f" at step {result.best_step:,}; ended early, as none after it was better"
    return line


def with_vectors(
    config: C, file: str | None, sentences: Iterable[Sequence[str]], dim: int | None
) -> "tuple[C, WordVectors | None]":
    """The word vectors of --vectors for the words of sentences, and a config of their width.

    Args:
        config: what --word-dim and others say.
        file: of vectors; None: they are learned.
        sentences: tokens of all data.
        dim: --word-dim, where it is given.
    """
    if file is None:
        return config, None
    from relmo.tasks.inputs import word_vectors

    vectors = word_vectors(file, sentences, dim)
    return replace(config, word_dim=vectors[1].shape[1]), vectors


def cache_folder(given: str | None) -> Path | None:
    """Of --cache; None: the layers are not kept."""
    from relmo.tasks.layer_cache import default_folder

    if given == "none":
        return None
    return default_folder() if given is None else Path(given)


def _telling() -> "Callable[[CacheProgress], None]":
    """Says on standard error what is written to the cache: its size before, then how far it is."""
    said = 0.0

    def tell(p: "CacheProgress") -> None:
        nonlocal said
        if not p.n_done:
            said = time.monotonic()
            print(f"layers of {some(p.n_tokens, 'token')}: {in_bytes(p.n_bytes)} in {p.path}",
                  file=sys.stderr)  # fmt: skip
        elif time.monotonic() - said > 30:
            said = time.monotonic()
            print(f"layers: {p.n_done / p.n_tokens:.0%}", file=sys.stderr)

    return tell
