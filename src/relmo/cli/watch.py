"""How a run of the commands that train is shown, and stopped."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relmo.train.loop import Progress, Result

__all__ = ["board", "closing", "display", "exit_code", "stop_on_signals", "tell"]


def tell(*lines: str) -> None:
    """Print them, one process for all of a run."""
    from relmo.train.distributed import is_first

    if is_first():
        print(*lines, sep="\n")


def exit_code(received: list[int]) -> int:
    """Of a run that was stopped by a signal, perhaps one that another of its processes got."""
    return 128 + (received[0] if received else signal.SIGTERM)


def closing(result: "Result", out: Path) -> str:
    """The last line."""
    seen = f"{result.step:,} steps, {result.tokens:,} tokens a direction"
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
    """The first Ctrl-C or SIGTERM is noted in the list; a second one interrupts at once.

    So is the end of the terminal (SIGHUP), unless `nohup` said that it is none of the run's matter.
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
    """What writes the metrics for TensorBoard; where that is not wanted, nothing does."""
    if not wanted:
        yield lambda _: None
        return
    from relmo.train.tensorboard import TensorBoard

    with TensorBoard(out / "tensorboard") as written:
        yield written


@contextmanager
def display() -> Iterator[Callable[["Progress"], None]]:
    """A progress bar on a terminal, elsewhere a line every half minute, on standard error.

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
    """Lines for a log file."""

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
