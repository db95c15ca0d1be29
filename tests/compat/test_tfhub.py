"""TF-Hub's interface: its signatures, outputs and shapes, on its golden and on a tiny model."""

from pathlib import Path

import numpy as np
import pytest
import torch

import relmo
from relmo.compat import tfhub
from relmo.elmo.model import Elmo
from relmo.errors import ConfigError, InputError
from tests.helpers import golden_layers, tiny_elmo

DOCUMENTS = ["the cat is on the mat", "dogs are in the fog"]
TOKENS = {
    "tokens": [
        ["the", "cat", "is", "on", "the", "mat"],
        ["dogs", "are", "in", "the", "fog", ""],
    ],
    "sequence_len": [6, 5],
}


@pytest.fixture
def module() -> tfhub.Module:
    return tfhub.Module(tiny_elmo(), trainable=True)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name, tensor in a.items():
        torch.testing.assert_close(tensor, b[name])


def test_the_golden_module_gives_the_originals_layers_and_mix(goldens: Path):
    module = tfhub.load(goldens / "tfhub_module")
    sentences, layers = golden_layers(goldens)
    powers = np.exp([0.3, -0.2, 0.1])
    shares = (1.7 * powers / powers.sum())[:, None, None]
    outputs = module([" ".join(sentence) for sentence in sentences], as_dict=True)
    close = {"rtol": 1e-6, "atol": 2e-6}
    for n, golden in enumerate(layers):
        length = golden.shape[1]
        mixed = (shares * golden).sum(0)
        found = {name: tensor[n, :length].numpy() for name, tensor in outputs.items()
                 if tensor.ndim == 3}  # fmt: skip
        np.testing.assert_allclose(found["word_emb"], golden[0, :, :16], **close)
        np.testing.assert_allclose(found["lstm_outputs1"], golden[1], **close)
        np.testing.assert_allclose(found["lstm_outputs2"], golden[2], **close)
        np.testing.assert_allclose(found["elmo"], mixed, **close)
        np.testing.assert_allclose(outputs["default"][n], mixed.mean(0), **close)


def test_the_outputs_have_tf_hubs_names_shapes_and_types(module: tfhub.Module):
    outputs = module(DOCUMENTS, signature="default", as_dict=True)
    assert {name: tuple(tensor.shape) for name, tensor in outputs.items()} == {
        "word_emb": (2, 6, 4),
        "lstm_outputs1": (2, 6, 8),
        "lstm_outputs2": (2, 6, 8),
        "elmo": (2, 6, 8),
        "default": (2, 8),
        "sequence_len": (2,),
    }
    assert outputs["sequence_len"].tolist() == [6, 5]
    assert outputs["sequence_len"].dtype == torch.int32


def test_both_signatures_and_both_ways_of_calling_are_one(module: tfhub.Module):
    outputs = module(DOCUMENTS, as_dict=True)
    same(module(TOKENS, signature="tokens", as_dict=True), outputs)
    same(module.signatures["default"](DOCUMENTS), outputs)
    same(module.signatures["tokens"](**TOKENS), outputs)
    same(module({"strings": np.array(DOCUMENTS, object)}, as_dict=True), outputs)
    arrays = {"tokens": np.array(TOKENS["tokens"]), "sequence_len": torch.tensor([6, 5])}
    same(module(arrays, "tokens", as_dict=True), outputs)
    torch.testing.assert_close(module(DOCUMENTS), outputs["default"])


def test_the_layers_are_those_of_embed(module: tfhub.Module):
    outputs = module(DOCUMENTS, as_dict=True)
    for n, layers in enumerate(module.elmo.embed(DOCUMENTS, layers="all")):
        length = layers.shape[1]
        torch.testing.assert_close(outputs["word_emb"][n, :length], torch.tensor(layers[0, :, :4]))
        torch.testing.assert_close(outputs["lstm_outputs2"][n, :length], torch.tensor(layers[2]))
        torch.testing.assert_close(outputs["elmo"][n, :length].detach(),
                                   torch.tensor(layers.mean(0)))  # fmt: skip


