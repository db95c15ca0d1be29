"""The loop around any job: when it validates, saves, records, stops, and what it refuses."""

import copy
import math
from typing import Any

import pytest

from relmo.errors import TrainingError
from relmo.train import loop
from relmo.train.loop import Progress, Result, fit

Measures = dict[str, float]


class Counting:
    """A job whose loss is the step's number; it writes down what is asked of it."""

    def __init__(self, scores: dict[int, float] | None = None, is_held_out: bool = True) -> None:
        self.scores, self.is_held_out = scores or {}, is_held_out
        self.now = 0
        self.broken: dict[int, Measures] = {}
        self.shares: list[tuple[int, float]] = []
        self.skipped: list[int] = []
        self.validated: list[int] = []
        self.saved: list[tuple[str, int]] = []
        self.lines: list[dict[str, Any]] = []
        self.progress: dict[str, Any] = {}

    def step(self, number: int, rate_share: float) -> Measures:
        assert number == self.now + 1 or not self.now
        self.now = number
        self.shares.append((number, rate_share))
        return {"loss": float(number), "tokens": 10.0, **self.broken.get(number, {})}

    def skip(self) -> None:
        self.skipped.append(self.now + 1)

    def roll_back(self) -> dict[str, Any]:
        self.now = self.progress.get("step", 0)
        return copy.deepcopy(self.progress)

    def validate(self) -> Measures:
        self.validated.append(self.now)
        return {"score": self.scores.get(self.now, 5.0)} if self.is_held_out else {}

    def save(self, name: str, progress: dict[str, Any]) -> None:
        assert progress["step"] == self.now
        self.saved.append((name, self.now))
        if name == "last":
            self.progress = copy.deepcopy(progress)

    def record(self, measures: dict[str, Any]) -> None:
        assert measures["step"] == self.now
        assert all(math.isfinite(v) for v in measures.values() if not isinstance(v, str))
        self.lines.append(measures)


def run(job: Counting, max_steps: int = 12, **changes: Any) -> Result:
    return fit(job, **{"save_every_steps": 5, "validate_every_steps": 4, **changes},
               max_steps=max_steps)  # fmt: skip


def test_it_saves_and_validates_on_its_steps_and_at_the_end():
    job = Counting()
    result = run(job, max_steps=11)
    assert job.validated == [4, 8, 11]
    assert [step for name, step in job.saved if name == "last"] == [5, 10, 11]
    assert result == Result(step=11, tokens=110, best=5.0, best_step=4, stopped=False)


def test_the_best_is_saved_where_the_score_is_lower_than_ever():
    job = Counting({4: 3.0, 8: 4.0, 12: 2.0, 16: 2.0})
    assert run(job, max_steps=16).best == 2.0
    assert [step for name, step in job.saved if name == "best"] == [4, 12]


def test_the_best_is_known_to_the_checkpoint_of_the_same_step():
    job = Counting({4: 3.0})
    run(job, max_steps=4)
    assert job.saved == [("best", 4), ("last", 4)]
    assert job.progress["best"] == 3.0


def test_without_held_out_data_nothing_is_best():
    job = Counting(is_held_out=False)
    assert run(job).best is None
    assert {name for name, _ in job.saved} == {"last"}
    assert {line["kind"] for line in job.lines} == {"train"}


def test_a_stop_ends_after_the_step_and_saves_it():
    job = Counting()
    result = run(job, should_stop=lambda: job.now == 7)
    assert (result.step, result.stopped) == (7, True)
    assert job.saved[-1] == ("last", 7)
    assert 7 not in job.validated


