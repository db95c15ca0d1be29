"""The classifier as an estimator: scikit-learn can clone, search and pickle it."""

import pickle
from typing import Any
from unittest import mock

import numpy as np
import pytest

from relmo.errors import ConfigError, InputError
from tests.tasks.classifier_helpers import TRAIN, config, corpus
from tests.tasks.helpers import elmo

sklearn = pytest.importorskip("sklearn")

from sklearn.base import clone, is_classifier  # noqa: E402
from sklearn.exceptions import NotFittedError  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import FunctionTransformer  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator  # noqa: E402

from relmo.integrations.sklearn_classifier import ElmoClassifier  # noqa: E402
from tests.integrations.sklearn_helpers import (  # noqa: E402
    NUMBERS,
    ONE_D,
    OWN_ERROR,
    TEXT,
    as_texts,
)

TEXTS = [" ".join(s.tokens) for s in TRAIN]
LABELS = np.array([s.label for s in TRAIN])


def new(**changes: object) -> ElmoClassifier:
    shape = config(char_dim=8, dropout=0.0, mix_dropout=0.0)
    return ElmoClassifier(
        elmo(), **{"config": shape, "epochs": 8, "batch_size": 6, "learning_rate": 0.05, **changes}
    )


@pytest.fixture(scope="module")
def fitted() -> ElmoClassifier:
    return new(held_out=0).fit(TEXTS, LABELS)


def test_it_learns_and_its_probabilities_are_those_of_its_classes(fitted: ElmoClassifier):
    assert fitted.score(TEXTS, LABELS) > 0.8
    shares = fitted.predict_proba(TEXTS)
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-5)
    assert (fitted.classes_[shares.argmax(1)] == fitted.predict(TEXTS)).all()
    assert fitted.classes_.tolist() == ["animal", "none", "plant"]


def test_it_is_an_estimator_that_is_cloned_searched_and_pickled(fitted: ElmoClassifier):
    assert is_classifier(fitted)
    fresh = clone(fitted).set_params(epochs=1)
    with pytest.raises(NotFittedError):
        fresh.predict(TEXTS)
    assert len(cross_val_score(fresh, TEXTS, LABELS, cv=2)) == 2
    again = pickle.loads(pickle.dumps(fitted))
    assert (again.predict_proba(TEXTS) == fitted.predict_proba(TEXTS)).all()


class OnNumbers(ElmoClassifier):
    """Reads a row of numbers as a text, as scikit-learn skips an estimator whose tags say text."""

    def fit(self, X: Any, y: Any) -> "OnNumbers":  # noqa: N803
        super().fit(as_texts(X), y)
        return self

    def predict_proba(self, X: Any) -> Any:  # noqa: N803
        return super().predict_proba(as_texts(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


DO_NOT_APPLY = {
    "check_n_features_in": TEXT,
    "check_n_features_in_after_fitting": TEXT,
    "check_estimators_nan_inf": NUMBERS,
    "check_classifiers_train": NUMBERS,
    "check_fit1d": ONE_D,
    "check_fit2d_predict1d": ONE_D,
    "check_estimator_sparse_tag": OWN_ERROR,
    "check_estimator_sparse_array": OWN_ERROR,
    "check_estimator_sparse_matrix": OWN_ERROR,
    "check_estimators_empty_data_messages": OWN_ERROR,
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
def test_scikit_learn_s_own_checks_pass_but_for_those_that_do_not_apply():
    shape = config(elmo=False, word_dim=4, lstm_dim=2)
    estimator = OnNumbers(config=shape, epochs=1, batch_size=256, held_out=0)
    with mock.patch("os.fsync"):
        results = check_estimator(estimator, expected_failed_checks=DO_NOT_APPLY, on_skip=None)
    failed = {found["check_name"] for found in results if found["status"] == "xfail"}
    assert failed == set(DO_NOT_APPLY)  # the list says no more than it has to
    assert sum(found["status"] == "passed" for found in results) >= 30


PAIRS = [(" ".join(s.tokens), " ".join(s.second or ())) for s in corpus(24, pairs=True)]
SAME = np.array([s.label for s in corpus(24, pairs=True)])


@pytest.mark.parametrize(("texts", "labels"), [(TEXTS, LABELS), (PAIRS, SAME)])
def test_texts_and_pairs_go_through_pipelines_and_searches(texts: list[Any], labels: Any):
    estimator = make_pipeline(FunctionTransformer(), new(epochs=1, held_out=0))
    assert len(cross_val_score(estimator, texts, labels, cv=2)) == 2
    search = GridSearchCV(new(held_out=0), {"epochs": [1, 2]}, cv=2).fit(texts, labels)
    assert search.best_params_["epochs"] in (1, 2)
    assert search.predict_proba(texts[:3]).shape == (3, len({*labels}))


def test_a_table_of_two_columns_is_pairs():
    found = new(epochs=1, held_out=0).fit(np.array(PAIRS), SAME)
    expected = found.predict_proba(PAIRS)
    assert (found.predict_proba(np.array(PAIRS, dtype=object)) == expected).all()
    with pytest.raises(InputError, match=r"a table of two columns.*ndarray of shape \(24, 1\)"):
        found.predict(np.array(PAIRS)[:, :1])


def test_labels_may_be_numbers_and_texts_may_be_pairs():
    labels = [int(label == "True") * 10 for label in SAME]
    pairs = PAIRS
    found = new(epochs=1).fit(pairs, labels)
    assert found.classes_.tolist() == [0, 10]
    assert {*found.predict(pairs).tolist()} <= {0, 10}
    with pytest.raises(InputError, match="expected pairs"):
        found.predict(["a dog"])


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        ("a text", ["x"], "X is one string"),
        (["a"], ["x", "y"], "y: expected 1 labels, got 2"),
        (["a", float("nan")], ["x", "y"], "sentence 1: expected a string or a list of tokens"),
        ([("a", "b"), "c"], ["x", "y"], "sample 1: expected a pair of texts"),
    ],
)
def test_what_cannot_be_learned_from_is_an_error(texts: object, labels: list[str], message: str):
    with pytest.raises(InputError, match=message):
        new(held_out=0).fit(texts, labels)


def test_numbers_that_are_no_labels_are_an_error_of_scikit_learn_s():
    with pytest.raises(ValueError, match="continuous"):
        new().fit(["a", "b"], [0.5, 1.5])
    with pytest.raises(ValueError, match="one class alone, 7"):
        new().fit(["a", "b"], [7, 7])


def test_an_impossible_parameter_is_said_in_fit():
    with pytest.raises(ConfigError, match="epochs"):
        new(epochs=0).fit(TEXTS, LABELS)
    with pytest.raises(InputError, match="split"):
        new(held_out=2.0).fit(TEXTS, LABELS)
