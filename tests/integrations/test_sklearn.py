"""ElmoVectorizer: scikit-learn's own checks, and texts in pipelines and searches."""

import pickle
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_estimator

import relmo
from relmo.errors import InputError, MissingExtraError
from relmo.integrations import _models
from relmo.integrations.sklearn import ElmoVectorizer
from tests.helpers import tiny_elmo, tiny_model
from tests.integrations.sklearn_helpers import NUMBERS, ONE_D, OWN_ERROR, TEXT, as_texts

TEXTS = ["The cat sat .", "", ["I", "love", "it"], "a\tb\n"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("sklearn") / "model")


# --- scikit-learn's own checks --------------------------------------------------------------------


class OnNumbers(ElmoVectorizer):
    """Reads a row of numbers as a text of as many tokens.

    scikit-learn has checks for estimators of numbers only, and skips one whose tags say text.
    """

    def fit(self, X: Any, y: object = None) -> "OnNumbers":  # noqa: N803
        super().fit(as_texts(X), y)
        return self

    def transform(self, X: Any) -> Any:  # noqa: N803
        return super().transform(as_texts(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


DO_NOT_APPLY = {
    "check_n_features_in": TEXT,
    "check_n_features_in_after_fitting": TEXT,
    "check_complex_data": NUMBERS,
    "check_estimators_nan_inf": NUMBERS,
    "check_fit1d": ONE_D,
    "check_fit2d_predict1d": ONE_D,
    "check_estimator_sparse_tag": OWN_ERROR,
    "check_estimator_sparse_array": OWN_ERROR,
    "check_estimator_sparse_matrix": OWN_ERROR,
    "check_estimators_empty_data_messages": "no texts are fine: the answer has no rows",
}


def test_scikit_learn_s_own_checks_pass_but_for_those_that_do_not_apply(folder: Path):
    results = check_estimator(
        OnNumbers(str(folder)), expected_failed_checks=DO_NOT_APPLY, on_skip=None
    )
    failed = {found["check_name"] for found in results if found["status"] == "xfail"}
    assert failed == set(DO_NOT_APPLY)  # the list says no more than it has to
    passed = [found["check_name"] for found in results if found["status"] == "passed"]
    assert len(passed) >= 30


def test_its_tags_say_texts_and_nothing_to_fit():
    tags = get_tags(ElmoVectorizer())
    assert (tags.input_tags.string, tags.input_tags.two_d_array) == (True, False)
    assert not tags.requires_fit


# --- vectors --------------------------------------------------------------------------------------


def test_vectors_are_those_of_encode(folder: Path):
    elmo = relmo.load(folder)
    for layers in ("average", "top", 1, [0.2, 0.3, 0.5]):
        found = ElmoVectorizer(folder, layers=layers).fit_transform(TEXTS)
        assert (found.dtype, found.shape) == (np.float32, (4, 8))
        np.testing.assert_allclose(found, elmo.encode(TEXTS, layers), atol=1e-6)


def test_the_maximum_is_over_the_tokens_of_a_text(folder: Path):
    found = ElmoVectorizer(folder, pooling="max", token_budget=5).transform(TEXTS)
    for row, array in zip(found, relmo.load(folder).embed(TEXTS), strict=True):
        np.testing.assert_allclose(row, array.max(0) if len(array) else 0, atol=1e-6)


def test_all_layers_stand_side_by_side(folder: Path):
    vectorizer = ElmoVectorizer(folder, layers="all")
    expected = relmo.load(folder).encode(TEXTS, "all").reshape(4, 24)
    np.testing.assert_allclose(vectorizer.transform(TEXTS), expected, atol=1e-6)
    names = vectorizer.get_feature_names_out()
    assert (len(names), names[0], names[-1]) == (24, "elmovectorizer0", "elmovectorizer23")


@pytest.mark.parametrize("texts", [tuple, np.array, iter, lambda x: np.array(x, dtype=object)])
def test_texts_come_in_any_column(folder: Path, texts: Any):
    strings = ["The cat sat .", "I love it"]
    expected = relmo.load(folder).encode(strings)
    np.testing.assert_allclose(
        ElmoVectorizer(folder).transform(texts(strings)), expected, atol=1e-6
    )


def test_a_tokenizer_may_be_given(folder: Path):
    found = ElmoVectorizer(folder, tokenizer=list).transform(["cat"])
    expected = relmo.load(folder).encode([["c", "a", "t"]])
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "texts", "message"),
    [
        ({}, "The cat", "X is one string"),
        ({}, np.array([["a"], ["b"]]), "give one column"),
        ({}, ["a", 3], "sample 1: expected a string or a list of tokens, got int"),
        ({}, ["a", None], "sample 1: expected a string or a list of tokens, got NoneType"),
        ({"pooling": "sum"}, ["a"], "pooling: expected 'mean' or 'max', got 'sum'"),
        ({"layers": 99}, ["a"], "layers: expected"),
        ({"model": 3}, ["a"], "model: expected a path, a name or an Elmo, got 3"),
        ({"model": "nowhere"}, ["a"], "nowhere"),
    ],
)
def test_what_cannot_be_answered_is_an_input_error(
    folder: Path, arguments: dict[str, Any], texts: Any, message: str
):
    with pytest.raises(InputError, match=message):
        ElmoVectorizer(**{"model": folder, **arguments}).fit_transform(texts)


# --- among other estimators -----------------------------------------------------------------------


def test_a_search_over_layers_in_a_pipeline_learns_to_tell_texts_apart(folder: Path):
    texts = ["cat", "cat cat", "a cat", "dog", "dog dog", "a dog"] * 4
    labels = [0, 0, 0, 1, 1, 1] * 4
    pipeline = make_pipeline(ElmoVectorizer(folder), LogisticRegression(C=1e3))
    search = GridSearchCV(pipeline, {"elmovectorizer__layers": ["average", "top", "token"]}, cv=2)
    search.fit(texts, labels)
    assert search.best_score_ == 1
    assert search.predict(["cat", "dog"]).tolist() == [0, 1]
    assert len(search.best_estimator_[:-1].get_feature_names_out()) == 8


def test_copies_share_one_model_which_is_not_pickled_along(folder: Path):
    vectorizer = ElmoVectorizer(str(folder)).fit(TEXTS)
    copied, pickled = clone(vectorizer), pickle.dumps(vectorizer)
    assert len(pickled) < 1000
    _models._loaded.cache_clear()
    for other in (copied, pickle.loads(pickled)):
        np.testing.assert_allclose(other.transform(TEXTS), vectorizer.transform(TEXTS), atol=1e-6)
    assert _models._loaded.cache_info().misses == 1


def test_an_elmo_may_be_given_and_is_pickled_along():
    vectorizer = ElmoVectorizer(tiny_elmo(3))
    expected = tiny_elmo(3).encode(TEXTS)
    for other in (vectorizer, clone(vectorizer), pickle.loads(pickle.dumps(vectorizer))):
        np.testing.assert_allclose(other.transform(TEXTS), expected, atol=1e-6)


def test_a_model_replaced_on_disk_is_read_anew(tmp_path: Path):
    for seed in (1, 2):
        tiny_elmo(seed).save(tmp_path / "model")
        found = ElmoVectorizer(tmp_path / "model").transform(TEXTS)
        np.testing.assert_allclose(found, tiny_elmo(seed).encode(TEXTS), atol=1e-6)


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delitem(sys.modules, "relmo.integrations.sklearn")
    with pytest.raises(MissingExtraError, match=r"scikit-learn.*pip install 'relmo\[sklearn\]'"):
        import_module("relmo.integrations.sklearn")
