"""A classifier's run: it learns, resumes as if nothing had been, and says what is wrong."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from relmo.errors import ConfigError, InputError
from relmo.tasks.classifier import Classifier
from relmo.tasks.config import ClassifierConfig
from relmo.tasks.scores import label_scores
from relmo.text.vocab import Vocabulary
from tests.tasks.classifier_helpers import (
    DEV,
    TEXTS,
    TRAIN,
    config,
    corpus,
    data,
    example,
    trained,
    training,
)
from tests.tasks.helpers import elmo
from tests.train.helpers import _same, after, metrics, training_state


def assert_same_run(one: Path, other: Path) -> None:
    """Same bits: networks, optimizer, random state, metrics."""
    for name in ("last", "best"):
        first, second = (Classifier.load(folder / name) for folder in (one, other))
        assert _same(first.network.state_dict(), second.network.state_dict())
    assert _same(training_state(one), training_state(other))
    assert metrics(one) == metrics(other)


def test_it_finds_what_it_learned(tmp_path: Path):
    shape = config(char_dim=8, dropout=0.0, mix_dropout=0.0)
    result = trained(tmp_path, shape=shape, how=training(epochs=8))
    classifier = Classifier.load(tmp_path)
    scores = label_scores([s.label or "" for s in DEV], classifier.classify(DEV))
    assert scores.accuracy > 80
    assert result.best == pytest.approx(100 - scores.accuracy)


def test_pairs_are_learned_without_a_model(tmp_path: Path):
    train = corpus(100, pairs=True)
    shape = config(elmo=False, word_dim=8, n_layers=0, pairs=True, dropout=0.0)
    how = training(epochs=20, learning_rate=0.1)
    trained(tmp_path, data(train=train, dev=train, elmo=None), shape, how)
    classifier = Classifier.load(tmp_path)
    assert classifier.elmo is None
    found = classifier.classify(train)
    assert label_scores([s.label or "" for s in train], found).accuracy > 80


@pytest.mark.parametrize("pooling", ["max", "attention"])
def test_a_resumed_run_is_the_run_that_was_not_stopped(tmp_path: Path, pooling: str):
    given, shape = data(cache=tmp_path / "cache"), config(pooling=pooling)
    trained(tmp_path / "whole", given, shape)
    for n in (2, 5, 99):
        trained(tmp_path / "parts", given, shape, resume=True, should_stop=after(n))
    assert_same_run(tmp_path / "parts", tmp_path / "whole")


def test_a_fine_tuned_model_learns_and_goes_along(tmp_path: Path):
    how = training(epochs=1, finetune_elmo=True, elmo_learning_rate=0.01)
    trained(tmp_path, data(), how=how)
    classifier = Classifier.load(tmp_path)
    assert classifier.elmo is not None
    before = elmo().bilm.state_dict()
    assert not any(v.equal(before[k]) for k, v in classifier.elmo.bilm.state_dict().items())


def test_a_run_is_the_same_with_and_without_a_cache(tmp_path: Path):
    trained(tmp_path / "cached", data(cache=tmp_path / "cache"))
    trained(tmp_path / "computed", data())
    cached, computed = (
        Classifier.load(tmp_path / name).predict_proba(TEXTS) for name in ("cached", "computed")
    )
    assert cached == pytest.approx(computed, abs=0.02)


def test_another_seed_is_another_run_and_the_same_is_the_same(tmp_path: Path):
    how = training(epochs=1)
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        trained(tmp_path / name, how=replace(how, seed=seed))
    assert_same_run(tmp_path / "one", tmp_path / "again")
    assert metrics(tmp_path / "one") != metrics(tmp_path / "other")


def test_given_word_vectors_stay_as_they_are(tmp_path: Path):
    vectors = torch.arange(9.0).reshape(3, 3) / 10
    given = data(elmo=None, vectors=(Vocabulary(["dog", "oak", "unseen"]), vectors))
    shape = config(elmo=False, word_dim=3)
    trained(tmp_path / "run", given, shape)
    classifier = Classifier.load(tmp_path / "run")
    rows, words = classifier.network.words, classifier.words
    assert words is not None
    assert rows is not None
    assert rows[words.ids(["dog", "oak", "unseen"])].equal(vectors)
    dog, lower, new, other = classifier.predict_proba(["Dog", "dog", "new", "other"])
    assert (dog == lower).all()
    assert (new == other).all()
    assert (dog != new).any()
    changed = replace(given, vectors=(Vocabulary(["dog", "oak", "unseen"]), vectors + 1))
    with pytest.raises(ConfigError, match="the word vectors differ"):
        trained(tmp_path / "run", changed, shape, resume=True)
    with pytest.raises(ConfigError, match="word vectors: expected 2 numbers each"):
        trained(tmp_path / "other", given, replace(shape, word_dim=2))


def test_it_ends_early(tmp_path: Path):
    result = trained(tmp_path, how=training(epochs=30, patience=2, learning_rate=1e-9))
    assert result.ended_early
    assert (result.best_step, result.step) == (5, 15)


def test_another_run_is_not_resumed(tmp_path: Path):
    trained(tmp_path, should_stop=lambda: True)
    for given, shape, message in (
        (data(), config(pooling="mean"), "pooling: expected max as the run was started, got mean"),
        (
            data(train=TRAIN[1:]),
            config(),
            r"the training data differ: expected sha256 \w{12} .*, got sha256 \w{12};",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            trained(tmp_path, given, shape, resume=True)
    with pytest.raises(InputError, match="holds a training run; give --resume"):
        trained(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": []}, "the training data hold no token"),
        ({"train": [example("a", "x")]}, "have the label 'x' alone, expected several"),
        ({"dev": []}, "the development data hold no token"),
        ({"dev": [example("a", "new", line=5)]}, r"data\.tsv: line 5: the label 'new'"),
        ({"train": [example("a", None, line=6)]}, r"data\.tsv: line 6: expected a label"),
        ({"train": [example("a", "x", "b", line=4)]}, "line 4: expected one sentence, got a pair"),
    ],
)
def test_bad_data_are_an_error_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any], message: str
):
    with pytest.raises(InputError, match=message):
        trained(tmp_path, data(**changes))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pooling": "sum"}, "pooling must be one of max, mean, attention, got 'sum'"),
        ({"layers": "top"}, "layers must be mix or the number of a layer"),
        ({"layers": "²"}, "layers must be mix"),
        ({"n_layers": -1}, "n_layers must be at least 0"),
        ({"elmo": False, "char_dim": 0, "word_dim": 0}, "needs char_dim or word_dim"),
    ],
)
def test_an_impossible_shape_is_an_error(change: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        ClassifierConfig.from_dict({**ClassifierConfig().to_dict(), **change})


def test_settings_come_back_from_a_file_or_an_error_names_the_key():
    values = ClassifierConfig().to_dict()
    assert ClassifierConfig.from_dict(json.loads(json.dumps(values))) == ClassifierConfig()
    for name in values:
        for bad in (None, "?", [1], {}, -1e99, 10**99):
            with pytest.raises(ConfigError, match=name.replace("_", "[_-]")):
                ClassifierConfig.from_dict({**values, name: bad}, "here")
