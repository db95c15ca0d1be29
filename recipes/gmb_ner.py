"""Names in the Kaggle GMB corpus: the whole job, from the CSV to the F1 of a held-out tenth.

    .venv/bin/python -m recipes.gmb_ner --data DIR [--run crf softmax crf-no-elmo softmax-no-elmo]

A tenth is held out by seed 2018; two residual biLSTMs of 128 read the model in the box for five
epochs, in batches of 32. Scored is what comes after the fifth: nothing is chosen on the tenth. The
times are those of everything, the biLM's layers included where the cache has none yet.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from recipes.task_runs import Run, biLM, command_line, found, parser, show, tagged
from relmo.data.labelled import split
from relmo.data.tagged import TaggedSentence, read_tagged
from relmo.tasks.config import TaggerConfig, TaggerTraining
from relmo.tasks.training import TaskData

RUNS = {
    "crf": ("CRF, ELMo", TaggerConfig(output="crf")),
    "softmax": ("softmax, ELMo", TaggerConfig(output="softmax")),
    "crf-no-elmo": ("CRF, without ELMo", TaggerConfig(output="crf", elmo=False)),
    "softmax-no-elmo": ("softmax, without ELMo", TaggerConfig(output="softmax", elmo=False)),
}
TRAINING = TaggerTraining(epochs=5, batch_size=32, patience=0)
_FILES = (
    "ner/gmb/entity-annotated-corpus.zip/ner_dataset.csv",
    "ner/gmb/ner_dataset.csv",
)
_SOURCE = "Kaggle has it as abhinavwalia95/entity-annotated-corpus"


def runs(
    sentences: Sequence[TaggedSentence],
    rows: Sequence[str],
    seeds: Sequence[int],
    model: str | None,
    out: Path,
    cache: Path | None,
) -> Iterator[Run]:
    """Each row of the table with each seed, trained on nine tenths and scored on the other.

    Args:
        sentences: the corpus.
        rows: keys of `RUNS`.
        seeds: of each.
        model: as `relmo.load` takes it.
        out: folder of the runs.
        cache: folder for the biLM's layers.
    """
    train, test = split(sentences, [0.9, 0.1], seed=2018)
    for row in rows:
        name, config = RUNS[row]
        # The loop wants something to score an epoch on; as the last is taken, it decides nothing.
        data = TaskData(train=train, dev=train[:500], elmo=biLM(model, config), cache=cache)
        for seed in seeds:
            training = replace(TRAINING, seed=seed)
            yield tagged(name, data, test, out / f"{row}-{seed}", config, training, last=True)


def main() -> None:
    """Read the command line, train and score."""
    given = parser(__doc__, "runs/gmb", RUNS, seeds=[1]).parse_args()
    sentences = read_tagged(found(given.data, _FILES, _SOURCE))
    show(runs(sentences, given.run, given.seeds, given.model, given.out, given.cache))


if __name__ == "__main__":
    command_line(main)
