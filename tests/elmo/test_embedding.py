"""ElmoEmbedding: learned mixes of the layers, padded; the biLM frozen unless asked."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from relmo.elmo.embedding import ElmoEmbedding, ElmoEmbeddingOutput
from relmo.elmo.model import Elmo
from relmo.errors import ConfigError, InputError
from relmo.nn import kernels, lstm, packing
from relmo.text.chars import BOS_TOKEN, EOS_TOKEN
from relmo.text.vocab import Vocabulary
from tests.nn.helpers import SENTENCES, tiny_elmo

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def embedding(elmo: Elmo | None = None, **settings: Any) -> ElmoEmbedding:
    """With mixes that differ from each other and from the mean."""
    module = ElmoEmbedding(elmo or tiny_elmo(), **{"dropout": 0.0, **settings})
    with torch.no_grad():
        for number, mix in enumerate(module.mixtures):
            mix.weights.copy_(torch.tensor([0.3, -1.0, 2.0]) + number)
            mix.weights[number % 3] += 1
            mix.gamma.fill_(1.5 + number)
    return module


def expected_mix(module: ElmoEmbedding, number: int, sentences: Any) -> list[np.ndarray]:
    mix = module.mixtures[number]
    weights = (mix.gamma * torch.softmax(mix.weights, 0)).tolist()
    return module.elmo.embed(sentences, weights)


def assert_padded(output: ElmoEmbeddingOutput, number: int, expected: list[np.ndarray]) -> None:
    mixture, mask = output.mixtures[number].detach().numpy(), output.mask.numpy()
    longest = max(map(len, expected), default=0)
    assert mixture.shape == (len(expected), longest, 10)
    assert mask.shape == (len(expected), longest)
    for row, alive, array in zip(mixture, mask, expected, strict=True):
        assert alive.tolist() == [True] * len(array) + [False] * (longest - len(array))
        np.testing.assert_allclose(row[: len(array)], array, **CLOSE)
        np.testing.assert_array_equal(row[len(array) :], 0)


def test_each_mix_is_the_layers_so_weighted_padded_with_zeros():
    module = embedding(n_mixtures=3)
    output = module(SENTENCES)
    assert len(output.mixtures) == 3
    for number in range(3):
        assert_padded(output, number, expected_mix(module, number, SENTENCES))
    assert not torch.allclose(output.mixtures[0], output.mixtures[1])


words = st.sampled_from(["the", "cat", "<S>", "é" * 60, "", "\ud800"])


@settings(max_examples=25)
@given(st.lists(st.lists(words, max_size=5), max_size=5))
def test_any_batch_is_padded_as_it_should_be(sentences: list[list[str]]):
    module = embedding()
    assert_padded(module(sentences), 0, expected_mix(module, 0, sentences))


def test_a_string_is_split_on_white_space():
    module = embedding()
    a, b = module(["The cat", " sat\n"]), module([["The", "cat"], ["sat"]])
    assert torch.equal(a.mixtures[0], b.mixtures[0])
    assert torch.equal(a.mask, b.mask)


@pytest.mark.parametrize(("sentences", "batch"), [([], 0), ([[]], 1), (["", []], 2)])
@pytest.mark.parametrize("fine_tune", [False, True])
def test_without_any_token_there_are_no_columns(sentences: Any, batch: int, fine_tune: bool):
    output = embedding(n_mixtures=2, fine_tune=fine_tune)(sentences)
    assert [tuple(mixture.shape) for mixture in output.mixtures] == [(batch, 0, 10)] * 2
    assert (output.mask.shape, output.mask.dtype) == ((batch, 0), torch.bool)


def test_one_string_for_many_sentences_is_an_error():
    with pytest.raises(InputError, match="give a list of sentences"):
        embedding()("The cat")


@pytest.mark.parametrize("n", [0, -1])
def test_fewer_than_one_mix_is_an_error(n: int):
    with pytest.raises(ConfigError, match=f"n_mixtures must be at least 1, got {n}"):
        ElmoEmbedding(tiny_elmo(), n_mixtures=n)


def test_layer_norm_is_over_the_real_tokens_of_the_batch():
    module = embedding(layer_norm=True)
    flat = np.concatenate(module.elmo.embed(SENTENCES, "all"), axis=1)  # (3, tokens, 10)
    normal = (flat - flat.mean((1, 2), keepdims=True)) / flat.std((1, 2), keepdims=True)
    mix = module.mixtures[0]
    shares = (mix.gamma * torch.softmax(mix.weights, 0)).detach().numpy()
    output = module(SENTENCES)
    expected = np.einsum("k,ktd->td", shares, normal)
    np.testing.assert_allclose(output.mixtures[0][output.mask].detach(), expected, **CLOSE)


def test_dropout_falls_on_the_mix_in_training_mode_only():
    module = embedding(dropout=0.5)
    calm = module.eval()(SENTENCES).mixtures[0]
    torch.manual_seed(0)
    dropped = module.train()(SENTENCES).mixtures[0]
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], 2 * calm[kept])
    assert 0.3 < kept[calm != 0].float().mean() < 0.7
    torch.testing.assert_close(calm, embedding()(SENTENCES).mixtures[0])


def test_the_penalty_is_the_sum_over_all_mixes():
    module = embedding(n_mixtures=2)
    expected = sum(mix.weights.square().sum() for mix in module.mixtures)
    torch.testing.assert_close(module.penalty(), expected)


# --- frozen ---------------------------------------------------------------------------------------


def test_frozen_only_the_mixes_are_learned_and_stored():
    module = embedding(n_mixtures=2)
    names = ["mixtures.0.weights", "mixtures.0.gamma", "mixtures.1.weights", "mixtures.1.gamma"]
    assert [name for name, _ in module.named_parameters()] == names
    assert list(module.state_dict()) == names
    module(SENTENCES).mixtures[1].square().sum().backward()
    assert all(p.grad is not None for p in module.mixtures[1].parameters())
    assert all(p.grad is None for p in module.elmo.bilm.parameters())


def test_frozen_the_bilm_is_left_alone_by_train_and_by_another_that_fine_tunes():
    elmo = tiny_elmo()
    embedding(elmo, fine_tune=True)
    module = embedding(elmo).train()
    module(SENTENCES).mixtures[0].sum().backward()
    assert all(parameter.grad is None for parameter in elmo.bilm.parameters())


def test_the_gradient_of_a_mix_is_that_of_equation_1():
    module = embedding(layer_norm=False)
    layers = [torch.from_numpy(a) for a in module.elmo.embed(SENTENCES, "all")]
    flat = torch.cat(layers, dim=1)  # (3, tokens, 10)
    mix = copy.deepcopy(module.mixtures[0])
    mix(list(flat)).square().sum().backward()
    module(SENTENCES).mixtures[0].square().sum().backward()
    torch.testing.assert_close(module.mixtures[0].weights.grad, mix.weights.grad)
    torch.testing.assert_close(module.mixtures[0].gamma.grad, mix.gamma.grad)


def test_a_state_dict_goes_there_and_back():
    module, other = embedding(n_mixtures=2), ElmoEmbedding(tiny_elmo(), 2, 0.0)
    assert not torch.allclose(module(SENTENCES).mixtures[0], other(SENTENCES).mixtures[0])
    other.load_state_dict(module.state_dict())
    for a, b in zip(module(SENTENCES).mixtures, other(SENTENCES).mixtures, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("fine_tune", [False, True])
def test_moved_or_cast_the_bilm_comes_along(fine_tune: bool):
    module = embedding(fine_tune=fine_tune)
    expected = module(SENTENCES).mixtures[0]
    module.double()
    assert all(parameter.dtype == torch.float64 for parameter in module.elmo.bilm.parameters())
    found = module(SENTENCES).mixtures[0]
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), expected, **CLOSE)
    assert module.to("cpu")(SENTENCES).mask.any()


CASTS_AND_MOVES: list[Callable[[ElmoEmbedding], object]] = [
    lambda layer: layer.half(),
    lambda layer: layer.bfloat16(),
    lambda layer: layer.double(),
    lambda layer: layer.to("meta"),
]


@pytest.mark.parametrize("change", CASTS_AND_MOVES)
def test_a_layer_that_is_cast_or_moved_leaves_the_model_and_its_other_layers_alone(change: Any):
    elmo = tiny_elmo()
    expected = elmo.embed(SENTENCES)
    first, second = embedding(elmo), embedding(elmo)
    assert first.elmo is elmo
    assert second.elmo is elmo
    change(first)
    assert first.elmo is not elmo
    assert {p.dtype for p in elmo.bilm.parameters()} == {torch.float32}
    for found, right in zip(elmo.embed(SENTENCES), expected, strict=True):
        np.testing.assert_array_equal(found, right)
    assert second.elmo is elmo
    assert_padded(second(SENTENCES), 0, expected_mix(second, 0, SENTENCES))
    if first.elmo.device.type == "cpu":
        one, other = first(SENTENCES).mixtures[0], second(SENTENCES).mixtures[0]
        torch.testing.assert_close(one.float(), other, rtol=0.05, atol=0.05)


def test_a_layer_that_stays_what_it_is_shares_the_model_and_its_words():
    elmo = tiny_elmo()
    layer = embedding(elmo)
    layer(SENTENCES)
    n_words = len(elmo.tokens)
    layer.float().to("cpu").cpu()
    assert layer.elmo is elmo
    assert len(elmo.tokens) == n_words


def test_a_converted_model_keeps_all_that_belongs_to_it(tmp_path: Path):
    elmo = tiny_elmo(token_budget=100, cache_size=7, n_words=9)
    elmo.save_token_vectors(tmp_path / "vectors.hdf5", ["w3", "zebra"])
    elmo.load_token_vectors(tmp_path / "vectors.hdf5", Vocabulary(["w3", "zebra"]))
    other = ElmoEmbedding(elmo).double().elmo
    assert (other.token_budget, other.tokens.capacity, other.vocab) == (100, 7, elmo.vocab)
    sentences = [["w3", "zebra", "w4"]]
    np.testing.assert_allclose(other.embed(sentences)[0], elmo.embed(sentences)[0], **CLOSE)
    shared = ElmoEmbedding(elmo, fine_tune=True).double()
    assert shared.elmo is elmo  # trained, it is a submodule, cast for all


def test_a_layer_follows_a_model_that_others_cast():
    elmo = tiny_elmo()
    frozen = embedding(elmo)
    expected = frozen(SENTENCES).mixtures[0]
    embedding(elmo, fine_tune=True).double()
    found = frozen(SENTENCES).mixtures[0]
    assert found.dtype == torch.float32  # that of its own mix
    torch.testing.assert_close(found, expected, **CLOSE)


@pytest.mark.parametrize("cast", [nn.Module.float, nn.Module.double, nn.Module.bfloat16])
@pytest.mark.parametrize("frozen_first", [True, False])
def test_a_frozen_layer_follows_a_model_that_is_trained_whatever_the_order_and_the_cast(
    cast: Callable[[nn.Module], object], frozen_first: bool
):
    elmo = tiny_elmo()
    layers = [embedding(elmo), embedding(elmo, fine_tune=True)]
    frozen, tuned = layers
    cast(nn.ModuleList(layers if frozen_first else layers[::-1]))
    assert frozen.elmo is elmo
    assert tuned.elmo is elmo
    with torch.no_grad():
        before = frozen(SENTENCES).mixtures[0]
        next(elmo.bilm.parameters()).add_(1)
        found = frozen(SENTENCES).mixtures[0]
        assert not torch.allclose(found, before)
        torch.testing.assert_close(found, tuned(SENTENCES).mixtures[0])
    elmo.bilm.requires_grad_(False)  # it is not trained any more
    assert frozen.half().elmo is not elmo


def test_a_copy_is_its_own():
    module = embedding(fine_tune=True)
    copied = copy.deepcopy(module)
    assert copied.elmo.bilm is copied.bilm
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.mul_(2)
    assert not torch.allclose(copied(SENTENCES).mixtures[0], module(SENTENCES).mixtures[0])
    torch.testing.assert_close(module(SENTENCES).mixtures[0], embedding()(SENTENCES).mixtures[0])


# --- fine-tuned -----------------------------------------------------------------------------------


def gradients(module: ElmoEmbedding, vectors: Tensor) -> dict[str, Tensor]:
    """By a fixed reading of the real tokens' vectors, (tokens, dim)."""
    reader = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(1))
    named = dict(module.named_parameters())
    found = torch.autograd.grad((vectors * reader).sum(), list(named.values()))
    return dict(zip(named, found, strict=True))


