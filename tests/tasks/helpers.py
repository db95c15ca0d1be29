"""What the tests of taggers share: a corpus that can be learned in a moment, and tiny settings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relmo.data.tagged import TaggedSentence
from relmo.elmo.model import Elmo
from relmo.tasks.config import TaggerConfig, TaggerTraining
from relmo.tasks.tagger import Tagger
from relmo.tasks.training import TaskData, train_task
from relmo.train.loop import Result
from tests.helpers import tiny_elmo

NAMES = {"PER": ["Ann", "Bob", "Eve"], "LOC": ["Rome", "Oslo"]}
OTHERS = ["the", "cat", "saw", "in", "of", "."]


def corpus(n: int = 24, seed: int = 0) -> list[TaggedSentence]:
    """Sentences with names of one word or two."""
    random = np.random.default_rng(seed)
    sentences, line = [], 1
    for _ in range(n):
        tokens: list[str] = []
        tags: list[str] = []
        for _ in range(random.integers(1, 5)):
            tokens.append(str(random.choice(OTHERS)))
            tags.append("O")
            label = str(random.choice(["PER", "LOC"]))
            names = random.choice(NAMES[label], random.integers(0, 3)).tolist()
            tokens += names
            tags += [f"{'I' if k else 'B'}-{label}" for k in range(len(names))]
        sentences.append(sentence(tokens, tags, line))
        line += len(tokens) + 1
    return sentences


def sentence(tokens: Sequence[str], tags: Sequence[str], line: int = 1) -> TaggedSentence:
    return TaggedSentence(tokens=tuple(tokens), tags=tuple(tags), source="corpus.txt", line=line)


TRAIN, DEV = corpus(), corpus(8, seed=9)


def config(**changes: Any) -> TaggerConfig:
    tiny = {"char_dim": 0, "word_dim": 0, "lstm_dim": 6, "dropout": 0.1, "mix_dropout": 0.1}
    return TaggerConfig(**{**tiny, **changes})


def training(**changes: Any) -> TaggerTraining:
    return TaggerTraining(
        **{"epochs": 3, "batch_size": 5, "learning_rate": 0.02, "patience": 0, **changes}
    )


def data(**changes: Any) -> TaskData[TaggedSentence]:
    given: dict[str, Any] = {"train": TRAIN, "dev": DEV, "elmo": elmo(), **changes}
    return TaskData(**given)


def elmo(seed: int = 0) -> Elmo:
    """Of random weights; it belongs to the tagger, as it lies nowhere."""
    model = tiny_elmo(seed)
    model.checkpoint_info = None
    return model


def trained(
    out: Path,
    given: TaskData[TaggedSentence] | None = None,
    shape: TaggerConfig | None = None,
    how: TaggerTraining | None = None,
    **changes: Any,
) -> Result:
    """A run of a moment."""
    shape, how = shape or config(), how or training()
    return train_task(Tagger, given or data(), out, shape, how, **changes)
