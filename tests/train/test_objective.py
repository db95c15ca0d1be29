"""The loss is the naive one, blind to the future, and the same in two batches as in one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from relmo.config import BiLMConfig
from relmo.data.corpora import Corpus
from relmo.nn.bilm import BiLMState
from relmo.train import objective
from relmo.train.batches import Encoder, LMBatch, StreamBatches, sentence_batch
from relmo.train.objective import CandidateSampler, Objective
from tests.train.helpers import (
    SHAPE,
    VOCAB,
    WORDS,
    language_model,
    naive_losses,
    random_sentences,
    write,
)

ENCODER = Encoder(VOCAB, SHAPE.char_cnn and SHAPE.char_cnn.max_characters_per_token)
SENTENCES = [["w1", "odd", "w2", "w2", "ünï"], ["w3", "w1"], ["w5"]]


def losses(model: Objective, sentence: list[str]) -> tuple[Tensor, Tensor]:
    """Of each prediction of one sentence, in the order they are read."""
    return model.negative_log_likelihoods(sentence_batch([sentence], ENCODER))


def test_the_losses_of_a_sentence_are_the_naive_ones(tmp_path: Path):
    model = language_model()
    for number, sentence in enumerate(SENTENCES):
        naive = naive_losses(model, tmp_path / str(number), sentence)
        for fast, slow in zip(losses(model, sentence), naive, strict=True):
            np.testing.assert_allclose(fast.numpy(), slow, atol=2e-5)
        assert np.std(naive[0]) > 0.1  # no two words are alike to this model


@pytest.mark.parametrize("is_training", [False, True])
def test_the_full_loss_is_the_mean_of_the_naive_ones(tmp_path: Path, is_training: bool):
    model = language_model().train(is_training)
    naive = [naive_losses(model, tmp_path / str(k), s) for k, s in enumerate(SENTENCES)]
    forward, backward, _ = model.loss(sentence_batch(SENTENCES, ENCODER), None, None)
    for fast, side in ((forward, 0), (backward, 1)):
        expected = np.concatenate([both[side] for both in naive]).mean()
        assert fast.item() == pytest.approx(expected, abs=2e-5)


def test_the_sampled_loss_compares_the_target_with_the_candidates_alone():
    model = language_model()
    batch = sentence_batch(SENTENCES, ENCODER)
    candidates = CandidateSampler(len(VOCAB), 5, seed=4).draw()
    sampled = model.loss(batch, None, candidates)[:2]
    tops = []
    for stack, inputs in (
        (model.bilm.forward_lstm, batch.forward_inputs),
        (model.bilm.backward_lstm, batch.backward_inputs),
    ):
        vectors = model.bilm.token_encoder(batch.words)
        tops.append(stack(vectors[inputs], batch.batch_sizes)[0][-1].detach())
    for loss, top, targets, drawn in zip(
        sampled, tops, (batch.forward_targets, batch.backward_targets), candidates, strict=True
    ):
        logits = top @ model.softmax.weight.detach().T + model.softmax.bias.detach()[:, 0]
        logits -= drawn.log_expected_count(torch.arange(len(VOCAB)))
        expected = []
        for row, target in zip(logits, targets.tolist(), strict=True):
            rivals = torch.tensor(sorted({*drawn.ids.tolist(), target}))
            expected.append((row[rivals].logsumexp(0) - row[target]).item())
        assert loss.item() == pytest.approx(np.mean(expected), abs=1e-5)


@pytest.mark.parametrize("changed", range(6))
def test_a_direction_never_sees_what_it_has_yet_to_predict(changed: int):
    model = language_model()
    sentence = [*WORDS[:3], "odd", *WORDS[3:5]]
    other = [*sentence[:changed], "w11", *sentence[changed + 1 :]]
    ahead, back = losses(model, sentence)
    other_ahead, other_back = losses(model, other)
    n = len(sentence)
    # Forwards word k is prediction k and an input from k + 1 on; backwards it is n - 1 - k.
    assert torch.equal(ahead[:changed], other_ahead[:changed])
    assert (ahead[changed:] != other_ahead[changed:]).all()
    assert torch.equal(back[: n - 1 - changed], other_back[: n - 1 - changed])
    assert (back[n - 1 - changed :] != other_back[n - 1 - changed :]).all()


def test_a_word_outside_the_vocabulary_is_predicted_as_unk_and_read_by_its_characters():
    model = language_model()
    one, other = (losses(model, ["w1", word, "w2"]) for word in ("odd", "strange"))
    unk = losses(model, ["w1", "<UNK>", "w2"])
    assert one[0][1] == other[0][1] == unk[0][1]  # the same target after the same words
    assert one[0][2] != other[0][2]  # w2 after other characters
    assert one[1][1] == other[1][1]
    assert one[1][2] != other[1][2]


def piece(batch: LMBatch, first: int, last: int) -> LMBatch:
    """Steps from first to before last of a batch of equally long rows."""
    rows = batch.batch_sizes[0]
    cut = {
        name: value[first * rows : last * rows]
        for name, value in vars(batch).items()
        if isinstance(value, Tensor) and name != "words"
    }
    return replace(batch, batch_sizes=batch.batch_sizes[first:last], **cut)


@pytest.mark.parametrize("resets", [False, True])
def test_two_batches_with_the_state_carried_are_one_of_twice_the_steps(
    tmp_path: Path, resets: bool
):
    model = language_model()
    corpus = Corpus(write(tmp_path / "a.txt", random_sentences(30)))
    batch = StreamBatches(corpus, ENCODER, 3, 20, seed=1, resets=resets).next()
    *whole, whole_state = model.loss(batch, None, None)
    *first, state = model.loss(piece(batch, 0, 10), None, None)
    *second, last_state = model.loss(piece(batch, 10, 20), state, None)
    for side in range(2):
        assert (first[side] + second[side]).item() / 2 == pytest.approx(
            whole[side].item(), abs=1e-6
        )
    for name in ("forward", "backward"):
        for part in ("h", "c"):
            one, two = (getattr(getattr(s, name), part) for s in (whole_state, last_state))
            torch.testing.assert_close(one, two, atol=1e-6, rtol=0)
    forgotten = model.loss(piece(batch, 10, 20), None, None)
    assert all(forgotten[side].item() != second[side].item() for side in range(2))


def test_rows_that_reset_give_each_sentence_the_losses_it_has_alone(tmp_path: Path):
    model = language_model()
    sentences = [*SENTENCES, ["w4", "w4"]]
    corpus = Corpus(write(tmp_path / "a.txt", sentences))
    alone = [losses(model, sentence) for sentence in sentences]
    for resets in (True, False):
        given = StreamBatches(corpus, ENCODER, 1, 14, seed=1, resets=resets)  # one epoch
        forward, backward, _ = model.loss(given.next(), None, None)
        for loss, side in ((forward, 0), (backward, 1)):
            mean = torch.cat([both[side] for both in alone]).mean().item()
            assert (loss.item() == pytest.approx(mean, abs=1e-5)) == resets


def test_the_carried_state_is_cut_off_from_the_graph():
    model = language_model()
    batch = sentence_batch(SENTENCES, ENCODER)
    state = model.loss(batch, None, None)[2]
    assert isinstance(state, BiLMState)
    for tensor in (state.forward.h, state.forward.c, state.backward.h, state.backward.c):
        assert not tensor.requires_grad
    (sum(model.loss(batch, state, None)[:2])).backward()  # and the first graph may be gone


def test_dropout_acts_in_training_alone():
    model = language_model(dropout=0.5)
    batch = sentence_batch(SENTENCES, ENCODER)
    trained = {model.loss(batch, None, None)[0].item() for _ in range(3)}
    assert len(trained) == 3
    evaluated = {model.eval().loss(batch, None, None)[0].item() for _ in range(3)}
    assert evaluated == {language_model().loss(batch, None, None)[0].item()}


def test_the_gradient_of_repeated_words_has_the_same_bits_each_time():
    # Of a size at which torch adds up the parts of an index's gradient in threads, as they come.
    random = np.random.default_rng(0)
    vectors = torch.from_numpy(random.standard_normal((20, 128)).astype(np.float32))
    index = torch.from_numpy(random.integers(0, 20, 2560))
    gradient = torch.from_numpy(random.standard_normal((2560, 128)).astype(np.float32))
    found = set()
    torch.set_num_threads(2)
    for _ in range(16):
        leaf = vectors.clone().requires_grad_()
        rows = objective._rows(leaf, index)
        assert torch.equal(rows, vectors[index])
        rows.backward(gradient)
        assert leaf.grad is not None
        found.add(leaf.grad.numpy().tobytes())
    torch.set_num_threads(1)
    assert len(found) == 1


def test_both_directions_draw_their_own_candidates_and_a_state_repeats_them():
    sampler = CandidateSampler(1000, 50, seed=1)
    sampler.draw()
    state = sampler.state()
    drawn = sampler.draw()
    assert set(drawn[0].ids.tolist()) != set(drawn[1].ids.tolist())
    other = CandidateSampler(1000, 50, seed=2)
    other.set_state(state)
    for one, again in zip(drawn, other.draw(), strict=True):
        assert torch.equal(one.ids, again.ids)
        assert one.tries == again.tries


def test_at_most_half_of_a_small_vocabulary_is_drawn():
    assert len(CandidateSampler(9, 100, seed=1).draw()[0].ids) == 4


def test_a_word_model_has_a_loss_too():
    shape = BiLMConfig(lstm_dim=6, projection_dim=4, n_words=len(VOCAB))
    model = Objective(shape, len(VOCAB))
    forward, backward, _ = model.loss(sentence_batch(SENTENCES, Encoder(VOCAB, None)), None, None)
    assert 0 < forward.item() < 10
    assert 0 < backward.item() < 10
