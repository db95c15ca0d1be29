"""The schedule, clipping and updates, each against its formula or torch's own."""

import copy
import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from relmo.train.optimizers import OptimizerGroup, clip_gradient, learning_rate
from tests.train.helpers import config


@pytest.mark.parametrize(
    ("decay", "halfway"),
    [("cosine", 0.05 + 0.95 / 2), ("linear", 0.05 + 0.95 / 2), ("none", 1.0)],
)
def test_the_rate_rises_to_the_highest_and_falls_to_a_twentieth(decay: str, halfway: float):
    settings = config(learning_rate=0.4, warmup_steps=4, max_steps=24, decay=decay)
    rise = [learning_rate(settings, step) for step in range(1, 5)]
    assert rise == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert learning_rate(settings, 14) == pytest.approx(0.4 * halfway)
    assert learning_rate(settings, 24) == pytest.approx(0.4 if decay == "none" else 0.02)
    assert learning_rate(settings, 99) == learning_rate(settings, 24)
    rates = [learning_rate(settings, step) for step in range(4, 25)]
    assert all(later <= rate for rate, later in pairwise(rates))


def test_a_quarter_of_the_way_down_the_decays_differ():
    settings = {"learning_rate": 1.0, "warmup_steps": 0, "max_steps": 100}
    cosine = 0.05 + 0.95 * (1 + math.cos(math.pi / 4)) / 2
    assert learning_rate(config(decay="cosine", **settings), 25) == pytest.approx(cosine)
    assert learning_rate(config(decay="linear", **settings), 25) == pytest.approx(
        0.05 + 0.95 * 0.75
    )
    assert learning_rate(config(decay="none", **settings), 25) == 1.0


@pytest.mark.parametrize("warmup", [0, 5, 50])
def test_a_run_no_longer_than_its_warm_up_has_a_rate_at_every_step(warmup: int):
    settings = config(learning_rate=1.0, warmup_steps=warmup, max_steps=5, decay="cosine")
    rates = [learning_rate(settings, step) for step in range(1, 6)]
    assert all(0 < rate <= 1 for rate in rates)


def test_the_rate_starts_anew_when_the_softmax_is_no_longer_learned_alone():
    whole = config(
        learning_rate=0.4, warmup_steps=4, max_steps=30, softmax_steps=10, decay="linear"
    )
    rest = config(learning_rate=0.4, warmup_steps=4, max_steps=20, decay="linear")
    rates = [learning_rate(whole, step) for step in range(1, 31)]
    assert rates[:10] == pytest.approx([0.1, 0.2, 0.3, *[0.4] * 7])
    assert rates[10:] == [learning_rate(rest, step) for step in range(1, 21)]


# --- clipping -------------------------------------------------------------------------------------


def with_gradients(*sizes: tuple[int, ...]) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(1)
    parameters = [nn.Parameter(torch.zeros(size)) for size in sizes]
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    return parameters


@pytest.mark.parametrize("most", [0.5, 3.0, 1e6])
def test_clipping_is_torchs_own(most: float):
    ours, torchs = (with_gradients((3, 4), (7,), (2, 2)) for _ in range(2))
    norm = clip_gradient(ours, most)
    assert norm.item() == pytest.approx(nn.utils.clip_grad_norm_(torchs, most).item())
    for one, other in zip(ours, torchs, strict=True):
        assert one.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-7)


def test_sparse_gradients_count_and_are_clipped_as_if_dense():
    dense, sparse = ([*with_gradients((3,)), nn.Parameter(torch.ones(5, 2))] for _ in range(2))
    index = torch.tensor([1, 3, 1])  # a row met twice: its parts add up before they are measured
    for parameters, is_sparse in ((dense, False), (sparse, True)):
        (F.embedding(index, parameters[1], sparse=is_sparse).sum() * 2).backward()
    norms = [clip_gradient(parameters, 1.5) for parameters in (dense, sparse)]
    torch.testing.assert_close(norms[0], norms[1])
    for one, other in zip(dense, sparse, strict=True):
        assert one.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(one.grad, other.grad.to_dense())


def test_a_parameter_without_a_gradient_is_passed_over():
    parameters = with_gradients((3,))
    expected = clip_gradient(parameters, 9.0)
    assert clip_gradient([nn.Parameter(torch.ones(4)), *parameters], 9.0) == expected


