import numpy as np
import pytest

from relmo.explore.label_layout import MAX_LABELS, place
from relmo.explore.page import Box

BOX = Box(10, 20, 410, 320)


def scattered(n: int, seed: int = 0, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    middle = np.array([210, 170])
    points = middle + spread * (rng.uniform([60, 60], [360, 280], size=(n, 2)) - middle)
    return points, np.stack([rng.uniform(40, 90, n), np.full(n, 12.0)], axis=1)


def assert_legible(points, sizes, middles, keep):
    low, high = middles - sizes / 2, middles + sizes / 2
    assert (low[keep] >= [BOX.left - 1e-6, BOX.bottom - 1e-6]).all()
    assert (high[keep] <= [BOX.right + 1e-6, BOX.top + 1e-6]).all()
    kept = np.flatnonzero(keep)
    for i in kept:
        for j in kept[kept > i]:
            assert not ((low[i] < high[j]) & (low[j] < high[i])).all(), (i, j)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n", "spread"), [(1, 1), (5, 1), (5, 0.02), (25, 1), (25, 0.2)])
def test_labels_are_inside_and_do_not_overlap_and_none_is_lost(n, spread, seed):
    points, sizes = scattered(n, seed, spread)
    middles, keep = place(points, sizes, BOX, gap=6)
    assert keep.all()
    assert_legible(points, sizes, middles, keep)


def test_labels_hide_no_point_where_there_is_room():
    points, sizes = scattered(8)
    middles, _ = place(points, sizes, BOX, gap=6)
    for middle, size in zip(middles, sizes, strict=True):
        assert not (np.abs(points - middle) < size / 2).all(axis=1).any()


def test_labels_on_one_spot_fan_out():
    points = np.tile([210.0, 170.0], (6, 1))
    sizes = np.tile([80.0, 24.0], (6, 1))
    middles, keep = place(points, sizes, BOX, gap=6)
    assert keep.all()
    assert_legible(points, sizes, middles, keep)


def test_what_has_no_room_is_left_out():
    points, sizes = scattered(40)
    sizes = sizes * 4
    sizes[3] = [500, 10]
    middles, keep = place(points, sizes, BOX, gap=6)
    assert not keep[3]
    assert 0 < keep.sum() < 40
    assert_legible(points, sizes, middles, keep)


def test_more_labels_than_the_table_holds_are_left_out():
    points, sizes = scattered(MAX_LABELS + 30)
    middles, keep = place(points, sizes / 4, BOX, gap=3)
    assert keep.sum() <= MAX_LABELS
    assert_legible(points, sizes / 4, middles, keep)


def test_labels_of_no_height_are_none():
    points, sizes = scattered(3)
    sizes[1] = 0
    assert place(points, sizes, BOX, gap=6)[1].tolist() == [True, False, True]


def test_the_same_points_give_the_same_places():
    points, sizes = scattered(12)
    np.testing.assert_array_equal(place(points, sizes, BOX, 6)[0], place(points, sizes, BOX, 6)[0])