def test_padded_positions_are_zeros_and_what_is_in_them_is_not_looked_at(module: tfhub.Module):
    outputs = module(TOKENS, "tokens", as_dict=True)
    for name in ("word_emb", "lstm_outputs1", "lstm_outputs2", "elmo"):
        assert outputs[name][1, 5:].abs().sum() == 0
        assert outputs[name][1, :5].abs().amin(dim=1).min() > 0
    longer = {
        "tokens": [[*row, "more", "junk"] for row in TOKENS["tokens"]],
        "sequence_len": TOKENS["sequence_len"],
    }
    again = module(longer, "tokens", as_dict=True)
    assert again["elmo"].shape == (2, 8, 8)
    torch.testing.assert_close(again["elmo"][:, :6], outputs["elmo"])
    torch.testing.assert_close(again["default"], outputs["default"])


def test_strings_are_split_at_spaces_and_nothing_else(module: tfhub.Module):
    outputs = module(["a\tb  c\u3000d ", "", "  "], as_dict=True)
    assert outputs["sequence_len"].tolist() == [2, 0, 0]
    expected = module.elmo.embed([["a\tb", "c\u3000d"]])[0]
    torch.testing.assert_close(outputs["elmo"][0].detach(), torch.tensor(expected))
    assert outputs["default"][1:].abs().sum() == 0


def test_an_empty_token_within_the_length_is_a_token(module: tfhub.Module):
    outputs = module({"tokens": [["a", "", "b"]], "sequence_len": [3]}, "tokens", as_dict=True)
    expected = module.elmo.embed([["a", "", "b"]])[0]
    torch.testing.assert_close(outputs["elmo"][0].detach(), torch.tensor(expected))


@pytest.mark.parametrize(("documents", "time"), [([], 0), ([""], 0)])
def test_batches_without_a_token_have_their_shapes(
    documents: list[str], time: int, module: tfhub.Module
):
    outputs = module(documents, as_dict=True)
    assert outputs["elmo"].shape == (len(documents), time, 8)
    assert outputs["default"].shape == (len(documents), 8)
    assert tfhub.Module(tiny_elmo(), version=2)(documents).abs().sum() == 0


def test_a_document_is_the_same_alone_and_in_any_batch_but_for_version_2(goldens: Path):
    elmo = relmo.load(goldens / "tfhub_module")
    for version, is_same in ((3, True), (2, False), (1, False)):
        module = tfhub.Module(elmo, version=version)
        alone, together = module(DOCUMENTS[1:])[0], module(DOCUMENTS)[1]
        assert torch.allclose(alone, together, atol=1e-6) == is_same, version


def test_version_2_counts_the_vector_of_no_characters_at_padded_positions(goldens: Path):
    elmo = relmo.load(goldens / "tfhub_module")
    module = tfhub.Module(elmo, version=2)
    # Computed from the biases, as the original's encoder does for a row of zeros.
    encoder = elmo.bilm.token_encoder
    x = torch.relu(torch.cat([convolution.bias for convolution in encoder.convolutions]))
    for highway in encoder.highways:
        x = highway(x[None])[0]
    nothing = encoder.projection(x[None])[0]
    assert nothing.norm() == pytest.approx(0.31, abs=0.005)  # formats.md A.1.3
    outputs = module(DOCUMENTS, as_dict=True)
    share = torch.tensor([0.3, -0.2, 0.1]).softmax(0)[0] * 1.7
    expected = (outputs["elmo"][1].sum(0) + share * torch.cat([nothing, nothing])) / 6
    torch.testing.assert_close(outputs["default"][1], expected)
    torch.testing.assert_close(outputs["default"][0], outputs["elmo"][0].mean(0))


def test_four_scalars_train_and_start_as_those_of_the_module(goldens: Path):
    module = tfhub.Module(goldens / "tfhub_module", trainable=True)
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
    assert sum(p.numel() for p in trained.values()) == 4
    torch.testing.assert_close(module.weights.detach(), torch.tensor([0.3, -0.2, 0.1]))
    torch.testing.assert_close(module.scaling.detach(), torch.tensor(1.7))
    module(DOCUMENTS).square().sum().backward()
    assert module.weights.grad is not None
    assert module.weights.grad.abs().min() > 0
    assert not any(p.requires_grad for p in module.elmo.bilm.parameters())
    assert len(module.state_dict()) == 2