# --- updates --------------------------------------------------------------------------------------


def test_adagrad_starts_from_an_accumulator_of_one():
    for is_sparse in (False, True):
        weight = nn.Parameter(torch.zeros(4, 2))
        group = OptimizerGroup(
            *([], [weight])[:: 1 if is_sparse else -1], config(optimizer="adagrad")
        )
        total = torch.ones(2)
        expected = torch.zeros(4, 2)
        for gradient in (torch.tensor([3.0, 1.0]), torch.tensor([-2.0, 0.5])):
            (F.embedding(torch.tensor([2]), weight, sparse=is_sparse) * gradient).sum().backward()
            group.step(0.2)
            total += gradient**2
            expected[2] -= 0.2 * gradient / total.sqrt()
        torch.testing.assert_close(weight.detach(), expected)


def test_matrices_alone_decay_and_a_column_is_a_bias():
    matrix, bias, column = (nn.Parameter(torch.ones(size)) for size in ((3, 2), (3,), (3, 1)))
    group = OptimizerGroup([matrix, bias, column], [], config(weight_decay=0.5))
    for parameter in (matrix, bias, column):
        parameter.grad = torch.zeros_like(parameter)
    group.step(0.1)
    torch.testing.assert_close(matrix.detach(), torch.full((3, 2), 1 - 0.1 * 0.5))
    assert torch.equal(bias, torch.ones(3))
    assert torch.equal(column, torch.ones(3, 1))


def test_only_the_rows_of_a_sparse_gradient_are_updated():
    weight = nn.Parameter(torch.ones(5, 2))
    group = OptimizerGroup([nn.Parameter(torch.ones(1))], [weight], config())
    for row in (1, 3):
        F.embedding(torch.tensor([row]), weight, sparse=True).sum().backward()
        group.step(0.1)
    changed = (weight != 1).any(1)
    assert changed.tolist() == [False, True, False, True, False]
    torch.testing.assert_close(weight[1].detach(), torch.full((2,), 0.9))  # Adam's first step


@pytest.mark.parametrize("optimizer", ["adamw", "adagrad"])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_a_share_of_the_rate_is_that_rate(optimizer: str, is_sparse: bool):
    settings = config(optimizer=optimizer)
    weights = [nn.Parameter(torch.ones(5, 2)) for _ in range(3)]

    def group_of(*members: nn.Parameter) -> OptimizerGroup:
        dense = [nn.Parameter(torch.ones(1)), *([] if is_sparse else members)]
        return OptimizerGroup(dense, members if is_sparse else [], settings, {weights[1]: 0.25})

    group, other = group_of(*weights[:2]), group_of(weights[2])
    for row in (1, 2, 1):
        for weight in weights:
            (F.embedding(torch.tensor([row]), weight, sparse=is_sparse) * 3).sum().backward()
        group.step(0.4)
        other.step(0.1)
    assert torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[0], weights[1])


def test_a_step_drops_the_gradients():
    parameters = with_gradients((3, 2))
    OptimizerGroup(parameters, [], config()).step(0.1)
    assert parameters[0].grad is None


@pytest.mark.parametrize("optimizer", ["adamw", "adagrad"])
def test_a_state_continues_where_it_was_taken(optimizer: str):
    def update(weights: list[nn.Parameter], group: OptimizerGroup, row: int) -> None:
        dense = (weights[0] ** 2 * row).sum()
        (dense + F.embedding(torch.tensor([row]), weights[1], sparse=True).sum()).backward()
        group.step(0.1 / row)

    def fresh() -> tuple[list[nn.Parameter], OptimizerGroup]:
        weights = [nn.Parameter(torch.ones(3, 2)), nn.Parameter(torch.ones(5, 2))]
        return weights, OptimizerGroup(weights[:1], weights[1:], config(optimizer=optimizer))

    weights, group = fresh()
    for row in (1, 2):
        update(weights, group, row)
    other_weights, other = fresh()
    with torch.no_grad():
        for one, two in zip(other_weights, weights, strict=True):
            one.copy_(two)
    other.load_state_dict(copy.deepcopy(group.state_dict()))
    for row in (2, 4):
        update(weights, group, row)
        update(other_weights, other, row)
    for one, two in zip(weights, other_weights, strict=True):
        assert torch.equal(one, two)
