"""Variational dropout: one mask a row of a batch, the same at each of its steps."""

import torch

from relmo.nn.lstm import PackedDropout

SIZES = (4, 4, 3, 1)


def rows(x: torch.Tensor) -> list[torch.Tensor]:
    """The steps of each row: a list of (steps, dim)."""
    steps = x.split(SIZES)
    return [torch.stack([s[row] for s in steps if row < len(s)]) for row in range(SIZES[0])]


def test_a_row_keeps_its_mask_and_another_has_its_own():
    torch.manual_seed(0)
    dropped = PackedDropout(0.25, variational=True)(torch.ones(sum(SIZES), 400), SIZES)
    masks = [row[0] for row in rows(dropped)]
    for row in rows(dropped):
        assert torch.equal(row, row[:1].expand_as(row))
    assert len({mask.numpy().tobytes() for mask in masks}) == SIZES[0]
    assert set(dropped.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert abs(float((torch.stack(masks) == 0).float().mean()) - 0.25) < 0.05


def test_plain_dropout_is_that_of_torch():
    x = torch.randn(sum(SIZES), 8)
    torch.manual_seed(1)
    found = PackedDropout(0.5)(x, SIZES)
    torch.manual_seed(1)
    assert torch.equal(found, torch.nn.Dropout(0.5)(x))


def test_the_gradient_is_dropped_as_the_numbers_are():
    x = torch.ones(sum(SIZES), 8, requires_grad=True)
    dropped = PackedDropout(0.5, variational=True)(x, SIZES)
    dropped.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, dropped.detach())


def test_nothing_is_dropped_in_evaluation_nor_of_nothing():
    x = torch.randn(sum(SIZES), 8)
    dropout = PackedDropout(0.5, variational=True)
    assert dropout(x[:0], ()).shape == (0, 8)
    assert torch.equal(dropout.eval()(x, SIZES), x)
