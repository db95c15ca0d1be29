"""A linear probe: multinomial logistic regression on vectors that stay as they are."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from relmo._typing import Float, Integer
from relmo.errors import InputError

__all__ = ["LinearProbe"]

_STEPS = 100


class LinearProbe:
    """Which class a vector is of, by a linear function of it.

    The features are brought to mean 0 and variance 1, and the weights found by L-BFGS from zeros,
    with the L2 penalty of scikit-learn's default (C=1): convex, so there is no seed.

    Args:
        vectors: (n, dim), any float; at least one.
        labels: (n,), classes from 0.

    Raises:
        InputError: there is no vector.
    """

    def __init__(
        self,
        vectors: Float[np.ndarray[Any, Any], "n dim"],
        labels: Integer[np.ndarray[Any, Any], " n"],
    ) -> None:
        if not len(labels):
            raise InputError("probe: no vector to learn from")
        x = torch.from_numpy(vectors.astype(np.float32))
        deviation, self._mean = torch.std_mean(x, dim=0, correction=0)
        self._deviation = torch.where(deviation > 0, deviation, torch.ones(()))
        x.sub_(self._mean).div_(self._deviation)
        n_classes = int(labels.max()) + 1
        self._weight = torch.zeros(n_classes, x.shape[1])
        self._bias = torch.zeros(n_classes)
        self._fit(x, torch.from_numpy(labels.astype(np.int64)))

    def _fit(self, x: Tensor, y: Tensor) -> None:
        parameters = [self._weight.requires_grad_(), self._bias.requires_grad_()]
        optimizer = torch.optim.LBFGS(
            parameters, max_iter=_STEPS, tolerance_change=1e-7, line_search_fn="strong_wolfe"
        )

        def loss() -> Tensor:
            optimizer.zero_grad()
            total = F.cross_entropy(F.linear(x, *parameters), y)
            total = total + self._weight.square().sum() / (2 * len(x))
            total.backward()  # type: ignore[no-untyped-call]
            return total

        with torch.enable_grad():
            optimizer.step(loss)  # type: ignore[no-untyped-call]
        for parameter in parameters:
            parameter.requires_grad_(False)

    def predict(self, vectors: Float[np.ndarray[Any, Any], "n dim"]) -> npt.NDArray[np.int64]:
        """The likeliest class of each vector, (n,)."""
        x = torch.from_numpy(vectors.astype(np.float32))
        x = x.sub_(self._mean).div_(self._deviation)
        classes: npt.NDArray[np.int64] = F.linear(x, self._weight, self._bias).argmax(-1).numpy()
        return classes
