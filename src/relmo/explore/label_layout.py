"""Labels of points: what a label says of a sentence, and where each one goes.

`label_lines` shortens a sentence around one of its words and breaks it into lines. `place` puts
labels beside their points: inside a box, on no other label and on no point, near their own. Each
label may take one of some hundred positions around its point. What any two positions of two labels
cost together is worked out once, in a table; then the labels are moved about at random, ever less
(simulated annealing), and at last each to its cheapest position. The best of a few such layouts is
taken. The random numbers are the same every time, and so is the layout.
"""

import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from relmo.explore.page import Box

__all__ = ["MAX_LABELS", "Run", "label_lines", "place", "width"]

Array = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]
Chosen = npt.NDArray[np.intp]

_NO_SPACE_BEFORE = frozenset(".,;:!?%)]}'’”…") | {"''", "n't", "...", "。", "、", "，", "！", "？"}
_NO_SPACE_AFTER = frozenset("([{$“‘") | {"``", "#", "。", "、", "，"}
_MAX_WORD = 24

MAX_LABELS = 40
"""More labels are not placed: the table grows with the square of their number."""
_MAX_POSITIONS = 4800  # of all labels: a table of 92 MB
_N_ANGLES = 16
_N_LAYOUTS = 6
"""For 25 labels; fewer for more."""
_N_SWEEPS = 300
_HOT, _COLD = 6.0, 1.0

# Costs; a line of n times the label's height from a point to its label costs n + n * n / 20.
_OVERLAP = 1000.0
_ON_POINT = 300.0
_LINE_ON_LABEL = 60.0
_LINE_ON_POINT = 20.0
_LINES_CROSS = 12.0
_NOT_BESIDE = 0.4
_NOT_LEVEL = 0.2  # for each height of the label


# --- what a label says ---------------------------------------------------------------------------


class Run(NamedTuple):
    """Words of one line that are set alike."""

    text: str
    is_word: bool
    """Whether this is the word that the label is about."""


class _Word(NamedTuple):
    text: str
    is_word: bool
    space: str  # before it


def label_lines(
    tokens: Sequence[str], position: int, *, line_width: int, n_lines: int
) -> list[list[Run]]:
    """Return the label of one use: lines of runs, the word in a run of its own.

    Args:
        tokens: the sentence.
        position: index of the word among them.
        line_width: columns in a line at most; a CJK character is two.
        n_lines: at most; what is too long is cut on both sides, with an ellipsis.
    """
    words = _words(tokens, position)

    def wrapped(first: int, last: int) -> list[list[_Word]]:
        return _wrap(_window(words, first, last), line_width)

    first = last = position
    grew = True
    while grew:  # one word more on each side, while all of it fits
        grew = False
        if first > 0 and len(wrapped(first - 1, last)) <= n_lines:
            first, grew = first - 1, True
        if last + 1 < len(words) and len(wrapped(first, last + 1)) <= n_lines:
            last, grew = last + 1, True
    return [_runs(line) for line in wrapped(first, last)]


def width(text: str) -> int:
    """Return the columns of a text: two for a wide character, none for a combining mark."""
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def _words(tokens: Sequence[str], position: int) -> list[_Word]:
    """Return the tokens as printed: without spaces before punctuation."""
    words: list[_Word] = []
    before = None
    for n, token in enumerate(tokens):
        joined = before is None or token in _NO_SPACE_BEFORE or before in _NO_SPACE_AFTER
        joined = joined or (token[:1] in "'’" and len(token) <= 3)
        words.append(_Word(_printable(token), n == position, "" if joined else " "))
        before = token
    return words


def _printable(token: str) -> str:
    shown = {"``": "“", "''": "”"}.get(token, token)
    shown = shown if len(shown) <= _MAX_WORD else shown[: _MAX_WORD - 1] + "…"
    return "".join("�" if unicodedata.category(c)[0] == "C" else c for c in shown)


def _window(words: Sequence[_Word], first: int, last: int) -> list[_Word]:
    chosen = list(words[first : last + 1])
    if first > 0:
        chosen = [_Word("…", False, ""), chosen[0]._replace(space=" "), *chosen[1:]]
    if last < len(words) - 1:
        chosen.append(_Word("…", False, " "))
    return chosen


def _wrap(words: Sequence[_Word], line_width: int) -> list[list[_Word]]:
    """Break words at spaces into lines as even in length as their number allows."""
    lines = _fill(words, line_width)
    narrower = line_width
    while narrower > 8 and len(_fill(words, narrower - 1)) == len(lines):
        narrower -= 1
    return _fill(words, narrower)


def _fill(words: Sequence[_Word], line_width: int) -> list[list[_Word]]:
    lines: list[list[_Word]] = [[]]
    column = 0
    pieces = _pieces(words)
    for piece in pieces:
        needed = sum(width(word.space + word.text) for word in piece)
        if lines[-1] and piece[0].space and column + needed > line_width:
            lines.append([])
            column = 0
        lines[-1] += piece
        column += needed
    return lines


