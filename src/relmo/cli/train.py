"""`relmo train`: sentences in, a biLM out."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relmo.cli import corpus
from relmo.errors import InputError

if TYPE_CHECKING:
    from relmo.text.corpora import Corpus
    from relmo.train.config import TrainConfig
    from relmo.train.loop import Progress, Result

__all__ = ["train"]

_SHAPE = "Shape of the model"
_LEARNING = "Learning"
_RUN = "The run"


def train(  # noqa: PLR0913 - each is a flag
    files: corpus.Files,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the run.", show_default=False)
    ],
    valid: Annotated[
        Path | None,
        typer.Option(
            metavar="CORPUS", help="Held-out sentences, likewise.", show_default="no validation"
        ),
    ] = None,
    field: corpus.Field = "text",
    tokenizer: corpus.Tokenizer = "whitespace",
    preset: Annotated[
        str,
        typer.Option(
            metavar="mini|small|medium|original",
            help="Shape of the model.",
        ),
    ] = "mini",
    vocab: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Words of the softmax, by falling frequency; `relmo vocab` makes one.",
            show_default="built from the corpus",
        ),
    ] = None,
    vocab_size: Annotated[
        int | None,
        typer.Option(metavar="N", min=4, help="Words of a vocabulary that is built, at most."),
    ] = None,
    vocab_min_count: Annotated[
        int, typer.Option(metavar="N", min=1, help="Rarer words are left out of it.")
    ] = 1,
    seed: Annotated[int, typer.Option(metavar="N", help="Decides everything random.")] = 1,
    max_steps: Annotated[int, typer.Option(metavar="N", help="Steps of the whole run.")] = 10_000,
    save_every_steps: Annotated[
        int, typer.Option(metavar="N", help="Steps between checkpoints.")
    ] = 500,
    validate_every_steps: Annotated[
        int, typer.Option(metavar="N", help="Steps between validations.")
    ] = 1000,
    valid_tokens: Annotated[
        int,
        typer.Option(
            metavar="N", help="Tokens of the validation file used at most, spread over it; 0: all."
        ),
    ] = 20_000,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Continue where DIR holds a checkpoint, start where it does not."
        ),
    ] = False,
    mode: Annotated[
        str,
        typer.Option(
            metavar="sentence|rows|stream",
            help="Each sentence from a zero state, in batches of like length or in rows of running "
            "text; or running text with the state carried, as published.",
        ),
    ] = "rows",
    batch_tokens: Annotated[
        int, typer.Option(metavar="N", help="Predictions a direction and step.")
    ] = 2560,
    pool_batches: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Sentence mode: batches' worth of sentences sorted by length together; "
            "1 mixes all lengths in a batch.",
        ),
    ] = 100,
    unroll_steps: Annotated[
        int, typer.Option(metavar="N", help="Rows and stream mode: steps between truncations.")
    ] = 20,
    softmax: Annotated[
        str, typer.Option(metavar="sampled|full", help="The training loss.")
    ] = "sampled",
    n_candidates: Annotated[
        int, typer.Option(metavar="N", help="Candidates of the sampled softmax.")
    ] = 1024,
    optimizer: Annotated[
        str, typer.Option(metavar="adamw|adagrad", help="Adagrad is the published one.")
    ] = "adamw",
    learning_rate: Annotated[
        float, typer.Option(metavar="X", help="The highest learning rate.")
    ] = 2e-3,
    warmup_steps: Annotated[
        int, typer.Option(metavar="N", help="Steps over which it rises.")
    ] = 500,
    decay: Annotated[
        str, typer.Option(metavar="cosine|linear|none", help="How it falls after that.")
    ] = "cosine",
    weight_decay: Annotated[float, typer.Option(metavar="X", help="Of AdamW.")] = 0.01,
    gradient_scale: Annotated[
        float, typer.Option(metavar="X", help="Factor of the loss (published: unroll steps).")
    ] = 1.0,
    clip_norm: Annotated[
        float, typer.Option(metavar="X", help="Largest norm of the gradient (published: 10).")
    ] = 1.0,
    dropout: Annotated[
        float, typer.Option(metavar="X", help="Share zeroed of each LSTM layer's input.")
    ] = 0.1,
    precision: Annotated[
        str,
        typer.Option(metavar="float32|bfloat16", help="Of the matrix products in training."),
    ] = "float32",
    lstm_dim: Annotated[
        int | None, typer.Option(metavar="N", help="Instead of the preset's LSTM width.")
    ] = None,
    projection_dim: Annotated[
        int | None, typer.Option(metavar="N", help="Instead of the preset's projection width.")
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1, ...")] = "cpu",
) -> None:
    """Train a biLM on CORPUS...; the models are DIR/best and DIR/last.

    Ctrl-C and SIGTERM save first; the same command with --resume then goes on as if nothing had
    happened.
    """
    given = dict(locals())

    from relmo.text.vocab import Vocabulary
    from relmo.train import run

    config = _config(given)
    text = corpus.read(files, field, tokenizer)
    held_out = None if valid is None else corpus.read([valid], field, tokenizer)
    _check_apart(files, out, text, held_out)
    words = None
    if vocab is not None:
        words = Vocabulary.read(vocab, require_specials=True)
    elif not (out / run.LAST).exists():
        words = Vocabulary.build(text, size=vocab_size, min_count=vocab_min_count)
    with _stop_on_signals() as received, _display() as show:
        result = run.train(
            text, held_out, out, config,
            vocab=words, resume=resume, device=_device(device),
            should_stop=lambda: bool(received), on_progress=show,
        )  # fmt: skip
    print(_closing(result, out, config))
    if result.stopped:
        raise typer.Exit(128 + received[0])


def _check_apart(files: list[Path], out: Path, text: "Corpus", held_out: "Corpus | None") -> None:
    """A folder or pattern takes in more than one thinks: the run's own files, the held-out text."""
    for place in files:
        if place.is_dir() and out.resolve().is_relative_to(place.resolve()):
            raise InputError(
                f"--out {out}: lies in '{place}', all of which is read; choose a folder beside it"
            )
    held = {path.resolve() for path in (held_out.paths if held_out else ())}
    for path in text.paths:
        if path.resolve() in held:
            print(f"relmo: WARNING: {path}: is trained on and validated on", file=sys.stderr)


