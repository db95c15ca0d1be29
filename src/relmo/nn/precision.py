"""The precision in which a biLM computes: that of its weights, whatever surrounds the call."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from relmo.errors import ConfigError

__all__ = ["DTYPES", "check_dtype", "exact"]

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_dtype(dtype: torch.dtype) -> None:
    """Refuse weights in which the network cannot compute.

    Raises:
        ConfigError: another type than float16, bfloat16, float32 or float64, such as a complex one
            or one of eight bits.
    """
    if dtype not in DTYPES:
        expected = ", ".join(map(str, DTYPES))
        raise ConfigError(
            f"the biLM's weights are {dtype}, expected one of {expected}; cast them to one of these"
        )


@contextmanager
def exact(device: torch.device, *, trains: bool = False) -> Iterator[None]:
    """Compute in the block without a graph, and in the weights' precision: autocast is off.

    Without gradients there is nothing to gain from autocast: the fast kernel multiplies by matrices
    that were repacked in the weights' own type, and only the few products beside it would be cast,
    so that a vector would depend on how many rows its batch has.

    Args:
        device: where the block computes.
        trains: whether the network is trained; then, where gradients are enabled, it has a graph
            and heeds autocast.
    """
    # A training step is what autocast is for.
    if trains and torch.is_grad_enabled():
        yield
        return
    with torch.no_grad():
        if device.type == "meta" or not torch.is_autocast_enabled(device.type):
            yield
        else:
            with torch.autocast(device.type, enabled=False):
                yield
