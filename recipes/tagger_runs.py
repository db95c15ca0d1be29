"""What the recipes that train taggers share: where data lie, a run that is timed, its table."""

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from relmo.errors import InputError
from relmo.tasks.evaluation import evaluate
from relmo.tasks.layer_cache import default_folder
from relmo.tasks.tagger import Tagger
from relmo.tasks.tagger_config import TaggerConfig, TaggerTraining
from relmo.tasks.tagger_run import TaggerData, train_tagger
from relmo.text.tagged import TaggedSentence


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a tagger did: F1 in percent, and the seconds of all of it, on the clock and computing."""

    name: str
    dev: float | None
    precision: float
    recall: float
    test: float
    seconds: float
    cpu_seconds: float


def parser(description: str | None, default_out: str) -> argparse.ArgumentParser:
    """The flags of every such recipe."""
    made = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    made.add_argument("--data", type=Path, help="the folder of data; else that in RELMO_DATA")
    made.add_argument("--out", type=Path, default=Path(default_out), help="folder for the taggers")
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


def trained(
    name: str,
    data: TaggerData,
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
    result = train_tagger(data, out, config, training, resume=True)
    tagger = Tagger.load(out / "last" if last else out, elmo=data.elmo if config.elmo else None)
    scores = evaluate([s.tags for s in test], tagger.tag(test), tagger.scheme)
    return Run(
        name=name,
        dev=None if last or result.best is None else 100 - result.best,
        precision=scores.precision,
        recall=scores.recall,
        test=scores.f1,
        seconds=time.perf_counter() - start,
        cpu_seconds=time.process_time() - start_cpu,
    )


def table(runs: Sequence[Run]) -> str:
    """Markdown; the runs of one name are one row, with the mean and the deviation of their F1."""
    heads = ["", "dev F1", "precision", "recall", "test F1", "seconds", "CPU seconds"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name in dict.fromkeys(run.name for run in runs):
        group = [run for run in runs if run.name == name]
        dev = [run.dev for run in group if run.dev is not None]
        precision, recall, seconds, cpu_seconds = (
            statistics.mean(getattr(run, column) for run in group)
            for column in ("precision", "recall", "seconds", "cpu_seconds")
        )
        lines.append(
            f"| {name} | {_mean(dev)} | {precision:.2f} | {recall:.2f} | "
            f"{_mean([run.test for run in group])} | {seconds:.0f} | {cpu_seconds:.0f} |"
        )
    return "\n".join(lines)


def _mean(values: Sequence[float]) -> str:
    if not values:
        return ""
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{deviation}"


def _is_there(path: Path) -> bool:
    """A file, or one in a zip archive that is there."""
    return path.exists() or (path.parent.suffix == ".zip" and path.parent.is_file())
