"""What the tests of classifiers share: examples that can be learned in a moment, tiny settings."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from relmo.data.labelled import LabelledSentence
from relmo.tasks.classifier import Classifier, ClassifierNetwork
from relmo.tasks.config import ClassifierConfig, ClassifierTraining
from relmo.tasks.training import TaskData, train_task
from relmo.train.loop import Result
from tests.tasks.helpers import elmo

WORDS = ["the", "cat", "saw", "in", "of", "."]
OF = {"dog": "animal", "oak": "plant", "so": "none"}
LABELS = ("animal", "none", "plant")


def example(
    tokens: str, label: str | None, second: str | None = None, line: int = 1
) -> LabelledSentence:
    other = None if second is None else tuple(second.split())
    return LabelledSentence(
        tokens=tuple(tokens.split()), second=other, label=label, source="data.tsv", line=line
    )


def corpus(n: int = 30, seed: int = 0, *, pairs: bool = False) -> list[LabelledSentence]:
    """The label is what a word of the sentence says; of pairs, whether they share such a word."""
    random = np.random.default_rng(seed)
    found = []
    for line in range(1, n + 1):
        texts, kinds = [], []
        for _ in range(1 + pairs):
            tokens = random.choice(WORDS, random.integers(1, 5)).tolist()
            kinds.append(str(random.choice(list(OF))))
            tokens.insert(int(random.integers(0, len(tokens) + 1)), kinds[-1])
            texts.append(" ".join(tokens))
        label = str(kinds[0] == kinds[-1]) if pairs else OF[kinds[0]]
        found.append(example(texts[0], label, texts[1] if pairs else None, line))
    return found


TRAIN, DEV = corpus(), corpus(10, seed=9)
TEXTS = [list(s.tokens) for s in DEV]


def config(**changes: Any) -> ClassifierConfig:
    tiny = {"char_dim": 0, "word_dim": 0, "lstm_dim": 6, "dropout": 0.1, "mix_dropout": 0.1}
    return ClassifierConfig(**{**tiny, **changes})


def training(**changes: Any) -> ClassifierTraining:
    quick = {"epochs": 3, "batch_size": 6, "learning_rate": 0.02, "patience": 0}
    return ClassifierTraining(**{**quick, **changes})


def data(**changes: Any) -> TaskData[LabelledSentence]:
    given: dict[str, Any] = {"train": TRAIN, "dev": DEV, "elmo": elmo(), **changes}
    return TaskData(**given)


def new(**changes: Any) -> Classifier:
    """Of random weights."""
    torch.manual_seed(0)
    shape = config(**changes)
    network = ClassifierNetwork(shape, len(LABELS), (3, 8), 0)
    return Classifier(network, LABELS, elmo=elmo() if shape.elmo else None)


def trained(
    out: Path,
    given: TaskData[LabelledSentence] | None = None,
    shape: ClassifierConfig | None = None,
    how: ClassifierTraining | None = None,
    **changes: Any,
) -> Result:
    """A run of a moment."""
    return train_task(
        Classifier, given or data(), out, shape or config(), how or training(), **changes
    )
