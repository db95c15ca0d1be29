"""Full and sampled softmax losses over a large vocabulary, in bounded memory.

The full softmax is the language model's definition (Peters et al. 2018, section 3.1). The sampled
one (Jean et al. 2015) compares each target with shared candidates drawn log-uniformly, each logit
corrected by the log of its expected count, as the published models were trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from relmo._typing import Float, Integer
from relmo.errors import ConfigError
from relmo.nn.kernels import Product, product

__all__ = [
    "Candidates",
    "Softmax",
    "WordScores",
    "log_uniform_candidates",
    "top_words",
    "word_scores",
]

_CHUNK_NUMBERS = 4_000_000  # logits held at a time
_BLOCK_ROWS, _BLOCK_WORDS = 512, 4096  # a block of logits that stays in cache for its four passes


@dataclass(frozen=True)
class Candidates:
    """Words drawn without replacement from the log-uniform distribution over ids.

    Args:
        ids: distinct word ids (n_candidates,), int64.
        tries: draws it took to find them.
        n_words: size of the vocabulary, sorted by falling frequency.
    """

    ids: Tensor
    tries: int
    n_words: int

    def log_expected_count(self, ids: Tensor) -> Tensor:
        """Log of how often each id is expected among the candidates, in (0, 1]: float32."""
        rank = ids.double()
        share = torch.log1p(1 / (rank + 1)) / np.log(self.n_words + 1)
        return torch.log(-torch.expm1(self.tries * torch.log1p(-share))).float()


def log_uniform_candidates(
    n_words: int, n_candidates: int, generator: np.random.Generator
) -> Candidates:
    """Draw until `n_candidates` distinct ids are found: P(k) = log((k + 2) / (k + 1)) / log(V + 1).

    Raises:
        ConfigError: more than half of the vocabulary is asked for.
    """
    if not 0 < n_candidates <= n_words // 2:
        raise ConfigError(
            f"sampled softmax: {n_candidates} candidates of {n_words} words; take at most half of "
            "the words, or the full softmax"
        )
    draws = np.empty(0, np.int64)
    while True:
        uniform = generator.random(2 * n_candidates)
        new = np.exp(uniform * np.log(n_words + 1)).astype(np.int64) - 1
        draws = np.concatenate([draws, np.minimum(new, n_words - 1)])
        _, first = np.unique(draws, return_index=True)
        if len(first) >= n_candidates:
            kept = np.sort(first)[:n_candidates]
            return Candidates(torch.from_numpy(draws[kept]), int(kept[-1]) + 1, n_words)


class Softmax(nn.Module):
    """The output layer, shared by both directions: weight (n_words, dim), bias (n_words, 1).

    Args:
        n_words: size of the vocabulary, sorted by falling frequency for the sampled loss.
        dim: width of its inputs.
    """

    def __init__(self, n_words: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_words, dim))
        self.bias = nn.Parameter(torch.zeros(n_words, 1))  # a column, so its gradient can be sparse
        nn.init.normal_(self.weight, std=dim**-0.5)

    def sampled_loss(
        self,
        x: Float[Tensor, "N dim"],
        targets: Integer[Tensor, " N"],
        candidates: Candidates,
    ) -> Float[Tensor, ""]:
        """Mean negative log-likelihood among the target and the candidates, in nats.

        A candidate that is the row's target is not counted against it. The gradients of weight
        and bias are sparse.

        Args:
            x: (N, dim).
            targets: word ids (N,).
            candidates: shared by all rows.
        """
        drawn = candidates.ids.to(x.device)
        ids, places = torch.unique(torch.cat([drawn, targets]), return_inverse=True)
        n_drawn = len(drawn)
        shift = -candidates.log_expected_count(ids)
        bias = F.embedding(ids, self.bias, sparse=True)[:, 0] + shift  # (distinct words,)
        weight = F.embedding(ids, self.weight, sparse=True)  # (distinct words, dim)
        loss: Tensor = _CrossEntropy.apply(  # type: ignore[no-untyped-call]
            x, weight, bias, places[n_drawn:], places[:n_drawn]
        )
        return loss

    def full_loss(
        self, x: Float[Tensor, "N dim"], targets: Integer[Tensor, " N"]
    ) -> Float[Tensor, ""]:
        """Mean negative log-likelihood over the whole vocabulary, in nats; see `sampled_loss`."""
        loss: Tensor = _CrossEntropy.apply(  # type: ignore[no-untyped-call]
            x, self.weight, self.bias[:, 0], targets, None
        )
        return loss

    def negative_log_likelihood(
        self, x: Float[Tensor, "N dim"], targets: Integer[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        """Of each target over the whole vocabulary, in nats, without a graph: (N,)."""
        with torch.no_grad():
            bias = self.bias[:, 0].contiguous()
            truth = (x * self.weight[targets]).sum(1) + bias[targets]
            total = torch.full_like(truth, -torch.inf)  # log of the sum of all words so far
            for word in range(0, len(bias), _BLOCK_WORDS):
                words = slice(word, word + _BLOCK_WORDS)
                multiply = Product(self.weight[words].t(), bias[words])
                for row in range(0, len(x), _BLOCK_ROWS):
                    rows = slice(row, row + _BLOCK_ROWS)
                    block = multiply(x[rows].contiguous()).logsumexp(dim=1)
                    total[rows] = torch.logaddexp(total[rows], block)
            return total - truth


@torch.no_grad()
def top_words(
    x: Float[Tensor, "N dim"],
    weight: Float[Tensor, "words dim"],
    bias: Float[Tensor, " words"],
    n: int,
    without: Sequence[int] = (),
) -> tuple[Integer[Tensor, "N top"], Float[Tensor, "N top"]]:
    """The likeliest words of each row, best first, and their log-probabilities in nats.

    The probabilities are those over the whole vocabulary, whatever is left out of the words.
    The logits of a block of rows and words are held at a time.

    Args:
        x: what the softmax is applied to (N, dim).
        weight: (words, dim).
        bias: (words,).
        n: how many; all of them where there are fewer.
        without: ids of words that are not to be among them.
    """
    n = min(n, len(weight) - len(set(without)))
    best = x.new_full((len(x), n), -torch.inf)
    ids = torch.zeros(len(x), n, dtype=torch.int64, device=x.device)
    total = x.new_full((len(x),), -torch.inf)  # log of the sum of all words so far
    n_block = max(_BLOCK_WORDS, n)
    n_rows = max(1, _CHUNK_NUMBERS // n_block)
    for word in range(0, len(weight), n_block):
        words = slice(word, word + n_block)
        left_out = torch.tensor([k - word for k in without if word <= k < word + n_block])
        for row in range(0, len(x), n_rows):
            rows = slice(row, row + n_rows)
            logits = torch.addmm(bias[words], x[rows], weight[words].t())
            total[rows] = torch.logaddexp(total[rows], logits.logsumexp(dim=1))
            logits[:, left_out.to(x.device, torch.int64)] = -torch.inf
            new, places = logits.topk(min(n, logits.shape[1]), dim=1)
            candidates = torch.cat([best[rows], new], dim=1)
            best[rows], kept = candidates.topk(n, dim=1)
            ids[rows] = torch.cat([ids[rows], places + word], dim=1).gather(1, kept)
    return ids, best - total[:, None]


@dataclass(frozen=True)
class WordScores:
    """How a row's word stands among all words.

    Args:
        surprisal: its negative log-probability in nats (N,).
        entropy: of all words' probabilities, in nats (N,).
        rank: 1 and as many words as are likelier, int64 (N,).
    """

    surprisal: Tensor
    entropy: Tensor
    rank: Tensor


@torch.no_grad()
def word_scores(
    x: Float[Tensor, "N dim"],
    weight: Float[Tensor, "words dim"],
    bias: Float[Tensor, " words"],
    targets: Integer[Tensor, " N"],
) -> WordScores:
    """Surprisal, entropy and rank of each target, in one pass over blocks of rows and words.

    Args:
        x: what the softmax is applied to (N, dim).
        weight: (words, dim).
        bias: (words,).
        targets: word ids (N,).
    """
    truth = (x * weight[targets]).sum(1) + bias[targets]
    highest = truth.clone()  # logit so far; the sums below are of exp(logit - highest)
    total, moment = torch.zeros_like(truth), torch.zeros_like(truth)
    above = torch.zeros_like(targets)
    for word in range(0, len(weight), _BLOCK_WORDS):
        words = slice(word, word + _BLOCK_WORDS)
        multiply = Product(weight[words].t(), bias[words])
        for row in range(0, len(x), _BLOCK_ROWS):
            rows = slice(row, row + _BLOCK_ROWS)
            logits = multiply(x[rows].contiguous())
            # A target is not likelier than itself, however its logit was rounded here.
            own = targets[rows] - word
            hit = ((own >= 0) & (own < logits.shape[1])).nonzero()[:, 0]
            logits[hit, own[hit]] = truth[rows][hit]
            above[rows] += (logits > truth[rows, None]).sum(1)
            top = torch.maximum(highest[rows], logits.amax(1))
            lower = highest[rows] - top
            shares = logits.sub_(top[:, None]).exp()
            moment[rows] = torch.exp(lower) * (moment[rows] + total[rows] * lower) + (
                logits.mul_(shares).sum(1)
            )
            total[rows] = torch.exp(lower) * total[rows] + shares.sum(1)
            highest[rows] = top
    log_total = torch.log(total)  # of exp(logit - highest)
    surprisal = highest - truth + log_total
    entropy = log_total - moment / total
    return WordScores(surprisal.clamp_min(0), entropy.clamp_min(0), above + 1)


class _CrossEntropy(torch.autograd.Function):
    """Mean cross entropy of each row's target against classes, its gradient made on the way.

    The logits of all rows at once would be the largest tensor of a training step; here a few
    hundred rows at a time are turned from logits into probabilities and into gradients in place.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, drawn: Tensor | None
    ) -> Tensor:
        """`targets` (N,) and `drawn` (classes,) are rows of weight; None: every row is a class."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            n = len(x)
            classes = weight if drawn is None else weight[drawn]
            class_bias = bias if drawn is None else bias[drawn]
            multiply = Product(classes.t(), class_bias.contiguous())
            column = _columns(targets, drawn, len(weight))
            d_x, d_classes = torch.empty_like(x), torch.zeros_like(classes)
            d_class_bias, d_true = torch.zeros_like(class_bias), x.new_empty(n)
            true_weight = weight[targets]
            true_logit = (x * true_weight).sum(1) + bias[targets]
            loss = x.new_zeros((), dtype=torch.float64)
            rows = max(16, _CHUNK_NUMBERS // len(classes))
            for start in range(0, n, rows):
                now = slice(start, start + rows)
                shares, log_total = _shares(multiply(x[now]), column[now], true_logit[now])
                loss += (log_total - true_logit[now]).sum(dtype=torch.float64)
                d_x[now] = product(shares, classes)
                d_classes += product(shares.t(), x[now])
                d_class_bias += shares.sum(0)
                d_true[now] = torch.exp(true_logit[now] - log_total) - 1
            d_x.addcmul_(d_true[:, None], true_weight)
            d_weight, d_bias = d_classes, d_class_bias
            if drawn is not None:
                d_weight = torch.zeros_like(weight).index_copy_(0, drawn, d_classes)
                d_bias = torch.zeros_like(bias).index_copy_(0, drawn, d_class_bias)
            d_weight.index_add_(0, targets, d_true[:, None] * x)
            d_bias.index_add_(0, targets, d_true)
        ctx.save_for_backward(d_x, d_weight, d_bias)
        ctx.n = n
        return (loss / n).float()

    @staticmethod
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor | None, ...]:
        scale = d_loss / ctx.n
        d_x, d_weight, d_bias = ctx.saved_tensors
        return d_x * scale, d_weight * scale, d_bias * scale, None, None


def _columns(targets: Tensor, drawn: Tensor | None, n_rows: int) -> Tensor:
    """Each target's column among the classes, or the number of classes where it is not one."""
    if drawn is None:
        return targets
    column = torch.full((n_rows,), len(drawn), dtype=torch.int64, device=targets.device)
    column[drawn] = torch.arange(len(drawn), device=targets.device)
    return column[targets]


def _shares(logits: Tensor, column: Tensor, true_logit: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities of the classes other than the target, in place, and the log of the total.

    Args:
        logits: (rows, classes), overwritten.
        column: the target's class of each row (rows,), or `classes` where it is none.
        true_logit: the target's logit (rows,).
    """
    hit = (column < logits.shape[1]).nonzero()[:, 0]
    logits[hit, column[hit]] = -torch.inf
    highest = torch.maximum(logits.amax(1), true_logit)
    logits.sub_(highest[:, None]).exp_()
    total = logits.sum(1) + torch.exp(true_logit - highest)
    logits.div_(total[:, None])
    return logits, highest + torch.log(total)
