"""Numbers a megabyte at a time: what is read or copied is checked while it is in the cache.

By numpy, which starts no threads: for so little at a time, waiting for torch's is the most of it.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from relmo.formats._checks import check_finite

__all__ = ["TOGETHER_BYTES", "check_piece", "copied", "empty"]

TOGETHER_BYTES = 2**20
"""So much stays in the processor's cache until it has been checked."""


def empty(shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
    """Memory to fill: numpy's, whose large arrays come in large pages, unlike torch's."""
    return np.empty(shape, dtype)


def check_piece(name: str, numbers: npt.NDArray[Any], where: str) -> None:
    """No number is NaN, which the extremes would be too, or infinite, else FormatError."""
    with np.errstate(invalid="ignore"):
        is_finite = math.isfinite(numbers.max()) and math.isfinite(numbers.min())
    if not is_finite:
        check_finite(name, torch.from_numpy(numbers), where)


def copied(name: str, tensor: Tensor, where: str) -> Tensor:
    """A copy as float32, float64 kept.

    Raises:
        FormatError: a number is not finite.
    """
    kept = np.float64 if tensor.dtype == torch.float64 else np.float32
    values = empty(tuple(tensor.shape), kept)
    if tensor.dtype == torch.bfloat16:  # which numpy does not know
        tensor = tensor.float()
    source, target = tensor.numpy().reshape(-1), values.reshape(-1)
    together = TOGETHER_BYTES // values.itemsize
    for start in range(0, len(target), together):
        piece = target[start : start + together]
        np.copyto(piece, source[start : start + together])
        check_piece(name, piece, where)
    return torch.from_numpy(values)
