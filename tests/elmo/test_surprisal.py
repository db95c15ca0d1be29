"""Surprisal, entropy and rank of every token, fresh and carried: laws, and brute force."""

import numpy as np
import pytest

from relmo.elmo.language_model import Context, LanguageModel, Scores, Surprisal
from relmo.elmo.model import Elmo
from relmo.errors import FormatError, InputError
from relmo.nn import word_scores as scores_module
from relmo.nn.softmax import stored
from relmo.text.vocab import SPECIALS
from tests.helpers import tiny_elmo

WORDS = (*SPECIALS, "the", "cat", "sat", "on", "mat", ".")
SENTENCES = [["the", "cat", "sat"], [], ["."], ["on", "the", "mat", "the", "ornithopter", "."]]


@pytest.fixture
def elmo() -> Elmo:
    return tiny_elmo(words=WORDS)


def bits(elmo: Elmo, contexts: np.ndarray) -> np.ndarray:
    """Surprisal of every word after each top vector (N, P), in float64."""
    assert elmo.softmax is not None
    weight, bias = (stored(elmo.softmax)[name].double().numpy() for name in ("weight", "bias"))
    logits = contexts @ weight.T + bias
    return (np.log(np.exp(logits).sum(1, keepdims=True)) - logits) / np.log(2)


def top_layer(elmo: Elmo, tokens: list[str]) -> np.ndarray:
    """Of one sentence, marks included (tokens + 2, 2P)."""
    return elmo.run([tokens])[0][-1].double().numpy()


def assert_scores(scores: Scores, expected: np.ndarray, targets: np.ndarray) -> None:
    """They are those of the targets where every word's surprisal is `expected`."""
    of_targets = np.take_along_axis(expected, targets[:, None], 1)
    np.testing.assert_allclose(scores.surprisal, of_targets[:, 0], atol=1e-5)
    np.testing.assert_allclose(scores.entropy, (2**-expected * expected).sum(1), atol=1e-5)
    assert scores.rank.tolist() == ((expected < of_targets).sum(1) + 1).tolist()


def same(a: Surprisal, b: Surprisal) -> None:
    for x, y in ((a.forward, b.forward), (a.backward, b.backward)):
        np.testing.assert_allclose(x.surprisal, y.surprisal, atol=1e-5)
        np.testing.assert_allclose(x.entropy, y.entropy, atol=1e-5)
        np.testing.assert_array_equal(x.rank, y.rank)
    np.testing.assert_array_equal(a.unknown, b.unknown)


def test_fresh_each_is_the_brute_force_one(elmo: Elmo):
    p = elmo.config.projection_dim
    found = elmo.surprisal(SENTENCES, ends=True)
    assert len(found) == len(SENTENCES)
    for sentence, scores in zip(SENTENCES, found, strict=True):
        assert elmo.vocab is not None
        ids, top = elmo.vocab.ids(sentence), top_layer(elmo, sentence)
        assert_scores(scores.forward, bits(elmo, top[:-1, :p]), np.append(ids, elmo.vocab.eos))
        assert_scores(scores.backward, bits(elmo, top[1:, p:]), np.append(elmo.vocab.bos, ids))
        assert scores.unknown.tolist() == [token == "ornithopter" for token in sentence]


def test_carried_forward_is_one_long_run_and_backward_is_fresh(elmo: Elmo):
    p = elmo.config.projection_dim
    assert elmo.vocab is not None
    joined: list[str] = []
    for sentence in SENTENCES:
        joined += ["<S>", *sentence]
    expected = bits(elmo, top_layer(elmo, joined[1:])[:-1, :p])
    model, start = LanguageModel(elmo), 0
    carried = list(model.surprisal(SENTENCES, ends=True, context="carried"))
    fresh = list(model.surprisal(SENTENCES, ends=True))
    for sentence, scores, alone in zip(SENTENCES, carried, fresh, strict=True):
        stop = start + len(sentence) + 1
        targets = np.append(elmo.vocab.ids(sentence), elmo.vocab.eos)
        assert_scores(scores.forward, expected[start:stop], targets)
        same(
            Surprisal(forward=alone.forward, backward=scores.backward, unknown=scores.unknown),
            alone,
        )
        start = stop
    same(carried[0], fresh[0])
    assert not np.allclose(carried[2].forward.surprisal, fresh[2].forward.surprisal)


@pytest.mark.parametrize("context", ["fresh", "carried"])
def test_without_the_ends_the_tokens_numbers_are_the_same(elmo: Elmo, context: Context):
    model = LanguageModel(elmo)
    for part, whole in zip(
        model.surprisal(SENTENCES, context=context),
        model.surprisal(SENTENCES, context=context, ends=True),
        strict=True,
    ):
        np.testing.assert_allclose(part.forward.surprisal, whole.forward.surprisal[:-1], atol=1e-5)
        np.testing.assert_allclose(part.backward.surprisal, whole.backward.surprisal[1:], atol=1e-5)
        np.testing.assert_array_equal(part.forward.rank, whole.forward.rank[:-1])
        np.testing.assert_array_equal(part.backward.rank, whole.backward.rank[1:])


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("context", ["fresh", "carried"])
def test_batches_and_blocks_change_nothing(
    elmo: Elmo, context: Context, ends: bool, monkeypatch: pytest.MonkeyPatch
):
    many = SENTENCES * 9
    whole = list(LanguageModel(elmo).surprisal(many, ends=ends, context=context))
    elmo.token_budget = 8
    monkeypatch.setattr(scores_module, "_BLOCK_WORDS", 4)
    monkeypatch.setattr(scores_module, "_BLOCK_ROWS", 3)
    for a, b in zip(
        whole, LanguageModel(elmo).surprisal(many, ends=ends, context=context), strict=True
    ):
        same(a, b)


@pytest.mark.parametrize("context", ["fresh", "carried"])
def test_sentences_are_read_lazily_and_strings_are_split(elmo: Elmo, context: Context):
    elmo.token_budget = 4

    def endless():
        while True:
            yield "the cat"

    stream = LanguageModel(elmo).surprisal(endless(), context=context)
    for _ in range(3):
        assert next(stream).forward.rank.shape == (2,)
    assert list(LanguageModel(elmo).surprisal([], context=context)) == []


def test_impossible_arguments_are_said_at_the_call(elmo: Elmo):
    with pytest.raises(InputError, match="give a list of sentences"):
        LanguageModel(elmo).surprisal("the cat")
    without_ends = LanguageModel(tiny_elmo(words=["<UNK>", "the"]))
    assert len(next(without_ends.surprisal(["the cat"])).unknown) == 2
    with pytest.raises(FormatError, match="no '<S>' among its 2 words"):
        without_ends.surprisal(["the cat"], ends=True)
