"""The adaptive softmax is torch's, and a distribution over the vocabulary."""

import pytest
import torch
from torch import Tensor, nn

from relmo.config import tail_width
from relmo.errors import ConfigError
from relmo.nn import word_scores as scores
from relmo.nn.softmax import AdaptiveSoftmax, Softmax, cutoffs_of, default_cutoffs, restore, stored
from relmo.nn.word_scores import added, parts, top_words, word_scores
from tests.nn.helpers import randomise

V, DIM, N, CUTOFFS = 30, 16, 50, (6, 14)
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture
def adaptive() -> AdaptiveSoftmax:
    module = AdaptiveSoftmax(V, DIM, CUTOFFS)
    randomise(module, scale=2)
    return module


@pytest.fixture(params=[(512, 4096), (7, 4)])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "_BLOCK_ROWS", request.param[0])
    monkeypatch.setattr(scores, "_BLOCK_WORDS", request.param[1])
    monkeypatch.setattr(scores, "_CHUNK_NUMBERS", 3 * request.param[1])


def batch(n: int = N, highest: int = V) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, DIM, generator=generator, requires_grad=True)
    return x, torch.randint(highest, (n,), generator=generator)


def of_torch(adaptive: AdaptiveSoftmax) -> nn.AdaptiveLogSoftmaxWithLoss:
    """Torch's own, whose tails have no bias, with the same weights."""
    module = nn.AdaptiveLogSoftmaxWithLoss(DIM, V, list(CUTOFFS), div_value=4.0, head_bias=True)
    with torch.no_grad():
        module.head.weight.copy_(adaptive.head.weight)
        module.head.bias.copy_(adaptive.head.bias[:, 0])
        for theirs, ours in zip(module.tail, adaptive.tails, strict=True):
            ours.bias.zero_()
            theirs[0].weight.copy_(ours.projection.t())
            theirs[1].weight.copy_(ours.weight)
    return module


def naive(adaptive: AdaptiveSoftmax, x: Tensor) -> Tensor:
    """Log-probabilities of all words, one cluster beside the other: (N, V)."""
    head = torch.log_softmax(x @ adaptive.head.weight.t() + adaptive.head.bias[:, 0], dim=1)
    pieces = [head[:, : CUTOFFS[0]]]
    for number, tail in enumerate(adaptive.tails):
        logits = x @ tail.projection @ tail.weight.t() + tail.bias[:, 0]
        pieces.append(head[:, [CUTOFFS[0] + number]] + torch.log_softmax(logits, dim=1))
    return torch.cat(pieces, dim=1)


def test_loss_and_gradient_are_those_of_torch(adaptive: AdaptiveSoftmax):
    theirs, (x, targets) = of_torch(adaptive), batch()
    found, expected = adaptive.full_loss(x, targets), theirs(x, targets)
    torch.testing.assert_close(found, expected.loss, **CLOSE)
    torch.testing.assert_close(adaptive.negative_log_likelihood(x, targets), -expected.output)
    ours = [x, adaptive.head.weight, adaptive.head.bias]
    other = [x, theirs.head.weight, theirs.head.bias]
    for tail, module in zip(adaptive.tails, theirs.tail, strict=True):
        ours += [tail.projection, tail.weight]
        other += [module[0].weight, module[1].weight]
    pairs = zip(
        torch.autograd.grad(3 * found, ours), torch.autograd.grad(3 * expected.loss, other),
        strict=True,
    )  # fmt: skip
    for gradient, of_theirs in pairs:
        same = gradient if gradient.shape == of_theirs.shape else gradient.t()
        torch.testing.assert_close(same.reshape(of_theirs.shape), of_theirs, **CLOSE)


