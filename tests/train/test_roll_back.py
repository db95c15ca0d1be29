"""A run whose numbers are no longer finite goes back to its last checkpoint, once."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from relmo.errors import TrainingError
from relmo.formats import relmo_format
from relmo.train import run
from relmo.train.batches import LMBatch
from relmo.train.loop import _Run
from relmo.train.objective import Objective
from relmo.train.run import TrainingRun
from tests.train.helpers import (
    Corpora,
    after,
    assert_same_run,
    config,
    metrics,
    training_state,
)


def broken_at(patch: pytest.MonkeyPatch, number: int, share: float = 1.0) -> None:
    """A gradient that is not finite at a step, while the rate's share is so."""
    real = TrainingRun.step

    def step(self: TrainingRun, n: int, rate_share: float) -> dict[str, float]:
        is_bad = n == number and rate_share == share
        norm = torch.tensor(torch.nan) if is_bad else None
        with pytest.MonkeyPatch.context() as inner:
            if norm is not None:
                inner.setattr(run, "clip_gradient", lambda *_: norm)
            return real(self, n, rate_share)

    patch.setattr(TrainingRun, "step", step)


class CrashError(Exception):
    """Of a process."""


def crash(*_: Any) -> None:
    raise CrashError


@pytest.mark.parametrize(
    ("mode", "number", "back_to"), [("sentence", 7, 4), ("rows", 9, 8), ("stream", 3, 0)]
)
def test_a_run_that_rolled_back_resumes_bit_for_bit_wherever_it_crashed(
    corpora: Corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    mode: str, number: int, back_to: int,
):  # fmt: skip
    settings, parts = config(mode=mode, dropout=0.2), tmp_path / "parts"
    broken_at(monkeypatch, number)
    corpora.train(tmp_path / "whole", settings)
    lines = metrics(tmp_path / "whole")
    event = next(line for line in lines if line["kind"] == "rollback")
    assert (event["failed_step"], event["step"]) == (number, back_to)
    assert lines[-1]["learning_rate"] == 0.5 * settings.learning_rate
    for owner, name in ((TrainingRun, "roll_back"), (_Run, "save")):
        with monkeypatch.context() as patch:  # before the roll back, and just before it is saved
            patch.setattr(owner, name, crash)
            with pytest.raises(CrashError):
                corpora.train(parts, settings, resume=True)
    for n in (1, 2):
        corpora.train(parts, settings, resume=True, should_stop=after(number - back_to + n))
    corpora.train(parts, settings, resume=True)
    assert_same_run(parts, tmp_path / "whole")


def test_what_is_not_finite_again_after_the_roll_back_stops_and_keeps_the_checkpoint(
    corpora: Corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "run"
    broken_at(monkeypatch, 7)
    broken_at(monkeypatch, 10, share=0.5)
    for _ in range(2):
        with pytest.raises(
            TrainingError, match=r"step 10: gradient_norm is nan, again after .* of step 8 is kept"
        ):
            corpora.train(out, config(), resume=True)
        assert training_state(out)["progress"]["step"] == 8
    assert [line["kind"] for line in metrics(out)].count("rollback") == 1


def test_a_batch_that_breaks_whatever_the_weights_is_passed_over(
    corpora: Corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seen: list[LMBatch] = []
    real = Objective.loss

    def loss(self: Objective, batch: LMBatch, *given: Any) -> tuple[Tensor, Tensor, Any]:
        seen.append(batch)
        forward, backward, state = real(self, batch, *given)
        bad = seen[4].forward_targets if len(seen) > 4 else torch.empty(0)
        return forward * torch.nan if torch.equal(batch.forward_targets, bad) else forward, (
            backward
        ), state  # fmt: skip

    monkeypatch.setattr(Objective, "loss", loss)
    assert corpora.train(tmp_path / "run", config(mode="rows", max_steps=6)).step == 6
    assert len(seen) == 7  # the fifth once, straight after the checkpoint of the fourth


@pytest.mark.parametrize("rate", [1e10, 1e30])
@pytest.mark.parametrize("softmax", ["sampled", "full"])
def test_an_absurd_rate_is_an_error_and_what_was_saved_can_be_read(
    corpora: Corpora, tmp_path: Path, rate: float, softmax: str
):
    sane = config(save_every_steps=1, max_steps=2, softmax=softmax)
    corpora.train(tmp_path / "run", sane)
    # as if the rate had been so from the start
    started = json.loads((tmp_path / "run" / "run.json").read_text())
    started["config"]["learning_rate"] = rate
    (tmp_path / "run" / "run.json").write_text(json.dumps(started))
    with pytest.raises(TrainingError, match="start again with a lower --learning-rate"):
        corpora.train(
            tmp_path / "run", replace(sane, learning_rate=rate, max_steps=40), resume=True
        )
    found = relmo_format.read(tmp_path / "run" / "last")  # else a FormatError
    assert found.softmax is not None
    assert training_state(tmp_path / "run")["progress"]["step"] >= 2
