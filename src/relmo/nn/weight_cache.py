"""Values computed from weights and kept until the weights change, for any number of threads."""

import threading
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

__all__ = ["WeightCache", "weights_version"]

Value = TypeVar("Value")
Version = tuple[object, ...]


def weights_version(parameters: Iterable[nn.Parameter]) -> Version:
    """Return what differs between two calls if the weights have changed in between.

    Optimizers, `load_state_dict` and `copy_` raise a parameter's version counter; moving and
    casting give it another address or type. A write through `.data`, as moving averages of weights
    are swapped in, does none of these: weights that are being trained are therefore read as well
    (94 million in 40 ms on two cores). Frozen ones are not: see `Elmo.clear_cache`.
    """
    found = list(parameters)
    version: list[object] = [(p.data_ptr(), p.dtype, p._version) for p in found]
    trained = [p.detach() for p in found if p.requires_grad and p.device.type != "meta"]
    if trained:
        # Bits tell of a single one that has changed, numbers of signs that all have.
        version += torch.stack([_bit_sum(p) for p in trained]).tolist()
        version += torch.stack([p.sum().double() for p in trained]).tolist()
    return tuple(version)


def _bit_sum(tensor: Tensor) -> Tensor:
    """Return the sum, (), of a tensor's memory read as integers, modulo 2**64."""
    flat = tensor.reshape(-1).contiguous()
    # Eight bytes at a time where they can be had, which runs at the speed of memory.
    rest = flat.numel() * flat.element_size() % 8
    kind = torch.int64
    if rest or flat.storage_offset():
        kind = {2: torch.int16, 4: torch.int32}.get(flat.element_size(), torch.int64)
    return flat.view(kind).sum(dtype=torch.int64)


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
