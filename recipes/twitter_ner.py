"""Names in tweets (WNUT-2016), found by the same tagger with and without ELMo.

    .venv/bin/python -m recipes.twitter_ner --data DIR [--setting mixed distributed] [--seeds 1 2 3]

Twice: `mixed` is all 7,244 tweets, parted 80/10/10 by seed 2018; `distributed` is train, dev and
test as they come. User names and addresses become `<usr>` and `<url>`. A biLSTM of 128 and a CRF
read the model in the box; in the last row the biLM has first learned the training part as a
language model (Peters et al. 2018, section 3.1). All that is chosen is chosen by the development
part; the test part is scored once a run.
"""

import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import relmo
from recipes.task_runs import Run, command_line, found, parser, show, tagged
from relmo.data.labelled import split
from relmo.data.tagged import TaggedSentence, read_tagged
from relmo.elmo.model import Elmo
from relmo.tasks.config import TaggerConfig, TaggerTraining
from relmo.tasks.training import TaskData
from relmo.train.config import TrainConfig
from relmo.train.finetune import finetune

SPLIT_SEED = 2018
TUNING = TrainConfig(
    batch_tokens=640, learning_rate=2e-3, warmup_steps=20, layer_decay=0.9, valid_tokens=4000
)
OWN = TaggerConfig(elmo=False, n_layers=1, dropout=0.35, mix_dropout=0.35)
"""What reads no biLM has a character CNN and word vectors of its own."""
READS = {
    "mixed": replace(OWN, elmo=True, softmax_words=True),
    "distributed": replace(OWN, elmo=True, softmax_words=True, char_dim=0, word_dim=0),
}
"""With ELMo, by setting: the mix of the layers and the rows of the softmax, beside the tagger's own
of the tokens or, where there are few tweets to learn those from, in their place."""
TRAINING = {
    "mixed": TaggerTraining(epochs=12, batch_size=16, learning_rate=4e-3, patience=0),
    "distributed": TaggerTraining(epochs=20, batch_size=16, learning_rate=4e-3, patience=0),
}
"""By setting: the mixed one has more than twice the tweets to learn from."""
RUNS = {
    "none": "without ELMo",
    "box": "ELMo",
    "tuned": "ELMo, tuned to the tweets",
}
_SOURCE = "it has the WNUT-2016 files train, dev and test of github.com/aritter/twitter_nlp"
_USER = re.compile(r"@\w+")
_ADDRESS = re.compile(r"(https?://|www\.)\S+", re.IGNORECASE)


@dataclass(frozen=True)
class Tweets:
    """The parts of the data."""

    train: list[TaggedSentence]
    dev: list[TaggedSentence]
    test: list[TaggedSentence]


def normalised(sentence: TaggedSentence) -> TaggedSentence:
    """The tweet with `<usr>` for each user name and `<url>` for each address."""
    return replace(sentence, tokens=tuple(_normalised(token) for token in sentence.tokens))


def _normalised(token: str) -> str:
    if _USER.match(token):
        return "<usr>"
    return "<url>" if _ADDRESS.match(token) else token


def tweets(data: Path | None, setting: str) -> Tweets:
    """The parts, normalised.

    Raises:
        InputError: a file is not there; the message says where it can be had.
    """
    train, dev, test = (
        [
            normalised(sentence)
            for sentence in read_tagged(
                found(data, [f"ner/wnut16/{name}"], _SOURCE), format="conll"
            )
        ]
        for name in ("train", "dev", "test")
    )
    if setting == "distributed":
        return Tweets(train, dev, test)
    return Tweets(*split(train + dev + test, [0.8, 0.1, 0.1], seed=SPLIT_SEED))


def tuned(parts: Tweets, model: str | None, out: Path) -> Elmo:
    """The biLM after it has learned the training part's text.

    Args:
        parts: the best of the run is that with the lowest perplexity on the development part.
        model: as `relmo.load` takes it.
        out: folder for the run, which goes on if it was stopped, and the two texts.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name, sentences in (("train", parts.train), ("dev", parts.dev)):
        lines = (" ".join(sentence.tokens) + "\n" for sentence in sentences)
        (out / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
    finetune(
        relmo.load(model).checkpoint(),
        out / "train.txt",
        out / "dev.txt",
        out / "bilm",
        TUNING,
        epochs=2,
        resume=True,
    )
    return relmo.load(out / "bilm" / "best")


def runs(
    setting: str,
    parts: Tweets,
    rows: Sequence[str],
    seeds: Sequence[int],
    model: str | None,
    out: Path,
    cache: Path | None,
) -> Iterator[Run]:
    """Each row of the table with each seed; what it takes to tune the biLM is said on the way.

    Args:
        setting: a key of `TRAINING`.
        parts: its data.
        rows: keys of `RUNS`.
        seeds: of each.
        model: as `relmo.load` takes it.
        out: folder of the runs.
        cache: folder for the biLM's layers.
    """
    for row in rows:
        elmo = None if row == "none" else relmo.load(model)
        if row == "tuned":
            start = time.perf_counter()
            elmo = tuned(parts, model, out)
            print(f"biLM tuned in {time.perf_counter() - start:.0f} s", file=sys.stderr)
        data = TaskData(train=parts.train, dev=parts.dev, elmo=elmo, cache=cache)
        config = OWN if elmo is None else READS[setting]
        for seed in seeds:
            name, training = f"{setting}: {RUNS[row]}", replace(TRAINING[setting], seed=seed)
            yield tagged(name, data, parts.test, out / f"{row}-{seed}", config, training)


def main() -> None:
    """Read the command line, tune, train and score."""
    made = parser(__doc__, "runs/twitter", RUNS)
    made.add_argument("--setting", nargs="+", choices=TRAINING, default=list(TRAINING))
    given = made.parse_args()
    parts = {setting: tweets(given.data, setting) for setting in given.setting}
    show(
        run
        for setting in given.setting
        for run in runs(
            setting,
            parts[setting],
            given.run,
            given.seeds,
            given.model,
            given.out / setting,
            given.cache,
        )
    )


if __name__ == "__main__":
    command_line(main)
