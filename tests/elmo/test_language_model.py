"""Next words from both sides: as by brute force, as the trainer counts them, in bounded memory."""

import numpy as np
import pytest
import torch

from relmo.elmo import language_model
from relmo.elmo.language_model import LanguageModel
from relmo.elmo.model import Elmo
from relmo.errors import InputError
from relmo.nn import word_scores
from relmo.nn.softmax import stored
from relmo.text.vocab import SPECIALS, Vocabulary
from relmo.train.batches import Encoder, sentence_batch
from relmo.train.objective import Objective
from tests.helpers import tiny_elmo

WORDS = (*SPECIALS, "the", "cat", "sat", "on", "mat", ".")
SENTENCES = [["the", "cat", "sat"], [], ["."], ["on", "the", "mat", "the", "ornithopter", "."]]


@pytest.fixture
def elmo() -> Elmo:
    return tiny_elmo(words=WORDS)


def log_probabilities(elmo: Elmo, context: np.ndarray) -> np.ndarray:
    """Of every word after a top vector (P,), in float64."""
    assert elmo.softmax is not None
    weight, bias = (stored(elmo.softmax)[name].double().numpy() for name in ("weight", "bias"))
    logits = weight @ context + bias
    return logits - np.log(np.exp(logits).sum())


def top_of_all(elmo: Elmo, tokens: list[str]) -> np.ndarray:
    """The top layer of one sentence, marks included (tokens + 2, 2P)."""
    layers, _ = elmo.run([tokens])
    return layers[-1].double().numpy()


def test_each_token_is_predicted_from_the_tokens_on_one_side_alone(elmo: Elmo):
    p = elmo.config.projection_dim
    for sentence, found in zip(SENTENCES, LanguageModel(elmo).top(SENTENCES, 4), strict=True):
        assert found.forward.ids.shape == found.backward.ids.shape == (len(sentence), 4)
        for t in range(len(sentence)):
            before = top_of_all(elmo, sentence[:t])[t, :p]  # the rest is not even given
            after = top_of_all(elmo, sentence[t + 1 :])[1, p:]
            if t == len(sentence) - 1:
                after = top_of_all(elmo, [])[-1, p:]  # </S>
            for side, context in ((found.forward, before), (found.backward, after)):
                expected = log_probabilities(elmo, context)
                best = np.argsort(-expected)[:4]
                assert side.ids[t].tolist() == best.tolist()
                np.testing.assert_allclose(side.log_probabilities[t], expected[best], atol=1e-5)


def test_the_probabilities_are_those_that_training_maximises(elmo: Elmo):
    assert elmo.softmax is not None
    assert elmo.vocab is not None
    model = Objective(elmo.config, len(WORDS)).eval()
    model.bilm.load_state_dict(elmo.bilm.state_dict())
    with torch.no_grad():
        model.softmax.weight.copy_(elmo.softmax.weight)
        model.softmax.bias.copy_(elmo.softmax.bias)
    encoder = Encoder(elmo.vocab, 50)
    for sentence in (["the", "cat", "sat"], ["on", "the", "mat", "."]):
        found = next(LanguageModel(elmo).top([sentence], len(WORDS)))
        targets = elmo.vocab.ids(sentence)
        batch = sentence_batch([sentence], encoder)
        for side, losses in zip(
            (found.forward, found.backward), model.negative_log_likelihoods(batch), strict=True
        ):
            order = targets if side is found.forward else targets[::-1]
            word_scores = np.take_along_axis(side.log_probabilities, np.argsort(side.ids), axis=1)
            of_tokens = word_scores[np.arange(len(targets)), targets]
            of_tokens = of_tokens if side is found.forward else of_tokens[::-1]
            np.testing.assert_allclose(-of_tokens, losses[: len(order)].numpy(), atol=1e-5)


def test_all_words_together_have_probability_1(elmo: Elmo):
    for found in LanguageModel(elmo).top(SENTENCES, 100):
        for side in (found.forward, found.backward):
            assert side.ids.shape[1] == len(WORDS)
            np.testing.assert_allclose(np.exp(side.log_probabilities).sum(1), 1, atol=1e-5)


def test_words_left_out_change_no_probability(elmo: Elmo):
    model = LanguageModel(elmo)
    for whole, part in zip(
        model.top(SENTENCES, 100),
        model.top(SENTENCES, 100, without=["<S>", "</S>", "unheard-of"]),
        strict=True,
    ):
        kept = ~np.isin(whole.forward.ids, [0, 1])
        shape = part.forward.ids.shape
        assert shape[1] == len(WORDS) - 2
        np.testing.assert_array_equal(whole.forward.ids[kept].reshape(shape), part.forward.ids)
        np.testing.assert_array_equal(
            whole.forward.log_probabilities[kept].reshape(shape), part.forward.log_probabilities
        )


def test_batches_and_blocks_of_the_softmax_change_nothing(
    elmo: Elmo, monkeypatch: pytest.MonkeyPatch
):
    many = SENTENCES * 9
    whole = list(LanguageModel(elmo).top(many, 3, without=["<S>", "cat"]))
    elmo.token_budget = 8
    monkeypatch.setattr(word_scores, "_BLOCK_WORDS", 4)
    monkeypatch.setattr(word_scores, "_CHUNK_NUMBERS", 8)  # two rows at a time
    for a, b in zip(whole, LanguageModel(elmo).top(many, 3, without=["<S>", "cat"]), strict=True):
        np.testing.assert_array_equal(a.backward.ids, b.backward.ids)
        np.testing.assert_allclose(
            a.backward.log_probabilities, b.backward.log_probabilities, atol=1e-5
        )


def test_whole_vocabularies_come_in_smaller_batches(elmo: Elmo, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(language_model, "_MOST_NUMBERS", 5 * len(WORDS))
    run, sizes = elmo.run, []
    monkeypatch.setattr(elmo, "run", lambda batch: sizes.append(len(batch)) or run(batch))
    assert len(list(LanguageModel(elmo).top(["the cat", "on", "."] * 4, 10**9))) == 12
    assert max(sizes) <= 2  # five tokens a batch, marks counted


def test_sentences_are_read_lazily(elmo: Elmo):
    elmo.token_budget = 4

    def endless():
        while True:
            yield ["the", "cat"]

    assert next(LanguageModel(elmo).top(endless(), 1)).forward.ids.shape == (2, 1)


def test_a_model_without_a_softmax_is_an_input_error():
    with pytest.raises(InputError, match="has no softmax"):
        LanguageModel(tiny_elmo())
    elmo = tiny_elmo()
    elmo.vocab = Vocabulary(WORDS)
    with pytest.raises(InputError, match="has no softmax"):
        LanguageModel(elmo)


def test_impossible_arguments_are_input_errors(elmo: Elmo):
    with pytest.raises(InputError, match="at least 1, got 0"):
        LanguageModel(elmo).top(SENTENCES, 0)
    with pytest.raises(InputError, match="give a list of sentences"):
        LanguageModel(elmo).top("the cat", 1)
