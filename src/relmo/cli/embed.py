"""`relmo embed`: text in, a file of vectors out."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

from relmo.cli import _flags, _inputs
from relmo.cli._output import count, in_bytes
from relmo.errors import InputError
from relmo.settings import Bounds

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from relmo.elmo.model import Elmo

__all__ = ["embed"]

_Layers = Literal["average", "all", "top", "token"] | int


def embed(
    texts: list[str],
    /,
    *,
    output: _flags.Output,
    layers: str = "average",
    model: _flags.Model | None = None,
    dtype: Literal["float32", "float16"] = "float32",
    token_budget: Annotated[int | None, Bounds(at_least=1)] = None,
    forget_sentences: bool = False,
) -> None:
    """Write the vectors of every token of texts to a file.

        relmo embed corpus.txt -o vectors.h5

    Args:
        texts: Files with one tokenized sentence per line (.gz, .bz2, .xz, .zst too), - for standard
            input, or sentences themselves. A blank line is an empty sentence.
        output: File of the vectors: .h5 or .hdf5 (as AllenNLP's elmo command) or .npz. An earlier
            file is replaced when the new one is whole.
        layers: Which vectors: the average of the layers (average), all of them (all), the top one
            (top), the token layer (token), or one by its number, from 0, the token layer.
        dtype: Numbers in the file.
        token_budget: Tokens computed together: more is faster and takes more memory (default: the
            model's).
        forget_sentences: Write the vectors only, not which sentence is which.
    """
    chosen = _parsed(layers)
    _inputs.check_lines(texts)

    from relmo.store import embeddings  # torch takes a second to import

    path = embeddings.check_path(output)
    elmo = _inputs.load_model(model)
    writing = embeddings.open_writer(path, dtype=dtype, keep_sentences=not forget_sentences)
    tally = _Tally()
    with writing as writer, _progress(texts, tally) as show:
        for line, vectors in _embedded(elmo, _inputs.read_lines(texts), chosen, token_budget):
            writer.write(line.text, vectors)
            tally.add(n_tokens=vectors.shape[-2])
            show()
        if not tally.n_tokens:
            raise InputError("no token in the input; expected one tokenized sentence per line")
    print(f"{output}: {tally}, {in_bytes(path.stat().st_size)}")


class _Tally:
    """Numbers of what has been embedded."""

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
            f"{count(self.n_sentences, 'sentence')}, {count(self.n_tokens, 'token')} "
            f"in {seconds:.1f} s ({self.speed()})"
        )


def _embedded(
    elmo: "Elmo", source: Iterator[_inputs.Line], layers: _Layers, token_budget: int | None
) -> Iterator[tuple[_inputs.Line, "npt.NDArray[np.float32]"]]:
    """Yield each line with its vectors; only the lines that the model has read ahead are held."""
    waiting: deque[_inputs.Line] = deque()

    def sentences() -> Iterator[list[str]]:
        for line in source:
            waiting.append(line)
            yield line.text.split()

    for vectors in elmo.embed_stream(sentences(), layers, token_budget=token_budget):
        yield waiting.popleft(), vectors


def _parsed(layers: str) -> _Layers:
    """Return what --layers names."""
    if layers in ("average", "all", "top", "token"):
        return layers  # type: ignore[return-value]
    try:
        return int(layers)
    except ValueError:
        raise InputError(
            f"--layers: expected all, top, token, average or a number, got {layers!r}"
        ) from None


@contextmanager
def _progress(texts: Sequence[str], tally: _Tally) -> Iterator[Callable[[], None]]:
    """Show a progress bar on standard error, where that is a terminal."""
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
        task = bar.add_task("0 tokens/s", total=_inputs.count_lines(texts))
        yield lambda: bar.update(task, completed=tally.n_sentences, description=tally.speed())
