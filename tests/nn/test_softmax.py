"""Losses over a vocabulary: the full softmax is cross entropy, the sampled one stands for it."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from relmo.errors import ConfigError
from relmo.nn import softmax as softmax_module
from relmo.nn.softmax import Candidates, Softmax, log_uniform_candidates
from tests.nn.helpers import randomise

V, DIM, N = 30, 4, 50
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture
def softmax() -> Softmax:
    module = Softmax(V, DIM)
    randomise(module, scale=2)
    return module


@pytest.fixture(params=["in one piece", "16 rows at a time"])
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param != "in one piece":
        monkeypatch.setattr(softmax_module, "_CHUNK_NUMBERS", 1)


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Inputs, and targets of which many come more than once."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(N, DIM, generator=generator, requires_grad=True)
    return x, torch.randint(V, (N,), generator=generator)


def gradients(loss: Tensor, x: Tensor, softmax: Softmax) -> list[Tensor]:
    """Times 3, so that the scale of what comes from above is seen to count."""
    found = torch.autograd.grad(3 * loss, [x, softmax.weight, softmax.bias])
    return [gradient.to_dense() if gradient.is_sparse else gradient for gradient in found]


def logits(softmax: Softmax, x: Tensor) -> Tensor:
    return x @ softmax.weight.t() + softmax.bias[:, 0]


def naive_sampled_loss(
    softmax: Softmax, x: Tensor, targets: Tensor, candidates: Candidates
) -> Tensor:
    """Row by row: the target against the candidates that are other words."""
    scores = logits(softmax, x) - candidates.log_expected_count(torch.arange(V))
    losses = []
    for row, target in zip(scores, targets, strict=True):
        others = candidates.ids[candidates.ids != target]
        losses.append(torch.logsumexp(row[torch.cat([target[None], others])], 0) - row[target])
    return torch.stack(losses).mean()


@pytest.mark.usefixtures("chunks")
def test_the_full_loss_is_cross_entropy(softmax: Softmax):
    x, targets = batch()
    expected, found = F.cross_entropy(logits(softmax, x), targets), softmax.full_loss(x, targets)
    torch.testing.assert_close(found, expected, **CLOSE)
    torch.testing.assert_close(
        gradients(found, x, softmax), gradients(expected, x, softmax), **CLOSE
    )


@pytest.mark.usefixtures("chunks")
def test_the_likelihood_of_each_target_is_cross_entropy(softmax: Softmax):
    x, targets = batch()
    found = softmax.negative_log_likelihood(x, targets)
    expected = F.cross_entropy(logits(softmax, x), targets, reduction="none")
    assert not found.requires_grad
    torch.testing.assert_close(found, expected.detach(), **CLOSE)
    assert softmax.negative_log_likelihood(x[:0], targets[:0]).shape == (0,)


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("n_candidates", [1, 7, 15])
def test_the_sampled_loss_is_the_naive_formula(softmax: Softmax, n_candidates: int):
    x, targets = batch()
    candidates = log_uniform_candidates(V, n_candidates, np.random.default_rng(3))
    if n_candidates > 1:
        assert set(candidates.ids.tolist()) & set(targets.tolist())  # and so a hit to leave out
    expected = naive_sampled_loss(softmax, x, targets, candidates)
    found = softmax.sampled_loss(x, targets, candidates)
    torch.testing.assert_close(found, expected, **CLOSE)
    torch.testing.assert_close(
        gradients(found, x, softmax), gradients(expected, x, softmax), **CLOSE
    )


def test_the_sampled_gradient_is_sparse(softmax: Softmax):
    x, targets = batch()
    candidates = log_uniform_candidates(V, 3, np.random.default_rng(0))
    softmax.sampled_loss(x, targets[:2].repeat(N // 2), candidates).backward()
    touched = set(candidates.ids.tolist()) | set(targets[:2].tolist())
    for parameter in softmax.parameters():
        assert parameter.grad is not None
        assert parameter.grad.is_sparse
        assert set(parameter.grad.coalesce().indices()[0].tolist()) == touched


def test_with_every_word_a_candidate_the_sampled_loss_is_the_full_one(softmax: Softmax):
    x, targets = batch()
    everything = Candidates(torch.randperm(V), tries=10**9, n_words=V)
    found, expected = softmax.sampled_loss(x, targets, everything), softmax.full_loss(x, targets)
    torch.testing.assert_close(found, expected, **CLOSE)
    torch.testing.assert_close(
        gradients(found, x, softmax), gradients(expected, x, softmax), **CLOSE
    )


def test_large_logits_stay_finite(softmax: Softmax):
    x, targets = batch()
    candidates = log_uniform_candidates(V, 5, np.random.default_rng(0))
    for loss in (softmax.full_loss(1e4 * x, targets),
                 softmax.sampled_loss(1e4 * x, targets, candidates)):  # fmt: skip
        assert all(gradient.isfinite().all() for gradient in gradients(loss, x, softmax))


@pytest.mark.parametrize("rows", [1, N])
def test_under_autocast_the_loss_is_still_computed_in_float32(softmax: Softmax, rows: int):
    x, targets = (tensor[:rows] for tensor in batch())
    candidates = log_uniform_candidates(V, 5, np.random.default_rng(0))
    expected = softmax.full_loss(x, targets), softmax.sampled_loss(x, targets, candidates)
    with torch.autocast("cpu", torch.bfloat16):
        found = softmax.full_loss(x, targets), softmax.sampled_loss(x, targets, candidates)
    torch.testing.assert_close(found, expected)


# --- candidates -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_words", "n_candidates"), [(2, 1), (3, 1), (30, 15), (1000, 100)])
def test_candidates_are_distinct_words(n_words: int, n_candidates: int):
    random = np.random.default_rng(0)
    for _ in range(20):
        found = log_uniform_candidates(n_words, n_candidates, random)
        ids = found.ids.tolist()
        assert len(set(ids)) == len(ids) == n_candidates <= found.tries
        assert min(ids) >= 0
        assert max(ids) < n_words


def test_the_same_generator_draws_the_same_candidates():
    a, b = (log_uniform_candidates(100, 20, np.random.default_rng(5)) for _ in range(2))
    assert torch.equal(a.ids, b.ids)
    assert a.tries == b.tries


@pytest.mark.parametrize("n_candidates", [1, 4, 10])
def test_words_are_drawn_as_often_as_expected(n_candidates: int):
    words, rounds = 20, 2500
    random = np.random.default_rng(1)
    drawn, expected = np.zeros(words), np.zeros(words)
    for _ in range(rounds):
        candidates = log_uniform_candidates(words, n_candidates, random)
        drawn[candidates.ids.numpy()] += 1
        expected += candidates.log_expected_count(torch.arange(words)).exp().numpy()
    # Three standard deviations of a share of 0.5 are 0.027; the count of tries is itself chance.
    np.testing.assert_allclose(drawn / rounds, expected / rounds, atol=0.03)
    if n_candidates == 1:  # one try: the distribution itself
        ranks = np.arange(words)
        shares = np.log((ranks + 2) / (ranks + 1)) / np.log(words + 1)
        np.testing.assert_allclose(expected / rounds, shares, rtol=1e-5)


def test_candidates_weighted_by_their_expected_count_stand_for_the_vocabulary():
    n_words = 2000
    values = torch.rand(n_words, generator=torch.Generator().manual_seed(0)) + 0.5
    random = np.random.default_rng(2)
    sums = []
    for _ in range(200):
        candidates = log_uniform_candidates(n_words, n_words // 2, random)
        shares = candidates.log_expected_count(candidates.ids).exp()
        sums.append(float((values[candidates.ids] / shares).sum()))
    assert np.mean(sums) == pytest.approx(float(values.sum()), rel=0.01)


def mean_gradient_at_the_truth(correct: bool) -> float:
    """Largest mean gradient of a model that already knows how often each word comes."""
    rounds, counts = 100, torch.arange(V, 0, -1) ** 2 // 10 + 1
    targets = torch.repeat_interleave(torch.arange(V), counts)
    softmax, random = Softmax(V, 1), np.random.default_rng(4)
    x, total = torch.ones(len(targets), 1), torch.zeros(V)
    with torch.no_grad():
        softmax.weight.zero_()
        softmax.bias.copy_(torch.log(counts / counts.sum())[:, None])
    for _ in range(rounds):
        candidates = log_uniform_candidates(V, V // 2, random)
        if not correct:
            candidates = Candidates(candidates.ids, 10**9, V)  # as if each were always drawn
        loss = softmax.sampled_loss(x, targets, candidates)
        total += torch.autograd.grad(loss, softmax.bias)[0].to_dense()[:, 0]
    return float(total.abs().max()) / rounds


def test_the_true_distribution_is_where_the_sampled_loss_comes_to_rest():
    assert mean_gradient_at_the_truth(correct=True) < 0.01
    assert mean_gradient_at_the_truth(correct=False) > 0.03


def loss_above_the_least(correct: bool) -> float:
    """Of the full softmax, in nats, after learning by the sampled loss alone."""
    generator = torch.Generator().manual_seed(0)
    n_contexts, n_words = 3, 12
    counts = torch.randint(1, 12, (n_contexts, n_words), generator=generator)
    shares = counts / counts.sum(1, keepdim=True)
    contexts, targets = ((counts > 0).nonzero().repeat_interleave(counts.flatten(), dim=0)).t()
    x = torch.eye(n_contexts)[contexts]
    least = -shares.log()[contexts, targets].mean()
    softmax, random = Softmax(n_words, n_contexts), np.random.default_rng(0)
    mean = torch.zeros_like(softmax.weight)
    for step in range(400):
        candidates = log_uniform_candidates(n_words, n_words // 2, random)
        if not correct:
            candidates = Candidates(candidates.ids, 10**9, n_words)
        loss = softmax.sampled_loss(x, targets, candidates)
        gradient = torch.autograd.grad(loss, softmax.weight)[0].to_dense()
        with torch.no_grad():
            softmax.weight -= 2 * gradient
            mean += softmax.weight / 200 if step >= 200 else 0
    with torch.no_grad():
        softmax.weight.copy_(mean)
        return float(softmax.full_loss(x, targets) - least)


def test_what_the_sampled_loss_learns_is_what_the_full_one_would():
    assert 0 <= loss_above_the_least(correct=True) < 0.005
    assert loss_above_the_least(correct=False) > 0.03


@pytest.mark.parametrize(("n_words", "n_candidates"), [(10, 6), (10, 0), (1, 1), (10, 10)])
def test_more_than_half_of_the_words_is_an_error(n_words: int, n_candidates: int):
    with pytest.raises(ConfigError, match="take at most half of the words, or the full softmax"):
        log_uniform_candidates(n_words, n_candidates, np.random.default_rng(0))
