"""Full and sampled softmax losses over a large vocabulary, in bounded memory.

The full softmax is the language model's definition (Peters et al. 2018, section 3.1). The sampled
one (Jean et al. 2015) compares each target with shared candidates drawn log-uniformly, each logit
corrected by the log of its expected count, as the published models were trained.

The adaptive softmax (Grave et al. 2017): frequent words in the head, rare ones in narrow tails.

The head predicts a frequent word, or one of the tails as a whole; a tail predicts a word among its
own, from an input projected down to a fraction of the width. It is exact, and a row is compared
with all words of one tail at most: the sum of all probabilities is 1, without a sample.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from relmo._typing import Float, Integer
from relmo.config import tail_width
from relmo.errors import ConfigError
from relmo.nn.bilm import no_init
from relmo.nn.kernels import Product, product
from relmo.nn.word_scores import log_total

__all__ = [
    "AdaptiveSoftmax",
    "Candidates",
    "Softmax",
    "cutoffs_of",
    "default_cutoffs",
    "from_tensors",
    "log_uniform_candidates",
    "restore",
    "stored",
]


_CHUNK_NUMBERS = 4_000_000  # logits held at a time


@dataclass(frozen=True)
class Candidates:
    """Words drawn without replacement from the log-uniform distribution over ids.

    Args:
        ids: distinct word ids (n_candidates,), int64.
        tries: draws it took to find them.
        n_words: size of the vocabulary, sorted by decreasing frequency.
    """

    ids: Tensor
    tries: int
    n_words: int

    def log_expected_count(self, ids: Tensor) -> Tensor:
        """Return the log of how often each id is expected among the candidates, (0, 1]: float32."""
        rank = ids.double()
        # Of one draw; then of at least one hit among all tries, 1 - (1 - p)^tries.
        probability = torch.log1p(1 / (rank + 1)) / np.log(self.n_words + 1)
        return torch.log(-torch.expm1(self.tries * torch.log1p(-probability))).float()


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
            # In the order they were drawn: the last one tells how many tries it took.
            drawn = np.sort(first)[:n_candidates]
            return Candidates(torch.from_numpy(draws[drawn]), int(drawn[-1]) + 1, n_words)


class Softmax(nn.Module):
    """The output layer, shared by both directions: weight (n_words, dim), bias (n_words, 1).

    Args:
        n_words: size of the vocabulary, sorted by decreasing frequency for the sampled loss.
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
        """Return the mean negative log-likelihood among target and candidates, in nats.

        A candidate that is the row's target is not counted against it. The gradients of weight
        and bias are sparse.

        Args:
            x: (N, dim).
            targets: word ids (N,).
            candidates: shared by all rows.
        """
        drawn = candidates.ids.to(x.device)
        # Each word once, as a target may be a candidate too: one row of the sparse gradient.
        ids, positions = torch.unique(torch.cat([drawn, targets]), return_inverse=True)
        n_drawn = len(drawn)
        shift = -candidates.log_expected_count(ids)
        bias = F.embedding(ids, self.bias, sparse=True)[:, 0] + shift  # (distinct words,)
        weight = F.embedding(ids, self.weight, sparse=True)  # (distinct words, dim)
        loss: Tensor = _CrossEntropy.apply(  # type: ignore[no-untyped-call]
            x, weight, bias, positions[n_drawn:], positions[:n_drawn]
        )
        return loss

    def full_loss(
        self, x: Float[Tensor, "N dim"], targets: Integer[Tensor, " N"]
    ) -> Float[Tensor, ""]:
        """Return the mean negative log-likelihood over all words, in nats; see `sampled_loss`."""
        loss: Tensor = _CrossEntropy.apply(  # type: ignore[no-untyped-call]
            x, self.weight, self.bias[:, 0], targets, None
        )
        return loss

    def negative_log_likelihood(
        self, x: Float[Tensor, "N dim"], targets: Integer[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        """Return that of each target over all words, in nats, without a graph: (N,)."""
        with torch.no_grad():
            bias = self.bias[:, 0].contiguous()
            truth = (x * self.weight[targets]).sum(1) + bias[targets]
            total: Tensor = log_total(x, self.weight, bias)
            return total - truth


def stored(softmax: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a softmax, plain or adaptive, as files hold them: biases (n_words,)."""
    return {
        name: tensor[:, 0] if name.endswith("bias") else tensor
        for name, tensor in softmax.state_dict().items()
    }


def restore(softmax: nn.Module, tensors: Mapping[str, Tensor], *, assign: bool = False) -> None:
    """Fill a softmax from what was `stored`.

    Args:
        softmax: plain or adaptive.
        tensors: by name.
        assign: share their memory rather than copy the numbers.

    Raises:
        RuntimeError: they are of another softmax.
    """
    columns = {name: t[:, None] if name.endswith("bias") else t for name, t in tensors.items()}
    softmax.load_state_dict(columns, assign=assign)


def from_tensors(tensors: Mapping[str, Tensor]) -> "Softmax | AdaptiveSoftmax":
    """Return the frozen softmax of what was `stored`, whose memory it shares.

    Raises:
        RuntimeError: the tensors do not fit each other.
    """
    cutoffs = cutoffs_of(tensors)
    softmax: Softmax | AdaptiveSoftmax
    with no_init():
        if cutoffs is None:
            softmax = Softmax(*tensors["weight"].shape)
        else:
            n_words = cutoffs[-1] + len(tensors[f"tails.{len(cutoffs) - 1}.bias"])
            softmax = AdaptiveSoftmax(n_words, tensors["head.weight"].shape[1], cutoffs)
    softmax.requires_grad_(False)
    restore(softmax, tensors, assign=True)
    return softmax


class _CrossEntropy(torch.autograd.Function):
    """Mean cross entropy of each row's target against classes, its gradient made on the way.

    The logits of all rows at once would be the largest tensor of a training step; here a few
    hundred rows at a time are turned from logits into probabilities and into gradients in place.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, drawn: Tensor | None
    ) -> Tensor:
        """Take `targets` (N,) and `drawn` (classes,) as rows of weight; None: all are classes."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            n = len(x)
            divisor = max(1, n)  # of no row: a loss and gradients of zero
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
                chunk = slice(start, start + rows)
                probabilities, log_total = _probabilities(
                    multiply(x[chunk]), column[chunk], true_logit[chunk]
                )
                loss += (log_total - true_logit[chunk]).sum(dtype=torch.float64)
                d_x[chunk] = product(probabilities, classes)
                d_classes += product(probabilities.t(), x[chunk])
                d_class_bias += probabilities.sum(0)
                d_true[chunk] = torch.exp(true_logit[chunk] - log_total) - 1
            d_x.addcmul_(d_true[:, None], true_weight)
            d_weight, d_bias = d_classes, d_class_bias
            if drawn is not None:
                d_weight = torch.zeros_like(weight).index_copy_(0, drawn, d_classes)
                d_bias = torch.zeros_like(bias).index_copy_(0, drawn, d_class_bias)
            d_weight.index_add_(0, targets, d_true[:, None] * x)
            d_bias.index_add_(0, targets, d_true)
        ctx.save_for_backward(d_x, d_weight, d_bias)
        ctx.n = divisor
        return (loss / divisor).float()

    @staticmethod
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor | None, ...]:
        scale = d_loss / ctx.n
        d_x, d_weight, d_bias = ctx.saved_tensors
        return d_x * scale, d_weight * scale, d_bias * scale, None, None


def _columns(targets: Tensor, drawn: Tensor | None, n_rows: int) -> Tensor:
    """Return each target's column among the classes, or their number where it is not one."""
    if drawn is None:
        return targets
    column = torch.full((n_rows,), len(drawn), dtype=torch.int64, device=targets.device)
    column[drawn] = torch.arange(len(drawn), device=targets.device)
    return column[targets]


def _probabilities(logits: Tensor, column: Tensor, true_logit: Tensor) -> tuple[Tensor, Tensor]:
    """Return probabilities of the classes other than the target, in place, and the log total.

    Args:
        logits: (rows, classes), overwritten.
        column: the target's class of each row (rows,), or `classes` where it is not one.
        true_logit: the target's logit (rows,).
    """
    hit = (column < logits.shape[1]).nonzero()[:, 0]
    logits[hit, column[hit]] = -torch.inf
    highest = torch.maximum(logits.amax(1), true_logit)
    logits.sub_(highest[:, None]).exp_()
    total = logits.sum(1) + torch.exp(true_logit - highest)
    logits.div_(total[:, None])
    return logits, highest + torch.log(total)


_CUTOFFS = (2000, 20_000)


def default_cutoffs(n_words: int) -> tuple[int, ...]:
    """Return 2,000 and 20,000, if below half of the words; a fifth of them if neither is."""
    cutoffs = tuple(cutoff for cutoff in _CUTOFFS if 2 * cutoff < n_words)
    return cutoffs or (max(1, n_words // 5),)


def cutoffs_of(softmax: Mapping[str, Tensor]) -> tuple[int, ...] | None:
    """Return the cutoffs of an adaptive softmax as files hold it; None: it is a plain one."""
    if "head.bias" not in softmax:
        return None
    tails = [len(softmax[f"tails.{k}.bias"]) for k in range((len(softmax) - 2) // 3)]
    return tuple(accumulate(tails[:-1], initial=len(softmax["head.bias"]) - len(tails)))


class AdaptiveSoftmax(nn.Module):
    """The output layer, shared by both directions, with the methods of `Softmax` but the sampled.

    Args:
        n_words: size of the vocabulary, sorted by decreasing frequency.
        dim: width of its inputs.
        cutoffs: ids with which the tails begin, rising; below the first is the head.

    Raises:
        ConfigError: a cutoff that is not below n_words.
    """

    def __init__(self, n_words: int, dim: int, cutoffs: Sequence[int]) -> None:
        super().__init__()
        self.cutoffs = tuple(cutoffs)
        if not self.cutoffs or self.cutoffs[-1] >= n_words:
            raise ConfigError(
                f"--cutoffs: expected numbers below the {n_words} words of the vocabulary, got "
                f"{','.join(map(str, self.cutoffs)) or 'none'}"
            )
        self.head = Softmax(self.cutoffs[0] + len(self.cutoffs), dim)
        self.tails = nn.ModuleList(
            _Tail(stop - start, dim, tail_width(dim, number))
            for number, (start, stop) in enumerate(pairwise((*self.cutoffs, n_words)))
        )

    def full_loss(
        self, x: Float[Tensor, "N dim"], targets: Integer[Tensor, " N"]
    ) -> Float[Tensor, ""]:
        """Return the mean negative log-likelihood over all words, in nats; see `Softmax`.

        A tail without a target in the batch has a gradient too, of zeros.
        """
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            tails = self._tails(targets)
            loss = self.head.full_loss(x, self._in_head(targets, tails))
            for tail, rows, word in self._by_tail(targets, tails):
                loss = loss + len(rows) / len(x) * tail.full_loss(x[rows] @ tail.projection, word)
        return loss

    @torch.no_grad()
    def negative_log_likelihood(
        self, x: Float[Tensor, "N dim"], targets: Integer[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        """Return that of each target over all words, in nats, without a graph: (N,)."""
        tails = self._tails(targets)
        losses = self.head.negative_log_likelihood(x, self._in_head(targets, tails))
        for tail, rows, word in self._by_tail(targets, tails):
            losses[rows] += tail.negative_log_likelihood(x[rows] @ tail.projection, word)
        return losses

    def _tails(self, targets: Tensor) -> Tensor:
        """Return the number of each target's tail, -1 where it is in the head."""
        return torch.stack([targets >= cutoff for cutoff in self.cutoffs]).sum(0) - 1

    def _by_tail(self, targets: Tensor, tails: Tensor) -> Iterator[tuple["_Tail", Tensor, Tensor]]:
        """Yield each tail, the rows whose target is in it, and what it has to predict there."""
        for number, tail in enumerate(self.tails):
            rows = (tails == number).nonzero()[:, 0]
            yield cast("_Tail", tail), rows, targets[rows] - self.cutoffs[number]

    def _in_head(self, targets: Tensor, tails: Tensor) -> Tensor:
        """Return what the head has to predict: the word, or behind all words its tail."""
        return torch.where(tails < 0, targets, self.cutoffs[0] + tails)


class _Tail(Softmax):
    """A softmax behind a projection (dim, width)."""

    def __init__(self, n_words: int, dim: int, width: int) -> None:
        super().__init__(n_words, width)
        self.projection = nn.Parameter(torch.empty(dim, width))
        nn.init.xavier_uniform_(self.projection)
