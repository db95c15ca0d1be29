"""The training loop: one for everything in relmo that is trained.

What is learned and from what comes in as a `Job`; the loop owns steps, metrics, validation and
checkpoints. It neither prints nor catches signals: whoever calls it passes functions for that.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from relmo.errors import TrainingError

__all__ = ["Job", "Progress", "Result", "fit"]

_RECORD_EVERY = 10  # steps


@runtime_checkable
class Job(Protocol):
    """Something that can be trained, step by step, and saved at any step."""

    def step(self, number: int) -> dict[str, float]:
        """One update; its measures, `loss` and `tokens` among them.

        Where one of them is not finite nothing is updated.
        """

    def validate(self) -> dict[str, float]:
        """Measures on held-out data, `score` (lower is better) among them; none without data."""

    def save(self, name: str, progress: dict[str, Any]) -> None:
        """Write the checkpoint `name` ("last", which can be resumed, or "best")."""

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
    stopped: bool
    """Whether it was asked to stop before max_steps."""


def fit(
    job: Job,
    *,
    max_steps: int,
    save_every_steps: int,
    validate_every_steps: int,
    baseline_step: int | None = None,
    progress: dict[str, Any] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Result:
    """Train until `max_steps` or until asked to stop; either way the last step is saved.

    Args:
        job: what is trained.
        max_steps: steps of the whole run, those before a resume counted.
        save_every_steps: steps between "last" checkpoints.
        validate_every_steps: steps between validations; the last step is always validated.
        baseline_step: a step that is validated too, 0: before the first; None: none.
        progress: as given to `Job.save`, to continue from there.
        should_stop: asked after each step.
        on_progress: told after each step.

    Raises:
        TrainingError: a measure is not finite; the last checkpoint stands.
    """
    state = {"step": 0, "tokens": 0, "best": None, "loss": None, **(progress or {})}
    saved: int = state["step"]
    validation: dict[str, float] = {}
    meter = _Meter()
    stopped = False
    if baseline_step == 0 == state["step"]:
        with meter.paused():
            validation = _validate(job, state, saved)
    while state["step"] < max_steps and not stopped:
        step = state["step"] + 1
        measures = job.step(step)
        _check_finite(measures, step, saved)
        _count(state, measures)
        meter.add(measures["tokens"])
        stopped = should_stop()
        is_last = step == max_steps
        with meter.paused():
            if is_last or step == baseline_step or step % validate_every_steps == 0:
                validation = _validate(job, state, saved)
            if is_last or step % _RECORD_EVERY == 0:
                _record(job, state, measures, meter.speed)
            if is_last or stopped or step % save_every_steps == 0:
                job.save("last", dict(state))
                saved = step
        on_progress(
            Progress(step=step, max_steps=max_steps, loss=state["loss"],
                     tokens_per_second=meter.speed,
                     seconds_left=meter.seconds_a_step * (max_steps - step),
                     validation=validation)
        )  # fmt: skip
    return Result(step=state["step"], tokens=state["tokens"], best=state["best"], stopped=stopped)


def _check_finite(measures: dict[str, float], step: int, saved: int) -> None:
    for name, value in measures.items():
        if not math.isfinite(value):
            kept = f"the checkpoint of step {saved} is kept" if saved else "none was saved yet"
            raise TrainingError(
                f"step {step}: {name} is {value}; {kept}; start again with a lower --learning-rate"
            )


def _count(state: dict[str, Any], measures: dict[str, float]) -> None:
    """One step more; `loss` is a running mean."""
    state["step"] += 1
    state["tokens"] += int(measures["tokens"])
    before, now = state["loss"], measures["loss"]
    state["loss"] = now if before is None else before + 0.05 * (now - before)


def _validate(job: Job, state: dict[str, Any], saved: int) -> dict[str, float]:
    """Measures of the held-out data, and a "best" checkpoint where they are the best so far."""
    measures = job.validate()
    if not measures:
        return measures
    _check_finite(measures, state["step"], saved)
    job.record({"step": state["step"], "tokens": state["tokens"], "kind": "valid", **measures})
    if state["best"] is None or measures["score"] < state["best"]:
        state["best"] = measures["score"]
        job.save("best", dict(state))
    return measures


def _record(job: Job, state: dict[str, Any], measures: dict[str, float], speed: float) -> None:
    job.record(
        {"step": state["step"], "tokens": state["tokens"], "kind": "train",
         **{name: value for name, value in measures.items() if name != "tokens"},
         "loss": state["loss"], "tokens_per_second": speed}
    )  # fmt: skip


class _Meter:
    """Speed of the steps alone, without validations and checkpoints."""

    def __init__(self) -> None:
        self._steps, self._seconds = 0, 0.0
        self._since = time.monotonic()
        self.speed = 0.0

    def add(self, tokens: float) -> None:
        """A step has ended."""
        now = time.monotonic()
        passed, self._since = now - self._since, now
        self._steps, self._seconds = self._steps + 1, self._seconds + passed
        speed = tokens / max(passed, 1e-9)
        self.speed = speed if self._steps == 1 else self.speed + 0.05 * (speed - self.speed)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is done in the block takes no time."""
        yield
        self._since = time.monotonic()

    @property
    def seconds_a_step(self) -> float:
        """Mean over all steps of this session."""
        return self._seconds / max(self._steps, 1)
