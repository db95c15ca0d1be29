"""Kinds of questions (TREC, 6 of them): without ELMo, with each of its layers, with their mix.

    .venv/bin/python -m recipes.trec --data DIR [--run none 0 1 2 mix] [--seeds 1 2 3]

A biLSTM of 128 and the largest of each number over the tokens. It reads a character CNN and word
vectors of its own; with ELMo a layer of the biLM, or the mix, beside them. A tenth of the training
data, drawn by seed 0, is held out to choose the epoch.
"""

from pathlib import Path

from recipes.class_runs import Parts, labelled, runs
from recipes.task_runs import LAYERS, command_line, parser, show
from relmo.data.labelled import split
from relmo.tasks.config import ClassifierTraining

TRAINING = ClassifierTraining()


def questions(data: Path | None) -> Parts:
    """The parts; a tenth of the training data is the development data.

    Raises:
        InputError: a file is not there; the message says where it can be had.
    """
    train, dev = split(labelled(data, "TREC.train.all"), [0.9, 0.1], seed=0)
    return Parts(train, dev, labelled(data, "TREC.test.all"))


def main() -> None:
    """Read the command line, train and score."""
    given = parser(__doc__, "runs/trec", LAYERS).parse_args()
    parts = questions(given.data)
    show(runs(parts, given.run, given.seeds, given.model, given.out, given.cache, TRAINING))


if __name__ == "__main__":
    command_line(main)
