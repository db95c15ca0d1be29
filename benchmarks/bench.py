"""The speed table: `make bench`, or `python -m benchmarks.bench [--quick] [--only NAME]`.

Every share is of the float32 matrix-product ceiling measured in the same process, in turns with
what it is the ceiling of. Read ratios: on a shared machine the absolute figures move.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks import machine
from benchmarks.embedding import Size, latency, throughput
from benchmarks.loading import loading
from benchmarks.memory import peak_memory
from benchmarks.report import Report
from benchmarks.timing import in_turns
from benchmarks.training import lstm_training, whole_step
from relmo.train.config import PRESETS

SIZES = {
    "small": Size(relmo=1024),
    "original": Size(relmo=256),
}
QUICK_SIZES = {
    "small": Size(relmo=512, sentences=512, rounds=2),
    "original": Size(relmo=128, loop=32, torch=64, sentences=512, rounds=1),
}


def sections(quick: bool) -> dict[str, Callable[[], Report]]:
    """What can be measured, by name."""
    sizes = QUICK_SIZES if quick else SIZES
    small, original = PRESETS["small"], PRESETS["original"]
    narrow = dataclasses.replace(PRESETS["mini"], projection_dim=64)
    rounds = 2 if quick else 5
    shapes = {"2x512, projection 64": (narrow, 128, rounds), "small": (small, 128, rounds)}
    if not quick:
        shapes["original"] = (original, 64, 3)
    return {
        "small": lambda: throughput("small", small, sizes["small"]),
        "original": lambda: throughput("original", original, sizes["original"]),
        "latency": lambda: latency(
            {"small": small, "original": original},
            {"small": 10 if quick else 50, "original": 2 if quick else 7},
        ),
        "training": lambda: lstm_training(shapes),
        "step": lambda: whole_step("mini", PRESETS["mini"], rounds),
        "memory": lambda: peak_memory(("small", "original"), 128 if quick else 512),
        "load": lambda: loading("original", original, 5 if quick else 15),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__)
    names = list(sections(quick=True))
    parser.add_argument("--quick", action="store_true", help="less work and fewer rounds")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME",
                        help=f"one section, may be repeated: {', '.join(names)}")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args(arguments)
    console = Console(width=None if Console().is_terminal else 120)
    start = time.monotonic()
    _print_machine(console)
    reports = []
    for name, section in sections(options.quick).items():
        if options.only is None or name in options.only:
            reports.append(section())
            reports[-1].print(console)
    targets = [target for report in reports for target in report.targets]
    passed = sum(target.mark == "PASS" for target in targets)
    console.print(f"{passed} of {len(targets)} targets reached; {time.monotonic() - start:.0f} s, "
                  f"load average {machine.load()} at the end", highlight=False)  # fmt: skip
    if options.json:
        figures = {"machine": machine.description(), "sections": [r.as_dict() for r in reports]}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def _print_machine(console: Console) -> None:
    console.print(machine.description(), highlight=False)
    rates = in_turns(machine.ceilings(), 5)
    listed = ", ".join(f"{name} {rate.median / 1e9:.0f}" for name, rate in rates.items())
    console.print(f"float32 matrix products, GFLOP/s: {listed}\n", highlight=False)


if __name__ == "__main__":
    main()
