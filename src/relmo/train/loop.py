"""The training loop: one for everything in relmo that is trained.

What is learned and from what comes in as a `Job`; the loop owns steps, metrics, validation and
checkpoints. It neither prints nor catches signals: whoever calls it passes functions for that.

A run whose numbers are no longer finite goes back to its last checkpoint, once, and on from there
with half the learning rate. Every decision is taken from measures and progress alone, so that a
resumed run takes the same.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from relmo.errors import TrainingError

__all__ = ["Job", "Progress", "Result", "fit"]

_RECORD_EVERY = 10  # steps
_ROLLED_BACK = 0.5  # of the learning rate after a roll back
_START: dict[str, Any] = {
    "step": 0, "tokens": 0, "loss": None, "best": None, "best_step": None,
    "stale": 0,  # validations since the best
    "lines": 0,  # of the metrics
    "rate_share": 1.0, "skip": None,  # a step whose data are passed over; both of a roll back
}  # fmt: skip

_logger = logging.getLogger(__name__)


@runtime_checkable
class Job(Protocol):
    """Something that can be trained, step by step, and saved at any step."""

    def step(self, number: int, rate_share: float) -> dict[str, float]:
        """Make one update with a fraction of the rate; return `loss`, `tokens` and others.

        Where one of them is not finite nothing is updated.
        """

    def skip(self) -> None:
        """Pass over the data of a step."""

    def validate(self) -> dict[str, float]:
        """Return held-out measures, `score` (lower is better) among them; none without data."""

    def save(self, name: str, progress: dict[str, Any]) -> None:
        """Write the checkpoint `name` ("last", which can be resumed, or "best").

        Raises:
            TrainingError: what it would write is not finite.
        """

    def roll_back(self) -> dict[str, Any]:
        """Take up "last" again and return its progress; start again where there is none."""

    def record(self, measures: dict[str, Any]) -> None:
        """Append a line to the run's metrics."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a progress display may show."""

    step: int
    """Steps done."""
    max_steps: int
    """Steps of the whole run."""
    loss: float
    """Running mean of the training loss, in nats."""
    tokens_per_second: float
    """Over the last steps."""
    seconds_left: float
    """At that speed."""
    validation: dict[str, float]
    """The last validation's measures, or nothing."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a run ended."""

    step: int
    """Steps done, earlier sessions of the run counted."""
    tokens: int
    """Tokens seen, likewise."""
    best: float | None
    """The best validation score; None: nothing was held out, or no step done."""
    best_step: int | None = None
    """The step it was reached at."""
    stopped: bool
    """Whether it was asked to stop before its end."""
    ended_early: bool = False
    """Whether validations without a better score ended it before max_steps."""


