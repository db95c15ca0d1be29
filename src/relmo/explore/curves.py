"""Draw the learning curves of training runs: a panel per measure, a color per run."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relmo.errors import InputError
from relmo.explore.page import Box, Page, check_path
from relmo.train.folder import METRICS, RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["X_AXES", "Run", "draw", "read"]

X_AXES = {"tokens": "tokens", "steps": "step"}
"""Name of what curves are drawn over, and its key in the metrics."""

# Points (1/72 in).
_WIDTH, _MARGIN, _GAP = 860.0, 24.0, 30.0
_LEFT, _BELOW, _TITLE = 42.0, 34.0, 18.0
"""Space beside, below and above the axes of a panel, for its scale and its name."""
_UPPER, _LOWER = 230.0, 150.0
"""Heights of the axes in the two rows."""
_INK, _GRAY, _GRID = "#1f1f1f", "#5f5f5f", "#e4e4e4"
# Okabe and Ito's, which the color-blind can tell apart, without yellow (too pale on white).
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_SHAPES = ("o", "s", "^", "D", "v", "P", "X")


@dataclass(frozen=True)
class Run:
    """Metrics of a run."""

    name: str
    lines: Sequence[Mapping[str, Any]]

    def series(self, kind: str, measure: str, x: str) -> tuple[list[float], list[float]]:
        """Return the tokens or steps at which a measure was taken, and its values."""
        key = X_AXES[x]
        pairs = [
            (line[key], line[measure])
            for line in self.lines
            if line.get("kind") == kind
            and _is_number(line.get(measure))
            and _is_number(line.get(key))
        ]
        return [x for x, _ in pairs], [value for _, value in pairs]


@dataclass(frozen=True)
class _Panel:
    title: str
    kind: str
    measures: Sequence[str]
    """Keys in the metrics: the first has a full line, the second a broken one."""
    note: str = ""
    """Text after the title, in gray."""
    is_log: bool = False
    """Whether the scale is logarithmic where the values lie far apart."""
    is_cut: bool = False
    """Whether the largest fiftieth of the values may be left out where they are far larger."""


_ROWS = (
    (
        _Panel("training loss", "train", ["loss"], "nats per prediction", is_cut=True),
        _Panel(
            "validation perplexity",
            "valid",
            ["forward_perplexity", "backward_perplexity"],
            "full line forward, broken line backward",
            is_log=True,
        ),
    ),
    (
        _Panel("learning rate", "train", ["learning_rate"]),
        _Panel("gradient norm", "train", ["gradient_norm"], "before clipping", is_log=True),
        _Panel("tokens per second", "train", ["tokens_per_second"], "per direction"),
    ),
)


def read(folders: Sequence[str | os.PathLike[str]]) -> list[Run]:
    """Read the metrics of runs, each named by its folder, or by its path if two are alike.

    A run may be going on.

    Raises:
        InputError: there is no run, or no step is recorded yet.
    """
    paths = [Path(folder) for folder in folders]
    names = [path.resolve().name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    return [Run(name, _lines(path)) for name, path in zip(names, paths, strict=True)]


def _lines(path: Path) -> list[dict[str, Any]]:
    if not (path / METRICS).is_file():
        raise InputError(f"{path}: no training run, as it has no {METRICS}; give a run's folder")
    lines = RunFolder(path).metrics()
    if not lines:
        raise InputError(f"{path / METRICS}: no step is recorded yet; wait for the first ten")
    return lines


def draw(runs: Sequence[Run], path: str | os.PathLike[str], *, x: str = "tokens") -> None:
    """Write the picture; an earlier file is replaced when the new one is whole.

    Args:
        runs: what `read` gave; their names are in the legend.
        path: .png, .svg or .pdf.
        x: what the curves are drawn over, one of `X_AXES`.

    Raises:
        InputError: another suffix, or the file cannot be written.
        MissingExtraError: no matplotlib.
    """
    path = check_path(path)
    if x not in X_AXES:
        raise InputError(f"--over: expected one of {', '.join(X_AXES)}, got {x!r}")
    _picture(runs, x).save(path)


def _picture(runs: Sequence[Run], x: str) -> Page:
    header = 40.0 + 17.0 * len(runs)
    rows = zip(_ROWS, (_UPPER, _LOWER), strict=True)
    page = Page(_WIDTH, header + sum(_TITLE + h + _BELOW for h in (_UPPER, _LOWER)) + _MARGIN)
    _header(page, runs)
    top = page.height - header
    for panels, height in rows:
        width = (_WIDTH - 2 * _MARGIN + _GAP) / len(panels) - _GAP
        for n, panel in enumerate(panels):
            left = _MARGIN + n * (width + _GAP)
            box = Box(left + _LEFT, top - _TITLE - height, left + width, top - _TITLE)
            end = page.text(box.left, box.top + 7, panel.title, size=10.5, color=_INK, bold=True)
            note = _draw_panel(page.axes(box, grid=_GRID, ink=_GRAY), panel, runs, x)
            page.text(end + 7, box.top + 7, note, size=9, color=_GRAY)
        top -= _TITLE + height + _BELOW
    page.text(_MARGIN, 12, f"All over {x}{_OVER[x]}.", size=8.5, color=_GRAY)
    return page


_OVER = {"tokens": " seen in training, per direction", "steps": " of training"}


def _header(page: Page, runs: Sequence[Run]) -> None:
    y = page.height - 30
    for n, run in enumerate(runs):
        page.mark(_MARGIN + 5, y + 4, shape=_shape(n), color=_color(n), size=8)
        end = page.text(_MARGIN + 16, y, run.name, size=11.5, color=_color(n), bold=True)
        page.text(end + 10, y, _progress(run), size=10, color=_GRAY)
        y -= 17


def _progress(run: Run) -> str:
    """Return how far a run is, and how good its best model."""
    last = run.lines[-1]
    text = f"{last['step']:,} steps, {last.get('tokens', 0):,} tokens per direction"
    _, scores = run.series("valid", "perplexity", "steps")
    return text + (f", best validation perplexity {min(scores):.2f} (mean)" if scores else "")


def _draw_panel(axes: "Axes", panel: _Panel, runs: Sequence[Run], x: str) -> str:
    """Draw the curves and return the note for beside the panel's title."""
    drawn: list[float] = []
    for n, run in reversed([*enumerate(runs)]):  # the first one on top
        for measure, style in zip(panel.measures, ("-", "--"), strict=False):
            at, values = run.series(panel.kind, measure, x)
            drawn += values
            axes.plot(
                at,
                values,
                style,
                color=_color(n),
                linewidth=1.2,
                marker=_shape(n) if panel.kind == "valid" else None,
                markersize=4.5,
                markeredgecolor="white",
                markeredgewidth=0.6,
            )
    if panel.is_log and drawn and 0 < 10 * min(drawn) < max(drawn):
        axes.set_yscale("log", subs=[2, 5])
        axes.yaxis.set_minor_formatter(lambda value, _: _short(value))
    axes.xaxis.set_major_formatter(lambda value, _: _short(value))
    axes.yaxis.set_major_formatter(lambda value, _: _short(value))
    key = X_AXES[x]
    ends = [line[key] for run in runs for line in run.lines if _is_number(line.get(key))]
    axes.set_xlim(0, 1.02 * max(ends, default=0) or 1)
    if not drawn:
        axes.set_yticks([])
        return "none recorded"
    low, top, high = min(drawn), sorted(drawn)[-1 - len(drawn) // 50], max(drawn)
    if panel.is_cut and high - low > 1.5 * (top - low):
        axes.set_ylim(top=top + 0.05 * (top - low))
        return f"{panel.note}; starts at {_short(round(high, 1))}"
    return panel.note


def _short(value: float) -> str:
    """Return a number as on a scale: 0.002, 40, 2.5k, 20M."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _color(n: int) -> str:
    return _COLORS[n % len(_COLORS)]


def _shape(n: int) -> str:
    """Return the mark of a run: from the eighth on, colors come again with other marks."""
    return _SHAPES[(n + n // len(_COLORS)) % len(_SHAPES)]
