"""Perplexity is the brute-force one, with the full softmax, in whatever batches."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from relmo.errors import InputError
from relmo.train.batches import Encoder
from relmo.train.evaluate import perplexity, thinned
from tests.train.helpers import SHAPE, VOCAB, language_model, naive_losses, random_sentences

ENCODER = Encoder(VOCAB, SHAPE.char_cnn and SHAPE.char_cnn.max_characters_per_token)
SENTENCES = random_sentences(12)
N_PREDICTIONS = sum(len(sentence) + 1 for sentence in SENTENCES)


def test_it_is_the_exponential_of_the_mean_naive_loss(tmp_path: Path):
    model = language_model(scale=1.5)
    result = perplexity(model, ENCODER, SENTENCES)
    naive = [naive_losses(model, tmp_path / str(k), s) for k, s in enumerate(SENTENCES)]
    for found, side in ((result.forward, 0), (result.backward, 1)):
        total = sum(sum(both[side]) for both in naive)
        assert found == pytest.approx(math.exp(total / N_PREDICTIONS), rel=1e-5)
    assert result.mean == pytest.approx((result.forward + result.backward) / 2)
    assert result.n_predictions == N_PREDICTIONS
    assert result.n_unknown == 2 * len(SENTENCES)  # the numbers at both ends


@pytest.mark.parametrize("batch_tokens", [1, 7, 30, 100_000])
def test_batches_and_order_change_nothing(batch_tokens: int):
    model = language_model()
    expected = perplexity(model, ENCODER, SENTENCES)
    for sentences in (SENTENCES, SENTENCES[::-1], sorted(SENTENCES, key=len)):
        found = perplexity(model, ENCODER, sentences, batch_tokens=batch_tokens)
        assert found.forward == pytest.approx(expected.forward, rel=1e-5)
        assert found.backward == pytest.approx(expected.backward, rel=1e-5)
        assert (found.n_predictions, found.n_unknown) == (
            expected.n_predictions,
            expected.n_unknown,
        )


def test_a_model_in_training_is_evaluated_without_dropout_and_goes_on_training():
    model = language_model(dropout=0.5)
    assert perplexity(model, ENCODER, SENTENCES) == perplexity(language_model(), ENCODER, SENTENCES)
    assert model.training
    assert all(module.training for module in model.modules())


def test_a_failure_too_leaves_the_model_training():
    def broken() -> Iterator[list[str]]:
        yield ["w1"]
        raise InputError("broken")

    model = language_model()
    with pytest.raises(InputError, match="broken"):
        perplexity(model, ENCODER, broken())
    assert model.training


def test_a_part_of_the_sentences_is_spread_over_all_of_them():
    sentences = [[f"w{number}"] * 3 for number in range(10)]
    assert list(thinned(iter(sentences), 0)) == sentences
    for most, every in ((1, 16), (3, 16), (6, 8), (9, 4), (29, 2), (30, 1), (99, 1)):
        assert list(thinned(iter(sentences), most)) == sentences[::every], most
        result = perplexity(language_model(), ENCODER, sentences, max_tokens=most)
        assert result.n_predictions == 4 * len(sentences[::every])


def test_no_sentence_has_no_perplexity():
    with pytest.raises(InputError, match="no sentence"):
        perplexity(language_model(), ENCODER, [])
