"""The model that a command is given: a path, a name or an address."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relmo.elmo.model import Elmo
    from relmo.formats.checkpoint import Checkpoint
    from relmo.hub import Progress

__all__ = ["HELP", "find", "load", "read"]

HELP = "A model's folder or file, a name that `relmo models` lists, an address, or `box`."


def find(model: str | None) -> Path:
    """Its path; the model in the box for None. A download shows its progress on a terminal."""
    from relmo import hub

    if model is None:
        return hub.BOX
    with _progress() as show:
        return hub.resolve(model, progress=show)


def read(model: str | None) -> "Checkpoint":
    """What is in its files; no network is built."""
    from relmo.formats import detect

    return detect.read(find(model))


def load(model: str | None) -> "Elmo":
    """The model."""
    import relmo

    return relmo.load(find(model))


@contextmanager
def _progress() -> "Iterator[Progress | None]":
    """A bar for each file that is downloaded, on standard error where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(compact=True),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, progress.TaskID] = {}

        def show(name: str, n_bytes: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name)
            bar.update(tasks[name], completed=n_bytes, total=total)

        yield show