@pytest.mark.usefixtures("_blocks")
def test_its_scores_are_the_naive_ones_and_a_distribution(adaptive: AdaptiveSoftmax):
    x, targets = batch()
    expected = naive(adaptive, x).detach()
    ids, found = top_words(parts(x.detach(), stored(adaptive)), V)
    torch.testing.assert_close(found, expected.sort(dim=1, descending=True).values, **CLOSE)
    torch.testing.assert_close(expected.gather(1, ids), found, **CLOSE)
    torch.testing.assert_close(found.exp().sum(1), torch.ones(N), **CLOSE)
    truth = expected.gather(1, targets[:, None])
    torch.testing.assert_close(adaptive.negative_log_likelihood(x, targets), -truth[:, 0], **CLOSE)
    of_words = word_scores(parts(x.detach(), stored(adaptive)), targets)
    torch.testing.assert_close(of_words.surprisal, -truth[:, 0], **CLOSE)
    torch.testing.assert_close(of_words.entropy, -(expected.exp() * expected).sum(1), **CLOSE)
    assert of_words.rank.tolist() == ((expected > truth).sum(1) + 1).tolist()


def test_the_full_softmax_is_a_distribution_too():
    softmax, (x, _) = Softmax(V, DIM), batch()
    every = torch.arange(V).repeat_interleave(N)
    losses = softmax.negative_log_likelihood(x.detach().repeat(V, 1), every)
    torch.testing.assert_close((-losses).exp().view(V, N).sum(0), torch.ones(N), **CLOSE)


@pytest.mark.usefixtures("_blocks")
def test_added_scores_are_the_sums_normalised_anew(adaptive: AdaptiveSoftmax):
    x = batch()[0].detach()
    other = x.flip(0)
    both = naive(adaptive, x) + naive(adaptive, other)
    expected = torch.log_softmax(both.detach(), dim=1).sort(dim=1, descending=True).values
    tensors = stored(adaptive)
    found = top_words(added(parts(x, tensors), parts(other, tensors)), V)[1]
    torch.testing.assert_close(found, expected, **CLOSE)


def test_a_tail_that_no_target_is_in_has_a_gradient_of_zeros(adaptive: AdaptiveSoftmax):
    x, targets = batch(highest=CUTOFFS[1])
    adaptive.full_loss(x, targets).backward()
    for parameter in adaptive.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
    assert not adaptive.tails[1].weight.grad.any()
    assert adaptive.tails[0].weight.grad.any()


def test_under_autocast_the_loss_is_still_computed_in_float32(adaptive: AdaptiveSoftmax):
    x, targets = batch()
    expected = adaptive.full_loss(x, targets)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(adaptive.full_loss(x, targets), expected)


def test_what_is_stored_says_the_cutoffs_and_fills_another(adaptive: AdaptiveSoftmax):
    tensors = stored(adaptive)
    assert {name: tuple(t.shape) for name, t in tensors.items()} == {
        "head.weight": (8, 16), "head.bias": (8,),
        "tails.0.projection": (16, 4), "tails.0.weight": (8, 4), "tails.0.bias": (8,),
        "tails.1.projection": (16, 1), "tails.1.weight": (16, 1), "tails.1.bias": (16,),
    }  # fmt: skip
    assert cutoffs_of(tensors) == CUTOFFS
    assert cutoffs_of(stored(Softmax(V, DIM))) is None
    other = AdaptiveSoftmax(V, DIM, CUTOFFS)
    restore(other, tensors)
    x, targets = batch()
    assert torch.equal(other.full_loss(x, targets), adaptive.full_loss(x, targets))


@pytest.mark.parametrize(
    ("n_words", "expected"),
    [(3, (1,)), (100, (20,)), (4000, (800,)), (4001, (2000,)), (155_080, (2000, 20_000))],
)
def test_the_cutoffs_follow_the_vocabulary(n_words: int, expected: tuple[int, ...]):
    assert default_cutoffs(n_words) == expected


def test_tails_grow_narrower_to_a_width_of_1():
    assert [tail_width(128, number) for number in range(5)] == [32, 8, 2, 1, 1]


@pytest.mark.parametrize("cutoffs", [(), (30,), (6, 31)])
def test_a_cutoff_beyond_the_vocabulary_is_an_error(cutoffs: tuple[int, ...]):
    with pytest.raises(ConfigError, match="--cutoffs: expected numbers below the 30 words"):
        AdaptiveSoftmax(V, DIM, cutoffs)
