"""A classifier in use: what it gives depends on the sentence alone, and survives a folder."""

from pathlib import Path

import numpy as np
import pytest
import torch

from relmo.errors import ConfigError, FormatError, InputError
from relmo.tasks.classifier import Classifier, ClassifierNetwork, matched
from tests.helpers import tiny_elmo
from tests.tasks.classifier_helpers import LABELS, TEXTS, config, example, new

POOLINGS = ["max", "mean", "attention"]


def assert_same(one: np.ndarray, other: np.ndarray) -> None:
    np.testing.assert_allclose(one, other, atol=1e-3)  # layers are rounded


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("layers", ["mix", "1"])
def test_a_saved_classifier_predicts_as_before(tmp_path: Path, pooling: str, layers: str):
    classifier = new(pooling=pooling, layers=layers, char_dim=4)
    classifier.save(tmp_path / "c")
    again = Classifier.load(tmp_path / "c")
    assert again.predict(TEXTS) == classifier.predict(TEXTS)
    assert (again.labels, again.config) == (LABELS, classifier.config)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("n_layers", [0, 2])
def test_order_and_batch_change_nothing(pooling: str, n_layers: int):
    classifier = new(pooling=pooling, n_layers=n_layers)
    together = classifier.predict_proba(TEXTS)
    assert_same(together, classifier.predict_proba(TEXTS[::-1])[::-1])
    assert_same(together, np.concatenate([classifier.predict_proba([t]) for t in TEXTS]))
    assert_same(together, classifier.predict_proba(TEXTS, token_budget=5))
    assert (together == classifier.predict_proba(TEXTS)).all()
    np.testing.assert_allclose(together.sum(1), 1, atol=1e-5)


def test_pairs_are_classified_whatever_is_beside_them():
    classifier = new(pairs=True)
    others = TEXTS[3:] + TEXTS[:3]
    together = classifier.predict_proba(TEXTS, others)
    for number, pair in enumerate(zip(TEXTS, others, strict=True)):
        assert_same(together[number : number + 1], classifier.predict_proba(pair[:1], pair[1:]))
    assert np.abs(together - classifier.predict_proba(others, TEXTS)).max() > 1e-3


def test_a_swapped_pair_has_its_vectors_swapped_and_the_rest_the_same():
    u, v = torch.randn(2, 5, 3)
    one, other = matched(u, v).split(3, dim=1), matched(v, u).split(3, dim=1)
    for k, swapped in enumerate((1, 0, 2, 3)):
        assert one[k].equal(other[swapped])
    same = matched(u, u).split(3, dim=1)
    assert not same[2].any()


@torch.no_grad()
def test_a_network_that_reads_only_what_is_symmetric_does_not_mind_the_order_of_a_pair():
    classifier = new(pairs=True)
    classifier.network.scores.weight[: 2 * classifier.network.width] = 0
    others = TEXTS[::-1]
    swapped = classifier.predict_proba(others, TEXTS)
    assert_same(classifier.predict_proba(TEXTS, others), swapped)


def test_one_layer_is_that_layer_of_the_model():
    found = [new(layers=name).predict_proba(TEXTS) for name in ("0", "1", "2")]
    assert not np.allclose(found[0], found[1], atol=1e-3)
    assert not np.allclose(found[1], found[2], atol=1e-3)


def test_a_sentence_without_tokens_has_a_label_and_changes_no_other():
    classifier = new()
    assert classifier.predict([]) == []
    found = classifier.predict_proba([[], *TEXTS, ""])
    assert_same(found[1:-1], classifier.predict_proba(TEXTS))
    assert (found[0] == found[-1]).all()
    (only,) = classifier.predict([""])
    assert only.score == max(only.probabilities.values())
    pairs = new(pairs=True)
    assert pairs.predict_proba(["", "a"], ["b", ""]).shape == (2, 3)


def test_what_cannot_be_classified_is_an_error():
    for given, message in (
        ((TEXTS, TEXTS), "expected no second sentences"),
        (("one string",), "sentences is one string"),
    ):
        with pytest.raises(InputError, match=message):
            new().predict(*given)
    with pytest.raises(InputError, match="expected pairs"):
        new(pairs=True).predict(TEXTS)
    with pytest.raises(InputError, match="expected 10 second sentences, got 9"):
        new(pairs=True).predict(TEXTS, TEXTS[1:])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (example("a b", "tree", line=7), r"data\.tsv: line 7: the label 'tree' is not among the 3"),
        (example("a b", None, line=8), r"data\.tsv: line 8: expected a label, got none"),
        (example("a", "none", "b", line=9), r"line 9: expected one sentence, got a pair"),
    ],
)
def test_bad_examples_are_named_with_their_file_and_line(bad, message: str):
    with pytest.raises(InputError, match=message):
        new().classify([example("a", "plant"), bad])


def test_a_model_that_is_another_is_an_error(tmp_path: Path):
    new().save(tmp_path / "c")
    with pytest.raises(FormatError, match="was trained on a biLM of sha256"):
        Classifier.load(tmp_path / "c", elmo=tiny_elmo(1))
    with pytest.raises(ConfigError, match="elmo=True and no biLM"):
        Classifier(ClassifierNetwork(config(), 3, (3, 8), 0), LABELS)
    with pytest.raises(ConfigError, match="layers 3: the biLM has the layers 0 to 2"):
        ClassifierNetwork(config(layers="3"), 3, (3, 8), 0)
