"""Loading a model beside reading its bytes: time in turns, peak memory in processes of their own.

`python -m benchmarks.loading WAY FOLDER` prints the peak of one way of reading.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.memory import peak
from benchmarks.report import Report, Target
from benchmarks.timing import in_turns
from relmo.config import BiLMConfig
from relmo.elmo.model import load
from relmo.formats import bilm_hdf5, relmo_format
from relmo.formats.checkpoint import Checkpoint, parameter_shapes

__all__ = ["WAYS", "loading", "measure"]

HDF5, SAFETENSORS = "HDF5", "safetensors"


def read_hdf5(folder: Path) -> dict[str, Tensor]:
    """Every dataset into a tensor, once: the least that a loader has to do."""
    tensors: dict[str, Tensor] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            values = np.empty(item.shape, item.dtype)
            item.read_direct(values)
            tensors[name] = torch.from_numpy(values)

    with h5py.File(folder / HDF5 / bilm_hdf5.WEIGHTS) as file:
        file.visititems(visit)
    return tensors


def read_safetensors(folder: Path) -> dict[str, Tensor]:
    """The same of a file of safetensors, whose own reader only maps it: so copied."""
    found = load_file(folder / SAFETENSORS / relmo_format.MODEL)
    return {name: tensor.clone() for name, tensor in found.items()}


WAYS: dict[str, Callable[[Path], object]] = {
    f"{HDF5}, bytes": read_hdf5,
    f"{HDF5}, relmo.load": lambda folder: load(folder / HDF5),
    f"{SAFETENSORS}, bytes": read_safetensors,
    f"{SAFETENSORS}, relmo.load": lambda folder: load(folder / SAFETENSORS),
}
TARGETS = {"time": 1.5, "peak memory": 1.3}


def loading(name: str, config: BiLMConfig, rounds: int) -> Report:
    """Each way of reading a model of random weights, which is in the system's cache."""
    report = Report(
        title=f"loading {name}, against reading its bytes once into tensors",
        columns=("", "seconds", "of the processor", "MiB at the peak", "time", "peak memory"),
    )
    with tempfile.TemporaryDirectory(prefix="relmo-loading-") as temporary:
        folder = Path(temporary)
        mebibytes = _write(config, folder)
        walls, processor = _times(folder, rounds)
        peaks = {way: _peak(way, folder) for way in WAYS}
    for way in WAYS:
        bytes_way = f"{way.partition(',')[0]}, bytes"
        ratios = {
            "time": walls[way] / walls[bytes_way],
            "peak memory": peaks[way] / peaks[bytes_way],
        }
        report.rows.append(
            (way, f"{walls[way]:.3f}", f"{processor[way]:.3f}", f"{peaks[way]:,.0f}",
             *(f"{ratio:.2f} ×" for ratio in ratios.values()))
        )  # fmt: skip
        report.figures[way] = {"seconds": walls[way], "processor_seconds": processor[way],
                               "peak_mib": peaks[way]}  # fmt: skip
        if way != bytes_way and way.startswith("HDF5"):  # safetensors' own reading maps the file
            report.targets += [
                Target(what=f"{name}, {way}: {what} of reading the bytes", value=ratio,
                       target=TARGETS[what], at_most=True)
                for what, ratio in ratios.items()
            ]  # fmt: skip
    report.notes.append(
        f"{mebibytes:,.0f} MiB of numbers, medians of {rounds} rounds; the peak is over what the "
        "libraries take"
    )
    return report


def _write(config: BiLMConfig, folder: Path) -> float:
    """The model in both formats; MiB of its numbers."""
    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: torch.randn(shape, generator=generator) for name, shape in parameter_shapes(config)
    }
    checkpoint = Checkpoint(config=config, tensors=tensors, format="random", source=folder)
    bilm_hdf5.write(checkpoint, folder / HDF5)
    relmo_format.write(checkpoint, folder / SAFETENSORS)
    return sum(tensor.nbytes for tensor in tensors.values()) / 2**20


def _times(folder: Path, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of each way, by the clock and of the processor."""
    processor: dict[str, list[float]] = {way: [] for way in WAYS}

    def contender(way: str) -> Callable[[int], float]:
        def run(number: int) -> float:
            start = time.process_time()
            WAYS[way](folder)
            if number >= 0:
                processor[way].append(1 / (time.process_time() - start))
            return 1.0

        return run

    rates = in_turns({way: contender(way) for way in WAYS}, rounds)
    return (
        {way: 1 / rate.median for way, rate in rates.items()},
        {way: 1 / float(np.median(rate)) for way, rate in processor.items()},
    )


def _peak(way: str, folder: Path) -> float:
    command = [sys.executable, "-m", "benchmarks.loading", way, str(folder)]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(json.loads(finished.stdout))


def measure(way: str, folder: Path) -> float:
    """MiB that this process takes at the peak to read a model, over the libraries."""
    libraries = peak()
    kept = WAYS[way](folder)
    most = peak() - libraries
    del kept
    return most


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))))
