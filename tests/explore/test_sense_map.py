import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relmo.errors import InputError, MissingExtraError
from relmo.explore.sense_map import (
    compute,
    find_uses,
    inflections,
    principal_plane,
    silhouette,
)
from tests.helpers import tiny_elmo

WORKS = [
    "A work of art .",
    "Hard Works !",
    "They worked , work and are working .",
    "Networks do not .",
    "The work's price .",
]
SENTENCES = [sentence.split() for sentence in WORKS]


def matrix(seed: int, n: int = 7, dim: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


@pytest.mark.parametrize(
    ("word", "some"),
    [
        ("work", {"work", "works", "worked", "working"}),
        ("Run", {"run", "runs", "running"}),
        ("stop", {"stop", "stops", "stopped", "stopping"}),
        ("make", {"make", "makes", "making"}),
        ("study", {"study", "studies", "studied", "studying"}),
        ("play", {"play", "plays", "played", "playing"}),
        ("box", {"box", "boxes", "boxed", "boxing"}),
        ("a", {"a", "as"}),
        ("仕事", {"仕事"}),
    ],
)
def test_inflections_hold_the_regular_forms(word, some):
    assert some <= inflections(word)


def test_inflections_do_not_double_where_english_does_not():
    assert not inflections("play") & {"playying", "plaies"}
    assert not inflections("work") & {"workked", "workking"}


def test_every_form_is_found_with_its_place_and_label():
    uses = find_uses("work", SENTENCES, ["made", "job", None, None, "made"])
    assert [(use.form, use.position, use.label) for use in uses] == [
        ("work", 1, "made"),
        ("Works", 1, "job"),
        ("worked", 1, None),
        ("work", 3, None),
        ("working", 6, None),
    ]


def test_given_forms_replace_the_regular_ones():
    uses = find_uses("work", SENTENCES, forms=["WORKED", "networks"])
    assert [use.form for use in uses] == ["worked", "Networks"]


def test_punctuation_and_capitals_do_not_matter_unless_exact():
    sentences = [["“Work,”"], ["work"], ["WORK"], ["--"], ["works"]]
    assert [use.form for use in find_uses("work", sentences)] == [
        "“Work,”", "work", "WORK", "works"
    ]  # fmt: skip
    assert [use.form for use in find_uses("work", sentences, exact=True)] == ["work"]
    exact = find_uses("work", sentences, forms=["WORK", "--"], exact=True)
    assert [use.form for use in exact] == ["WORK", "--"]


def test_a_limit_stops_the_reading():
    def endless():
        while True:
            yield ["work", "work"]

    assert len(find_uses("work", endless(), limit=3)) == 3


@pytest.mark.parametrize("labels", [["a"], ["a"] * 9])
def test_labels_and_sentences_go_together(labels):
    with pytest.raises(InputError, match="labels than sentences"):
        find_uses("work", SENTENCES, labels)


def test_the_map_takes_each_layer_from_the_sentence_of_its_use():
    elmo = tiny_elmo()
    uses = find_uses("work", SENTENCES, ["a", "b", "a", "b", "a"])
    drawn = compute(elmo, "work", uses)
    assert [layer.name for layer in drawn.layers] == ["token layer", "layer 1", "layer 2"]
    assert drawn.labels == ("a", "b")
    embedded = elmo.embed(SENTENCES, "all")
    where = {tuple(tokens): n for n, tokens in enumerate(SENTENCES)}
    for number, layer in enumerate(drawn.layers):
        vectors = np.stack([embedded[where[u.tokens]][number, u.position] for u in uses])
        points, kept = principal_plane(vectors)
        np.testing.assert_allclose(layer.points, points, atol=1e-5)
        assert layer.variance_kept == pytest.approx(kept, abs=1e-5)
        expected = silhouette(vectors, [use.label for use in uses])
        assert layer.separation == pytest.approx(expected, abs=1e-5)


def test_one_form_has_no_variance_at_the_token_layer():
    uses = find_uses("the", [["the", "cat"], ["a", "the"], ["the"]], exact=True)
    token, first, _ = compute(tiny_elmo(), "the", uses).layers
    assert (token.has_variance, token.variance_kept) == (False, 1.0)
    assert not token.points.any()
    assert first.has_variance


@pytest.mark.parametrize(
    ("sentences", "said"),
    [
        ([], "no use of 'work' in the sentences; a map needs two or more"),
        ([["the", "work"]], "one use ('the work') of 'work' in the sentences; a map needs two"),
    ],
)
def test_fewer_than_two_uses_are_an_error_that_says_so(sentences, said):
    with pytest.raises(InputError) as raised:
        compute(tiny_elmo(), "work", find_uses("work", sentences))
    assert said in str(raised.value)


@given(st.integers(0, 2**32 - 1))
def test_the_plane_keeps_distances_in_two_dimensions(seed):
    flat = matrix(seed, dim=2) @ np.linalg.qr(matrix(seed + 1, n=6, dim=6))[0][:2]
    points, kept = principal_plane(flat)
    assert kept == pytest.approx(1.0)
    np.testing.assert_allclose(_distances(points), _distances(flat), atol=1e-4)


def _distances(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points, axis=2)


def test_the_plane_is_the_one_of_the_covariance_eigenvectors():
    vectors = matrix(3).astype(np.float64)
    values, axes = np.linalg.eigh(np.cov(vectors.T, bias=True))
    points, kept = principal_plane(vectors)
    assert kept == pytest.approx(values[-2:].sum() / values.sum())
    for k in (0, 1):
        axis = axes[:, -1 - k]
        axis = axis * np.sign(axis[np.abs(axis).argmax()])  # the documented sign
        np.testing.assert_allclose(points[:, k], (vectors - vectors.mean(axis=0)) @ axis, atol=1e-9)


def test_the_plane_of_one_vector_or_of_one_dimension_is_a_line_of_zeros():
    assert principal_plane(matrix(1, n=1))[0].tolist() == [[0.0, 0.0]]
    points, kept = principal_plane(np.array([[1.0], [2.0], [4.0]]))
    assert kept == pytest.approx(1.0)
    assert not points[:, 1].any()


def test_silhouette_equals_its_definition():
    vectors = matrix(5)
    labels = ["a", "b", "a", "c", "b", "a", "b"]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    values = []
    for i, own in enumerate(labels):
        mean = {
            name: np.mean([
                1 - unit[i] @ unit[j] for j, other in enumerate(labels) if other == name and j != i
            ] or [0])
            for name in set(labels)
        }  # fmt: skip
        a, b = mean.pop(own), min(mean.values())
        values.append(0.0 if labels.count(own) == 1 else (b - a) / max(a, b))
    assert silhouette(vectors, labels) == pytest.approx(np.mean(values), abs=1e-5)


def test_silhouette_is_one_for_senses_far_apart_and_zero_for_identical_vectors():
    apart = np.array([[1, 0], [1, 0], [-1, 0], [-2, 0]], np.float32)
    assert silhouette(apart, ["a", "a", "b", "b"]) == 1.0
    assert silhouette(apart, ["a", "b", "a", "b"]) < 0
    assert silhouette(np.ones((4, 3), np.float32), ["a", "a", "b", "b"]) == 0.0
    assert silhouette(np.zeros((4, 3), np.float32), ["a", "a", "b", "b"]) == 0.0


@pytest.mark.parametrize(
    "labels", [["a"] * 4, [None] * 4, ["a", "b", "c", "d"], ["a", "a", None, None]]
)
def test_silhouette_is_none_without_two_senses_one_of_them_twice(labels):
    assert silhouette(matrix(1, n=4), labels) is None


def test_silhouette_leaves_vectors_without_a_label_out():
    vectors = matrix(2)
    labels = ["a", "b", None, "a", "b", None, "a"]
    rows = [n for n, label in enumerate(labels) if label]
    assert silhouette(vectors, labels) == silhouette(vectors[rows], [labels[n] for n in rows])


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    for module in ("sklearn.decomposition", "sklearn.metrics"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'relmo\[plot\]'"):
        principal_plane(matrix(1))
    with pytest.raises(MissingExtraError, match=r"pip install 'relmo\[plot\]'"):
        silhouette(matrix(1), ["a"] * 7)
