"""The classifier as an estimator: scikit-learn can clone, search and pickle it."""

import pickle

import numpy as np
import pytest

from relmo.errors import ConfigError, InputError
from tests.tasks.classifier_helpers import TRAIN, config, corpus
from tests.tasks.helpers import elmo

sklearn = pytest.importorskip("sklearn")

from sklearn.base import clone, is_classifier  # noqa: E402
from sklearn.exceptions import NotFittedError  # noqa: E402
from sklearn.model_selection import cross_val_score  # noqa: E402

from relmo.integrations.sklearn_classifier import ElmoClassifier  # noqa: E402

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


def test_labels_may_be_numbers_and_texts_may_be_pairs():
    examples = corpus(24, pairs=True)
    pairs = [(" ".join(s.tokens), " ".join(s.second or ())) for s in examples]
    labels = [int(s.label == "True") * 10 for s in examples]
    found = new(epochs=1).fit(pairs, labels)
    assert found.classes_.tolist() == [0, 10]
    assert {*found.predict(pairs).tolist()} <= {0, 10}
    with pytest.raises(InputError, match="expected pairs"):
        found.predict(["a dog"])


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        ("a text", ["x"], "X is one string"),
        (["a"], ["x", "y"], r"y: expected 1 labels, got the shape \(2,\)"),
        ([("a", "b"), "c"], ["x", "y"], "sample 1: expected a pair of texts"),
    ],
)
def test_what_cannot_be_learned_from_is_an_error(texts: object, labels: list[str], message: str):
    with pytest.raises(InputError, match=message):
        new(held_out=0).fit(texts, labels)


def test_an_impossible_parameter_is_said_in_fit():
    with pytest.raises(ConfigError, match="--epochs"):
        new(epochs=0).fit(TEXTS, LABELS)
    with pytest.raises(InputError, match="split"):
        new(held_out=2.0).fit(TEXTS, LABELS)
