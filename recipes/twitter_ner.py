"""Names in tweets (WNUT-2016): the biLM tuned to tweets, and taggers with and without it.

    .venv/bin/python -m recipes.twitter_ner --data DIR [--setting mixed distributed] [--seeds 1 2 3]

Twice: `mixed` is all 7,244 tweets, parted 80/10/10 by seed 2018; `distributed` is train, dev and
test as they come. User names and addresses become `<usr>` and `<url>`. The biLM first learns the
training part as a language model, then is frozen (Peters et al. 2018, section 3.1). All that is
chosen is chosen by the development part; the test part is scored once a run.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from relmo.train.config import TrainConfig
from relmo.train.finetune import finetune

SPLIT_SEED = 2018
TUNING = TrainConfig(
    batch_tokens=640, learning_rate=2e-3, warmup_steps=20, layer_decay=0.9, valid_tokens=4000
)
CONFIG = TaggerConfig()
TRAINING = {
    "mixed": TaggerTraining(epochs=6, batch_size=32, learning_rate=4e-3, patience=0),
    "distributed": TaggerTraining(epochs=12, batch_size=16, learning_rate=4e-3, patience=0),
}
"""By setting: the mixed one has more than twice the tweets to learn from."""
RUNS = {
    "tuned": "ELMo tuned to the tweets",
    "box": "ELMo as it is in the box",
    "none": "no ELMo",
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
                tagger_runs.found(data, [f"ner/wnut16/{name}"], _SOURCE), format="conll"
            )
        ]
        for name in ("train", "dev", "test")
    )
    if setting == "distributed":
        return Tweets(train, dev, test)
    return Tweets(*split(train + dev + test, [0.8, 0.1, 0.1], seed=SPLIT_SEED))


def tuned(parts: Tweets, out: Path) -> Elmo:
    """The biLM in the box after it has learned the training part's text.

    Args:
        parts: the best of the run is that with the lowest perplexity on the development part.
        out: folder for the run, which goes on if it was stopped, and the two texts.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name, sentences in (("train", parts.train), ("dev", parts.dev)):
        lines = (" ".join(sentence.tokens) + "\n" for sentence in sentences)
        (out / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
    finetune(
        relmo.load().checkpoint(), out / "train.txt", out / "dev.txt", out / "bilm", TUNING,
        epochs=2, resume=True,
    )  # fmt: skip
    return relmo.load(out / "bilm" / "best")


def run(
    kind: str,
    parts: Tweets,
    elmo: Elmo | None,
    out: Path,
    cache: Path | None,
    training: TaggerTraining,
) -> Run:
    """Train one of `RUNS` and score it.

    Args:
        kind: a key of `RUNS`.
        parts: the data.
        elmo: the biLM, where it reads one.
        out: folder of the run.
        cache: folder for the biLM's layers.
        training: how.
    """
    data = TaggerData(train=parts.train, dev=parts.dev, elmo=elmo, cache=cache)
    config = replace(CONFIG, elmo=elmo is not None)
    return tagger_runs.trained(RUNS[kind], data, parts.test, out, config, training)


def runs(
    parts: Tweets,
    kinds: Sequence[str],
    seeds: Sequence[int],
    out: Path,
    cache: Path | None,
    training: TaggerTraining,
) -> list[Run]:
    """Each kind of run with each seed; what it takes to tune the biLM is said on the way."""
    found = []
    for kind in kinds:
        start = time.perf_counter()
        elmo = None if kind == "none" else relmo.load()
        if kind == "tuned":
            elmo = tuned(parts, out)
            print(f"biLM tuned in {time.perf_counter() - start:.0f} s", flush=True)
        for seed in seeds:
            seeded = replace(training, seed=seed)
            found.append(run(kind, parts, elmo, out / f"{kind}-{seed}", cache, seeded))
            print(found[-1], flush=True)
    return found


def main() -> None:
    """Read the command line, tune, train and score."""
    parser = tagger_runs.parser(__doc__, "runs/twitter")
    parser.add_argument("--setting", nargs="+", choices=TRAINING, default=list(TRAINING))
    parser.add_argument("--run", nargs="+", choices=RUNS, default=list(RUNS), help="which taggers")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    given = parser.parse_args()
    found = []
    try:
        for setting in given.setting:
            parts = tweets(given.data, setting)
            out = given.out / setting
            of_setting = runs(parts, given.run, given.seeds, out, given.cache, TRAINING[setting])
            found += [replace(one, name=f"{setting}: {one.name}") for one in of_setting]
    except InputError as error:
        parser.error(str(error))
    print(tagger_runs.table(found))


if __name__ == "__main__":
    main()
