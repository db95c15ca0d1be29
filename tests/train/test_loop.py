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
        self.validated: list[int] = []
        self.saved: list[tuple[str, int]] = []
        self.lines: list[dict[str, Any]] = []
        self.progress: dict[str, Any] = {}

    def step(self, number: int) -> Measures:
        assert number > self.now
        self.now = number
        return {"loss": float(number), "tokens": 10.0, **self.broken.get(number, {})}

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
    assert result == Result(step=11, tokens=110, best=5.0, stopped=False)


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
    assert result == Result(step=12, tokens=120, best=5.0, stopped=False)
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
        def step(self, number: int) -> Measures:
            clock[0] += 2
            return super().step(number)

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


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["loss", "gradient_norm"])
def test_a_measure_that_is_not_finite_ends_the_run_and_nothing_more_is_written(
    name: str, bad: float
):
    job = Counting()
    job.broken[6] = {name: bad}
    with pytest.raises(
        TrainingError, match=f"step 6: {name} is {bad}; the checkpoint of step 5 is kept"
    ):
        run(job)
    assert job.saved == [("best", 4), ("last", 5)]
    early = Counting()
    early.broken[2] = {name: bad}
    with pytest.raises(TrainingError, match="none was saved yet"):
        run(early)
    resumed = Counting()
    resumed.broken[6] = {name: bad}
    with pytest.raises(TrainingError, match="checkpoint of step 5 is kept"):
        run(resumed, progress={"step": 5})


def test_a_score_that_is_not_a_number_ends_the_run_and_is_no_best():
    job = Counting({8: math.nan})
    with pytest.raises(TrainingError, match="step 8: score is nan; the checkpoint of step 5"):
        run(job)
    assert job.saved == [("best", 4), ("last", 5)]
