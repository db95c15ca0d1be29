"""What commands print: numbers, tables, keywords in context; and the progress of a run."""

import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relmo.train.loop import Progress, Result

__all__ = [
    "board",
    "count",
    "display",
    "end_run",
    "in_bytes",
    "in_context",
    "in_sentence",
    "print_report",
    "print_table",
    "stop_on_signals",
    "tell",
]

_SIDE = 34  # columns on either side of a keyword


def in_bytes(n_bytes: int) -> str:
    """Return a size: 999 bytes, 1.2 kB, 3.4 MB, ..."""
    size = float(n_bytes)
    if size < 1000:
        return count(n_bytes, "byte")
    for unit in ("kB", "MB"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} GB"


def count(n: int, noun: str) -> str:
    """Return a number and its noun: 1 token, 2 tokens, 1,000 tokens."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def in_context(tokens: Sequence[str], position: int, side: int = _SIDE) -> str:
    """Return a sentence with its keyword in brackets, in the same column in every line."""
    before, after = " ".join(tokens[:position]), " ".join(tokens[position + 1 :])
    if len(before) > side:
        before = "…" + before[1 - side :]
    if len(after) > side:
        after = after[: side - 1] + "…"
    return f"{before:>{side}} [{tokens[position]}] {after}".rstrip()


def in_sentence(tokens: Sequence[str], position: int) -> str:
    """Return all of a sentence, the keyword in brackets."""
    return " ".join([*tokens[:position], f"[{tokens[position]}]", *tokens[position + 1 :]])


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, right: int = 0) -> None:
    """Print a table, a line per row, on a terminal cut at its width.

    Args:
        headings: of the columns.
        rows: of cells.
        right: so many of the last columns are numbers, aligned right.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for n, heading in enumerate(headings):
        table.add_column(Text(heading), justify="right" if n >= len(headings) - right else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(width=10_000, color_system=None)
    with console.capture() as captured:
        console.print(table)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
    for line in map(str.rstrip, captured.get().splitlines()):
        print(line if len(line) <= width else f"{line[: width - 1]}…")


def print_report(
    headings: Sequence[str], rows: Iterable[Sequence[str]], report: str, *, right: int
) -> None:
    """Print a table as text, or as Markdown; see `print_table`."""
    if report == "text":
        print_table(headings, rows, right=right)
        return
    print(f"| {' | '.join(headings)} |")
    print("|---" * (len(headings) - right) + "|---:" * right + "|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def tell(*lines: str) -> None:
    """Print lines, in one process for all of a run."""
    from relmo.train.distributed import is_first

    if is_first():
        print(*lines, sep="\n")


def end_run(result: "Result", out: Path, received: list[int]) -> None:
    """Print the last line of a run, and exit where it was stopped.

    Args:
        result: of the run.
        out: its folder.
        received: the signals that `stop_on_signals` noted; another process of the run may have
            got one.
    """
    tell(_closing(result, out))
    if result.stopped:
        sys.exit(128 + (received[0] if received else signal.SIGTERM))


def _closing(result: "Result", out: Path) -> str:
    """Return the last line of a run."""
    seen = f"{result.step:,} steps, {result.tokens:,} tokens per direction"
    if result.stopped:
        return f"{out}: stopped and saved after {seen}; go on with --resume"
    if result.best is None:
        return f"{out / 'last'}: {seen}"
    line = f"{out / 'best'}: {seen}, validation perplexity {result.best:.2f}"
    if result.ended_early:
        line += f" at step {result.best_step:,}; ended early, as none after it was better"
    return line


@contextmanager
def stop_on_signals() -> Iterator[list[int]]:
    """Note the first Ctrl-C or SIGTERM in the list; a second one interrupts at once.

    So is the end of the terminal (SIGHUP) noted, unless `nohup` said to ignore it.
    """
    from relmo.train.distributed import is_first

    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        for kind, handler in earlier.items():
            signal.signal(kind, handler)
        if not is_first():
            return
        with suppress(OSError):  # the terminal is gone
            print("relmo: saving before stopping; once more to stop at once", file=sys.stderr)

    kinds = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        kinds.append(signal.SIGHUP)
    earlier = {kind: signal.signal(kind, note) for kind in kinds}
    try:
        yield received
    finally:
        for kind, handler in earlier.items():
            signal.signal(kind, handler)


@contextmanager
def board(out: Path, wanted: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield what writes the metrics for TensorBoard, or nothing where that is not wanted."""
    if not wanted:
        yield lambda _: None
        return
    from relmo.train.tensorboard import TensorBoard

    with TensorBoard(out / "tensorboard") as written:
        yield written


@contextmanager
def display() -> Iterator[Callable[["Progress"], None]]:
    """Show a progress bar on a terminal, elsewhere a line every half minute, on standard error.

    One process shows it for all of a run.
    """
    from relmo.train.distributed import is_first

    if not is_first():
        yield lambda _: None
        return
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
    """Progress as lines for a log file."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, p: "Progress") -> None:
        now = time.monotonic()
        if now - self._last > 30 or p.step == p.max_steps:
            self._last = now
            with suppress(OSError):  # who read it is gone; the run goes on
                print(f"step {p.step}/{p.max_steps}  {_measures(p)}", file=sys.stderr, flush=True)


def _measures(p: "Progress") -> str:
    left = str(timedelta(seconds=int(p.seconds_left))).removeprefix("0:")
    text = f"loss {p.loss:.3f}  {p.tokens_per_second:,.0f} tokens/s  {left} left"
    if "perplexity" in p.validation:
        text += f"  validation perplexity {p.validation['perplexity']:.2f}"
    if "f1" in p.validation:
        text += f"  development F1 {p.validation['f1']:.2f}"
    elif "accuracy" in p.validation:
        text += f"  development accuracy {p.validation['accuracy']:.2f}"
    return text
