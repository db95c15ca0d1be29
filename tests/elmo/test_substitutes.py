"""Substitutes: both directions' log-probabilities added up and normalised, as by brute force."""

import itertools

import numpy as np
import pytest

from relmo.elmo.language_model import LanguageModel
from relmo.elmo.model import Elmo
from relmo.errors import InputError
from relmo.nn import word_scores
from relmo.text.vocab import SPECIALS
from tests.helpers import tiny_elmo

WORDS = (*SPECIALS, "the", "cat", "sat", "on", "mat", ".")
SENTENCES = ["[the] cat sat", "[.]", "on the mat the [ornithopter] .", "the [cat] sat"]


@pytest.fixture
def elmo() -> Elmo:
    return tiny_elmo(words=WORDS)


def brute_force(elmo: Elmo, sentence: str) -> np.ndarray:
    """Log-probability of each word in the place: every word's, one direction after the other."""
    tokens = sentence.split()
    (place,) = [k for k, token in enumerate(tokens) if token.startswith("[")]
    both = np.zeros(len(WORDS))
    for number, word in enumerate(WORDS):
        changed = [*tokens[:place], word, *tokens[place + 1 :]]
        for side in vars(next(LanguageModel(elmo).top([changed], len(WORDS)))).values():
            both[number] += side.log_probabilities[place][side.ids[place].tolist().index(number)]
    return both - np.log(np.exp(both).sum())


def test_the_model_itself_gives_the_same(elmo: Elmo):
    for found, expected in zip(
        elmo.substitutes(SENTENCES, 3), LanguageModel(elmo).substitutes(SENTENCES, 3), strict=True
    ):
        assert (found.words, found.place) == (expected.words, expected.place)


def test_they_are_those_of_brute_force(elmo: Elmo):
    found = LanguageModel(elmo).substitutes(SENTENCES, 100, without=[])
    for sentence, substitutes in zip(SENTENCES, found, strict=True):
        expected = brute_force(elmo, sentence)
        order = np.argsort(-expected)
        assert substitutes.words == [WORDS[k] for k in order]
        np.testing.assert_allclose(substitutes.log_probabilities, expected[order], atol=1e-5)
        assert np.exp(substitutes.log_probabilities).sum() == pytest.approx(1, abs=1e-5)
        assert substitutes.tokens == sentence.replace("[", "").replace("]", "").split()
        assert f"[{substitutes.tokens[substitutes.place]}]" in sentence


def test_marks_and_the_unknown_word_are_no_substitutes_but_have_their_share(elmo: Elmo):
    model = LanguageModel(elmo)
    for some, every in zip(
        model.substitutes(SENTENCES, 3), model.substitutes(SENTENCES, 9, without=()), strict=True
    ):
        words = [word for word in every.words if word not in SPECIALS]
        assert some.words == words[:3]
        kept = [word in some.words for word in every.words]
        np.testing.assert_allclose(some.log_probabilities, every.log_probabilities[kept], atol=1e-6)


def test_the_word_itself_and_the_batch_change_nothing(elmo: Elmo, monkeypatch: pytest.MonkeyPatch):
    whole = list(LanguageModel(elmo).substitutes(SENTENCES * 9))
    assert whole[1].words == next(LanguageModel(elmo).substitutes(["[mat]"])).words
    elmo.token_budget = 8
    monkeypatch.setattr(word_scores, "_BLOCK_WORDS", 4)
    monkeypatch.setattr(word_scores, "_CHUNK_NUMBERS", 8)
    endless = itertools.cycle(SENTENCES)  # read lazily
    for a, b in zip(whole, LanguageModel(elmo).substitutes(endless), strict=False):
        assert a.words == b.words
        np.testing.assert_allclose(a.log_probabilities, b.log_probabilities, atol=1e-5)


@pytest.mark.parametrize(
    "sentence", ["the cat", "[the] [cat]", "the [ cat ]", "[the cat]", "[]", ""]
)
def test_one_word_in_brackets_is_needed(elmo: Elmo, sentence: str):
    with pytest.raises(InputError, match="sentence 1: expected one word in brackets"):
        list(LanguageModel(elmo).substitutes(["the [cat]", sentence]))


def test_a_number_below_1_and_a_single_string_are_said_at_the_call(elmo: Elmo):
    with pytest.raises(InputError, match="at least 1, got 0"):
        LanguageModel(elmo).substitutes(SENTENCES, 0)
    with pytest.raises(InputError, match="give a list of sentences"):
        LanguageModel(elmo).substitutes("the [cat]")