def _config(given: dict[str, Any]) -> "TrainConfig":
    from relmo.train.config import TrainConfig, preset

    shape = preset(given["preset"])
    other = {name: given[name] for name in ("lstm_dim", "projection_dim") if given[name]}
    names = {field.name for field in fields(TrainConfig)} - {"model"}
    return TrainConfig(model=replace(shape, **other), **{name: given[name] for name in names})


def _device(name: str) -> str:
    import torch

    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name}: {str(error).splitlines()[0]}") from error
    return name


def _closing(result: "Result", out: Path, config: "TrainConfig") -> str:
    seen = f"{result.step:,} steps, {result.tokens:,} tokens a direction"
    if result.stopped:
        return f"{out}: stopped and saved after {seen}; go on with --resume"
    if result.best is None:
        return f"{out / 'last'}: {seen}"
    return f"{out / 'best'}: {seen}, validation perplexity {result.best:.2f}"


@contextmanager
def _stop_on_signals() -> Iterator[list[int]]:
    """The first Ctrl-C or SIGTERM is noted in the list; a second one interrupts at once."""
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        for kind, handler in earlier.items():
            signal.signal(kind, handler)
        print("relmo: saving before stopping; once more to stop at once", file=sys.stderr)

    earlier = {kind: signal.signal(kind, note) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for kind, handler in earlier.items():
            signal.signal(kind, handler)


@contextmanager
def _display() -> Iterator[Callable[["Progress"], None]]:
    """A progress bar on a terminal, elsewhere a line every half minute, on standard error."""
    if not sys.stderr.isatty():
        yield _LineDisplay()
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("step"),
        progress.MofNCompleteColumn(),
        progress.BarColumn(),
        progress.TextColumn("{task.description}"),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda p: bar.update(
            task, completed=p.step, total=p.max_steps, description=_measures(p)
        )


class _LineDisplay:
    """Lines for a log file."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, p: "Progress") -> None:
        now = time.monotonic()
        if now - self._last > 30 or p.step == p.max_steps:
            self._last = now
            print(f"step {p.step}/{p.max_steps}  {_measures(p)}", file=sys.stderr, flush=True)


def _measures(p: "Progress") -> str:
    minutes, seconds = divmod(int(p.seconds_left), 60)
    text = f"loss {p.loss:.3f}  {p.tokens_per_second:,.0f} tokens/s  {minutes}:{seconds:02} left"
    if "perplexity" in p.validation:
        text += f"  validation perplexity {p.validation['perplexity']:.2f}"
    return text