def plainly_mixed(module: ElmoEmbedding, layer_norm: bool) -> Tensor:
    """The same vectors, sentence by sentence and by equation 1 written out."""
    pieces = []
    for sentence in SENTENCES:
        marked = module.elmo.tokens.encode([BOS_TOKEN, *sentence, EOS_TOKEN])
        layers = module.elmo.bilm(marked, packing.pack([len(marked)])).layers
        pieces.append(torch.stack(layers)[:, 1:-1])
    flat = torch.cat(pieces, dim=1)  # (3, tokens, dim)
    if layer_norm:
        flat = (flat - flat.mean((1, 2), True)) / flat.std((1, 2), correction=0, keepdim=True)
    mix = module.mixtures[0]
    return mix.gamma * torch.einsum("k,ktd->td", torch.softmax(mix.weights, 0), flat)


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("shape", [{}, {"n_words": 9}, {"cell_clip": 0.3}], ids=repr)
def test_fine_tuned_every_parameter_has_the_gradient_of_plain_autograd(
    layer_norm: bool, shape: Any, monkeypatch: pytest.MonkeyPatch
):
    module = embedding(tiny_elmo(**shape), fine_tune=True, layer_norm=layer_norm)
    output = module(SENTENCES)
    found = gradients(module, output.mixtures[0][output.mask])
    assert sum(name.startswith("bilm.") for name in found) == len(module.elmo.bilm.state_dict())
    assert all(gradient.abs().max() > 0 for gradient in found.values())

    def plain(layer, *inputs):
        return kernels.plain, layer.weights()

    monkeypatch.setattr(lstm.LSTMLayer, "kernel", plain)
    expected = gradients(module, plainly_mixed(module, layer_norm))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_step_of_fine_tuning_moves_the_vectors_that_come_after():
    module = embedding(fine_tune=True)
    before = module.elmo.embed(SENTENCES)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module(SENTENCES).mixtures[0].square().mean().backward()
    optimizer.step()
    after = module.elmo.embed(SENTENCES)
    assert np.abs(after[0] - before[0]).max() > 1e-4
    assert_padded(module(SENTENCES), 0, expected_mix(module, 0, SENTENCES))


