"""A step of a task's training: dropout, penalty, clipping and learning rate, each at work."""

from pathlib import Path
from typing import Any

import pytest
import torch

from relmo.tasks.tagger import Tagger
from relmo.tasks.training import TaskJob
from relmo.train.folder import RunFolder
from tests.tasks.helpers import config, data, training

BATCH = [3, 1, 2]


def new(shape: dict[str, Any] | None = None, **how: Any) -> TaskJob:
    """A run before its first step, without dropout unless asked for."""
    whole = config(**{"dropout": 0.0, "mix_dropout": 0.0, **(shape or {})})
    return TaskJob(Tagger, data(), RunFolder(Path("nowhere")), whole, training(**how))


def test_the_penalty_draws_a_mix_to_the_mean_of_the_layers():
    run = new({"n_mixtures": 2}, mix_penalty=1e3)
    far = torch.tensor([1.0, -1.0, 0.5])
    weights = [mix.weights for mix in run.task.network.mixes]
    for its_weights in weights:
        its_weights.data.copy_(far)
    run.step(1, 1.0)
    for its_weights in weights:
        assert (its_weights.abs() < far.abs()).all()


@pytest.mark.parametrize(
    "shape",
    [
        {"mix_dropout": 0.5},
        {"dropout": 0.5, "n_layers": 2},  # between two layers
        {"dropout": 0.5, "n_layers": 1, "char_dim": 8},  # of what does not depend on the context
    ],
)
def test_dropout_is_of_training_alone(shape: dict[str, Any]):
    run = new(shape)
    network = run.task.network

    def encoded() -> torch.Tensor:
        numbers = sorted(BATCH, key=lambda number: -run.lengths[number])
        return network.encode(run.train_inputs(numbers))[0]

    network.train()
    assert not encoded().equal(encoded())
    network.eval()
    assert encoded().equal(encoded())


def test_a_step_trains_with_dropout_and_a_validation_has_none():
    run = new({"dropout": 0.5})
    for _ in range(2):
        before = torch.get_rng_state()
        run.validate()
        assert torch.get_rng_state().equal(before)
        run.step(1, 1.0)
        assert not torch.get_rng_state().equal(before)


def test_the_learning_rate_falls_in_a_line_to_0():
    run = new(learning_rate=0.03)
    last = run.max_steps
    rates = [run.step(number, 1.0)["learning_rate"] for number in range(1, last + 1)]
    assert rates == pytest.approx([0.03 * (last - done) / last for done in range(last)])


def test_the_gradient_is_clipped_to_a_norm():
    run = new(clip_norm=1e-3)
    assert run.step(1, 1.0)["gradient_norm"] > 1e-2
    first = [state["exp_avg"] for state in run.optimizer.state.values()]  # a tenth of the gradient
    assert torch.cat([moment.flatten() for moment in first]).norm() == pytest.approx(1e-4, rel=1e-3)
