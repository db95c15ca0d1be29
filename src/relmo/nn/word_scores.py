"""What a softmax says of all words, a block of rows and words at a time.

A softmax comes as the tensors that a file holds: "weight" (words, dim) and "bias" (words,), or
those of an adaptive one (`relmo.nn.softmax`). Either is a sequence of `Part`s here, each a product
of some rows with some words, and all that is asked is asked of those.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from relmo._typing import Float, Integer
from relmo.nn.kernels import Product

__all__ = ["Part", "WordScores", "added", "log_total", "parts", "top_words", "word_scores"]

_CHUNK_NUMBERS = 4_000_000  # scores held at a time
_FEW_ROWS = 16
_BLOCK_ROWS, _BLOCK_WORDS = 512, 4096  # a block of scores that stays in cache for its passes


@dataclass(frozen=True)
class Part:
    """Scores of consecutive words: log-probabilities up to a constant of each row.

    The score of a row and word is ``x @ weight.t() + bias``, and ``shift`` of the row on top.

    Args:
        first: id of the first of the words.
        x: (N, dim).
        weight: (words, dim).
        bias: (words,).
        shift: (N,), or None for zeros.
    """

    first: int
    x: Tensor
    weight: Tensor
    bias: Tensor
    shift: Tensor | None = None

    def of(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rows whose target is among the words, and its scores in them: two of (n,)."""
        word = targets - self.first
        rows = ((word >= 0) & (word < len(self.bias))).nonzero()[:, 0]
        word = word[rows]
        scores = (self.x[rows] * self.weight[word]).sum(1) + self.bias[word]
        return rows, scores if self.shift is None else scores + self.shift[rows]

    def blocks(self, size: int) -> Iterator[tuple[int, Callable[[slice], Tensor]]]:
        """Yield the first word of each block of so many, and a function from rows to scores."""
        for start in range(0, len(self.bias), size):
            words = slice(start, start + size)
            yield self.first + start, self._scores(self.weight[words].t(), self.bias[words])

    def _scores(self, weight: Tensor, bias: Tensor) -> Callable[[slice], Tensor]:
        # To repack a weight takes longer than to multiply a few rows with it.
        repacked = Product(weight, bias) if len(self.x) >= _FEW_ROWS else None

        def scores(rows: slice) -> Tensor:
            x = self.x[rows].contiguous()
            logits = torch.addmm(bias, x, weight) if repacked is None else repacked(x)
            return logits if self.shift is None else logits.add_(self.shift[rows, None])

        return scores


def parts(x: Float[Tensor, "N dim"], softmax: Mapping[str, Tensor]) -> tuple[Part, ...]:
    """Return all words' scores in the rows of x.

    Args:
        x: what the softmax is applied to (N, dim).
        softmax: its tensors.
    """
    if "weight" in softmax:
        return (Part(0, x, softmax["weight"], softmax["bias"]),)
    weight, bias = softmax["head.weight"], softmax["head.bias"]
    n_tails = (len(softmax) - 2) // 3
    first = len(bias) - n_tails
    scores = [Part(0, x, weight[:first], bias[:first])]
    for number in range(n_tails):
        projection, tail_weight, tail_bias = (
            softmax[f"tails.{number}.{name}"] for name in ("projection", "weight", "bias")
        )
        row = len(bias) - n_tails + number  # of the head: the tail as a whole
        narrow = x @ projection  # (N, width of the tail)
        whole = torch.mv(x, weight[row]) + bias[row]
        shift = whole - log_total(narrow, tail_weight, tail_bias)
        scores.append(Part(first, narrow, tail_weight, tail_bias, shift))
        first += len(tail_bias)
    return tuple(scores)


def added(one: Sequence[Part], other: Sequence[Part]) -> tuple[Part, ...]:
    """Return the sums of two sets of scores by one softmax.

    As it is linear a sum of scores is one score more; what normalized each is a row's constant.
    """
    return tuple(
        Part(
            a.first,
            a.x + b.x,
            a.weight,
            a.bias + b.bias,
            None if a.shift is None or b.shift is None else a.shift + b.shift,
        )
        for a, b in zip(one, other, strict=True)
    )


