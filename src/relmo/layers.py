"""Which vectors of a biLM's layers are wanted: one, all of them, or a weighted sum (equation 1)."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from relmo.config import LayerMix
from relmo.errors import InputError

__all__ = ["Combine", "Layers", "are_all", "combination"]

Layers = Literal["average", "all", "top", "token", "mix"] | int | Sequence[float] | LayerMix
Combine = Callable[[tuple[Tensor, ...]], Tensor]
"""From a tuple of layers (N, dim) to (N, dim), or to (n_layers, N, dim) for all of them."""


def are_all(layers: object) -> bool:
    """Whether the layers are wanted apart."""
    return isinstance(layers, str) and layers == "all"


def combination(layers: Any, n_layers: int, mixes: Sequence[LayerMix]) -> Combine:
    """The function that makes of the layers what the caller asked for; see `Elmo.embed`.

    Args:
        layers: what is asked for, `Layers` or a mistake.
        n_layers: how many there are, the token layer counted.
        mixes: learned mixes, of which "mix" is the first.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(layers, str) and layers == "mix":
        if not mixes:
            raise InputError('layers: "mix" is a learned mix that came with the model; it has none')
        layers = mixes[0]
    if isinstance(layers, str):
        return _named(layers, n_layers)
    if isinstance(layers, int | np.integer):
        number = int(layers)
        if not -n_layers <= number < n_layers:
            raise InputError(f"layers: expected a number below {n_layers}, got {number}")
        return lambda all_layers: all_layers[number]
    try:
        weights = [float(w) for w in (layers.shares() if isinstance(layers, LayerMix) else layers)]
    except (TypeError, ValueError):
        raise InputError(f"layers: expected numbers, got {layers!r}") from None
    if len(weights) != n_layers:
        raise InputError(f"layers: expected {n_layers} weights, got {len(weights)}")
    return lambda all_layers: _weighted_sum(weights, all_layers)


def _named(layers: str, n_layers: int) -> Combine:
    named: dict[str, Combine] = {
        "average": lambda all_layers: _weighted_sum([1.0] * n_layers, all_layers).div_(n_layers),
        "all": lambda all_layers: torch.stack(all_layers),
        "top": lambda all_layers: all_layers[-1],
        "token": lambda all_layers: all_layers[0],
    }
    if layers not in named:
        raise InputError(
            f"layers: expected 'average', 'all', 'top', 'token', 'mix', a number or a list of "
            f"{n_layers} weights, got {layers!r}"
        )
    return named[layers]


def _weighted_sum(weights: Sequence[float], layers: Sequence[Tensor]) -> Tensor:
    """(N, dim), without a copy of all layers."""
    total = weights[0] * layers[0]
    for weight, layer in zip(weights[1:], layers[1:], strict=True):
        total.add_(layer, alpha=weight)
    return total
