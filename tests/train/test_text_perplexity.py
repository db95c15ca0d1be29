"""A text's perplexity by each count: as training measures it, and by hand."""

import math

import numpy as np
import pytest

from relmo.elmo.language_model import LanguageModel
from relmo.elmo.model import Elmo
from relmo.errors import InputError
from relmo.text.vocab import SPECIALS
from relmo.train.batches import Encoder
from relmo.train.evaluate import perplexity, text_perplexity
from tests.helpers import tiny_elmo
from tests.train.helpers import SHAPE, VOCAB, language_model, random_sentences

WORDS = (*SPECIALS, "the", "cat", "sat")
CLOSED = [["the", "<unk>", "sat"], [], ["cat", "ornithopter"]]


def test_it_is_what_training_measures():
    model, sentences = language_model(scale=1.5), random_sentences(12)
    weights = {"weight": model.softmax.weight.detach(), "bias": model.softmax.bias.detach()[:, 0]}
    elmo = Elmo(model.bilm, vocab=VOCAB, softmax=weights)
    found = text_perplexity(LanguageModel(elmo), sentences)
    expected = perplexity(language_model(scale=1.5), Encoder(VOCAB, 50), sentences)
    assert SHAPE.char_cnn is not None
    assert SHAPE.char_cnn.max_characters_per_token == 50
    assert found.with_ends == pytest.approx((expected.forward, expected.backward), rel=1e-5)
    assert found.n_tokens + found.n_sentences == expected.n_predictions
    assert found.n_unknown == found.n_unmarked == expected.n_unknown


@pytest.mark.parametrize("context", ["fresh", "carried"])
def test_each_count_is_the_surprisal_of_its_part(context):
    model = LanguageModel(tiny_elmo(words=WORDS))
    sentences = [sentence for sentence in CLOSED if sentence]
    found = text_perplexity(model, sentences, context=context)
    scores = list(model.surprisal(sentences, ends=True, context=context))
    ahead = [s.forward.surprisal for s in scores]
    tokens = np.concatenate([a[:-1] for a in ahead]).astype(float)
    known = tokens[[True, False, True, True, False]]
    whole = np.concatenate(ahead).astype(float)
    assert found.with_ends[0] == pytest.approx(2 ** whole.mean())
    assert found.without_ends[0] == pytest.approx(2 ** tokens.mean())
    assert found.per_word[0] == pytest.approx(2 ** (whole.sum() / 5))
    assert found.of_known[0] == pytest.approx(2 ** known.mean())
    back = np.concatenate([s.backward.surprisal[1:] for s in scores]).astype(float)
    assert found.without_ends[1] == pytest.approx(2 ** back.mean())


def test_closed_unk_is_the_unknown_word_and_every_line_has_an_end():
    model = LanguageModel(tiny_elmo(words=WORDS))
    found = text_perplexity(model, CLOSED, closed=True)
    assert (found.n_sentences, found.n_tokens, found.n_unknown, found.n_unmarked) == (3, 5, 2, 1)
    spelled = [["the", "<UNK>", "sat"], [], ["cat", "ornithopter"]]
    bits = sum(s.forward.surprisal.sum() for s in model.surprisal(spelled, ends=True))
    assert found.with_ends[0] == pytest.approx(2 ** (bits / 8))
    opened = text_perplexity(model, CLOSED)  # here "<unk>" is read as a word of five characters
    assert opened.n_unmarked == 2
    assert opened.with_ends != pytest.approx(found.with_ends)


def test_closed_a_model_with_a_word_unk_of_its_own_is_asked_for_that():
    elmo = tiny_elmo(words=(*WORDS, "<unk>"))
    found = text_perplexity(LanguageModel(elmo), CLOSED, closed=True)
    assert (found.n_unknown, found.n_unmarked) == (2, 1)
    opened = text_perplexity(LanguageModel(elmo), CLOSED)
    assert opened.with_ends == found.with_ends
    assert opened.n_unknown == 1
    assert opened.of_known != found.of_known


def test_a_text_without_a_token_is_an_input_error_and_all_unknown_has_no_known_words():
    model = LanguageModel(tiny_elmo(words=WORDS))
    with pytest.raises(InputError, match="no token in the text"):
        text_perplexity(model, [[], []], closed=True)
    assert all(map(math.isnan, text_perplexity(model, [["ornithopter"]]).of_known))
