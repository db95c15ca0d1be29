"""Batches hold every sentence once; packed orders are permutations and their inverses."""

from collections.abc import Iterator
from itertools import chain, islice, pairwise, repeat

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from relmo.errors import InputError
from relmo.nn.packing import Packing, pack, pack_rows
from relmo.text.batching import length_batches, read_ahead, window

some_lengths = st.lists(st.integers(0, 30))
decreasing = st.lists(st.integers(1, 12)).map(lambda sizes: sorted(sizes, reverse=True))


@given(some_lengths, st.integers(1, 40), st.none() | st.integers(1, 5))
def test_batches_hold_every_index_once_within_the_budget(
    lengths: list[int], budget: int, max_rows: int | None
) -> None:
    batches = length_batches(lengths, budget, max_rows)
    order = np.concatenate(batches).tolist() if batches else []
    assert order == sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    for batch in batches:
        assert batch.dtype == np.int64
        assert len(batch) == 1 or sum(lengths[i] for i in batch) <= budget
        assert 1 <= len(batch) <= (max_rows or len(lengths))


@given(some_lengths, st.integers(1, 40))
def test_batches_are_as_full_as_the_order_allows(lengths: list[int], budget: int) -> None:
    batches = length_batches(lengths, budget)
    for batch, following in pairwise(batches):
        assert sum(lengths[i] for i in batch) + lengths[following[0]] > budget


def test_a_sentence_over_the_budget_is_a_batch_of_its_own() -> None:
    assert [b.tolist() for b in length_batches([2, 50_000, 3], 5)] == [[1], [2, 0]]


@pytest.mark.parametrize(
    ("lengths", "budget", "max_rows"), [([1], 0, None), ([1], 5, 0), ([2, -1], 5, None)]
)
def test_impossible_batches_are_an_error(
    lengths: list[int], budget: int, max_rows: int | None
) -> None:
    with pytest.raises(InputError, match="length_batches"):
        length_batches(lengths, budget, max_rows)


@given(decreasing)
@example([])
@example([1])
@example([5, 5, 1])
def test_packing_is_the_definition(lengths: list[int]) -> None:
    packing = pack(lengths)
    starts = [sum(lengths[:row]) for row in range(len(lengths))]
    steps = range(max(lengths, default=0))
    alive = [[row for row, n in enumerate(lengths) if n > step] for step in steps]
    assert packing.batch_sizes == tuple(map(len, alive))
    forward = [starts[row] + step for step in steps for row in alive[step]]
    backward = [starts[row] + lengths[row] - 1 - step for step in steps for row in alive[step]]
    assert packing.forward.tolist() == forward
    assert packing.backward.tolist() == backward


@given(decreasing)
def test_unpacking_gives_the_flat_order_back(lengths: list[int]) -> None:
    packing = pack(lengths)
    flat = np.arange(sum(lengths))
    assert (flat[packing.forward.numpy()][packing.unpack_forward.numpy()] == flat).all()
    assert (flat[packing.backward.numpy()][packing.unpack_backward.numpy()] == flat).all()
    assert packing.forward.dtype == packing.unpack_backward.dtype == torch.int64
    assert sum(packing.batch_sizes) == len(flat)


def test_one_sentence_is_packed_as_it_is_and_reversed() -> None:
    packing = pack([50_000])
    assert packing.batch_sizes == (1,) * 50_000
    assert (packing.forward.numpy() == np.arange(50_000)).all()
    assert (packing.backward.numpy() == np.arange(50_000)[::-1]).all()


def restarts(packing: Packing) -> set[int]:
    """Packed positions where a sentence follows another in its row."""
    if packing.carry_mask is None:
        return set()
    return set(torch.where(packing.carry_mask[:, 0] == 0)[0].tolist())


