"""Parts by seed: all items, each once, the same for the same seed."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relmo.data.labelled import split
from relmo.errors import InputError


@given(n=st.integers(20, 200), seed=st.integers(0, 2**40))
def test_each_item_is_in_one_part_in_its_order(n: int, seed: int):
    parts = split(range(n), [0.8, 0.1, 0.1], seed)
    assert sorted(chain(*parts)) == list(range(n))
    assert all(part == sorted(part) for part in parts)
    assert [len(part) for part in parts[:1]] == [round(0.8 * n)]
    assert parts == split(range(n), [0.8, 0.1, 0.1], seed)


def test_the_seed_draws_the_parts():
    assert split("abcdefghij", [0.9, 0.1], 2018)[1] == ["e"]
    assert len({tuple(split(range(100), [0.9, 0.1], seed)[1]) for seed in range(20)}) == 20
    assert list(map(len, split(range(47959), [0.9, 0.1], 2018))) == [43163, 4796]


@pytest.mark.parametrize(
    ("n", "shares", "seed", "message"),
    [
        (10, [0.5, 0.4], 1, "1 together"),
        (10, [1.5, -0.5], 1, "positive"),
        (10, [0.5, 0.5], -1, "seed of 0 or more"),
        (3, [0.9, 0.1], 1, "3 items are too few"),
    ],
)
def test_a_split_that_cannot_be_is_an_error(n: int, shares: list[float], seed: int, message: str):
    with pytest.raises(InputError, match=message):
        split(range(n), shares, seed)
