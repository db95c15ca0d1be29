"""One vector a sentence out of those of its tokens, whatever sentences are beside it."""

import torch
from torch import Tensor, nn

from relmo._typing import Float, Integer
from relmo.nn.char_cnn import Projection

__all__ = ["AttentionPooling", "MaxPooling", "MeanPooling"]


class MeanPooling(nn.Module):
    """The mean of a sentence's vectors."""

    def forward(
        self, x: Float[Tensor, "N dim"], owner: Integer[Tensor, " N"], n: int
    ) -> Float[Tensor, "n dim"]:
        """Vectors of sentences, (n, dim).

        Args:
            x: those of their tokens, (N, dim).
            owner: number of the sentence that each token is of, from 0, (N,).
            n: sentences, each of which has a token.
        """
        return _sums(x, owner, n) / _sums(x.new_ones(len(x), 1), owner, n)


class MaxPooling(nn.Module):
    """The largest of each number over a sentence's vectors."""

    def forward(
        self, x: Float[Tensor, "N dim"], owner: Integer[Tensor, " N"], n: int
    ) -> Float[Tensor, "n dim"]:
        """See `MeanPooling`."""
        return _largest(x, owner, n)


class AttentionPooling(nn.Module):
    """A mean weighted by a softmax over the sentence of a learned score of each vector.

    Args:
        dim: width of the vectors.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hidden, self.query = Projection(dim, dim), Projection(dim, 1)

    def forward(
        self, x: Float[Tensor, "N dim"], owner: Integer[Tensor, " N"], n: int
    ) -> Float[Tensor, "n dim"]:
        """See `MeanPooling`."""
        scores = self.query(torch.tanh(self.hidden(x)))  # (N, 1)
        shares = (scores - _largest(scores.detach(), owner, n)[owner]).exp()
        return _sums(shares * x, owner, n) / _sums(shares, owner, n)


def _sums(x: Tensor, owner: Tensor, n: int) -> Tensor:
    return x.new_zeros(n, x.shape[1]).index_add(0, owner, x)


def _largest(x: Tensor, owner: Tensor, n: int) -> Tensor:
    lowest = x.new_full((n, x.shape[1]), -torch.inf)
    return lowest.scatter_reduce(0, owner[:, None].expand_as(x), x, "amax")
