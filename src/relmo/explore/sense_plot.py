"""Draw a sense map: one panel for each layer, each use labeled by its sentence."""

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from relmo.explore.label_layout import Run, label_lines, place
from relmo.explore.page import Box, Page, check_path, missing_glyphs_logged
from relmo.explore.sense_map import LayerMap, SenseMap, Use

__all__ = ["draw"]

logger = logging.getLogger(__name__)

Array = npt.NDArray[np.floating[Any]]

# Points (1/72 in).
_COLUMNS = 3
_MARGIN, _HEADER, _PANEL_HEAD, _FOOTER = 22.0, 58.0, 46.0, 40.0
_MARK = 8.5
_CROWD = 5
"""More uses than this on one spot share a label."""
_LINE = 1.3
"""Line height in font sizes."""
_INK, _GRAY, _EDGE, _PANEL = "#1f1f1f", "#5f5f5f", "#d4d4d4", "#fafafa"
# Okabe and Ito's colors, which the color-blind can tell apart, without yellow (too pale on
# white); the shape of the mark says the same once more.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_SHAPES = ("o", "s", "^", "D", "v", "P", "X")
_UNLABELLED = ("#6b6b6b", "o")
_PLANE = (
    "Vectors on their first two principal components, both axes to one scale; marks on one spot "
    "are drawn side by side."
)
_SEPARATION = (
    "Separation: mean silhouette of the senses (Rousseeuw 1987) under the cosine distance of the "
    "whole vectors; 1 apart, 0 mixed."
)


def draw(drawn: SenseMap, path: str | os.PathLike[str], *, model: str = "") -> None:
    """Write the picture; an earlier file is replaced when the new one is whole.

    Args:
        drawn: what `sense_map.compute` gave.
        path: .png, .svg or .pdf.
        model: the model's name, for the line under the title.

    Raises:
        InputError: another suffix, or the file cannot be written.
        MissingExtraError: no matplotlib.
    """
    path = check_path(path)
    with missing_glyphs_logged():
        _Picture(drawn, model).page.save(path)


