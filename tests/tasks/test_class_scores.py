"""Scores of labels, against scikit-learn and by hand."""

import numpy as np
import pytest

from relmo.errors import InputError
from relmo.tasks.scores import label_scores


def test_they_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    true, predicted = (random.choice(["a", "b", "c"], 50).tolist() for _ in range(2))
    scores = label_scores(true, predicted)
    assert scores.accuracy == pytest.approx(100 * metrics.accuracy_score(true, predicted))
    f1 = metrics.f1_score(true, predicted, average="macro")
    assert scores.macro_f1 == pytest.approx(100 * f1)
    matrix = metrics.confusion_matrix(true, predicted)
    assert [[row[label] for label in "abc"] for row in scores.confusion.values()] == matrix.tolist()


def test_reports_by_hand():
    scores = label_scores(["a", "a", "b|c"], ["a", "b|c", "b|c"])
    report = scores.to_dict()
    assert (report["n"], report["n_right"]) == (3, 2)
    assert report["by_label"]["a"] == {
        "precision": 100.0, "recall": 50.0, "f1": pytest.approx(200 / 3),
        "n_true": 2, "n_predicted": 1, "n_right": 1,
    }  # fmt: skip
    assert report["confusion"] == {"a": {"a": 1, "b|c": 1}, "b|c": {"b|c": 1}}
    page = scores.to_markdown()
    assert page.startswith("Accuracy: 66.67 % of 3; macro-F1: 66.67.\n")
    assert "| b\\|c | 50.00 | 100.00 | 66.67 | 1 | 2 | 1 |" in page


def test_a_label_that_is_true_or_predicted_alone_counts_in_macro_f1():
    assert label_scores(["a", "a"], ["a", "b"]).macro_f1 == pytest.approx(100 / 3)
    assert label_scores(["a", "b"], ["a", "a"]).macro_f1 == pytest.approx(100 / 3)


def test_no_examples_have_no_score_and_lengths_have_to_agree():
    assert (label_scores([], []).accuracy, label_scores([], []).macro_f1) == (0, 0)
    with pytest.raises(InputError, match="true: expected a list of strings, got the str 'ab'"):
        label_scores("ab", "ab")
    with pytest.raises(InputError, match="expected 1 labels, got 0"):
        label_scores(["a"], [])
