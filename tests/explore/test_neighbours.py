from itertools import cycle

import numpy as np
import pytest

from relmo.errors import InputError
from relmo.explore.neighbours import nearest_uses, nearest_words, token_vectors, use_of
from relmo.explore.sense_map import looks_for
from tests.helpers import tiny_elmo

USE = use_of("a fine [play] on a ball .")
CORPUS = [
    f"{a} {b} {verb} {c}".split()
    for a in ("the", "my")
    for b in ("cat", "play")
    for verb in ("plays", "sat")
    for c in ("a play", "well", "play play .")
]


def by_search(number: int, n: int, any_word: bool) -> list[tuple[float, tuple[str, ...], int]]:
    """All cosines of a layer, sorted."""
    elmo = tiny_elmo()
    (target,) = elmo.embed([USE.tokens], layers=number)
    target = target[USE.position].astype(np.float64)
    found = []
    for tokens in CORPUS:
        (vectors,) = elmo.embed([tokens], layers=number)
        for position, vector in enumerate(vectors.astype(np.float64)):
            if any_word or tokens[position] in ("play", "plays"):
                cosine = vector @ target / np.linalg.norm(vector) / np.linalg.norm(target)
                found.append((round(cosine, 5), tuple(tokens), position))
    return sorted(found, key=lambda row: (-row[0], *row[1:]))[:n]


@pytest.mark.parametrize("any_word", [False, True])
def test_neighbours_are_those_of_a_search_through_all_uses(any_word):
    is_wanted = None if any_word else looks_for("play")
    found = nearest_uses(tiny_elmo(), USE, CORPUS, 5, is_wanted=is_wanted)
    for number, nearest in enumerate(found.layers):
        expected = by_search(number, 5, any_word)
        assert [n.cosine for n in nearest] == pytest.approx([row[0] for row in expected], abs=2e-5)
        if number:  # of the token layer uses of one form are as near
            places = [(n.use.tokens, n.use.position) for n in nearest]
            assert places == [row[1:] for row in expected]


def test_a_use_is_its_own_nearest_and_order_and_copies_change_nothing():
    corpus = [*CORPUS, list(USE.tokens)]
    found = nearest_uses(tiny_elmo(), USE, corpus, 3)
    assert all(nearest[0].use == USE for nearest in found.layers[1:])
    assert [nearest[0].cosine for nearest in found.layers] == [1.0] * 3
    for other in (corpus[::-1], [*corpus, *corpus]):
        assert nearest_uses(tiny_elmo(), USE, other, 3).layers == found.layers


def test_a_limit_stops_the_reading():
    found = nearest_uses(tiny_elmo(), USE, cycle(CORPUS), 3, is_wanted=looks_for("play"), limit=200)
    assert found.n_uses == 200


def test_words_are_those_of_a_search_and_zeros_are_none():
    vectors = np.array([[1, 0], [2, 0.1], [0, 0], [-1, 0], [3, 0]], np.float32)
    words = ["play", "game", "zero", "far", "Play"]
    found = nearest_words(words, vectors, vectors[0], without="play")
    assert [word.text for word in found] == ["game", "far"]
    assert found[0].cosine == pytest.approx(2 / np.hypot(2, 0.1), abs=1e-5)


def test_token_vectors_are_the_token_layer():
    elmo, words = tiny_elmo(), ["cat", "play", "cat"]
    (layer,) = elmo.embed([words], layers="token")
    found = token_vectors(elmo, words)
    np.testing.assert_allclose(found, layer[:, : found.shape[1]], atol=1e-6)


@pytest.mark.parametrize("sentence", ["a play", "[a] [play]", "", "[ play ]"])
def test_one_word_has_to_be_in_brackets(sentence):
    with pytest.raises(InputError, match=r"expected one word in brackets, such as \[play\]"):
        use_of(sentence)


@pytest.mark.parametrize(("corpus", "n"), [([["no"]], 1), ([], 1), (CORPUS, 0)])
def test_no_use_and_no_neighbour_are_errors(corpus, n):
    with pytest.raises(InputError, match=r"no use of 'play'|at least 1"):
        nearest_uses(tiny_elmo(), USE, corpus, n, is_wanted=looks_for("play"))
