"""Draw scores by layer: a panel for each task, with baselines as lines across."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from relmo.explore.page import Box, Page, check_path

__all__ = ["Panel", "draw"]

# Points (1/72 in).
_WIDTH, _HEIGHT = 240.0, 210.0
_LEFT, _RIGHT, _MARGIN = 40.0, 112.0, 22.0
_HEADER, _PANEL_HEAD, _FOOTER = 58.0, 46.0, 34.0
_MARK, _SMALL = 8.5, 9.5
_LABEL_GAP = 25.0
"""Distance between the labels of two lines, which have two rows each."""
_INK, _GRAY, _EDGE, _FILL = "#1f1f1f", "#5f5f5f", "#d4d4d4", "#fafafa"
_COLOR = "#0072B2"
_BASELINES = ("#D55E00", "#009E73", "#CC79A7")


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Scores of one task."""

    title: str
    subtitle: str
    layers: Mapping[str, float]
    """Scores from 0 to 1 by the names of the layers; at least one."""
    apart: Mapping[str, float]
    """Scores of what is not a layer, such as their average: marks that no line joins."""
    baselines: Mapping[str, float]
    """Scores of what does without the layers."""


def draw(
    panels: Sequence[Panel], path: str | os.PathLike[str], *, title: str, subtitle: str = ""
) -> None:
    """Write the figure; an earlier file is replaced when the new one is whole.

    Args:
        panels: at least one.
        path: .png, .svg or .pdf.
        title: of all.
        subtitle: the line under it.

    Raises:
        InputError: another suffix, or the file cannot be written.
        MissingExtraError: no matplotlib.
    """
    path = check_path(path)
    _page(panels, title, subtitle).save(path)


def _page(panels: Sequence[Panel], title: str, subtitle: str) -> Page:
    pitch = _LEFT + _WIDTH + _RIGHT
    page = Page(_MARGIN + len(panels) * pitch, _HEADER + _PANEL_HEAD + _HEIGHT + _FOOTER)
    page.text(_MARGIN, page.height - 32, title, size=18, color=_INK, bold=True)
    page.text(_MARGIN, page.height - 51, subtitle, size=10, color=_GRAY)
    for n, panel in enumerate(panels):
        left = _MARGIN + n * pitch + _LEFT
        _draw_panel(page, panel, Box(left, _FOOTER, left + _WIDTH, _FOOTER + _HEIGHT))
    return page


def _draw_panel(page: Page, panel: Panel, box: Box) -> None:
    page.text(box.left, box.top + 24, panel.title, size=12.5, color=_INK, bold=True)
    page.text(box.left, box.top + 9, panel.subtitle, size=_SMALL, color=_GRAY)
    page.frame(box, fill=_FILL, edge=_EDGE)
    scores = {**panel.layers, **panel.apart}
    ticks = _ticks([*scores.values(), *panel.baselines.values()])

    def height(score: float) -> float:
        return box.bottom + _HEIGHT * (100 * score - ticks[0]) / (ticks[-1] - ticks[0])

    for tick in ticks:
        y = height(tick / 100)
        page.line((box.left, box.right), (y, y), color=_EDGE)
        number = f"{tick:g}"
        x = box.left - 6 - page.measure(number, _SMALL)
        page.text(x, y - 3, number, size=_SMALL, color=_GRAY)
    _draw_baselines(page, box, {name: (s, height(s)) for name, s in panel.baselines.items()})
    pitch = _WIDTH / len(scores)
    points = [
        (box.left + (n + 0.5) * pitch, height(score)) for n, score in enumerate(scores.values())
    ]
    joined = points[: len(panel.layers)]
    for (x1, y1), (x2, y2) in pairwise(joined):
        page.line((x1, x2), (y1, y2), color=_COLOR, width=1.6)
    for n, ((x, y), (name, score)) in enumerate(zip(points, scores.items(), strict=True)):
        page.mark(x, y, shape="o" if n < len(joined) else "D", color=_COLOR, size=_MARK)
        page.text(
            x - page.measure(name, _SMALL) / 2, box.bottom - 15, name, size=_SMALL, color=_INK
        )
        number = f"{100 * score:.1f}"
        left, up = _beside(joined, n)
        x -= left * page.measure(number, _SMALL, bold=True)
        page.text(x, y + up, number, size=_SMALL, color=_COLOR, bold=True)


def _beside(joined: Sequence[tuple[float, float]], n: int) -> tuple[float, float]:
    """Return where a number is clear of the lines: its part left of the point, and how high."""
    falls = 0 < n < len(joined) and joined[n - 1][1] > joined[n][1]
    rises = n + 1 < len(joined) and joined[n + 1][1] > joined[n][1]
    if falls and rises:
        return 0.5, -16.0
    return 0.5 + 0.5 * rises - 0.5 * falls, 8.0


def _draw_baselines(page: Page, box: Box, baselines: Mapping[str, tuple[float, float]]) -> None:
    """Draw lines across, with names and scores on the right, moved up where two would overlap."""
    lowest = -math.inf
    by_height = sorted(baselines.items(), key=lambda named: named[1][1])
    for (name, (score, y)), color in zip(by_height, _BASELINES, strict=False):
        page.line((box.left, box.right), (y, y), color=color, width=1.6)
        lowest = max(y, lowest + _LABEL_GAP)
        page.text(box.right + 6, lowest + 1, name, size=_SMALL, color=color, bold=True)
        page.text(box.right + 6, lowest - 10, f"{100 * score:.1f}", size=_SMALL, color=color)


def _ticks(scores: Sequence[float]) -> list[float]:
    """Return four to eight round percentages around the scores, with room above the highest."""
    low, high = 100 * min(scores), 100 * max(scores)
    span = max(high - low, 1.0)
    low, high = low - 0.1 * span, high + 0.2 * span
    step = next(step for step in (0.5, 1, 2, 5, 10, 20, 25) if (high - low) / step <= 7)
    return [step * n for n in range(math.floor(low / step), math.ceil(high / step) + 1)]
