"""Labels beside points: inside a box, on no other label and on no point, near their own.

Each label may take one of some hundred places around its point. What any two places of two labels
cost together is worked out once, in a table; then the labels are moved about at random, ever less
(simulated annealing), and at last each to its cheapest place. The best of a few such layouts is
taken. The random numbers are the same every time, and so is the layout.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from relmo.explore.page import Box

__all__ = ["MAX_LABELS", "place"]

Array = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]
Chosen = npt.NDArray[np.intp]

MAX_LABELS = 40
"""More labels are not placed: the table grows with the square of their number."""
_MAX_PLACES = 4800  # of all labels: a table of 92 MB
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


def place(points: Array, sizes: Array, box: Box, gap: float) -> tuple[Array, Mask]:
    """Where each label goes.

    Args:
        points: (n, 2), inside the box.
        sizes: (n, 2), widths and heights of the labels; a label of height 0 is none.
        box: where labels may be.
        gap: distance kept between a label and any point, and two thirds of it between labels.

    Returns:
        The middles of the labels (n, 2), and which of them (n,) have a free place: the others
        would lie on another label, or do not fit into the box, and are better not drawn.
    """
    fits = (sizes[:, 0] <= box.right - box.left) & (sizes[:, 1] <= box.top - box.bottom)
    keep = fits & (sizes[:, 1] > 0)
    rows = np.flatnonzero(keep)
    keep[rows[MAX_LABELS:]] = False
    rows = rows[:MAX_LABELS]
    middles = points.copy()
    if len(rows):
        n_distances = int(np.clip(_MAX_PLACES // (len(rows) * _N_ANGLES), 4, 10))
        halves = sizes[rows] / 2
        places = np.stack(
            [
                _places(point, half, box, gap, n_distances)
                for point, half in zip(points[rows], halves, strict=True)
            ]
        )  # (labels, places, 2)
        padded = halves + gap / 3
        alone = _costs_alone(points, rows, places, padded, gap)
        together = _costs_together(points[rows], places, padded)
        middles[rows] = places[np.arange(len(rows)), _best(alone, together)]
        keep[rows] = _without_overlaps(middles[rows], halves)
    return middles, keep


def _places(point: Array, half: Array, box: Box, gap: float, n_distances: int) -> Array:
    """Middles of a label around a point (places, 2), pushed into the box."""
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


def _costs_alone(points: Array, rows: Chosen, places: Array, halves: Array, gap: float) -> Array:
    """What each place costs whatever the other labels do: (labels, places)."""
    costs = np.zeros(places.shape[:2], dtype=np.float32)
    for i, row in enumerate(rows):
        point, half = points[row], halves[i]
        ends = _nearest(point, places[i], half)
        beside = np.abs(places[i, :, 0] - point[0]) >= half[0]  # easier to read than above
        lengths = np.linalg.norm(ends - point, axis=1) / (2 * half[1])
        costs[i] = lengths + lengths**2 / 20 + np.where(beside, 0.0, _NOT_BESIDE)
        costs[i] += _NOT_LEVEL * np.abs(places[i, :, 1] - point[1]) / (2 * half[1])
        costs[i] += _ON_POINT * _inside(points, places[i], half + gap / 2).sum(axis=1)
        far = np.delete(points, row, axis=0)
        costs[i] += _LINE_ON_POINT * _hits(point, ends, far, (gap / 3, gap / 3)).sum(axis=1)
    return costs


def _costs_together(points: Array, places: Array, halves: Array) -> Array:
    """What each two places of two labels cost together: (labels, places, labels, places)."""
    n, n_places = places.shape[:2]
    costs = np.zeros((n, n_places, n, n_places), dtype=np.float32)
    ends = np.stack([_nearest(points[i], places[i], halves[i]) for i in range(n)])
    for i in range(n):
        for j in range(i + 1, n):
            both = costs[i, :, j]  # (places, places), a view
            both += _OVERLAP * _inside(places[j], places[i], halves[i] + halves[j])
            both += _LINE_ON_LABEL * _hits(points[i], ends[i], places[j], halves[j])
            both += _LINE_ON_LABEL * _hits(points[j], ends[j], places[i], halves[i]).T
            both += _LINES_CROSS * _cross(points[i], ends[i], points[j], ends[j])
            costs[j, :, i] = both.T
    return costs


def _best(alone: Array, together: Array) -> Chosen:
    """The place of each label (labels,), the cheapest of a few layouts."""
    n_layouts = max(2, _N_LAYOUTS * 25 // max(len(alone), 25))
    layouts = [_annealed(alone, together, seed) for seed in range(n_layouts)]
    return min(layouts, key=lambda layout: layout[1])[0]


def _annealed(alone: Array, together: Array, seed: int) -> tuple[Chosen, float]:
    """The place of each label (labels,) that together cost little, and what they cost."""
    n, n_places = alone.shape
    rng = np.random.default_rng(seed)
    labels = np.arange(n)
    chosen: Chosen = alone.argmin(axis=1)
    now = alone + together[:, :, labels, chosen].sum(axis=2)  # each place, the others as they are
    for heat in [*np.geomspace(_HOT, _COLD, _N_SWEEPS), *[0.0] * 20]:
        for i in labels:
            # The least of costs less heat times Gumbel noise: a draw from exp(-cost / heat).
            noise = heat * rng.gumbel(size=n_places) if heat else 0.0
            best = int((now[i] - noise).argmin())
            if best != chosen[i]:
                now += together[i, best] - together[i, chosen[i]]
                chosen[i] = best
    shared = now[labels, chosen] - alone[labels, chosen]  # each pair twice
    return chosen, float((alone[labels, chosen] + shared / 2).sum())


def _nearest(point: Array, middles: Array, half: Array) -> Array:
    """The point of each label nearest to `point`: (..., 2)."""
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
    here, there = (ends - start).T, (other_ends - other_start).T  # (2, m), (2, k)
    between = other_start - start
    turn = here[0][:, None] * there[1] - here[1][:, None] * there[0]  # (m, k)
    turn = np.where(np.abs(turn) < 1e-9, np.inf, turn)  # parallel: do not cross
    on_one = (between[0] * there[1] - between[1] * there[0]) / turn
    on_other = (between[0] * here[1] - between[1] * here[0])[:, None] / turn
    crosses: Mask = (on_one > 0) & (on_one < 1) & (on_other > 0) & (on_other < 1)
    return crosses


def _without_overlaps(middles: Array, halves: Array) -> Mask:
    """Labels to keep so that none lies on another: the most overlapping ones go first."""
    keep = np.ones(len(middles), dtype=np.bool_)
    apart = np.abs(middles[:, None] - middles) - (halves[:, None] + halves)
    overlaps = (apart[..., 0] < 0) & (apart[..., 1] < 0)
    np.fill_diagonal(overlaps, False)
    while (counts := (overlaps & keep & keep[:, None]).sum(axis=1)).any():
        keep[int(counts.argmax())] = False
    return keep
