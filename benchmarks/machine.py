"""The machine: its name, and the float32 matrix-product ceiling that shares are taken of."""

import platform
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.timing import Contender
from relmo.nn.kernels import Product

__all__ = ["CEILINGS", "ceilings", "description", "load"]

SIZE = 2048  # of the square matrices: 17.2 GFLOP a product
_PRODUCTS = 3  # a measurement

CEILINGS = ("torch.mm", "oneDNN, prepacked")
"""Names of the two products; the higher is the ceiling."""


def ceilings() -> dict[str, Contender]:
    """Contenders that multiply square matrices and count floating-point operations."""
    a, b, out = (torch.randn(SIZE, SIZE) for _ in range(3))
    packed = Product(b)
    products: tuple[Callable[[], object], ...] = (
        lambda: torch.mm(a, b, out=out),
        lambda: packed(a),
    )

    def contender(product: Callable[[], object]) -> Contender:
        def run(_: int) -> float:
            for _ in range(_PRODUCTS):
                product()
            return _PRODUCTS * 2.0 * SIZE**3

        return run

    return {name: contender(product) for name, product in zip(CEILINGS, products, strict=True)}


def description() -> str:
    """Processor, threads, torch and load in a line."""
    return (
        f"{_cpu_name()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"load average {load()}"
    )


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def load() -> str:
    """The machine's load average over a minute, where it tells one."""
    loadavg = Path("/proc/loadavg")
    return loadavg.read_text().split()[0] if loadavg.exists() else "?"