def test_lines_and_progress_go_on_after_a_resume_as_if_nothing_had_been(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(loop, "_RECORD_EVERY", 1)
    shown: list[Progress] = []
    whole, first, second = Counting(), Counting(), Counting()
    run(whole, on_progress=shown.append)
    run(first, should_stop=lambda: first.now == 7)
    again: list[Progress] = []
    result = run(second, progress=first.progress, on_progress=again.append)
    assert result == Result(step=12, tokens=120, best=5.0, best_step=4, stopped=False)
    assert second.saved[0] == ("last", 10)
    lines = [
        [{k: v for k, v in line.items() if k != "tokens_per_second"} for line in job.lines]
        for job in (whole, first, second)
    ]
    assert lines[0] == lines[1] + lines[2]
    assert [p.loss for p in shown[7:]] == [p.loss for p in again]
    assert [p.step for p in again] == [8, 9, 10, 11, 12]


def test_a_run_that_is_over_does_nothing():
    job = Counting()
    assert run(job, progress={"step": 12, "tokens": 7, "best": 1.0, "loss": 2.0}) == Result(
        step=12, tokens=7, best=1.0, stopped=False
    )
    assert job.now == 0
    assert not job.lines


def test_progress_tells_the_running_mean_the_speed_and_the_time_left():
    shown: list[Progress] = []
    run(Counting(), on_progress=shown.append)
    assert [p.loss for p in shown[:3]] == [1.0, 1.05, 1.05 + 0.05 * 1.95]
    assert all(p.tokens_per_second > 0 and p.max_steps == 12 for p in shown)
    assert all(p.seconds_left > 0 for p in shown[:-1])
    assert shown[-1].seconds_left == 0
    assert shown[2].validation == {}
    assert shown[5].validation == {"score": 5.0}


def test_validations_and_checkpoints_do_not_count_as_slow_steps(monkeypatch: pytest.MonkeyPatch):
    clock = [0.0]
    monkeypatch.setattr("relmo.train.loop.time.monotonic", lambda: clock[0])

    class Slow(Counting):
        def step(self, number: int, rate_share: float) -> Measures:
            clock[0] += 2
            return super().step(number, rate_share)

        def validate(self) -> Measures:
            clock[0] += 100
            return super().validate()

        def save(self, name: str, progress: dict[str, Any]) -> None:
            clock[0] += 100
            super().save(name, progress)

    shown: list[Progress] = []
    run(Slow(), on_progress=shown.append)
    assert {p.tokens_per_second for p in shown} == {5.0}
    assert [p.seconds_left for p in shown] == [2.0 * (12 - step) for step in range(1, 13)]


# --- an early end ---------------------------------------------------------------------------------


def test_validations_without_a_better_score_end_the_run_saved_and_for_good():
    job = Counting({4: 3.0, 8: 4.0, 12: 2.0, 16: 2.0, 20: 2.5, 24: 1.0})
    result = run(job, max_steps=30, patience=2)
    assert result == Result(
        step=20, tokens=200, best=2.0, best_step=12, stopped=False, ended_early=True
    )
    assert job.saved[-1] == ("last", 20)
    again = Counting(job.scores)
    assert run(again, max_steps=30, patience=2, progress=job.progress) == result
    assert not again.shares


def test_more_patience_makes_a_run_that_ended_early_the_one_that_had_it_from_the_start():
    scores = {4: 3.0, 8: 4.0, 12: 3.5, 16: 2.0}
    whole, job = Counting(scores), Counting(scores)
    run(job, max_steps=18, patience=1)
    result = run(job, max_steps=18, patience=3, progress=job.progress)
    assert result == run(whole, max_steps=18, patience=3)
    assert (result.best_step, result.ended_early) == (16, False)
    assert job.validated == whole.validated


def test_without_patience_or_held_out_data_no_run_ends_early():
    assert run(Counting({4: 1.0}), max_steps=40).step == 40
    assert run(Counting(is_held_out=False), max_steps=40, patience=1).step == 40


# --- what is not finite ---------------------------------------------------------------------------


class Once(Counting):
    """A job that breaks at each of some steps once."""

    def step(self, number: int, rate_share: float) -> Measures:
        measures = super().step(number, rate_share)
        self.broken.pop(number, None)
        return measures


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["loss", "gradient_norm"])
def test_a_measure_that_is_not_finite_rolls_back_once_to_a_lower_rate(
    name: str, bad: float, caplog: pytest.LogCaptureFixture
):
    job = Once()
    job.broken[8] = {name: bad}
    result = run(job, max_steps=11)
    assert job.shares == [*((n, 1.0) for n in range(1, 9)), *((n, 0.5) for n in range(6, 12))]
    assert job.skipped == [8]
    assert [step for kind, step in job.saved if kind == "last"] == [5, 5, 10, 11]
    event = {"step": 5, "tokens": 50, "kind": "rollback", "failed_step": 8,
             "why": f"step 8: {name} is {bad}", "rate_share": 0.5}  # fmt: skip
    assert event in job.lines
    assert (result.step, result.tokens) == (11, 110)
    assert f"step 8: {name} is {bad}; rolled back to step 5" in caplog.text


def test_a_run_without_a_checkpoint_rolls_back_to_its_start():
    job = Once()
    job.broken[2] = {"loss": math.nan}
    assert run(job, max_steps=3).tokens == 30
    assert [number for number, _ in job.shares] == [1, 2, 1, 2, 3]
    assert job.saved[0] == ("last", 0)


def test_a_second_measure_that_is_not_finite_ends_the_run_wherever_it_is_resumed():
    job = Counting()
    job.broken[7] = {"loss": math.nan}
    message = "step 7: loss is nan, again after .*; the checkpoint of step 5 is kept; start again"
    with pytest.raises(TrainingError, match=message):
        run(job)
    assert job.saved == [("best", 4), ("last", 5), ("last", 5)]
    resumed = Counting()
    resumed.broken[7] = {"loss": math.nan}
    with pytest.raises(TrainingError, match=message):
        run(resumed, progress=job.progress)
    assert resumed.saved == []


def test_a_roll_back_keeps_the_best_and_counts_every_line():
    job = Once({4: 3.0, 8: 2.0, 12: 2.5})
    job.broken[9] = {"loss": math.nan}
    result = run(job)
    assert (result.best, result.best_step) == (2.0, 8)
    assert [entry for entry in job.saved if entry[0] == "best"] == [("best", 4), ("best", 8)]
    assert job.progress["lines"] == len(job.lines)


def test_a_score_that_is_not_a_number_is_no_best_and_rolls_back():
    job = Counting({8: math.nan})
    with pytest.raises(TrainingError, match=r"step 8: score is nan, again .* of step 5"):
        run(job)
    assert [entry for entry in job.saved if entry[0] == "best"] == [("best", 4)]


def test_weights_that_cannot_be_saved_as_they_are_not_finite_roll_back():
    class Broken(Counting):
        def save(self, name: str, progress: dict[str, Any]) -> None:
            if self.now == 10 and not self.skipped:
                raise TrainingError("step 10: 'weight' is no longer finite and is not saved")
            super().save(name, progress)

    job = Broken()
    assert run(job).step == 12
    assert job.skipped == [10]
    assert [step for name, step in job.saved if name == "last"] == [5, 5, 10, 12]