def _pieces(words: Sequence[_Word]) -> list[list[_Word]]:
    """Group words that no space parts."""
    pieces: list[list[_Word]] = []
    for word in words:
        if pieces and not word.space:
            pieces[-1].append(word)
        else:
            pieces.append([word])
    return pieces


def _runs(line: Sequence[_Word]) -> list[Run]:
    runs: list[Run] = []
    for n, word in enumerate(line):
        text = (word.space if n else "") + word.text
        if runs and runs[-1].is_word == word.is_word:
            runs[-1] = Run(runs[-1].text + text, word.is_word)
        else:
            runs.append(Run(text, word.is_word))
    return runs


# --- where it goes --------------------------------------------------------------------------------


def place(points: Array, sizes: Array, box: Box, gap: float) -> tuple[Array, Mask]:
    """Place labels beside their points.

    Args:
        points: (n, 2), inside the box.
        sizes: (n, 2), widths and heights of the labels; one of height 0 is not placed.
        box: where labels may be.
        gap: distance kept between a label and any point, and two thirds of it between labels.

    Returns:
        The middles of the labels (n, 2), and which of them (n,) have a free position: the others
        would lie on another label, or do not fit into the box, and are better not drawn.
    """
    fits = (sizes[:, 0] <= box.right - box.left) & (sizes[:, 1] <= box.top - box.bottom)
    keep = fits & (sizes[:, 1] > 0)
    rows = np.flatnonzero(keep)
    keep[rows[MAX_LABELS:]] = False
    rows = rows[:MAX_LABELS]
    middles = points.copy()
    if len(rows):
        n_distances = int(np.clip(_MAX_POSITIONS // (len(rows) * _N_ANGLES), 4, 10))
        halves = sizes[rows] / 2
        positions = np.stack(
            [
                _positions(point, half, box, gap, n_distances)
                for point, half in zip(points[rows], halves, strict=True)
            ]
        )  # (labels, positions, 2)
        padded = halves + gap / 3
        alone = _costs_alone(points, rows, positions, padded, gap)
        together = _costs_together(points[rows], positions, padded)
        middles[rows] = positions[np.arange(len(rows)), _best(alone, together)]
        keep[rows] = _without_overlaps(middles[rows], halves)
    return middles, keep


def _positions(point: Array, half: Array, box: Box, gap: float, n_distances: int) -> Array:
    """Return middles of a label around a point (positions, 2), pushed into the box."""
    angles = np.arange(_N_ANGLES) * (2 * np.pi / _N_ANGLES)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)  # (angles, 2)
    farthest = np.hypot(box.right - box.left, box.top - box.bottom) / 2
    distances = gap + (farthest - gap) * (np.arange(n_distances) / n_distances) ** 2
    # The label's own side or corner that faces the point: at 45 degrees it is a corner.
    reach = np.clip(1.5 * directions, -1.0, 1.0) * half
    middles = point + distances[:, None, None] * directions + reach  # (distances, angles, 2)
    low = np.array([box.left, box.bottom]) + half
    high = np.array([box.right, box.top]) - half
    clipped: Array = np.clip(middles.reshape(-1, 2), low, high)
    return clipped


def _costs_alone(points: Array, rows: Chosen, positions: Array, halves: Array, gap: float) -> Array:
    """Return the cost of each position whatever the other labels do: (labels, positions)."""
    costs = np.zeros(positions.shape[:2], dtype=np.float32)
    for i, row in enumerate(rows):
        point, half = points[row], halves[i]
        ends = _nearest(point, positions[i], half)
        beside = np.abs(positions[i, :, 0] - point[0]) >= half[0]  # easier to read than above
        lengths = np.linalg.norm(ends - point, axis=1) / (2 * half[1])
        costs[i] = lengths + lengths**2 / 20 + np.where(beside, 0.0, _NOT_BESIDE)
        costs[i] += _NOT_LEVEL * np.abs(positions[i, :, 1] - point[1]) / (2 * half[1])
        costs[i] += _ON_POINT * _inside(points, positions[i], half + gap / 2).sum(axis=1)
        far = np.delete(points, row, axis=0)
        costs[i] += _LINE_ON_POINT * _hits(point, ends, far, (gap / 3, gap / 3)).sum(axis=1)
    return costs


def _costs_together(points: Array, positions: Array, halves: Array) -> Array:
    """Return the costs of two labels together: (labels, positions, labels, positions)."""
    n, n_positions = positions.shape[:2]
    costs = np.zeros((n, n_positions, n, n_positions), dtype=np.float32)
    ends = np.stack([_nearest(points[i], positions[i], halves[i]) for i in range(n)])
    for i in range(n):
        for j in range(i + 1, n):
            both = costs[i, :, j]  # (positions, positions), a view
            both += _OVERLAP * _inside(positions[j], positions[i], halves[i] + halves[j])
            both += _LINE_ON_LABEL * _hits(points[i], ends[i], positions[j], halves[j])
            both += _LINE_ON_LABEL * _hits(points[j], ends[j], positions[i], halves[i]).T
            both += _LINES_CROSS * _cross(points[i], ends[i], points[j], ends[j])
            costs[j, :, i] = both.T
    return costs


def _best(alone: Array, together: Array) -> Chosen:
    """Return the position of each label (labels,) in the cheapest of a few layouts."""
    n_layouts = max(2, _N_LAYOUTS * 25 // max(len(alone), 25))
    layouts = [_annealed(alone, together, seed) for seed in range(n_layouts)]
    return min(layouts, key=lambda layout: layout[1])[0]


def _annealed(alone: Array, together: Array, seed: int) -> tuple[Chosen, float]:
    """Return a cheap position of each label (labels,), and what they cost together."""
    n, n_positions = alone.shape
    rng = np.random.default_rng(seed)
    labels = np.arange(n)
    chosen: Chosen = alone.argmin(axis=1)
    costs = alone + together[:, :, labels, chosen].sum(axis=2)  # per position, the others fixed
    for heat in [*np.geomspace(_HOT, _COLD, _N_SWEEPS), *[0.0] * 20]:
        for i in labels:
            # The least of costs less heat times Gumbel noise: a draw from exp(-cost / heat).
            noise = heat * rng.gumbel(size=n_positions) if heat else 0.0
            best = int((costs[i] - noise).argmin())
            if best != chosen[i]:
                costs += together[i, best] - together[i, chosen[i]]
                chosen[i] = best
    shared = costs[labels, chosen] - alone[labels, chosen]  # each pair twice
    return chosen, float((alone[labels, chosen] + shared / 2).sum())


def _nearest(point: Array, middles: Array, half: Array) -> Array:
    """Return the point of each label nearest to `point`: (..., 2)."""
    nearest: Array = np.clip(point, middles - half, middles + half)
    return nearest


def _inside(points: Array, middles: Array, half: Array) -> Mask:
    """Whether points (k, 2) are in boxes of one size around middles (m, 2): (m, k)."""
    near = [np.abs(middles[:, None, axis] - points[:, axis]) < half[axis] for axis in (0, 1)]
    inside: Mask = near[0] & near[1]
    return inside


def _hits(start: Array, ends: Array, middles: Array, half: Array | tuple[float, float]) -> Mask:
    """Whether lines from `start` to `ends` (m, 2) go through boxes of one size (k, 2): (m, k)."""
    # Where on a line, from 0 at its start to 1 at its end, it is inside on both axes.
    entry, leave = np.zeros((1, 1), np.float32), np.ones((1, 1), np.float32)
    for axis in (0, 1):  # faster than arrays with an axis of two
        along = (ends[:, axis] - start[axis]).astype(np.float32)
        pace = (1 / np.where(np.abs(along) < 1e-6, 1e-6, along))[:, None]  # (m, 1)
        middle = (middles[:, axis] - start[axis]).astype(np.float32)
        one, other = (middle - half[axis]) * pace, (middle + half[axis]) * pace  # (m, k)
        entry = np.maximum(entry, np.minimum(one, other))
        leave = np.minimum(leave, np.maximum(one, other))
    hits: Mask = entry < leave
    return hits


def _cross(start: Array, ends: Array, other_start: Array, other_ends: Array) -> Mask:
    """Whether lines from `start` to `ends` (m, 2) cross those to `other_ends` (k, 2): (m, k)."""
    one, other = (ends - start).T, (other_ends - other_start).T  # (2, m), (2, k)
    between = other_start - start
    turn = one[0][:, None] * other[1] - one[1][:, None] * other[0]  # (m, k)
    turn = np.where(np.abs(turn) < 1e-9, np.inf, turn)  # parallel: do not cross
    on_one = (between[0] * other[1] - between[1] * other[0]) / turn
    on_other = (between[0] * one[1] - between[1] * one[0])[:, None] / turn
    crosses: Mask = (on_one > 0) & (on_one < 1) & (on_other > 0) & (on_other < 1)
    return crosses


def _without_overlaps(middles: Array, halves: Array) -> Mask:
    """Return which labels to keep so that none lies on another: the most overlapping go first."""
    keep = np.ones(len(middles), dtype=np.bool_)
    apart = np.abs(middles[:, None] - middles) - (halves[:, None] + halves)
    overlaps = (apart[..., 0] < 0) & (apart[..., 1] < 0)
    np.fill_diagonal(overlaps, False)
    while (counts := (overlaps & keep & keep[:, None]).sum(axis=1)).any():
        keep[int(counts.argmax())] = False
    return keep