def test_without_trainable_nothing_trains_and_without_a_mix_it_is_the_average():
    module = tfhub.load(tiny_elmo())
    assert not any(p.requires_grad for p in module.parameters())
    assert not module(DOCUMENTS).requires_grad
    expected = module.elmo.encode(DOCUMENTS)
    torch.testing.assert_close(module(DOCUMENTS), torch.tensor(expected))


def test_fine_tuning_reaches_the_bilm():
    module = tfhub.Module(tiny_elmo(), version=2, fine_tune=True)
    module(DOCUMENTS).square().sum().backward()
    assert all(p.grad is not None for p in module.elmo.bilm.parameters())


def test_a_batch_larger_than_the_token_budget_is_computed_in_pieces(module: tfhub.Module):
    expected = module(DOCUMENTS, as_dict=True)
    module.elmo.token_budget = 8
    same(module(DOCUMENTS, as_dict=True), expected)


def test_a_url_or_a_name_of_tf_hub_says_the_version(monkeypatch: pytest.MonkeyPatch):
    asked = []

    def load(spec: str, device: object) -> Elmo:
        asked.append(spec)
        return tiny_elmo()

    monkeypatch.setattr(tfhub.model, "load", load)
    for spec, version in (
        ("https://tfhub.dev/google/elmo/2", 2),
        ("https://tfhub.dev/google/elmo/3?tf-hub-format=compressed", 3),
        ("google/elmo/1", 1),
        ("tfhub-2", 2),
        ("original", 3),
    ):
        assert tfhub.load(spec).version == version
        assert tfhub.load(spec, version=1).version == 1
        assert asked[-1] == spec


def test_the_arguments_of_tf_hub_that_need_nothing_here_are_accepted():
    plain = tfhub.Module(tiny_elmo(), True)
    named = tfhub.Module(tiny_elmo(), True, "elmo_module", tags=None)
    torch.testing.assert_close(named(DOCUMENTS, None, None), plain(DOCUMENTS))
    loaded = tfhub.load(tiny_elmo(), tags=None, options=None)
    torch.testing.assert_close(loaded(DOCUMENTS), plain(DOCUMENTS).detach())


@pytest.mark.parametrize(
    ("inputs", "signature", "message"),
    [
        (DOCUMENTS, "sentences", "signature: expected 'default' or 'tokens', got 'sentences'"),
        ("one string", "default", "strings: expected a list of strings, got 'one string'"),
        ([["a", "b"]], "default", r"strings\[0\]: expected a string, got \['a', 'b'\]"),
        ([b"bytes"], "default", r"strings\[0\]: expected a string, got b'bytes'"),
        ({"text": DOCUMENTS}, "default", "expected the key 'strings', got 'text'"),
        (DOCUMENTS, "tokens", "takes {'?\"?tokens"),
        ({"tokens": [["a"]]}, "tokens", "expected the key 'sequence_len', got 'tokens'"),
        ({"tokens": "a", "sequence_len": [1]}, "tokens", "tokens: expected lists of strings"),
        ({"tokens": ["a"], "sequence_len": [1]}, "tokens", r"tokens\[0\]: expected a list"),
        ({"tokens": [["a"], ["b", "c"]], "sequence_len": [1, 2]}, "tokens",
         r"tokens\[1\] has 2 tokens, expected 1 as the first row has; fill up with"),
        ({"tokens": [["a"]], "sequence_len": [2]}, "tokens", "expected 1 whole numbers of 0 to 1"),
        ({"tokens": [["a"]], "sequence_len": [-1]}, "tokens", "whole numbers of 0 to 1, got .-1"),
        ({"tokens": [["a"]], "sequence_len": [0.5]}, "tokens", "whole numbers"),
        ({"tokens": [["a"]], "sequence_len": ["1"]}, "tokens", "whole numbers"),
        ({"tokens": [["a"]], "sequence_len": [1, 1]}, "tokens", "expected 1 whole numbers"),
    ],
)  # fmt: skip
def test_inputs_of_another_kind(inputs: object, signature: str, message: str, module: tfhub.Module):
    with pytest.raises(InputError, match=message):
        module(inputs, signature)


def test_another_version_is_an_error():
    with pytest.raises(ConfigError, match="version: expected 1, 2 or 3, got 4"):
        tfhub.load(tiny_elmo(), version=4)
