"""Parts of a data set, drawn by seed."""

from collections.abc import Sequence
from math import isclose
from typing import TypeVar

import numpy as np

from relmo.errors import InputError

__all__ = ["split"]

T = TypeVar("T")


def split(items: Sequence[T], shares: Sequence[float], seed: int) -> tuple[list[T], ...]:
    """Parts of the items, each item in one of them, in the order they came in.

        train, test = split(sentences, [0.9, 0.1], seed=2018)

    Which items a part has depends on the seed, the shares and the number of items alone.

    Args:
        items: such as sentences.
        shares: of each part, 1 together.
        seed: of the draw, 0 or more.

    Raises:
        InputError: the shares are not positive or not 1 together, the seed is negative, or a part
            would have no item.
    """
    if not isclose(sum(shares), 1, abs_tol=1e-6) or min(shares) <= 0:
        raise InputError(f"split: expected positive shares that are 1 together, got {shares}")
    if seed < 0:
        raise InputError(f"split: expected a seed of 0 or more, got {seed}")
    ends = np.rint(np.cumsum(shares) * len(items)).astype(np.int64)[:-1]
    parts = np.split(np.random.default_rng(seed).permutation(len(items)), ends)
    if any(len(part) == 0 for part in parts):
        raise InputError(f"split: {len(items)} items are too few for parts of {shares}")
    return tuple([items[i] for i in np.sort(part)] for part in parts)
