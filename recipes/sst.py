"""Sentiment (Stanford Treebank): without ELMo, with each of its layers, with their mix.

    .venv/bin/python -m recipes.sst --data DIR [--task sst2 sst5] [--seeds 1 2 3]

SST-2 is good or bad, SST-5 in five steps; whole sentences only, as distributed, and the epoch is
chosen on dev. A biLSTM of 128 and the largest of each number over the tokens. It reads a character
CNN and word vectors of its own; with ELMo a layer of the biLM, or the mix, beside them.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from recipes.class_runs import Parts, labelled, runs
from recipes.task_runs import LAYERS, Run, command_line, parser, show
from relmo.tasks.config import ClassifierTraining

TRAINING = ClassifierTraining()
TASKS = {"sst2": "stsa.binary", "sst5": "stsa.fine"}


def reviews(data: Path | None, task: str) -> Parts:
    """The parts of a key of `TASKS`.

    Raises:
        InputError: a file is not there; the message says where it can be had.
    """
    return Parts(*(labelled(data, f"{TASKS[task]}.{part}") for part in ("train", "dev", "test")))


def main() -> None:
    """Read the command line, train and score."""
    made = parser(__doc__, "runs/sst", LAYERS)
    made.add_argument("--task", nargs="+", choices=TASKS, default=list(TASKS))
    given = made.parse_args()
    parts = {task: reviews(given.data, task) for task in given.task}

    def of_tasks() -> Iterator[Run]:
        for task in given.task:
            out = given.out / task
            of_task = runs(
                parts[task], given.run, given.seeds, given.model, out, given.cache, TRAINING
            )
            for run in of_task:
                yield replace(run, name=f"{task}: {run.name}")

    show(of_tasks())


if __name__ == "__main__":
    command_line(main)