@torch.no_grad()
def log_total(
    x: Float[Tensor, "N dim"], weight: Float[Tensor, "words dim"], bias: Float[Tensor, " words"]
) -> Float[Tensor, " N"]:
    """Return the log of the sum of ``exp(x @ weight.t() + bias)`` over all words: (N,)."""
    total = x.new_full((len(x),), -torch.inf)
    for _, scores in Part(0, x, weight, bias).blocks(_BLOCK_WORDS):
        for rows in _slices(len(x), _BLOCK_ROWS):
            total[rows] = torch.logaddexp(total[rows], scores(rows).logsumexp(dim=1))
    return total


@torch.no_grad()
def top_words(
    scores: Sequence[Part], n: int, without: Sequence[int] = ()
) -> tuple[Integer[Tensor, "N top"], Float[Tensor, "N top"]]:
    """Return the likeliest words of each row, best first, and log-probabilities in nats.

    The probabilities are those over the whole vocabulary, whatever is left out of the words.

    Args:
        scores: see `parts`.
        n: how many; all of them where there are fewer.
        without: ids of words that are not to be among them.
    """
    x = scores[0].x
    n = min(n, sum(len(part.bias) for part in scores) - len(set(without)))
    best = x.new_full((len(x), n), -torch.inf)
    ids = torch.zeros(len(x), n, dtype=torch.int64, device=x.device)
    total = x.new_full((len(x),), -torch.inf)  # log of the sum of all words so far
    n_block = max(_BLOCK_WORDS, n)
    n_rows = max(1, _CHUNK_NUMBERS // n_block)
    for first, block in (pair for part in scores for pair in part.blocks(n_block)):
        for rows in _slices(len(x), n_rows):
            logits = block(rows)
            # Before words are left out: the probabilities are those among all words.
            total[rows] = torch.logaddexp(total[rows], logits.logsumexp(dim=1))
            left_out = [k - first for k in without if 0 <= k - first < logits.shape[1]]
            logits[:, left_out] = -torch.inf
            new, words = logits.topk(min(n, logits.shape[1]), dim=1)
            # The best so far against the best of this block.
            best[rows], chosen = torch.cat([best[rows], new], dim=1).topk(n, dim=1)
            ids[rows] = torch.cat([ids[rows], words + first], dim=1).gather(1, chosen)
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
def word_scores(scores: Sequence[Part], targets: Integer[Tensor, " N"]) -> WordScores:
    """Return surprisal, entropy and rank of each target, in one pass over blocks.

    Args:
        scores: see `parts`.
        targets: word ids (N,).
    """
    truth = scores[0].x.new_empty(len(targets))
    for part in scores:
        rows_hit, target_scores = part.of(targets)
        truth[rows_hit] = target_scores
    highest = truth.clone()  # score so far; the sums below are of exp(score - highest)
    total, moment = torch.zeros_like(truth), torch.zeros_like(truth)
    above = torch.zeros_like(targets)
    for first, block in (pair for part in scores for pair in part.blocks(_BLOCK_WORDS)):
        for rows in _slices(len(targets), _BLOCK_ROWS):
            logits = block(rows)
            # A target is not likelier than itself, however its score was rounded here.
            word = targets[rows] - first
            hit = ((word >= 0) & (word < logits.shape[1])).nonzero()[:, 0]
            logits[hit, word[hit]] = truth[rows][hit]
            above[rows] += (logits > truth[rows, None]).sum(1)
            top = torch.maximum(highest[rows], logits.amax(1))
            lower = highest[rows] - top  # the sums so far are scaled down to the new highest
            probabilities = logits.sub_(top[:, None]).exp()  # up to a factor of the row
            moment[rows] = torch.exp(lower) * (moment[rows] + total[rows] * lower) + (
                logits.mul_(probabilities).sum(1)
            )
            total[rows] = torch.exp(lower) * total[rows] + probabilities.sum(1)
            highest[rows] = top
    log_sum = torch.log(total)  # of exp(score - highest)
    surprisal = highest - truth + log_sum
    entropy = log_sum - moment / total
    return WordScores(surprisal.clamp_min(0), entropy.clamp_min(0), above + 1)


def _slices(stop: int, size: int) -> Iterator[slice]:
    """Yield 0 to before `stop` in pieces of a size."""
    return (slice(start, start + size) for start in range(0, stop, size))
