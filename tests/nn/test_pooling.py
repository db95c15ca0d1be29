"""A sentence's vector is a function of its own tokens."""

import pytest
import torch
from torch import nn

from relmo.tasks.network import AttentionPooling, MaxPooling, MeanPooling

POOLINGS = [MeanPooling(), MaxPooling(), AttentionPooling(4)]
SIZES = [3, 1, 5]


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(sum(SIZES), 4), torch.repeat_interleave(
        torch.arange(len(SIZES)), torch.tensor(SIZES)
    )


def test_mean_and_max_are_those_of_each_sentence():
    x, owner = batch()
    for pooling, expected in ((POOLINGS[0], torch.mean), (POOLINGS[1], torch.amax)):
        rows = [expected(part, 0) for part in x.split(SIZES)]
        torch.testing.assert_close(pooling(x, owner, 3), torch.stack(rows))


@torch.no_grad()
def test_attention_is_a_mean_weighted_by_a_softmax():
    x, owner = batch()
    pooling = AttentionPooling(4)
    rows = [
        pooling.query(torch.tanh(pooling.hidden(part))).softmax(0).T @ part
        for part in x.split(SIZES)
    ]
    torch.testing.assert_close(pooling(x, owner, 3), torch.cat(rows))
    pooling.query.bias += 1000  # large scores do not overflow
    torch.testing.assert_close(pooling(x, owner, 3), torch.cat(rows), atol=1e-3, rtol=1e-3)
    pooling.query.weight *= 1000  # nor do those of one sentence make another's vanish
    assert pooling(x, owner, 3).isfinite().all()


@pytest.mark.parametrize("pooling", POOLINGS, ids=["mean", "max", "attention"])
def test_other_sentences_and_their_order_change_nothing(pooling: nn.Module):
    x, owner = batch()
    together = pooling(x, owner, 3)
    for number, part in enumerate(x.split(SIZES)):
        alone = pooling(part, torch.zeros(len(part), dtype=torch.long), 1)
        torch.testing.assert_close(together[number : number + 1], alone)
    torch.testing.assert_close(pooling(x.flip(0), owner.flip(0), 3), together)


@pytest.mark.parametrize("pooling", POOLINGS, ids=["mean", "max", "attention"])
def test_gradients_are_those_of_finite_differences(pooling: nn.Module):
    x, owner = batch()
    x = x.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: pooling.double()(x, owner, 3), (x,))
    pooling.float()