@given(decreasing)
def test_rows_hold_whole_sentences_end_to_end_and_are_about_as_long(lengths) -> None:
    packing = pack_rows(lengths)
    longest, n_rows = max(lengths, default=0), max(packing.batch_sizes, default=1)
    assert longest <= len(packing.batch_sizes) < sum(lengths) / n_rows + longest + 1
    assert list(packing.batch_sizes) == sorted(packing.batch_sizes, reverse=True)
    rows = np.concatenate([np.arange(n) for n in packing.batch_sizes] or [np.empty(0, int)])
    flat = np.arange(sum(lengths))
    sentence = np.repeat(np.arange(len(lengths)), lengths)  # of each flat position
    for direction, sign in ((packing.forward.numpy(), 1), (packing.backward.numpy(), -1)):
        assert (np.sort(direction) == flat).all()
        for row in range(max(packing.batch_sizes, default=0)):
            read = direction[rows == row]
            for number in np.unique(sentence[read]):
                at = np.flatnonzero(sentence[read] == number)
                assert len(at) == lengths[number]
                assert (np.diff(at) == 1).all()
                assert (np.diff(read[at]) == sign).all()
    sizes = np.array(lengths, np.int64)
    firsts = np.cumsum(sizes) - sizes
    begins = set(packing.unpack_forward.numpy()[firsts].tolist())
    assert begins - restarts(packing) == set(range(max(packing.batch_sizes, default=0)))


@given(decreasing)
def test_rows_unpack_to_the_flat_order(lengths: list[int]) -> None:
    packing = pack_rows(lengths)
    flat = np.arange(sum(lengths))
    assert (flat[packing.forward.numpy()][packing.unpack_forward.numpy()] == flat).all()
    assert (flat[packing.backward.numpy()][packing.unpack_backward.numpy()] == flat).all()


def test_short_sentences_fill_the_rows_beside_a_long_one() -> None:
    assert pack_rows([100, *[10] * 20]).batch_sizes == (3,) * 100
    assert pack([100, *[10] * 20]).batch_sizes == (21,) * 10 + (1,) * 90


def test_rows_come_in_numbers_that_are_computed_whole() -> None:
    packing = pack_rows([100, *[10] * 690], lambda rows: -(-rows // 32) * 32)
    assert packing.batch_sizes[0] == 64  # 70 would take as long as 96
    assert len(packing.batch_sizes) == 110
    assert pack_rows([24] * 50, lambda rows: -(-rows // 32) * 32).batch_sizes == (50,) * 24


@pytest.mark.parametrize("packer", [pack, pack_rows])
@pytest.mark.parametrize("lengths", [[0], [3, 0], [1, 2], [2, -1]])
def test_empty_sentences_and_rising_lengths_do_not_pack(packer, lengths: list[int]) -> None:
    with pytest.raises(InputError, match="at least 1 and decreasing"):
        packer(lengths)


@given(st.lists(st.lists(st.integers(), max_size=9)), st.integers(1, 12))
def test_windows_joined_are_the_stream(sentences: list[list[int]], tokens: int) -> None:
    groups = list(window(sentences, tokens))
    assert list(chain.from_iterable(groups)) == sentences
    for group in groups:
        assert 1 <= len(group) <= tokens
        assert len(group) == 1 or sum(map(len, group)) <= tokens


def test_windows_are_lazy_and_empty_sentences_do_not_pile_up() -> None:
    endless: Iterator[list[str]] = repeat([])
    assert list(islice(window(endless, 100), 2)) == [[[]] * 100] * 2


def test_a_window_of_nothing_is_an_error() -> None:
    with pytest.raises(InputError, match="at least 1, got 0"):
        next(window([["a"]], 0))


@given(st.lists(st.lists(st.just("a"), max_size=9), max_size=40), st.integers(1, 30))
def test_windows_and_their_batches_hold_every_sentence_once_in_order_and_within_the_budget(
    sentences: list[list[str]], budget: int
):
    joined = []
    for group, batches in read_ahead(iter(sentences), budget):
        joined += group
        assert sorted(chain.from_iterable(batches)) == list(range(len(group)))
        for batch in batches:
            lengths = [len(group[position]) for position in batch]
            assert lengths == sorted(lengths, reverse=True)
            assert len(batch) == 1 or sum(lengths) + 2 * len(batch) <= budget
    assert joined == sentences
