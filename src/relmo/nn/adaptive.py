"""The adaptive softmax (Grave et al. 2017): frequent words in the head, rare ones in narrow tails.

The head predicts a frequent word, or one of the tails as a whole; a tail predicts a word among its
own, from an input projected down to a share of the width. It is exact, and a row is compared with
all words of one tail at most: the sum of all probabilities is 1, without a sample.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import cast

import torch
from torch import Tensor, nn

from relmo._typing import Float, Integer
from relmo.config import tail_width
from relmo.errors import ConfigError
from relmo.nn.softmax import Softmax

__all__ = ["AdaptiveSoftmax", "cutoffs_of", "default_cutoffs"]

_CUTOFFS = (2000, 20_000)


def default_cutoffs(n_words: int) -> tuple[int, ...]:
    """2,000 and 20,000, those below half of the vocabulary; a fifth of one too small for either."""
    found = tuple(cutoff for cutoff in _CUTOFFS if 2 * cutoff < n_words)
    return found or (max(1, n_words // 5),)


def cutoffs_of(softmax: Mapping[str, Tensor]) -> tuple[int, ...] | None:
    """The cutoffs of an adaptive softmax as files hold it; None: it is a plain one."""
    if "head.bias" not in softmax:
        return None
    tails = [len(softmax[f"tails.{k}.bias"]) for k in range((len(softmax) - 2) // 3)]
    return tuple(accumulate(tails[:-1], initial=len(softmax["head.bias"]) - len(tails)))


class AdaptiveSoftmax(nn.Module):
    """The output layer, shared by both directions, with the methods of `Softmax` but the sampled.

    Args:
        n_words: size of the vocabulary, sorted by falling frequency.
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
        """Mean negative log-likelihood over the whole vocabulary, in nats; see `Softmax`.

        A tail without a target in the batch has a gradient too, of zeros.
        """
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            tails = self._tails(targets)
            loss = self.head.full_loss(x, self._in_head(targets, tails))
            for tail, rows, own in self._by_tail(targets, tails):
                loss = loss + len(rows) / len(x) * tail.full_loss(x[rows] @ tail.projection, own)
        return loss

    @torch.no_grad()
    def negative_log_likelihood(
        self, x: Float[Tensor, "N dim"], targets: Integer[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        """Of each target over the whole vocabulary, in nats, without a graph: (N,)."""
        tails = self._tails(targets)
        found = self.head.negative_log_likelihood(x, self._in_head(targets, tails))
        for tail, rows, own in self._by_tail(targets, tails):
            found[rows] += tail.negative_log_likelihood(x[rows] @ tail.projection, own)
        return found

    def _tails(self, targets: Tensor) -> Tensor:
        """The number of each target's tail, -1 where it is in the head."""
        return torch.stack([targets >= cutoff for cutoff in self.cutoffs]).sum(0) - 1

    def _by_tail(self, targets: Tensor, tails: Tensor) -> Iterator[tuple["_Tail", Tensor, Tensor]]:
        """Each tail, the rows whose target is in it, and what it has to predict there."""
        for number, tail in enumerate(self.tails):
            rows = (tails == number).nonzero()[:, 0]
            yield cast("_Tail", tail), rows, targets[rows] - self.cutoffs[number]

    def _in_head(self, targets: Tensor, tails: Tensor) -> Tensor:
        """What the head has to predict: the word, or behind all words its tail."""
        return torch.where(tails < 0, targets, self.cutoffs[0] + tails)


class _Tail(Softmax):
    """A softmax behind a projection (dim, width)."""

    def __init__(self, n_words: int, dim: int, width: int) -> None:
        super().__init__(n_words, width)
        self.projection = nn.Parameter(torch.empty(dim, width))
        nn.init.xavier_uniform_(self.projection)
