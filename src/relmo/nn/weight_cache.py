"""Values computed from weights and kept until the weights change, for any number of threads."""

import threading
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from relmo.nn.precision import DTYPES

__all__ = ["WeightCache", "matmul_precision", "weights_version"]

Value = TypeVar("Value")
Version = tuple[object, ...]

_ROW = 16384  # numbers multiplied together, by as many random ones that stay in the cache


def weights_version(parameters: Iterable[nn.Parameter]) -> Version:
    """Return a value that differs between two calls if the weights have changed in between.

    Optimizers, `load_state_dict` and `copy_` raise a parameter's version counter; moving and
    casting give it another address or type. A write through `.data`, as moving averages of weights
    are swapped in, does none of these: weights that are being trained are therefore read as well
    (94 million in 80 ms on two cores). So are those made in torch.inference_mode, which have no
    version counter. Other frozen ones are not: see `Elmo.clear_cache`.

    torch's setting of how exactly matrices are multiplied is part of it, as products are cached.
    """
    weights = list(parameters)
    version: list[object] = [*matmul_precision()]
    version += [(p.data_ptr(), p.dtype, None if p.is_inference() else p._version) for p in weights]
    read = [p for p in weights if p.requires_grad or p.is_inference()]
    sums = [total for p in read if p.device.type != "meta" for total in _sums(p.detach())]
    if sums:
        version += torch.stack(sums).tolist()
    return tuple(version)


def _sums(tensor: Tensor) -> list[Tensor]:
    """Return sums () over a tensor's numbers that tell of a change of their values or their order.

    They are integers, since NaN does not equal itself.
    """
    flat = tensor.reshape(-1).contiguous()
    # The integer sum catches a change of one weight, and all but any change of more; two words of
    # memory that differ in their first bit alone, a sign, may change places without changing it as
    # all its factors are odd: the float sum is compared too.
    sums = [_weighted_sum(_words(flat))]
    if flat.dtype in DTYPES:
        sums.append(_weighted_sum(flat).double().view(torch.int64))
    return sums


def _words(flat: Tensor) -> Tensor:
    """Return a tensor's memory as integers, eight bytes at a time where they can be had."""
    if flat.numel() * flat.element_size() % 8 == 0 and flat.storage_offset() == 0:
        return flat.view(torch.int64)
    kind = {1: torch.int8, 2: torch.int16, 4: torch.int32}.get(flat.element_size(), torch.int64)
    return flat.view(kind).long()


def _weighted_sum(flat: Tensor) -> Tensor:
    """Return the sum () of numbers (n,), each times a factor for its position; int64 modulo 2**64.

    As two products of a matrix and a vector it runs at the speed of memory.
    """
    n_rows = len(flat) // _ROW
    factors = _factors(_ROW + n_rows + 1, flat.dtype, flat.device)
    rows, rest = flat[: n_rows * _ROW].view(n_rows, _ROW), flat[n_rows * _ROW :]
    row_sums = torch.cat(
        [_product(rows, factors[:_ROW]), _product(rest[None], factors[: len(rest)])]
    )
    return _product(row_sums[None], factors[_ROW:])[0]


def _product(matrix: Tensor, vector: Tensor) -> Tensor:
    """Return ``matrix @ vector``, which CUDA does not have for integers."""
    if matrix.device.type == "cpu" or matrix.is_floating_point():
        return matrix @ vector
    return (matrix * vector).sum(1)


@lru_cache(maxsize=64)
def _factors(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return n fixed random numbers: odd integers, or floats of -1 to 1."""
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode(False):
        integers = torch.randint(-(2**62), 2**62, (n,), generator=generator) * 2 + 1
        numbers = integers if dtype == torch.int64 else integers.double() / 2.0**63
        return numbers.to(device, dtype)


def matmul_precision() -> tuple[str, ...]:
    """Return how exactly float32 matrices are multiplied now, a global setting of torch."""
    backends = (torch.backends.mkldnn, torch.backends.cuda)
    if all(hasattr(getattr(one, "matmul", None), "fp32_precision") for one in backends):
        # torch.get_float32_matmul_precision raises once one of these has been set.
        return tuple(str(one.matmul.fp32_precision) for one in backends)
    return (torch.get_float32_matmul_precision(),)


class WeightCache(Generic[Value]):
    """A value computed from some weights, computed again when they have changed.

    A copied or pickled cache is empty.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entry: tuple[Version, Value] | None = None

    def get(self, parameters: Iterable[nn.Parameter], compute: Callable[[], Value]) -> Value:
        """Return the value, calling `compute` if there is none yet or a weight has changed."""
        version = weights_version(parameters)
        entry = self._entry  # read once: another thread may replace it at any time
        if entry is not None and entry[0] == version:
            return entry[1]
        with self._lock:  # so that threads that start together do not all compute it
            entry = self._entry
            if entry is None or entry[0] != version:
                self._entry = entry = None  # freed before the new one takes memory
                self._entry = entry = (version, compute())
            return entry[1]

    def clear(self) -> None:
        """Forget the value."""
        self._entry = None

    def __reduce__(self) -> tuple[type["WeightCache[Value]"], tuple[()]]:
        return type(self), ()