def averaged(module: ElmoEmbedding) -> None:
    """As a moving average of weights is swapped in."""
    for parameter in module.parameters():
        parameter.data.copy_(parameter.data * 0.5)


def test_weights_that_are_trained_may_be_written_through_data():
    module, fresh = embedding(fine_tune=True), embedding(fine_tune=True)
    with torch.no_grad():
        raw = module(SENTENCES).mixtures[0]
        averaged(module)
        found = module(SENTENCES).mixtures[0]
        averaged(fresh)
        torch.testing.assert_close(found, fresh(SENTENCES).mixtures[0])
    assert not torch.allclose(found, raw)


def test_trained_weights_that_change_places_through_data_are_noticed():
    module, fresh = embedding(fine_tune=True), embedding(fine_tune=True)
    with torch.no_grad():
        module(SENTENCES)
        for layer in (module, fresh):
            for parameter in layer.parameters():
                parameter.data.copy_(parameter.data.flip(0) if parameter.dim() else parameter)
        torch.testing.assert_close(module(SENTENCES).mixtures[0], fresh(SENTENCES).mixtures[0])


def test_of_frozen_weights_written_through_data_the_model_is_told():
    elmo, fresh = tiny_elmo(), tiny_elmo()
    elmo.embed(SENTENCES)
    for model in (elmo, fresh):
        for parameter in model.bilm.parameters():
            parameter.data.mul_(0.5)
    elmo.clear_cache()
    for found, right in zip(elmo.embed(SENTENCES), fresh.embed(SENTENCES), strict=True):
        np.testing.assert_allclose(found, right, **CLOSE)
