"""Optimizers and schedules: AdamW with warm-up and decay, Adagrad as published."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from relmo.train.config import TrainConfig

__all__ = ["OptimizerGroup", "clip_gradient", "learning_rate"]

_LAST_SHARE = 0.05  # of the highest learning rate, where the decay ends


def learning_rate(config: TrainConfig, step: int) -> float:
    """The rate of a step, counted from 1: a linear rise, then the decay."""
    if step <= config.warmup_steps:
        return config.learning_rate * step / config.warmup_steps
    if config.decay == "none":
        return config.learning_rate
    done = (step - config.warmup_steps) / max(1, config.max_steps - config.warmup_steps)
    shares: dict[str, Callable[[float], float]] = {
        "cosine": lambda x: 0.5 * (1 + math.cos(math.pi * x)),
        "linear": lambda x: 1 - x,
    }
    share = shares[config.decay](min(1.0, done))
    return config.learning_rate * (_LAST_SHARE + (1 - _LAST_SHARE) * share)


class OptimizerGroup:
    """The optimizers of one model behind one name.

    A sampled softmax has sparse gradients, and only the rows that a batch met are updated:
    SparseAdam beside AdamW; torch's Adagrad takes both kinds.

    Args:
        dense: parameters with ordinary gradients.
        sparse: parameters with sparse gradients.
        config: which optimizer, and its settings.
    """

    def __init__(
        self, dense: Iterable[nn.Parameter], sparse: Iterable[nn.Parameter], config: TrainConfig
    ) -> None:
        dense, sparse = list(dense), list(sparse)
        self.optimizers: list[torch.optim.Optimizer]
        if config.optimizer == "adagrad":
            self.optimizers = [
                torch.optim.Adagrad(
                    [*dense, *sparse], lr=config.learning_rate, initial_accumulator_value=1.0
                )
            ]
            return
        betas = (0.9, 0.99)
        matrices = [p for p in dense if p.numel() > max(p.shape)]  # a column is a bias
        biases = [p for p in dense if p.numel() <= max(p.shape)]
        groups = [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": biases, "weight_decay": 0.0},
        ]
        self.optimizers = [torch.optim.AdamW(groups, lr=config.learning_rate, betas=betas)]
        if sparse:
            self.optimizers.append(
                torch.optim.SparseAdam(sparse, lr=config.learning_rate, betas=betas)
            )

    def step(self, rate: float) -> None:
        """Update every parameter with this learning rate and drop the gradients."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            # What autograd made needs no check; where nothing is said of it, torch warns.
            with torch.sparse.check_sparse_tensor_invariants(False):  # type: ignore[no-untyped-call]
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        """What is needed to continue."""
        return [optimizer.state_dict() for optimizer in self.optimizers]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Continue from a `state_dict`."""
        for optimizer, state in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict(state)


def clip_gradient(parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
    """Scale all gradients so that their joint norm is at most `max_norm`; returns the norm before.

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
