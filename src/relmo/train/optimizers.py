"""Optimizers and schedules: AdamW with warm-up and decay, Adagrad as published."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from relmo.train.config import TrainConfig

__all__ = ["OptimizerGroup", "clip_gradient", "learning_rate"]

_LAST_FRACTION = 0.05  # of the highest learning rate, where the decay ends


def learning_rate(config: TrainConfig, step: int) -> float:
    """Return the rate of a step, counted from 1: a linear rise, then the decay.

    While the softmax alone is learned the rate rises and stays; then it starts anew.
    """
    is_first = step <= config.softmax_steps
    step -= 0 if is_first else config.softmax_steps
    max_steps = config.max_steps - config.softmax_steps
    if step <= config.warmup_steps:
        return config.learning_rate * step / config.warmup_steps
    if is_first or config.decay == "none":
        return config.learning_rate
    done = (step - config.warmup_steps) / max(1, max_steps - config.warmup_steps)
    fractions: dict[str, Callable[[float], float]] = {
        "cosine": lambda x: 0.5 * (1 + math.cos(math.pi * x)),
        "linear": lambda x: 1 - x,
    }
    fraction = fractions[config.decay](min(1.0, done))
    return config.learning_rate * (_LAST_FRACTION + (1 - _LAST_FRACTION) * fraction)


class OptimizerGroup:
    """The optimizers of one model behind one name.

    A sampled softmax has sparse gradients, and only the rows that a batch met are updated:
    SparseAdam beside AdamW; torch's Adagrad takes both kinds.

    Args:
        dense: parameters with ordinary gradients.
        sparse: parameters with sparse gradients.
        config: which optimizer, and its settings.
        fractions: of the learning rate, for parameters that do not take all of it.
    """

    def __init__(
        self,
        dense: Iterable[nn.Parameter],
        sparse: Iterable[nn.Parameter],
        config: TrainConfig,
        fractions: Mapping[nn.Parameter, float] | None = None,
    ) -> None:
        dense, sparse, fractions = list(dense), list(sparse), fractions or {}
        rate, betas = config.learning_rate, (0.9, 0.99)
        self.optimizers: list[torch.optim.Optimizer]
        if config.optimizer == "adagrad":
            groups = _groups([*dense, *sparse], fractions)
            self.optimizers = [torch.optim.Adagrad(groups, lr=rate, initial_accumulator_value=1.0)]
        else:
            matrices = [p for p in dense if p.numel() > max(p.shape)]  # a column is a bias
            biases = [p for p in dense if p.numel() <= max(p.shape)]
            groups = _groups(matrices, fractions, weight_decay=config.weight_decay)
            groups += _groups(biases, fractions, weight_decay=0.0)
            self.optimizers = [torch.optim.AdamW(groups, lr=rate, betas=betas)]
            if sparse:
                groups = _groups(sparse, fractions)
                self.optimizers.append(torch.optim.SparseAdam(groups, lr=rate, betas=betas))
        # Settings, no state: taken out of what a checkpoint saves.
        self._fractions: list[list[float]] = [
            [group.pop("fraction") for group in optimizer.param_groups]
            for optimizer in self.optimizers
        ]

    def step(self, rate: float) -> None:
        """Update every parameter with its fraction of this learning rate; drop the gradients."""
        for optimizer, fractions in zip(self.optimizers, self._fractions, strict=True):
            for group, fraction in zip(optimizer.param_groups, fractions, strict=True):
                group["lr"] = rate * fraction
            # What autograd made needs no check; where nothing is said of it, torch warns.
            with torch.sparse.check_sparse_tensor_invariants(False):  # type: ignore[no-untyped-call]
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        """Return what is needed to continue."""
        return [optimizer.state_dict() for optimizer in self.optimizers]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Continue from a `state_dict`."""
        for optimizer, state in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict(state)


def _groups(
    parameters: Iterable[nn.Parameter], fractions: Mapping[nn.Parameter, float], **settings: float
) -> list[dict[str, Any]]:
    """Return groups as torch's optimizers take them: one per fraction of the rate, in order."""
    groups: dict[float, dict[str, Any]] = {}
    for parameter in parameters:
        fraction = fractions.get(parameter, 1.0)
        group = groups.setdefault(fraction, {"params": [], "fraction": fraction, **settings})
        group["params"].append(parameter)
    return list(groups.values())


def clip_gradient(parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
    """Scale all gradients so that their joint norm is at most `max_norm`; return the norm before.

    Unlike torch's own this takes sparse gradients.
    """
    gradients = []
    for parameter in parameters:
        if parameter.grad is None:
            continue
        if parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
            gradients.append(parameter.grad.values())
        else:
            gradients.append(parameter.grad)
    norm: Tensor = torch.stack([torch.linalg.vector_norm(g) for g in gradients]).norm()
    if norm > max_norm:
        for gradient in gradients:
            gradient.mul_(max_norm / norm)
    return norm
