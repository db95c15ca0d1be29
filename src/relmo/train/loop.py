"""The training loop: one for everything in relmo that is trained.

What is learned and from what comes in as a `Job`; the loop owns steps, metrics, validation and
checkpoints. It neither prints nor catches signals: whoever calls it passes functions for that.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from relmo.errors import TrainingError

__all__ = ["Job", "Progress", "Result", "fit"]


class Job(Protocol):
    """Something that can be trained, step by step, and saved at any step."""

    def step(self, number: int) -> dict[str, float]:
        """One update; its measures, `loss` and `tokens` among them.

        Where the loss is not finite nothing is updated.
        """

    def validate(self) -> dict[str, float]:
        """Measures on held-out data, `score` (lower is better) among them."""

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
    """The best validation score."""
    stopped: bool
    """Whether it was asked to stop before max_steps."""


def fit(
    job: Job,
    *,
    max_steps: int,
    save_every_steps: int,
    validate_every_steps: int,
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
        progress: as given to `Job.save`, to continue from there.
        should_stop: asked after each step.
        on_progress: told after each step.

    Raises:
        TrainingError: the loss is not finite; the last checkpoint stands.
    """
    state: dict[str, Any] = {"step": 0, "tokens": 0, "best": None, **(progress or {})}
    validation: dict[str, float] = {}
    meter = _Meter(state["step"])
    stopped = False
    while state["step"] < max_steps and not stopped:
        step = state["step"] + 1
        measures = job.step(step)
        if not math.isfinite(measures["loss"]):
            raise TrainingError(
                f"step {step}: the loss is {measures['loss']}; the checkpoint of an earlier step "
                "is kept; resume with a lower learning rate"
            )
        state["step"] = step
        state["tokens"] += int(measures["tokens"])
        meter.add(step, measures)
        stopped = should_stop()
        if step % validate_every_steps == 0 or step == max_steps:
            meter.pause()
            validation = job.validate()
            job.record({"step": step, "tokens": state["tokens"], "kind": "valid", **validation})
            if state["best"] is None or validation["score"] < state["best"]:
                state["best"] = validation["score"]
                job.save("best", dict(state))
            meter.resume()
        if step % _RECORD_EVERY == 0 or step == max_steps:
            job.record(
                {"step": step, "tokens": state["tokens"], "kind": "train",
                 **{k: v for k, v in measures.items() if k != "tokens"},
                 "loss": meter.loss, "tokens_per_second": meter.speed}
            )  # fmt: skip
        if step % save_every_steps == 0 or step == max_steps or stopped:
            meter.pause()
            job.save("last", dict(state))
            meter.resume()
        on_progress(
            Progress(step=step, max_steps=max_steps, loss=meter.loss,
                     tokens_per_second=meter.speed, seconds_left=meter.seconds_left(max_steps),
                     validation=validation)
        )  # fmt: skip
    return Result(step=state["step"], tokens=state["tokens"], best=state["best"], stopped=stopped)


_RECORD_EVERY = 10  # steps


class _Meter:
    """Running mean of the loss, and the speed without validations and checkpoints."""

    def __init__(self, step: int) -> None:
        self._first, self._step = step, step
        self._seconds = 0.0
        self._since = time.monotonic()
        self.loss = math.nan
        self.speed = 0.0

    def add(self, step: int, measures: dict[str, float]) -> None:
        now = time.monotonic()
        passed, self._since = now - self._since, now
        self._seconds += passed
        self._step = step
        speed = measures["tokens"] / max(passed, 1e-9)
        if math.isnan(self.loss):
            self.loss, self.speed = measures["loss"], speed
        else:
            self.loss += 0.05 * (measures["loss"] - self.loss)
            self.speed += 0.05 * (speed - self.speed)

    def pause(self) -> None:
        self._seconds += time.monotonic() - self._since

    def resume(self) -> None:
        self._since = time.monotonic()

    def seconds_left(self, max_steps: int) -> float:
        done = self._step - self._first
        return self._seconds / max(done, 1) * (max_steps - self._step)