class _Picture:
    def __init__(self, drawn: SenseMap, model: str) -> None:
        n_uses, n_layers = len(drawn.uses), len(drawn.layers)
        n_columns = min(_COLUMNS, n_layers)
        n_rows = math.ceil(n_layers / n_columns)
        width, height = _panel_size(n_uses)
        self.page = Page(
            _MARGIN + n_columns * (width + _MARGIN),
            _HEADER + n_rows * (_PANEL_HEAD + height) + _FOOTER,
        )
        self.drawn = drawn
        self.text_size = 9.5 if n_uses <= 12 else 8.5
        self.line_width, self.n_lines = (24, 3) if n_uses <= 12 else (28, 2)
        self.styles = _styles(drawn.labels)
        self._header(model)
        for n, layer in enumerate(drawn.layers):
            left = _MARGIN + (n % n_columns) * (width + _MARGIN)
            top = self.page.height - _HEADER - _PANEL_HEAD
            top -= (n // n_columns) * (_PANEL_HEAD + height)
            self._panel(layer, Box(left, top - height, left + width, top))
        self._footer()

    def _header(self, model: str) -> None:
        n_uses, n_sentences = len(self.drawn.uses), len({use.tokens for use in self.drawn.uses})
        y = self.page.height - 32
        end = self.page.text(_MARGIN, y, self.drawn.word, size=18, color=_INK, bold=True)
        self.page.text(end, y, " in context, layer by layer", size=18, color=_INK)
        y -= 19
        text = f"{n_uses} uses in {n_sentences} sentences" + (f", {model}" if model else "")
        end = self.page.text(_MARGIN, y, text, size=10, color=_GRAY)
        for label in self.drawn.labels:
            color, shape = self.styles[label]
            self.page.mark(end + 22, y + 3.5, shape=shape, color=color, size=_MARK)
            end = self.page.text(end + 30, y, label, size=10, color=color, bold=True)

    def _footer(self) -> None:
        notes = [_PLANE]
        if any(layer.separation is not None for layer in self.drawn.layers):
            notes.append(_SEPARATION)
        room = self.page.width - 2 * _MARGIN
        lines = [line for text in notes for line in self._broken(text, size=8.5, room=room)]
        for n, line in enumerate(lines):
            self.page.text(_MARGIN, 24 - 11 * n, line, size=8.5, color=_GRAY)

    def _panel(self, layer: LayerMap, box: Box) -> None:
        self.page.text(box.left, box.top + 22, layer.name, size=12.5, color=_INK, bold=True)
        self.page.frame(box, fill=_PANEL, edge=_EDGE)
        fitted = _fitted(layer.points, box)
        points = _apart(fitted, 1.2 * _MARK)
        labels = self._labels(fitted)
        sizes = np.array([label.size for label in labels])
        middles, keep = place(points, sizes, box.inside(5), gap=0.8 * _MARK)
        for point, middle, label, has_room in zip(points, middles, labels, keep, strict=True):
            self.page.mark(*point, shape=label.shape, color=label.color, size=_MARK)
            if has_room:
                self._write(label, middle, point)
        text = _summary(layer)
        if n_left_out := int((~keep & (sizes[:, 1] > 0)).sum()):
            text += f"   {n_left_out} labels left out for want of room"
        self.page.text(box.left, box.top + 8, text, size=9.5, color=_GRAY)

    def _labels(self, points: Array) -> list["_Label"]:
        """Return a label for each use; where many uses are on one spot, one for all of them."""
        labels = [self._label(use) for use in self.drawn.uses]
        for n, point in enumerate(points):
            crowd = np.flatnonzero(np.linalg.norm(points - point, axis=1) < 0.1)
            if len(crowd) > _CROWD:
                label = self._crowd_label(crowd.tolist()) if n == crowd[0] else _NO_LABEL
                labels[n] = replace(label, shape=labels[n].shape, color=labels[n].color)
        return labels

    def _label(self, use: Use) -> "_Label":
        rows = label_lines(
            use.tokens, use.position, line_width=self.line_width, n_lines=self.n_lines
        )
        color, shape = self.styles[use.label]
        return self._sized(_Label(rows=rows, word_color=color, color=color, shape=shape))

    def _crowd_label(self, crowd: Sequence[int]) -> "_Label":
        forms = sorted({self.drawn.uses[n].form for n in crowd})
        return self._sized(
            _Label(
                rows=[
                    [Run(", ".join(forms), True), Run(f": {len(crowd)} uses,", False)],
                    [Run("identical vectors", False)],
                ]
            )
        )

    def _sized(self, label: "_Label") -> "_Label":
        widths = [sum(self._width(run) for run in row) for row in label.rows]
        height = len(label.rows) * _LINE * self.text_size
        return replace(label, widths=widths, size=(max(widths), height))

    def _write(self, label: "_Label", middle: Array, point: Array) -> None:
        """Write a label, and a line to it from its point where it is not right beside it."""
        half = np.array(label.size) / 2
        end = np.clip(point, middle - half, middle + half)
        if np.linalg.norm(end - point) > 1.3 * _MARK:
            self.page.line((point[0], end[0]), (point[1], end[1]), color=label.color)
        is_left = middle[0] + half[0] < point[0]
        for n, (row, width) in enumerate(zip(label.rows, label.widths, strict=True)):
            x = middle[0] + half[0] - width if is_left else middle[0] - half[0]
            y = middle[1] + half[1] - (n + 0.75) * _LINE * self.text_size
            for run in row:
                color = label.word_color if run.is_word else _INK
                x = self.page.text(
                    x, y, run.text, size=self.text_size, color=color, bold=run.is_word
                )

    def _width(self, run: Run) -> float:
        return self.page.measure(run.text, self.text_size, bold=run.is_word)

    def _broken(self, text: str, *, size: float, room: float) -> list[str]:
        """Break a text into lines that are at most as wide as `room`."""
        lines = [""]
        for word in text.split():
            longer = f"{lines[-1]} {word}".lstrip()
            if self.page.measure(longer, size) <= room:
                lines[-1] = longer
            else:
                lines.append(word)
        return lines


@dataclass(frozen=True, kw_only=True)
class _Label:
    rows: Sequence[Sequence[Run]]
    widths: Sequence[float] = ()
    size: tuple[float, float] = (0.0, 0.0)
    word_color: str = _INK
    color: str = _INK
    shape: str = "o"


_NO_LABEL = _Label(rows=())


def _panel_size(n_uses: int) -> tuple[float, float]:
    """Return the width and height of a panel."""
    for most, size in ((6, (310.0, 270.0)), (12, (370.0, 350.0)), (20, (430.0, 430.0))):
        if n_uses <= most:
            return size
    return (500.0, 500.0) if n_uses <= 32 else (640.0, 640.0)


def _styles(labels: Sequence[str]) -> dict[str | None, tuple[str, str]]:
    """Colour and shape of each sense; from the eighth on, colors return with other shapes."""
    styles: dict[str | None, tuple[str, str]] = {None: _UNLABELLED}
    for n, label in enumerate(labels):
        shape = _SHAPES[(n + n // len(_COLORS)) % len(_SHAPES)]
        styles[label] = _COLORS[n % len(_COLORS)], shape
    return styles


def _summary(layer: LayerMap) -> str:
    """Return the line under a layer's name."""
    if layer.has_variance:
        text = f"{100 * layer.variance_kept:.0f} % of the variance kept"
    else:
        text = "identical vectors: variance 0"
    if layer.separation is not None:
        text += f"   separation {layer.separation:.2f}".replace("-", "\N{MINUS SIGN}")
    return text


def _fitted(points: Array, box: Box) -> Array:
    """Scale points into the box, both axes alike, with room for labels around them."""
    room = np.array([box.right - box.left, box.top - box.bottom])
    middle = np.array([box.left + box.right, box.bottom + box.top]) / 2
    low, high = points.min(axis=0), points.max(axis=0)
    spans = np.where(high > low, high - low, np.inf)
    scale = (room * (0.62, 0.72) / spans).min() if np.isfinite(spans).any() else 0.0
    fitted: Array = middle + (points - (low + high) / 2) * scale
    return fitted


def _apart(points: Array, distance: float) -> Array:
    """Move points apart until none is closer than `distance`, so that no mark hides another.

    Points on one spot become a round cluster. The others move by less than `distance`, unless a
    cluster pushes them.
    """
    n = np.arange(len(points))
    # a very small sunflower's spiral: no two points are on one spot any more
    turns = 1e-3 * distance * np.sqrt(n + 0.5)[:, None]
    moved: Array = points + turns * np.stack([np.cos(2.4 * n), np.sin(2.4 * n)], axis=1)
    for _ in range(200 if len(points) <= 200 else 40):
        steps = moved[:, None] - moved  # (n, n, 2)
        lengths = np.linalg.norm(steps, axis=2) + np.eye(len(points)) * distance
        push = np.clip(distance - lengths, 0.0, None) / lengths
        if push.max() < 0.01:
            break
        crowd = np.maximum((push > 0).sum(axis=1), 1)[:, None]
        moved = moved + 0.6 * (steps * push[..., None]).sum(axis=1) / crowd
    return moved
