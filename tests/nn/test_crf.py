"""The chain of tags: what is computed step by step equals the enumeration of all paths."""

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from relmo.nn.crf import CRF, best_paths
from relmo.nn.packing import pack

LENGTHS, N_TAGS = [4, 2, 2, 1], 3


def chain(seed: int = 0) -> CRF:
    torch.manual_seed(seed)
    crf = CRF(N_TAGS).double()
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    return crf


def emissions(seed: int = 1) -> list[Tensor]:
    """Scores of each sentence."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, N_TAGS, generator=generator).double() for n in LENGTHS]


def packed(sentences: list[Tensor]) -> tuple[Tensor, tuple[int, ...]]:
    packing = pack(LENGTHS)
    return torch.cat(sentences)[packing.forward], packing.batch_sizes


def unpacked(values: Tensor) -> list[Tensor]:
    return list(values[pack(LENGTHS).unpack_forward].split(LENGTHS))


def paths(crf: CRF, scores: Tensor) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    """Every path of a sentence and its score."""
    for path in itertools.product(range(N_TAGS), repeat=len(scores)):
        steps = [crf.transitions[a, b] for a, b in itertools.pairwise(path)]
        own = [score[tag] for score, tag in zip(scores, path, strict=True)]
        yield path, sum([*own, *steps, crf.start[path[0]], crf.end[path[-1]]], torch.tensor(0.0))


def score_of(pair: tuple[tuple[int, ...], Tensor]) -> float:
    return pair[1].item()


def test_the_normaliser_is_the_sum_over_all_paths():
    crf, sentences = chain(), emissions()
    totals = [torch.stack([s for _, s in paths(crf, x)]).logsumexp(0) for x in sentences]
    torch.testing.assert_close(crf.log_normalizer(*packed(sentences)), torch.stack(totals))


def test_the_likelihoods_of_all_paths_are_their_shares_and_sum_to_1():
    crf, sentences = chain(), emissions()
    scores, sizes = packed(sentences)
    normaliser = crf.log_normalizer(scores, sizes)
    shares = torch.zeros(len(LENGTHS), dtype=torch.float64)
    for path in itertools.product(range(N_TAGS), repeat=max(LENGTHS)):
        tags, _ = packed([torch.tensor(path[:n]) for n in LENGTHS])
        found = crf.log_likelihood(scores, tags, sizes)
        expected = [dict(paths(crf, x))[path[:n]] for x, n in zip(sentences, LENGTHS, strict=True)]
        torch.testing.assert_close(found, torch.stack(expected) - normaliser)
        shares += found.exp() / N_TAGS ** (max(LENGTHS) - torch.tensor(LENGTHS))
    torch.testing.assert_close(shares, torch.ones_like(shares))


def test_marginals_are_sums_over_the_paths_through_a_tag():
    crf, sentences = chain(), emissions()
    found = unpacked(crf.marginals(*packed(sentences)))
    for scores, marginal in zip(sentences, found, strict=True):
        expected = torch.zeros_like(scores)
        for path, score in paths(crf, scores):
            expected[torch.arange(len(path)), list(path)] += score.exp().detach()
        torch.testing.assert_close(marginal, expected / expected.sum(1, keepdim=True))


def test_the_best_path_is_the_best_of_all():
    for seed in range(5):
        crf, sentences = chain(seed), emissions(seed)
        found = unpacked(crf.best_paths(*packed(sentences)))
        for scores, path in zip(sentences, found, strict=True):
            best, _ = max(paths(crf, scores), key=score_of)
            assert tuple(path.tolist()) == best


def test_the_best_allowed_path_is_the_best_of_those_allowed():
    allowed = torch.ones(N_TAGS + 1, N_TAGS + 1, dtype=torch.bool)
    allowed[0, 2] = allowed[2, 2] = allowed[-1, 1] = allowed[0, -1] = False

    def is_allowed(path: tuple[int, ...]) -> bool:
        return all(allowed[a, b] for a, b in itertools.pairwise((N_TAGS, *path, N_TAGS)))

    for seed in range(5):
        crf, sentences = chain(seed), emissions(seed)
        scores, sizes = packed(sentences)
        found = unpacked(crf.best_paths(scores, sizes, allowed))
        for one, path in zip(sentences, found, strict=True):
            among = [pair for pair in paths(crf, one) if is_allowed(pair[0])]
            assert tuple(path.tolist()) == max(among, key=score_of)[0]


def test_without_transitions_the_best_path_takes_the_best_tag_everywhere():
    scores, sizes = packed(emissions())
    none = torch.zeros(N_TAGS, dtype=torch.float64)
    found = best_paths(scores, sizes, torch.zeros(N_TAGS, N_TAGS).double(), none, none)
    assert torch.equal(found, scores.argmax(1))


@pytest.mark.parametrize("seed", [0, 1])
def test_gradients_are_the_derivatives(seed: int):
    crf = chain(seed)
    scores, sizes = packed(emissions(seed))
    tags, _ = packed([torch.arange(n) % N_TAGS for n in LENGTHS])

    def likelihood(scores: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
        given = {"transitions": transitions, "start": start, "end": end}
        return torch.func.functional_call(_Likelihood(crf, tags, sizes), given, (scores,))

    inputs = (scores.requires_grad_(True), crf.transitions, crf.start, crf.end)
    assert torch.autograd.gradcheck(likelihood, inputs)


class _Likelihood(CRF):
    """`log_likelihood` as the forward of a module, for torch.func."""

    def __init__(self, crf: CRF, tags: Tensor, sizes: tuple[int, ...]) -> None:
        super().__init__(len(crf.start))
        self.tags, self.sizes = tags, sizes

    def forward(self, scores: Tensor) -> Tensor:
        return self.log_likelihood(scores, self.tags, self.sizes)