def fit(  # noqa: PLR0913 - a run is its job, its rhythm and its two callbacks
    job: Job,
    *,
    max_steps: int,
    save_every_steps: int,
    validate_every_steps: int,
    patience: int = 0,
    baseline_step: int | None = None,
    progress: dict[str, Any] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Result:
    """Train until `max_steps`, an early end or until asked to stop; the last step is saved.

    Args:
        job: what is trained.
        max_steps: steps of the whole run, those before a resume counted.
        save_every_steps: steps between "last" checkpoints.
        validate_every_steps: steps between validations; the last step is always validated.
        patience: validations in a row without a better score that end the run; 0: none do.
        baseline_step: a step that is validated too, 0: before the first; None: none.
        progress: as given to `Job.save`, to continue from there.
        should_stop: asked after each step.
        on_progress: told after each step.

    Raises:
        TrainingError: a measure or a weight is not finite, again after a roll back; the last
            checkpoint stands.
    """
    run = _Run(
        job=job, max_steps=max_steps, save_every_steps=save_every_steps,
        validate_every_steps=validate_every_steps, patience=patience, baseline_step=baseline_step,
        state={**_START, **(progress or {})}, saved=None if progress is None else progress["step"],
    )  # fmt: skip
    if progress is None and baseline_step == 0:
        run.validate()
    stopped = False
    while not (stopped or run.is_over):
        number = run.state["step"] + 1
        try:
            stopped = run.step(number, should_stop)
        except TrainingError as error:
            run.roll_back(number, error)
            continue
        on_progress(run.progress())
    state = run.state
    return Result(
        step=state["step"], tokens=state["tokens"], best=state["best"],
        best_step=state["best_step"], stopped=stopped, ended_early=run.is_stale,
    )  # fmt: skip


@dataclass(kw_only=True)
class _Run:
    """A run on its way; `state` is its progress, plain numbers that every checkpoint holds."""

    job: Job
    max_steps: int
    save_every_steps: int
    validate_every_steps: int
    patience: int
    baseline_step: int | None
    state: dict[str, Any]
    saved: int | None
    """The step of the last checkpoint."""
    validation: dict[str, float] = field(default_factory=dict)
    meter: "_Meter" = field(default_factory=lambda: _Meter())

    @property
    def is_stale(self) -> bool:
        """Whether no better score came for so long that the run ends."""
        return 0 < self.patience <= int(self.state["stale"])

    @property
    def is_over(self) -> bool:
        return self.is_stale or bool(self.state["step"] >= self.max_steps)

    def step(self, number: int, should_stop: Callable[[], bool]) -> bool:
        """Make a step and what is due after it; return whether a stop was asked for."""
        if number == self.state["skip"]:
            self.job.skip()
        measures = self.job.step(number, self.state["rate_share"])
        _check_finite(measures, number)
        _count(self.state, measures)
        self.meter.add(measures["tokens"])
        stopped = should_stop()
        with self.meter.paused():
            is_last = number == self.max_steps
            if is_last or number == self.baseline_step or number % self.validate_every_steps == 0:
                self.validate()
            is_last = is_last or self.is_stale
            if is_last or number % _RECORD_EVERY == 0:
                named = {name: value for name, value in measures.items() if name != "tokens"}
                speed = self.meter.speed
                self.record("train", **{**named, "loss": self.state["loss"]},
                            tokens_per_second=speed)  # fmt: skip
            if is_last or stopped or number % self.save_every_steps == 0:
                self.save()
        return stopped

    def validate(self) -> None:
        """Measure the held-out data, and save a "best" checkpoint where it is the best so far."""
        measures = self.validation = self.job.validate()
        if not measures:
            return
        step = self.state["step"]
        _check_finite(measures, step)
        self.record("valid", **measures)
        if self.state["best"] is not None and measures["score"] >= self.state["best"]:
            self.state["stale"] += 1
            return
        best = {**self.state, "best": measures["score"], "best_step": step, "stale": 0}
        self.job.save("best", dict(best))
        self.state = best  # not before it stands: what is not finite is not saved

    def record(self, kind: str, **measures: Any) -> None:
        """Append a line to the metrics; they are counted, as a resume drops later ones."""
        of_run = {name: self.state[name] for name in ("step", "tokens")}
        self.job.record({**of_run, "kind": kind, **measures})
        self.state["lines"] += 1

    def save(self) -> None:
        self.job.save("last", dict(self.state))
        self.saved = self.state["step"]

    def roll_back(self, failed: int, error: TrainingError) -> None:
        """Go on from the last checkpoint with a lower rate; raises where that was done before.

        Text alone makes no number infinite: the weights have run away, so the rate is lowered.
        The data of the step that failed are passed over all the same: it may be the very next
        one, which would do exactly what it did. What was measured and the best model stay.
        """
        if self.state["rate_share"] < 1:
            kept = "none was saved yet" if self.saved is None else (
                f"the checkpoint of step {self.saved} is kept"
            )  # fmt: skip
            raise TrainingError(
                f"{error}, again after a roll back to a lower rate; {kept}; start again with a "
                "lower --learning-rate"
            ) from error
        with self.meter.paused():
            kept_on = {name: self.state[name] for name in ("best", "best_step", "lines")}
            self.state = {
                **_START, **self.job.roll_back(), **kept_on,
                "stale": 0, "rate_share": _ROLLED_BACK, "skip": failed,
            }  # fmt: skip
            self.record("rollback", failed_step=failed, why=str(error), rate_share=_ROLLED_BACK)
            self.save()
        _logger.warning(
            "%s; rolled back to step %d, goes on with %g of the learning rate",
            error, self.state["step"], _ROLLED_BACK,
        )  # fmt: skip

    def progress(self) -> Progress:
        step = self.state["step"]
        return Progress(
            step=step,
            max_steps=self.max_steps,
            loss=self.state["loss"],
            tokens_per_second=self.meter.speed,
            seconds_left=self.meter.seconds_a_step * (self.max_steps - step),
            validation=self.validation,
        )


def _check_finite(measures: dict[str, float], step: int) -> None:
    for name, value in measures.items():
        if not math.isfinite(value):
            raise TrainingError(f"step {step}: {name} is {value}")


def _count(state: dict[str, Any], measures: dict[str, float]) -> None:
    """Count one more step; `loss` is a running mean."""
    state["step"] += 1
    state["tokens"] += int(measures["tokens"])
    before, now = state["loss"], measures["loss"]
    state["loss"] = now if before is None else before + 0.05 * (now - before)


class _Meter:
    """Speed of the steps alone, without validations and checkpoints."""

    def __init__(self) -> None:
        self._steps, self._seconds = 0, 0.0
        self._since = time.monotonic()
        self.speed = 0.0

    def add(self, tokens: float) -> None:
        """Count a step that has ended."""
        now = time.monotonic()
        passed, self._since = now - self._since, now
        self._steps, self._seconds = self._steps + 1, self._seconds + passed
        speed = tokens / max(passed, 1e-9)
        self.speed = speed if self._steps == 1 else self.speed + 0.05 * (speed - self.speed)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time that a block takes out of the count."""
        yield
        self._since = time.monotonic()

    @property
    def seconds_a_step(self) -> float:
        """Mean seconds per step of this session."""
        return self._seconds / max(self._steps, 1)
