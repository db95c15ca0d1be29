"""The folder of a training run: what lies in it, and how it is written and taken up again.

DIR/run.json        the configuration, the corpus, and what the run ran on
DIR/run.toml        the same as a command's flags: what --config needs to repeat the run
DIR/metrics.jsonl   a line every few steps and every validation
DIR/last/           a model in relmo's format with training.pt: everything a resume needs
DIR/best/           the model with the best validation perplexity
DIR/run.lock        empty; a run that is at work has it locked
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from relmo._files import (
    leftovers,
    locked,
    parse_json,
    read_json,
    read_regular,
    remove_leftovers,
    replacing_file,
    replacing_folder,
)
from relmo.errors import FormatError, InputError, RelmoError
from relmo.formats import relmo_format
from relmo.formats.checkpoint import Checkpoint

__all__ = ["BEST", "FLAGS", "LAST", "METRICS", "RUN", "RunFolder"]

RUN, FLAGS, METRICS = "run.json", "run.toml", "metrics.jsonl"
LAST, BEST = "last", "best"
_STATE = "training.pt"
_LOCK = "run.lock"
_MOST_METRICS_BYTES = 2**30


@dataclass(frozen=True)
class RunFolder:
    """A run's files; nothing is written before `held`.

    Args:
        path: the folder, which need not be there.
        why_not: says of a folder why it is no model of the kind that is trained, or None.
    """

    path: Path
    why_not: Callable[[Path], str | None] = relmo_format.mismatch

    def holds_run(self) -> bool:
        """Whether there is a checkpoint to continue from."""
        return (self.path / LAST).is_dir()

    def check(self, resume: bool) -> None:
        """Check, before anything that takes time, that a run can be written here.

        Raises:
            InputError: it holds a run and `resume` is not given, something else stands there, or
                another run is at work in it.
        """
        there = next(path for path in (self.path, *self.path.parents) if os.access(path, os.F_OK))
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise InputError(
                f"cannot write '{self.path}': '{there}' is not a folder that can be written to"
            )
        with self._locked() if (self.path / _LOCK).exists() else nullcontext():
            self._check(resume)

    @contextmanager
    def held(self, resume: bool) -> Iterator[None]:
        """Make the folder and keep every other run out of it, as long as the block lasts.

        Raises:
            InputError: as for `check`, or it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write '{self.path}': {error.strerror}") from error
        with self._locked():
            self._check(resume)  # again: another run may have come and gone
            yield

    def _locked(self) -> AbstractContextManager[None]:
        return locked(
            self.path / _LOCK,
            f"{self.path}: another run is at work in this folder; wait for its end, or give "
            "another folder",
        )

    def _check(self, resume: bool) -> None:
        for name in (LAST, BEST):
            self._put_back(name)
        if self.holds_run() and not resume:
            raise InputError(
                f"{self.path}: holds a training run; give --resume to continue it, or another "
                "folder"
            )
        for path in (self.path / LAST, self.path / BEST):
            is_run = path.name == LAST and path.is_dir()
            why_not = None if is_run or not path.exists() else self.why_not(path)
            if why_not is not None:
                raise InputError(f"cannot write '{path}': it is there and no model ({why_not})")

    def _put_back(self, name: str) -> None:
        """Give a whole checkpoint its name again, if a kill left it aside and nothing stands there.

        Only where the system cannot exchange two folders in one step is there such a moment.
        """
        asides = [] if (self.path / name).exists() else leftovers(self.path / name)
        for aside in sorted(asides, key=lambda path: path.stat().st_mtime_ns, reverse=True):
            with suppress(RelmoError, OSError):
                (_read if name == LAST else relmo_format.read)(aside)
                aside.rename(self.path / name)
                return

    def start(self, description: dict[str, Any], flags: str | None = None) -> None:
        """Begin a run and its metrics; the arguments are those of `describe`.

        Raises:
            InputError: the folder cannot be written.
        """
        self.describe(description, flags)
        with replacing_file(self.path / METRICS) as aside:
            aside.write_text("")

    def describe(self, description: dict[str, Any], flags: str | None = None) -> None:
        """Write run.json and run.toml, and remove what a killed process left half written.

        Args:
            description: of the run: everything known.
            flags: the flags that repeat it, in TOML; None: there is no such file.
        """
        for name in (RUN, FLAGS, METRICS, LAST, BEST):
            remove_leftovers(self.path / name)
        with replacing_file(self.path / RUN) as aside:
            aside.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        if flags is not None:
            with replacing_file(self.path / FLAGS) as aside:  # "?" for a file name that is no text
                aside.write_text(flags, encoding="utf-8", errors="replace")

    def description(self) -> dict[str, Any]:
        """Return what run.json holds.

        Raises:
            FormatError: it is missing or damaged.
        """
        path = self.path / RUN
        try:
            description = read_json(path)
        except InputError as error:
            raise FormatError(str(error)) from error
        if not {"config", "files"} <= description.keys():
            raise FormatError(f"{path}: expected an object with 'config' and 'files'")
        return description

    def record(self, measures: dict[str, Any]) -> None:
        """Append a line to the metrics.

        Raises:
            InputError: it cannot be written.
        """
        path = self.path / METRICS
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(measures) + "\n")
        except OSError as error:
            raise InputError(f"cannot write '{path}': {error.strerror}") from error

    def drop_later_metrics(self, n_lines: int | None) -> int:
        """Keep the first lines, those up to the checkpoint; return how many there are.

        Steps do not tell: after a roll back they were done twice.
        """
        kept = [line + "\n" for line, _ in islice(self._metrics(), n_lines)]
        with replacing_file(self.path / METRICS) as aside:
            aside.write_text("".join(kept), encoding="utf-8")
        return len(kept)

    def validations(self) -> list[dict[str, Any]]:
        """Return the measures of every validation so far."""
        return [measures for measures in self.metrics() if measures.get("kind") == "valid"]

    def metrics(self) -> list[dict[str, Any]]:
        """Return all measures so far."""
        return [measures for _, measures in self._metrics()]

    def _metrics(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each line of the metrics and its values, up to one that a kill cut off."""
        path = self.path / METRICS
        if not path.exists():
            return
        text = read_regular(path, _MOST_METRICS_BYTES).decode("utf-8", "replace")
        for line in text.splitlines():
            try:
                measures = parse_json(line.encode(), METRICS)
            except FormatError:
                return
            if not isinstance(measures.get("step"), int):
                return
            yield line, measures

    def save(self, name: str, checkpoint: Checkpoint, state: dict[str, Any] | None = None) -> None:
        """Write a checkpoint whole or not at all.

        Args:
            name: `LAST` or `BEST`.
            checkpoint: the model.
            state: what a resume needs beside it: tensors, numbers, strings.

        Raises:
            InputError: it cannot be written (disk full); the earlier one stands.
        """
        self.save_with(name, lambda aside: relmo_format.write(checkpoint, aside), state)

    def save_with(
        self, name: str, write: Callable[[Path], None], state: dict[str, Any] | None = None
    ) -> None:
        """Write a checkpoint of any model, which `write` puts into an empty folder."""
        with replacing_folder(self.path / name) as aside:
            write(aside)
            if state is not None:
                _write_state(aside / _STATE, state)

    def load(self) -> tuple[Checkpoint, dict[str, Any]]:
        """Return the last checkpoint and its state, on the CPU.

        Raises:
            FormatError, InputError: it is not there, not whole or not a run's.
        """
        return _read(self.path / LAST)

    def state(self) -> dict[str, Any]:
        """Return what the last checkpoint holds beside the model, on the CPU."""
        return _read_state(self.path / LAST)


def _read(folder: Path) -> tuple[Checkpoint, dict[str, Any]]:
    return relmo_format.read(folder), _read_state(folder)


def _read_state(folder: Path) -> dict[str, Any]:
    path = folder / _STATE
    if not path.is_file():
        raise FormatError(f"{path}: missing: '{folder}' is a model without its training")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of any kind, by what is damaged
        raise FormatError(f"{path}: cannot be read (truncated, or another file)") from error
    if not isinstance(state, dict):
        raise FormatError(f"{path}: expected a dict, got {type(state).__name__}")
    return state


def _write_state(path: Path, state: dict[str, Any]) -> None:
    try:
        with path.open("wb") as file:
            torch.save(state, file)
    except RuntimeError as error:  # torch's own, from within an OSError such as a full disk
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise InputError(f"cannot write '{path}': {error}") from error
