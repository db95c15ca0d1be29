"""Peak memory of `embed` in a process of its own: `python -m benchmarks.memory PRESET N`."""

import json
import resource
import subprocess
import sys
from pathlib import Path

from benchmarks.report import Report

__all__ = ["measure", "peak", "peak_memory"]


def peak_memory(names: tuple[str, ...], n_sentences: int) -> Report:
    """MiB at the peak, over the libraries and over the weights, each shape in its own process."""
    report = Report(
        title=f"peak memory of embed, {n_sentences} sentences, default token budget, MiB",
        columns=("", "libraries", "weights", "peak", "over both", "over, weights repacked"),
    )
    for name in names:
        command = [sys.executable, "-m", "benchmarks.memory", name, str(n_sentences)]
        finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        figures: dict[str, float] = json.loads(finished.stdout)
        over = figures["peak"] - figures["libraries"] - figures["weights"]
        report.rows.append(
            (name, *(f"{figures[kind]:,.0f}" for kind in ("libraries", "weights", "peak")),
             f"{over:,.0f}", f"{over - figures['repacked']:,.0f}")
        )  # fmt: skip
        report.figures[name] = {**figures, "over": over}
    report.notes.append(
        "'over both' holds a second copy of the LSTM weights, in oneDNN's layout; the last column "
        "does without it: what the batch, the word cache and the results take"
    )
    return report


def peak() -> float:
    """The most memory this process has held, in MiB.

    Not ru_maxrss where it can be helped: Linux hands down to it what the parent held.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    kilobyte = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilobyte / 2**20


def measure(name: str, n_sentences: int) -> dict[str, float]:
    """MiB that this process holds; see `peak_memory`."""
    from benchmarks.embedding import new_elmo
    from benchmarks.text import news_like
    from relmo.train.config import PRESETS

    sentences = news_like(n_sentences)
    libraries = peak()
    elmo = new_elmo(PRESETS[name])
    mebibytes = {key: p.numel() * 4 / 2**20 for key, p in elmo.bilm.named_parameters()}
    elmo.embed(sentences)
    return {
        "libraries": libraries,
        "weights": sum(mebibytes.values()),
        "repacked": sum(size for key, size in mebibytes.items() if "lstm" in key),
        "peak": peak(),
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
