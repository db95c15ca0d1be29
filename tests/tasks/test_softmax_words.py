"""The rows of a biLM's softmax as word vectors: those of the words, and of no other model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from relmo.elmo.model import Elmo
from relmo.errors import ConfigError, FormatError
from relmo.tasks.inputs import elmo_sha256, softmax_rows
from relmo.tasks.tagger import Tagger
from tests.helpers import tiny_elmo
from tests.tasks import helpers

WORDS = ("<S>", "</S>", "<UNK>", "the", "cat", "Rome", "Ann")


def model(*, shifted: bool = False) -> Elmo:
    elmo = tiny_elmo(0, words=WORDS)
    elmo.checkpoint_info = None
    if shifted:
        assert elmo.softmax is not None
        elmo.softmax.weight.data = elmo.softmax.weight.data.roll(1, 0)
    return elmo


def test_a_word_has_its_row_as_it_is_written_else_in_lower_case_else_that_of_unk():
    elmo = model()
    rows = softmax_rows(elmo, ["Rome", "THE", "dog", "<UNK>"])
    assert elmo.softmax is not None
    expected = elmo.softmax.weight[[5, 3, 2, 2]]
    norms = expected.norm(dim=1, keepdim=True)
    torch.testing.assert_close(rows, expected / norms * expected.shape[1] ** 0.5)


def test_a_tagger_that_reads_them_is_trained_and_loaded_without_storing_any(tmp_path: Path):
    elmo = model()
    shape = helpers.config(softmax_words=True, layers="0")
    helpers.trained(tmp_path, helpers.data(elmo=elmo), shape, helpers.training(epochs=1))
    tagger = Tagger.load(tmp_path, elmo=elmo)
    tokens = [list(s.tokens) for s in helpers.DEV]
    before = tagger.predict(tokens)
    tagger.save(tmp_path / "whole", copy_elmo=True)
    again = Tagger.load(tmp_path / "whole")
    assert again.predict(tokens) == before
    assert not any("softmax" in name for name in tagger.network.state_dict())
    blank = Tagger(tagger.network, tagger.tags, tagger.scheme, elmo=model(shifted=True))
    found = [np.array(s.scores) for s in blank.predict(tokens)]
    assert not all(np.allclose(one, s.scores) for one, s in zip(found, before, strict=True))


def test_the_softmax_of_another_run_is_another_model(tmp_path: Path):
    shape = helpers.config(softmax_words=True)
    helpers.trained(tmp_path, helpers.data(elmo=model()), shape, helpers.training(epochs=1))
    with pytest.raises(FormatError, match="was trained on a biLM of sha256"):
        Tagger.load(tmp_path, elmo=model(shifted=True))
    assert elmo_sha256(model(), softmax=False) == elmo_sha256(model(shifted=True), softmax=False)


def test_a_model_without_a_softmax_is_refused_before_anything_is_written(tmp_path: Path):
    shape = helpers.config(softmax_words=True)
    with pytest.raises(ConfigError, match=r"softmax_words: .* has no softmax with a row"):
        helpers.trained(tmp_path / "run", helpers.data(), shape)
    with pytest.raises(ConfigError, match="softmax_words: the network reads no biLM"):
        replace(shape, elmo=False, char_dim=4)
    assert not (tmp_path / "run").exists()
