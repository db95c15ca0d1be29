import numpy as np
import pytest

from recipes import wsd
from relmo.errors import InputError
from relmo.tasks.senses import SenseAverages, answers, scores
from relmo.text.senses import SenseWord, lexeme_of

KEYS = [f"play%1:0{n}:00::" for n in range(3)]


def uses(n: int, seed: int) -> wsd.Uses:
    """Vectors of three layers and their average."""
    random = np.random.default_rng(seed)
    layers = random.normal(size=(n, 3, 6)).astype(np.float32)
    vectors = np.concatenate([layers, layers.mean(axis=1, keepdims=True)], axis=1)
    words = [
        SenseWord(start=0, stop=1, lexeme=lexeme_of(key), keys=(key,))
        for key in random.choice(KEYS, size=n)
    ]
    return list(zip(words, vectors, strict=True))


def test_a_mix_of_one_layer_scores_as_that_layer_and_equal_shares_as_the_average():
    averages, tested = SenseAverages(), uses(40, 1)
    averages.add(uses(30, 0))
    weights = np.concatenate([np.eye(3), np.full((1, 3), 1 / 3)]).astype(np.float32)
    assert wsd.mixed(averages, tested, weights, None) == scores(answers(averages, tested))[:-1]


def test_shares_are_all_that_sum_to_one():
    found = wsd.shares(3)
    assert len(found) == len(np.unique(found, axis=0)) == 15
    assert (found.sum(axis=1) == 1).all()


def test_the_best_of_a_column_is_bold():
    found = wsd.table({"a": {"first sense": 0.5, "mix": 0.612}, "b": {"first sense": 1, "mix": 0}})
    assert found.splitlines()[2:] == [
        "| first sense | 50.0 | **100.0** |", "| mix | **61.2** | 0.0 |"
    ]  # fmt: skip


def test_without_data_it_says_where_to_get_it(monkeypatch):
    monkeypatch.delenv("RELMO_DATA", raising=False)
    monkeypatch.setattr("sys.argv", ["wsd"])
    with pytest.raises(InputError, match=r"RELMO_DATA names no folder; .*semcor.tar.xz"):
        wsd.main()
