"""A third task, each token's length class, in a few lines: it learns, resumes, saves and loads."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from relmo.data.tagged import TaggedSentence
from relmo.nn.token_encoders import Projection
from relmo.tasks.config import TaskTraining, TokenConfig
from relmo.tasks.network import TokenInputs, TokenNetwork
from relmo.tasks.training import Targets, Task, TaskData, train_task
from tests.tasks.helpers import DEV, TRAIN, elmo
from tests.train.helpers import _same, metrics


class LengthNetwork(TokenNetwork):
    def __init__(self, config: TokenConfig, n: int, elmo: tuple[int, int], n_words: int) -> None:
        super().__init__(config, elmo, n_words)
        self.scores = Projection(self.width, n)

    def forward(self, inputs: TokenInputs) -> Tensor:
        return self.scores(self.encode(inputs)[0])


class Lengths(Task[TaggedSentence]):
    kind, outputs = "lengths", ("classes",)
    config_class, network_class = TokenConfig, LengthNetwork

    def __init__(self, network: LengthNetwork, classes: tuple[str, ...], **under: Any) -> None:
        super().__init__(network, **under)
        self.classes = classes

    @classmethod
    def prepare(cls, data: TaskData, config: TokenConfig) -> tuple[dict, Targets, Targets]:
        train, dev = (
            [np.array([min(len(token), 4) - 1 for token in s.tokens]) for s in part]
            for part in (data.train, data.dev)
        )
        return {"classes": ("1", "2", "3", "4 or more")}, train, dev

    def loss(self, inputs: TokenInputs, targets: Tensor) -> Tensor:
        return cross_entropy(self.network(inputs), targets)

    @torch.no_grad()
    def score(self, source: Any, targets: Targets, token_budget: int) -> dict[str, float]:
        right = np.concatenate(
            [
                self.network(source(batch)).argmax(1).numpy()
                == np.concatenate([targets[n] for n in batch])
                for batch in source.batches(token_budget)
            ]
        )
        return {"score": 100 - 100 * right.mean()}


CONFIG = TokenConfig(char_dim=8, word_dim=0, lstm_dim=12, n_layers=1, dropout=0.1)
HOW = TaskTraining(epochs=2, batch_size=2, learning_rate=0.05)


def test_a_killed_run_goes_on_as_the_run_that_was_not_and_is_saved_and_loaded(tmp_path: Path):
    data = TaskData(train=TRAIN, dev=DEV, elmo=elmo(), cache=tmp_path / "cache")
    task = Lengths.train(
        TRAIN,
        DEV,
        tmp_path / "whole",
        elmo=data.elmo,
        cache=data.cache,
        config=CONFIG,
        training=HOW,
    )

    def kill(progress: Any) -> None:
        if progress.step == 15:  # in the second epoch
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_task(Lengths, data, tmp_path / "parts", CONFIG, HOW, on_progress=kill)
    result = train_task(Lengths, data, tmp_path / "parts", CONFIG, HOW, resume=True)
    assert (result.step, metrics(tmp_path / "parts")) == (24, metrics(tmp_path / "whole"))
    assert result.best is not None
    assert result.best < 20

    task.save(tmp_path / "saved")
    for folder in ("saved", "parts"):
        again = Lengths.load(tmp_path / folder)
        assert _same(again.network.state_dict(), task.network.state_dict())
        assert again.classes == task.classes
