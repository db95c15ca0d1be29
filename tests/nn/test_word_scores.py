"""Surprisal, entropy and rank of words: as by brute force, whatever the blocks."""

import pytest
import torch
from torch import Tensor

from relmo.nn import word_scores as scores
from relmo.nn.word_scores import Part, word_scores

V, DIM, N = 30, 4, 50
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(params=[(512, 4096), (7, 4), (50, 30)])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "_BLOCK_ROWS", request.param[0])
    monkeypatch.setattr(scores, "_BLOCK_WORDS", request.param[1])


def batch(scale: float = 2) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (
        torch.randn(*size, generator=generator) for size in ((N, DIM), (V, DIM), (V,))
    )
    return scale * x, weight, bias, torch.randint(V, (N,), generator=generator)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("scale", [0.01, 2, 100])
def test_each_is_the_brute_force_one(scale: float):
    x, weight, bias, targets = batch(scale)
    logits = x.double() @ weight.double().t() + bias.double()
    scores = torch.log_softmax(logits, dim=1)
    truth = scores.gather(1, targets[:, None])
    found = word_scores([Part(0, x, weight, bias)], targets)
    torch.testing.assert_close(found.surprisal.double(), -truth[:, 0], rtol=1e-5, atol=1e-4)
    entropy = -(scores.exp() * scores).sum(1)
    torch.testing.assert_close(found.entropy.double(), entropy, rtol=1e-4, atol=1e-4)
    assert found.rank.tolist() == ((scores > truth).sum(1) + 1).tolist()


@pytest.mark.usefixtures("_blocks")
def test_words_that_are_all_alike_have_rank_1_and_the_logarithm_of_their_number():
    x, _, _, targets = batch()
    found = word_scores([Part(0, x, torch.zeros(V, DIM), torch.full((V,), 3.0))], targets)
    expected = torch.full((N,), V).float().log()
    torch.testing.assert_close(found.surprisal, expected, **CLOSE)
    torch.testing.assert_close(found.entropy, expected, **CLOSE)
    assert set(found.rank.tolist()) == {1}


def test_no_row_gives_no_number():
    _, weight, bias, _ = batch()
    found = word_scores(
        [Part(0, torch.empty(0, DIM), weight, bias)], torch.empty(0, dtype=torch.int64)
    )
    assert found.surprisal.shape == found.entropy.shape == found.rank.shape == (0,)
