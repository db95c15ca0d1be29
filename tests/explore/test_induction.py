import importlib
import sys

import numpy as np
import pytest

from relmo.errors import InputError, MissingExtraError
from relmo.explore import induction
from relmo.explore.induction import induce
from relmo.explore.sense_map import Use
from relmo.text.vocab import SPECIALS
from tests.helpers import tiny_elmo

WORDS = [*SPECIALS, "the", "cat", "sat", "shore", "money", "."]
RIVER = [f"the muddy bank of the {name} river" for name in ("Po", "Nile", "Rhine", "Elbe", "Oder")]
MONEY = [f"a {name} bank raised interest rates" for name in ("big", "new", "Swiss", "bad")]


def planted(labels: bool = False) -> list[Use]:
    return [
        Use(tokens=tuple(s.split()), position=2, label=sense if labels else None)
        for sense, sentences in (("river", RIVER), ("money", MONEY))
        for s in sentences
    ]


@pytest.fixture
def _apart(monkeypatch):
    """Vectors that are near where the token before the word has the same length or so."""

    def vectors(elmo: object, uses: list[Use]) -> np.ndarray:
        rng = np.random.default_rng(0)
        axes = {"muddy": 0, "bank": 0}
        rows = [np.eye(8)[axes.get(use.tokens[1], 1)] for use in uses]
        noise = rng.normal(size=(3, len(uses), 8)) / 20
        return (np.stack(rows) + noise).astype(np.float32)

    monkeypatch.setattr(induction, "vectors_of", vectors)


@pytest.mark.usefixtures("_apart")
@pytest.mark.parametrize("k", [None, 2])
def test_two_planted_clusters_are_found(k):
    found = induce(tiny_elmo(words=WORDS), "bank", planted(labels=True), k=k)
    assert [{use.label for use in c.uses} for c in found.clusters] == [{"river"}, {"money"}]
    assert found.separation > 0.8
    assert found.agreement is not None
    assert (found.agreement.n_uses, found.agreement.adjusted_rand) == (9, 1.0)
    assert found.agreement.v_measure == pytest.approx(1.0)


@pytest.mark.usefixtures("_apart")
def test_without_a_softmax_the_words_around_name_the_clusters():
    found = induce(tiny_elmo(), "bank", planted())
    assert not found.by_substitutes
    assert {"muddy", "river", "of"} <= set(found.clusters[0].words)
    assert {"raised", "interest", "rates"} <= set(found.clusters[1].words)
    assert found.agreement is None


def test_with_a_softmax_substitutes_do_and_the_word_itself_is_none():
    found = induce(tiny_elmo(words=[*WORDS, "bank"]), "bank", planted(), k=2)
    assert found.by_substitutes
    words = [word for cluster in found.clusters for word in cluster.words]
    assert words
    assert set(words) <= {"the", "cat", "sat", "shore", "money"}


def test_order_and_copies_change_nothing():
    uses, elmo = planted(), tiny_elmo(words=WORDS)
    one = induce(elmo, "bank", uses)
    for other in (uses[::-1], [*uses, *uses]):
        assert induce(elmo, "bank", other).clusters == one.clusters


def test_the_map_has_the_vectors_of_its_uses_and_their_clusters_as_labels():
    found = induce(tiny_elmo(), "bank", planted(), k=2)
    drawn = found.drawn(5, seed=1)
    assert len(drawn.uses) == 5
    assert set(drawn.labels) <= set(found.labels)
    assert found.drawn(5, seed=1).uses == drawn.uses
    assert len(found.drawn(100).uses) == 9


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"uses": planted()[:2]}, "different uses of 'bank': 2; 2 clusters take more than 2"),
        ({"k": 9}, "different uses of 'bank': 9; 9 clusters take more than 9"),
        ({"k": 1}, "at least 2, got 1"),
        ({"layer": 3}, "expected a number below 3, got 3"),
        ({"layer": 0}, "have 1 different vectors, too few for 2 clusters"),
    ],
)
def test_what_cannot_be_clustered_is_an_error_that_says_why(arguments, expected):
    given = {"uses": planted(), **arguments}
    with pytest.raises(InputError, match=expected):
        induce(tiny_elmo(), "bank", given.pop("uses"), **given)


def test_without_scikit_learn_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    monkeypatch.delitem(sys.modules, "relmo.explore.induction")
    with pytest.raises(MissingExtraError, match=r"relmo\[sklearn\]"):
        importlib.import_module("relmo.explore.induction")
