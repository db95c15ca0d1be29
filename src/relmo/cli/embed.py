"""`relmo embed`: text in, a file of vectors out."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from relmo.cli import given, lines
from relmo.cli.words import in_bytes, some
from relmo.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from relmo.elmo.model import Elmo

__all__ = ["embed"]

Layers = Literal["average", "all", "top", "token"] | int


class DType(StrEnum):
    """Numbers on disk."""

    float32 = "float32"
    float16 = "float16"


def embed(
    texts: Annotated[
        list[str],
        typer.Argument(
            metavar="TEXT",
            help="Files with one tokenised sentence a line (.gz, .bz2, .xz, .zst too), - for "
            "standard input, or sentences themselves. A blank line is an empty sentence.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where the vectors go: .h5 or .hdf5 (as AllenNLP's elmo command) or .npz. "
            "An earlier file is replaced when the new one is whole.",
            show_default=False,
        ),
    ],
    layers: Annotated[
        str,
        typer.Option(
            metavar="all|top|token|average|INT",
            help="Which vectors: the average of the layers, all of them, the top one, the token "
            "layer, or one by its number (0 is the token layer).",
        ),
    ] = "average",
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help=given.HELP, show_default="the model in the box"),
    ] = None,
    dtype: Annotated[DType, typer.Option(help="Numbers in the file.")] = DType.float32,
    token_budget: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Tokens computed together: more is faster and takes more memory.",
            show_default="the model's",
        ),
    ] = None,
    forget_sentences: Annotated[
        bool,
        typer.Option(
            "--forget-sentences", help="Write the vectors only, not which sentence is which."
        ),
    ] = False,
) -> None:
    """Write the vectors of every token of TEXT to a file."""
    chosen = _parsed(layers)
    lines.check(texts)

    from relmo.store import embeddings  # torch takes a second to import

    path = embeddings.check_path(output)
    elmo = given.load(model)
    writing = embeddings.open_writer(path, dtype=dtype.value, keep_sentences=not forget_sentences)
    tally = _Tally()
    with writing as writer, _progress(texts, tally) as show:
        for line, vectors in _embedded(elmo, lines.read(texts), chosen, token_budget):
            writer.write(line.text, vectors)
            tally.add(n_tokens=vectors.shape[-2])
            show()
        if not tally.n_tokens:
            raise InputError("no token in the input; expected one tokenised sentence a line")
    print(f"{output}: {tally}, {in_bytes(path.stat().st_size)}")


class _Tally:
    """What has been embedded since the beginning."""

    def __init__(self) -> None:
        self.n_sentences = self.n_tokens = 0
        self._start = time.perf_counter()

    def add(self, *, n_tokens: int) -> None:
        """Count one sentence more."""
        self.n_sentences += 1
        self.n_tokens += n_tokens

    def speed(self) -> str:
        seconds = time.perf_counter() - self._start
        return f"{self.n_tokens / max(seconds, 1e-9):,.0f} tokens/s"

    def __str__(self) -> str:
        seconds = time.perf_counter() - self._start
        return (
            f"{some(self.n_sentences, 'sentence')}, {some(self.n_tokens, 'token')} "
            f"in {seconds:.1f} s ({self.speed()})"
        )


def _embedded(
    elmo: "Elmo", source: Iterator[lines.Line], layers: Layers, token_budget: int | None
) -> Iterator[tuple[lines.Line, "npt.NDArray[np.float32]"]]:
    """Each line with its vectors; only the lines that the model has read ahead are held."""
    waiting: deque[lines.Line] = deque()

    def sentences() -> Iterator[list[str]]:
        for line in source:
            waiting.append(line)
            yield line.text.split()

    for vectors in elmo.embed_stream(sentences(), layers, token_budget=token_budget):
        yield waiting.popleft(), vectors


def _parsed(layers: str) -> Layers:
    if layers in ("average", "all", "top", "token"):
        return layers  # type: ignore[return-value]
    try:
        return int(layers)
    except ValueError:
        raise typer.BadParameter(
            f"{layers!r} is not all, top, token, average or a number", param_hint="--layers"
        ) from None


@contextmanager
def _progress(texts: Sequence[str], tally: _Tally) -> Iterator[Callable[[], None]]:
    """A progress bar on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("sentences, {task.description}"),
        progress.TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("0 tokens/s", total=lines.count(texts))
        yield lambda: bar.update(task, completed=tally.n_sentences, description=tally.speed())
