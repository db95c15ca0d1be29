"""Scalar mix: a learned weighting of the layers (Peters et al. 2018, equation 1)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from relmo.errors import ShapeError

__all__ = ["ScalarMix"]

_EPSILON = 1e-12  # as in the original's layer normalisation


class ScalarMix(nn.Module):
    """``gamma * sum_k softmax(weights)_k * layer_k``.

    Args:
        n_layers: layers that are mixed, the token layer counted.
        layer_norm: bring each layer to mean 0 and variance 1 over all numbers given, before mixing.
    """

    def __init__(self, n_layers: int, *, layer_norm: bool = False) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(n_layers))
        self.gamma = nn.Parameter(torch.ones(()))
        self.layer_norm = layer_norm

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        """Mix layers of one shape, (..., dim) each, into one (..., dim).

        Raises:
            ShapeError: not n_layers layers.
        """
        if len(layers) != len(self.weights):
            raise ShapeError(f"ScalarMix: expected {len(self.weights)} layers, got {len(layers)}")
        shares = torch.softmax(self.weights, dim=0)
        if self.layer_norm:
            layers = [_normalised(layer) for layer in layers]
        mixed = torch.stack([share * layer for share, layer in zip(shares, layers, strict=True)])
        return self.gamma * mixed.sum(dim=0)

    def penalty(self) -> Tensor:
        """The sum of squared weights; times lambda it draws the mix to the mean (section 3.2)."""
        return self.weights.square().sum()


def _normalised(layer: Tensor) -> Tensor:
    if layer.numel() == 0:
        return layer
    variance, mean = torch.var_mean(layer, correction=0)
    return (layer - mean) * torch.rsqrt(variance + _EPSILON)
