"""Names in the Kaggle GMB corpus: the whole job, from the CSV to the F1 of a held-out tenth.

    .venv/bin/python -m recipes.gmb_ner --data DIR [--run crf softmax crf-no-elmo softmax-no-elmo]

A tenth is held out by seed 2018; two residual biLSTMs of 128 read the model in the box for five
epochs, in batches of 32. Scored is what comes after the fifth: nothing is chosen on the tenth. The
times are those of everything, the biLM's layers included where the cache has none yet.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import relmo
from recipes import tagger_runs
from recipes.tagger_runs import Run
from relmo.errors import InputError
from relmo.model import Elmo
from relmo.tasks.tagger_config import TaggerConfig, TaggerTraining
from relmo.tasks.tagger_run import TaggerData
from relmo.text.splits import split
from relmo.text.tagged import TaggedSentence, read_tagged

RUNS = {
    "crf": ("CRF, ELMo", TaggerConfig(output="crf")),
    "softmax": ("softmax, ELMo", TaggerConfig(output="softmax")),
    "crf-no-elmo": ("CRF, no ELMo", TaggerConfig(output="crf", elmo=False)),
    "softmax-no-elmo": ("softmax, no ELMo", TaggerConfig(output="softmax", elmo=False)),
}
_FILES = (
    "ner/gmb/entity-annotated-corpus.zip/ner_dataset.csv",
    "ner/gmb/ner_dataset.csv",
)
_SOURCE = "Kaggle has it as abhinavwalia95/entity-annotated-corpus"


def run(
    kind: str,
    sentences: Sequence[TaggedSentence],
    elmo: Elmo | None,
    out: Path,
    cache: Path | None,
    training: TaggerTraining,
) -> Run:
    """Train one of `RUNS` on nine tenths, and score it on the other.

    Args:
        kind: a key of `RUNS`.
        sentences: the corpus.
        elmo: the biLM, where it reads one.
        out: folder for the runs.
        cache: folder for the biLM's layers.
        training: how; `patience` should be 0.
    """
    train, test = split(sentences, [0.9, 0.1], seed=2018)
    name, config = RUNS[kind]
    # The loop wants something to score an epoch on; as the last is taken, it decides nothing.
    data = TaggerData(train=train, dev=train[:500], elmo=elmo, cache=cache)
    return tagger_runs.trained(name, data, test, out / kind, config, training, last=True)


def main() -> None:
    """Read the command line, train and score."""
    parser = tagger_runs.parser(__doc__, "runs/gmb")
    parser.add_argument("--run", nargs="+", choices=RUNS, default=["crf"], help="which taggers")
    given = parser.parse_args()
    try:
        start = time.perf_counter()
        sentences = read_tagged(tagger_runs.found(given.data, _FILES, _SOURCE))
        print(f"{len(sentences):,} sentences read in {time.perf_counter() - start:.0f} s")
        training = TaggerTraining(epochs=5, batch_size=32, patience=0)
        runs = []
        for kind in given.run:
            elmo = relmo.load() if RUNS[kind][1].elmo else None
            runs.append(run(kind, sentences, elmo, given.out, given.cache, training))
            print(runs[-1], flush=True)
    except InputError as error:
        parser.error(str(error))
    print(tagger_runs.table(runs))


if __name__ == "__main__":
    main()
