"""Scalar mix: a learned weighting of the layers (Peters et al. 2018, equation 1)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from relmo.errors import ShapeError

__all__ = ["ScalarMix"]

_EPSILON = 1e-12  # as in the original's layer normalization


class ScalarMix(nn.Module):
    """``gamma * sum_k softmax(weights)_k * layer_k``.

    Args:
        n_layers: layers that are mixed, the token layer counted.
        layer_norm: bring each layer to mean 0 and variance 1 over all its numbers, before mixing.
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
        weights = torch.softmax(self.weights, dim=0)  # s_k of equation 1
        if self.layer_norm:
            layers = [_normalized(layer) for layer in layers]
        mixed = torch.stack([weight * layer for weight, layer in zip(weights, layers, strict=True)])
        return self.gamma * mixed.sum(dim=0)

    def penalty(self) -> Tensor:
        """Return the sum of squared weights: times lambda the penalty of section 3.2."""
        return self.weights.square().sum()


def _normalized(layer: Tensor) -> Tensor:
    if layer.numel() == 0:
        return layer
    variance, mean = torch.var_mean(layer, correction=0)
    return (layer - mean) * torch.rsqrt(variance + _EPSILON)
