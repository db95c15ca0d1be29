"""The processes that compute a run together, as `torchrun` starts them.

Each computes its share of the parts of a batch (see `relmo.train.parts`); gradients and measures
are added up, so that all take the same step and stay alike. One process alone needs none of this.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from relmo.errors import ConfigError, ProcessError

__all__ = ["ALONE", "Processes", "is_first", "joined", "own_device"]

_T = TypeVar("_T")


@dataclass(frozen=True)
class Processes:
    """What one process of a run needs of the others; every one of them has to call the same.

    Args:
        rank: which this one is, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def own(self, n: int) -> range:
        """Return the part of `range(n)` that is this process's, equal for all."""
        return range(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def sum(self, numbers: Sequence[float]) -> list[float]:
        """Return each number summed over all processes, in double precision."""
        if self.size == 1:
            return list(numbers)
        total = torch.tensor(numbers, dtype=torch.float64)
        _all_reduce(total)
        return total.tolist()

    def any(self, flag: bool) -> bool:
        """Return whether the condition holds in any of the processes."""
        return self.sum([float(flag)])[0] > 0

    def gather(self, items: list[_T]) -> list[_T]:
        """Return the items of all processes in order; in all but the first an empty list."""
        if self.size == 1:
            return items
        gathered: list[Any] | None = [None] * self.size if self.is_first else None
        _together(lambda: dist.gather_object(items, gathered))
        return [item for each in gathered or [] for item in each]

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by the sum of those of all processes, the same bits in each."""
        if self.size == 1:
            return
        for parameter in parameters:
            gradient = parameter.grad
            if gradient is None:
                continue
            if gradient.is_sparse:
                parameter.grad = self._sum_sparse(gradient.coalesce())
            else:
                _all_reduce(gradient)

    def _sum_sparse(self, gradient: Tensor) -> Tensor:
        """Sum sparse gradients over all processes: gathered, as NCCL cannot sum them."""
        counts = [
            torch.zeros(1, dtype=torch.int64, device=gradient.device) for _ in range(self.size)
        ]
        count = counts[0].new_tensor([gradient.values().shape[0]])
        _together(lambda: dist.all_gather(counts, count))
        sizes = [int(count) for count in counts]
        rows, values = (
            self._concatenated(tensor, sizes)
            for tensor in (gradient.indices()[0], gradient.values())
        )
        return torch.sparse_coo_tensor(
            rows[None], values, gradient.shape, check_invariants=False
        ).coalesce()

    def _concatenated(self, own: Tensor, sizes: list[int]) -> Tensor:
        """Return the tensors of all processes end to end; gathering needs one length."""
        padded = own.new_zeros(max(sizes), *own.shape[1:])
        padded[: len(own)] = own
        gathered = [torch.empty_like(padded) for _ in sizes]
        _together(lambda: dist.all_gather(gathered, padded))
        return torch.cat([each[:size] for each, size in zip(gathered, sizes, strict=True)])


ALONE = Processes()
"""A run of one process."""


def _all_reduce(tensor: Tensor) -> None:
    """Replace a tensor by the sum of those of all processes."""
    _together(lambda: dist.all_reduce(tensor))


def _together(operation: Callable[[], Any]) -> None:
    """Do what all processes do at once.

    Raises:
        ProcessError: one of them is gone.
    """
    try:
        operation()
    except RuntimeError as error:
        raise ProcessError(
            "another process of the run has failed, ended or does not answer (its own message "
            "says why); the last checkpoint stands, go on with --resume"
        ) from error


def _launched() -> tuple[int, int]:
    """Return rank and number of the processes that torchrun has started; 0 and 1 without it."""
    if not dist.is_available() or not dist.is_torchelastic_launched():
        return 0, 1
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def _is_ready() -> bool:
    return dist.is_available() and dist.is_initialized()


def _place() -> tuple[int, int]:
    """Return rank and number of the processes that have met, else of those started."""
    return (dist.get_rank(), dist.get_world_size()) if _is_ready() else _launched()


def is_first() -> bool:
    """Whether this process is the one that speaks for the run."""
    return _place()[0] == 0


def own_device(device: str | torch.device) -> torch.device:
    """Return the device itself; of "cuda" under torchrun, this process's."""
    device = torch.device(device)
    if device.type == "cuda" and device.index is None and _launched()[1] > 1:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


@contextmanager
def joined(n_parts: int, device: torch.device) -> Iterator[Processes]:
    """Meet the other processes that torchrun has started, for the time of a run.

    Where torch.distributed is initialised already, with a backend for the CPU, that is used. It
    stays so until the process ends: torchrun's processes can meet only once.

    Args:
        n_parts: of a batch, to be shared out.
        device: where this process computes.

    Raises:
        ConfigError: the parts cannot be shared out evenly.
        ProcessError: the others cannot be met.
    """
    rank, size = _place()
    if n_parts % size:
        raise ConfigError(
            f"--parts must be a multiple of the {size} processes of torchrun, got {n_parts}"
        )
    if size == 1:
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if not _is_ready():
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        _together(lambda: dist.init_process_group(backend))
    yield Processes(rank, size)
    _together(dist.barrier)  # what the first one writes is written
