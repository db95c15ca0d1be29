"""Dropout over packed rows, plain or variational (Gal & Ghahramani 2016)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["PackedDropout"]


class PackedDropout(nn.Module):
    """Zeroes a share of the numbers in training mode, the others scaled up.

    Args:
        share: of them, in [0, 1).
        variational: one mask a row, the same at each of its steps; else each step has its own.
    """

    def __init__(self, share: float, *, variational: bool = False) -> None:
        super().__init__()
        self.share, self.variational = share, variational

    def forward(self, x: Tensor, batch_sizes: Sequence[int]) -> Tensor:
        """(N, dim), packed time-major, to the same.

        Args:
            x: numbers.
            batch_sizes: rows alive at each step, non-increasing, N together.
        """
        if not (self.variational and self.training and self.share and len(x)):
            return F.dropout(x, self.share, self.training)
        mask = F.dropout(x.new_ones(batch_sizes[0], x.shape[1]), self.share)  # (rows, dim)
        return x * torch.cat([mask[:rows] for rows in batch_sizes])
