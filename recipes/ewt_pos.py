"""Parts of speech in UD English EWT: without ELMo, with each of its layers, and with their mix.

    .venv/bin/python -m recipes.ewt_pos --data DIR [--run none 0 1 2 mix] [--seeds 1 2 3]

Two residual biLSTMs of 128 and a softmax. They read a character CNN and word vectors of their own;
with ELMo a layer of the biLM, or the mix, beside them. Train, dev and test are as distributed; the
epoch is chosen on dev.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from recipes.task_runs import (
    LAYERS,
    Run,
    biLM,
    command_line,
    found,
    of_layers,
    parser,
    show,
    tagged,
)
from relmo.data.tagged import TaggedSentence, read_tagged
from relmo.tasks.config import TaggerConfig, TaggerTraining
from relmo.tasks.training import TaskData

CONFIG = TaggerConfig(output="softmax")
TRAINING = TaggerTraining(epochs=6, patience=0)
_SOURCE = (
    "it has pos/ewt/en_ewt-ud-{train,dev,test}.conllu of "
    "github.com/UniversalDependencies/UD_English-EWT"
)


def corpus(data: Path | None) -> list[list[TaggedSentence]]:
    """Train, dev and test, with the universal parts of speech.

    Raises:
        InputError: a file is not there; the message says where it can be had.
    """
    names = (f"pos/ewt/en_ewt-ud-{part}.conllu" for part in ("train", "dev", "test"))
    return [read_tagged(found(data, [name], _SOURCE)) for name in names]


def runs(
    parts: Sequence[Sequence[TaggedSentence]],
    rows: Sequence[str],
    seeds: Sequence[int],
    model: str | None,
    out: Path,
    cache: Path | None,
) -> Iterator[Run]:
    """Each row of the table with each seed.

    Args:
        parts: train, dev and test.
        rows: keys of `LAYERS`.
        seeds: of each.
        model: as `relmo.load` takes it.
        out: folder of the runs.
        cache: folder for the biLM's layers.
    """
    train, dev, test = parts
    for row in rows:
        config = of_layers(CONFIG, row)
        data = TaskData(train=train, dev=dev, elmo=biLM(model, config), cache=cache)
        for seed in seeds:
            training = replace(TRAINING, seed=seed)
            yield tagged(LAYERS[row], data, test, out / f"{row}-{seed}", config, training)


def main() -> None:
    """Read the command line, train and score."""
    given = parser(__doc__, "runs/ewt_pos", LAYERS).parse_args()
    parts = corpus(given.data)
    show(runs(parts, given.run, given.seeds, given.model, given.out, given.cache))


if __name__ == "__main__":
    command_line(main)
