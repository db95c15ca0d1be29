"""A page of texts, marks, lines and axes, drawn with matplotlib; the unit is the point (1/72 in).

matplotlib is imported here and nowhere else.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from relmo._files import replacing_file
from relmo.errors import InputError, MissingExtraError

__all__ = ["SUFFIXES", "Box", "Page", "check_path"]


class Box(NamedTuple):
    """Rectangle."""

    left: float
    bottom: float
    right: float
    top: float

    def inside(self, margin: float) -> "Box":
        """Return the rectangle without a margin on each side."""
        return Box(self.left + margin, self.bottom + margin, self.right - margin, self.top - margin)


if TYPE_CHECKING:
    from matplotlib.axes import Axes

logger = logging.getLogger(__name__)

SUFFIXES = (".png", ".svg", ".pdf")
_DPI = 160
_FONTS = (  # used after DejaVu Sans, where they are installed, for the scripts that it lacks
    "Noto Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Arial Unicode MS",
    "Hiragino Sans",
    "PingFang SC",
    "Yu Gothic",
    "Microsoft YaHei",
    "Malgun Gothic",
    "Nirmala UI",
    "WenQuanYi Zen Hei",
)


def check_path(path: str | os.PathLike[str]) -> Path:
    """Return the path if its suffix names a format that can be drawn.

    Raises:
        InputError: it does not.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: the name must end in {', '.join(SUFFIXES)}")
    return path


class Page:
    """Empty white page.

    Args:
        width: points.
        height: points; y grows upwards.

    Raises:
        MissingExtraError: no matplotlib.
    """

    def __init__(self, width: float, height: float) -> None:
        try:
            from matplotlib import font_manager
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
            from matplotlib.transforms import Affine2D
        except ImportError as error:
            raise MissingExtraError("matplotlib", "plot") from error
        self.width, self.height = width, height
        self._figure = Figure(figsize=(width / 72, height / 72), dpi=_DPI, facecolor="white")
        self._renderer = FigureCanvasAgg(self._figure).get_renderer()  # type: ignore[no-untyped-call]
        self._points = Affine2D().scale(1 / 72) + self._figure.dpi_scale_trans
        installed = {font.name for font in font_manager.fontManager.ttflist}
        self._families = ["DejaVu Sans", *(name for name in _FONTS if name in installed)]
        self._font = font_manager.FontProperties
        self._widths: dict[tuple[str, float, bool], float] = {}

    def measure(self, text: str, size: float, *, bold: bool = False) -> float:
        """Return how wide a text is, its spaces counted."""
        key = text, size, bold
        if key not in self._widths:
            font = self._font(family=self._families, size=size, weight="bold" if bold else "normal")

            def ink(of: str) -> float:
                return float(self._renderer.get_text_width_height_descent(of, font, False)[0])

            # Between two bars, so that spaces at the ends count.
            self._widths[key] = (ink(f"|{text}|") - ink("||")) * 72 / _DPI
        return self._widths[key]

    def text(
        self, x: float, y: float, text: str, *, size: float, color: str, bold: bool = False
    ) -> float:
        """Draw a text as it is, without mathematics, its base line at (x, y); return its end."""
        spaces = text[: len(text) - len(text.lstrip())]
        self._figure.text(
            x + self.measure(spaces, size, bold=bold),
            y,
            text.strip(),
            transform=self._points,
            parse_math=False,
            color=color,
            fontsize=size,
            fontfamily=self._families,
            fontweight="bold" if bold else "normal",
            va="baseline",
            ha="left",
            zorder=4,
        )
        return x + self.measure(text, size, bold=bold)

    def mark(self, x: float, y: float, *, shape: str, color: str, size: float) -> None:
        """Draw a mark `size` across with a white rim."""
        self._add_line(
            [x],
            [y],
            marker=shape,
            markersize=size,
            markerfacecolor=color,
            zorder=3,
            markeredgecolor="white",
            markeredgewidth=0.9,
        )

    def line(
        self, x: tuple[float, float], y: tuple[float, float], *, color: str, width: float = 0.7
    ) -> None:
        """Draw a line, thin and pale unless it is given a width."""
        self._add_line(list(x), list(y), color=color, linewidth=width, alpha=0.55, zorder=2)

    def frame(self, box: Box, *, fill: str, edge: str) -> None:
        """Draw a filled rectangle under everything else."""
        from matplotlib.patches import Rectangle

        self._figure.add_artist(
            Rectangle(
                (box.left, box.bottom),
                box.right - box.left,
                box.top - box.bottom,
                transform=self._points,
                facecolor=fill,
                edgecolor=edge,
                linewidth=0.8,
                zorder=0,
            )
        )

    def axes(self, box: Box, *, grid: str, ink: str) -> "Axes":
        """Return axes to draw curves on, in small type with a light grid.

        Args:
            box: the area of the axes; their scales are left of it and below.
            grid: color of the grid.
            ink: color of the axes and what is written on them.
        """
        axes = self._figure.add_axes(
            (
                box.left / self.width,
                box.bottom / self.height,
                (box.right - box.left) / self.width,
                (box.top - box.bottom) / self.height,
            )
        )
        axes.grid(which="both", color=grid, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(which="both", labelsize=8.5, colors=ink, length=3)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(ink)
        return axes

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page; an earlier file is replaced when the new one is whole.

        Raises:
            InputError: another suffix than `SUFFIXES`, or the file cannot be written.
        """
        path = check_path(path)
        with replacing_file(path) as aside:
            try:
                self._figure.savefig(aside, format=path.suffix.lower()[1:], dpi=_DPI)
            except OSError as error:
                raise InputError(f"{path}: cannot be written: {error}") from error

    def _add_line(self, x: list[float], y: list[float], **style: object) -> None:
        from matplotlib.lines import Line2D

        self._figure.add_artist(Line2D(x, y, transform=self._points, **style))  # type: ignore[arg-type]


@contextmanager
def missing_glyphs_logged() -> Iterator[None]:
    """Log in one line, instead of many warnings, that no font has some of the characters."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    messages = {str(warned.message) for warned in caught}
    missing = {message for message in messages if message.startswith("Glyph ")}
    if missing:
        logger.warning("no installed font has %d of the characters: drawn as boxes", len(missing))
    for warned in caught:
        if str(warned.message) not in missing:
            warnings.warn_explicit(warned.message, warned.category, warned.filename, warned.lineno)
