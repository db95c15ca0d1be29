"""What the recipes of tasks share: their flags, where data lie, timed runs, their table."""

import argparse
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import relmo
from relmo.data.labelled import LabelledSentence
from relmo.data.tagged import TaggedSentence
from relmo.elmo.model import Elmo
from relmo.errors import InputError, RelmoError
from relmo.tasks.classifier import Classifier
from relmo.tasks.config import (
    ClassifierConfig,
    ClassifierTraining,
    TaggerConfig,
    TaggerTraining,
    TokenConfig,
)
from relmo.tasks.layer_cache import default_folder
from relmo.tasks.scores import evaluate, label_scores
from relmo.tasks.tagger import Tagger
from relmo.tasks.training import TaskData, train_task

C = TypeVar("C", bound=TokenConfig)
LAYERS = {
    "none": "without ELMo",
    "0": "token layer",
    "1": "layer 1",
    "2": "layer 2",
    "mix": "mix of the layers",
    "softmax": "mix, and the softmax's words",
}
"""Rows of a table that holds the layers against each other, by what `of_layers` takes."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a network did, and the seconds of all of it, on the clock and computing."""

    name: str
    scores: dict[str, float]
    """In percent, by what they are."""
    seconds: float
    cpu_seconds: float


def parser(
    description: str | None, default_out: str, rows: Iterable[str], seeds: Sequence[int] = (1, 2, 3)
) -> argparse.ArgumentParser:
    """The flags of every such recipe.

    Args:
        description: of which the first line is shown.
        default_out: folder of its runs.
        rows: what `--run` chooses from; the default is all.
        seeds: of each row.
    """
    rows = list(rows)
    made = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    made.add_argument("--data", type=Path, help="the folder of data; else that in RELMO_DATA")
    made.add_argument("--model", help="what relmo.load takes; else the model in the box")
    made.add_argument("--run", nargs="+", choices=rows, default=rows, help="rows of the table")
    made.add_argument("--seeds", nargs="+", type=int, default=list(seeds))
    made.add_argument("--out", type=Path, default=Path(default_out), help="folder for the runs")
    made.add_argument("--cache", type=Path, default=default_folder(), help="for the biLM's layers")
    return made


def found(data: Path | None, names: Sequence[str], source: str) -> Path:
    """The first of the files that is there.

    Args:
        data: folder of the data; None: the one that RELMO_DATA names.
        names: of the same file, as it may lie in the folder.
        source: where it can be had.

    Raises:
        InputError: no folder is named, or none of the files is in it.
    """
    folder = os.environ.get("RELMO_DATA") if data is None else data
    if not folder:
        raise InputError(f"name the folder of data with --data or RELMO_DATA; {source}")
    for name in names:
        if _is_there(Path(folder) / name):
            return Path(folder) / name
    raise InputError(f"{folder}: expected {' or '.join(names)} in it; {source}")


def _is_there(path: Path) -> bool:
    """A file, or one in a zip archive that is there."""
    return path.exists() or (path.parent.suffix == ".zip" and path.parent.is_file())


def of_layers(config: C, row: str) -> C:
    """The same network without ELMo, with one of its layers, or with their mix; see `LAYERS`."""
    if row == "none":
        return replace(config, elmo=False)
    if row == "softmax":
        return replace(config, softmax_words=True)
    return replace(config, layers=row)


def biLM(name: str | None, config: TokenConfig) -> Elmo | None:  # noqa: N802 - the field's name
    """The model, where the network reads one."""
    return relmo.load(name) if config.elmo else None


def tagged(
    name: str,
    data: TaskData[TaggedSentence],
    test: Sequence[TaggedSentence],
    out: Path,
    config: TaggerConfig,
    training: TaggerTraining,
    *,
    last: bool = False,
) -> Run:
    """Train a tagger, going on where it was stopped, and score it on the test data.

    Args:
        name: of the table's row.
        data: what it is trained on.
        test: what it is scored on, once.
        out: folder of the run.
        config: its shape.
        training: how.
        last: take it as it is after the last epoch, not after the one best on `data.dev`.
    """
    start, start_cpu = time.perf_counter(), time.process_time()
    result = train_task(Tagger, data, out, config, training, resume=True)
    tagger = Tagger.load(out / "last" if last else out, elmo=data.elmo if config.elmo else None)
    scores = evaluate([s.tags for s in test], tagger.tag(test), tagger.scheme)
    dev = {} if last or result.best is None else {"dev": 100 - result.best}
    if tagger.scheme == "plain":
        measured = {"dev accuracy": dev.get("dev"), "test accuracy": scores.accuracy}
    else:
        measured = {
            "dev F1": dev.get("dev"),
            "precision": scores.precision,
            "recall": scores.recall,
            "test F1": scores.f1,
        }
    return _timed(name, measured, start, start_cpu)


def classified(
    name: str,
    data: TaskData[LabelledSentence],
    test: Sequence[LabelledSentence],
    out: Path,
    config: ClassifierConfig,
    training: ClassifierTraining,
) -> Run:
    """Train a classifier, going on where it was stopped, and score it on the test data.

    Args:
        name: of the table's row.
        data: what it is trained on.
        test: what it is scored on, once.
        out: folder of the run.
        config: its shape.
        training: how.
    """
    start, start_cpu = time.perf_counter(), time.process_time()
    result = train_task(Classifier, data, out, config, training, resume=True)
    classifier = Classifier.load(out, elmo=data.elmo if config.elmo else None)
    scores = label_scores([s.label or "" for s in test], classifier.classify(test))
    measured = {
        "dev accuracy": None if result.best is None else 100 - result.best,
        "test accuracy": scores.accuracy,
        "test macro-F1": scores.macro_f1,
    }
    return _timed(name, measured, start, start_cpu)


def _timed(name: str, scores: dict[str, float | None], start: float, start_cpu: float) -> Run:
    return Run(
        name=name,
        scores={column: score for column, score in scores.items() if score is not None},
        seconds=time.perf_counter() - start,
        cpu_seconds=time.process_time() - start_cpu,
    )


def table(runs: Sequence[Run]) -> str:
    """Markdown; the runs of one name are one row, with the mean and the deviation of each score."""
    columns = list(dict.fromkeys(column for run in runs for column in run.scores))
    heads = ["", *columns, "seconds", "CPU seconds"]
    lines = [f"|{' | '.join(heads)} |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    for name in dict.fromkeys(run.name for run in runs):
        group = [run for run in runs if run.name == name]
        cells = [_mean([run.scores[c] for run in group if c in run.scores]) for c in columns]
        seconds, cpu_seconds = (
            f"{statistics.mean(values):.0f}"
            for values in zip(*((run.seconds, run.cpu_seconds) for run in group), strict=True)
        )
        lines.append(f"| {' | '.join([name, *cells, seconds, cpu_seconds])} |")
    return "\n".join(lines)


def _mean(values: Sequence[float]) -> str:
    if not values:
        return ""
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{deviation}"


def show(runs: Iterable[Run]) -> None:
    """Print each run when it is done, and at the end the table and the memory that all took."""
    done = []
    for run in runs:
        done.append(run)
        scores = ", ".join(f"{name} {score:.2f}" for name, score in run.scores.items())
        print(f"{run.name}: {scores} ({run.seconds:.0f} s)", file=sys.stderr, flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{table(done)}\n\npeak memory {peak:.1f} GB")


def command_line(main: Callable[[], None]) -> None:
    """Run a recipe; what it cannot use is one message, and exit code 2."""
    try:
        main()
    except RelmoError as error:
        print(f"relmo: {error}", file=sys.stderr)
        sys.exit(2)
