import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from relmo.errors import InputError
from relmo.tasks.probe import LinearProbe


def clouds(n: int = 300, n_classes: int = 4, dim: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Vectors around a centre for each class, which overlap."""
    random = np.random.default_rng(0)
    labels = random.integers(n_classes, size=n)
    centres = random.normal(size=(n_classes, dim))
    return 3 + centres[labels] + random.normal(size=(n, dim)), labels


def test_it_is_scikit_learns_logistic_regression_on_standardised_vectors():
    vectors, labels = clouds()
    standard = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    reference = LogisticRegression(max_iter=1000, tol=1e-8).fit(standard, labels)
    probe = LinearProbe(vectors, labels)
    np.testing.assert_allclose(probe._weight.numpy(), reference.coef_, atol=2e-3)
    assert (probe.predict(vectors) == reference.predict(standard)).all()


def test_a_feature_that_never_changes_and_the_vectors_given_are_left_alone():
    vectors, labels = clouds()
    vectors[:, 0] = 5
    before = vectors.astype(np.float32)
    given = before.copy()
    probe = LinearProbe(given, labels)
    assert np.isfinite(probe._weight.numpy()).all()
    probe.predict(given)
    assert (given == before).all()


def test_nothing_to_learn_from_is_an_error():
    with pytest.raises(InputError, match="no vector to learn from"):
        LinearProbe(np.zeros((0, 3)), np.zeros(0, np.int64))
