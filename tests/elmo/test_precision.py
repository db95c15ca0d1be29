"""Every type of weights that torch computes in, autocast around the call, and what is kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.func import functional_call

from relmo.compat import allennlp, tfhub
from relmo.elmo.embedding import ElmoEmbedding
from relmo.elmo.language_model import LanguageModel
from relmo.elmo.model import Elmo
from relmo.errors import ConfigError, RelmoError
from relmo.nn.token_encoders import PAD, CharCNN
from relmo.nn.weight_cache import matmul_precision
from relmo.tasks.tagger import Tagger
from relmo.text.vocab import Vocabulary
from tests.helpers import tiny_elmo
from tests.nn.helpers import SENTENCES, char_config, lexicon_elmo
from tests.nn.helpers import tiny_elmo as varied_elmo
from tests.tasks import classifier_helpers

WORDS = ["</S>", "<S>", "<UNK>", "The", "cat", "sat", "on"]
HALF = [torch.float16, torch.bfloat16]
CLOSE = {
    torch.float16: {"rtol": 5e-3, "atol": 5e-3},
    torch.bfloat16: {"rtol": 5e-2, "atol": 5e-2},
    torch.float64: {"rtol": 1e-5, "atol": 1e-5},
}


def small() -> Elmo:
    return tiny_elmo(words=WORDS)


def representations(goldens: Path, **settings: Any) -> tuple[allennlp.Elmo, torch.Tensor]:
    files = [str(goldens / "allennlp" / name) for name in ("options.json", "lm_weights.hdf5")]
    elmo = allennlp.Elmo(*files, num_output_representations=1, dropout=0.0, **settings)
    return elmo, allennlp.batch_to_ids(SENTENCES[:1])


# --- autocast -------------------------------------------------------------------------------------


def vectors(elmo: Elmo) -> list[Any]:
    return elmo.embed(SENTENCES, "all")


def mixed(elmo: Elmo) -> list[Any]:
    mixture = ElmoEmbedding(elmo).eval()(SENTENCES).mixtures[0].detach()
    assert mixture.dtype == torch.float32
    return [mixture.numpy()]


def surprisal(elmo: Elmo) -> list[Any]:
    return [s.forward.surprisal for s in elmo.surprisal(SENTENCES)]


def carried(elmo: Elmo) -> list[Any]:
    found = LanguageModel(elmo).surprisal(SENTENCES, context="carried", ends=True)
    return [s.forward.surprisal for s in found]


def substitutes(elmo: Elmo) -> list[Any]:
    return [s.log_probabilities for s in elmo.substitutes(["The [cat] sat"], 4)]


def documents(elmo: Elmo) -> list[Any]:
    outputs = tfhub.Module(elmo, version=2)(["The cat sat", "on"], as_dict=True)
    assert isinstance(outputs, dict)
    return [outputs[name].detach().numpy() for name in ("word_emb", "elmo", "default")]


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("ask", [vectors, mixed, surprisal, carried, substitutes, documents])
def test_under_autocast_a_frozen_bilm_gives_the_same_numbers_and_afterwards_too(
    ask: Callable[[Elmo], list[Any]], dtype: torch.dtype
):
    expected = ask(small())
    elmo = small()
    with torch.autocast("cpu", dtype):
        first = ask(elmo)
    elmo.embed(["sat on the"])
    with torch.autocast("cpu", dtype):  # with words of both kinds
        again = ask(elmo)
    for found in (first, again, ask(elmo)):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", HALF)
def test_under_autocast_taggers_and_drop_ins_give_the_same_numbers(
    goldens: Path, dtype: torch.dtype
):
    tagger, classifier = Tagger.load("pos"), classifier_helpers.new(char_dim=8)
    elmo, ids = representations(goldens)
    expected = (
        tagger.predict(SENTENCES),
        classifier.predict(SENTENCES[:1]),
        elmo(ids)["elmo_representations"][0],
    )
    with torch.autocast("cpu", dtype):
        found = (
            tagger.predict(SENTENCES),
            classifier.predict(SENTENCES[:1]),
            elmo(ids)["elmo_representations"][0],
        )
    for one, other in zip(found[0], expected[0], strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=2e-3)  # layers in half precision
    probabilities = [list(answer[0].probabilities.values()) for answer in (found[1], expected[1])]
    np.testing.assert_allclose(*probabilities, atol=2e-3)
    torch.testing.assert_close(found[2], expected[2])


@pytest.mark.parametrize("dtype", HALF)
def test_under_autocast_a_bilm_is_trained_in_that_precision_and_read_in_its_own(
    dtype: torch.dtype,
):
    layer, exact = (ElmoEmbedding(small(), dropout=0.0, fine_tune=True) for _ in range(2))
    with torch.autocast("cpu", dtype):
        mixture = layer(SENTENCES).mixtures[0]
    assert mixture.dtype == torch.float32
    expected = exact(SENTENCES).mixtures[0]
    assert not torch.equal(mixture, expected)  # the products were cast
    torch.testing.assert_close(mixture, expected, **CLOSE[dtype])
    for found in (mixture, expected):
        found.square().sum().backward()
    for one, other in zip(layer.parameters(), exact.parameters(), strict=True):
        assert one.grad is not None
        size = other.grad.norm()
        assert (one.grad - other.grad).norm() < 0.1 * size + 1e-3
    with torch.no_grad():
        torch.testing.assert_close(layer(SENTENCES).mixtures[0], expected)


def test_autocast_is_as_it_was_after_a_call_and_between_two_of_a_stream():
    elmo = small()
    with torch.autocast("cpu", torch.bfloat16):
        stream = elmo.embed_stream(iter(SENTENCES * 3), token_budget=5)
        next(stream)
        assert torch.is_autocast_enabled("cpu")
        list(stream)
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu")


def test_words_are_not_kept_from_one_precision_of_matrix_products_to_another():
    elmo = small()
    elmo.embed(SENTENCES)
    before, setting = matmul_precision(), torch.get_float32_matmul_precision()
    rows = elmo.tokens._rows
    try:
        torch.set_float32_matmul_precision("medium")
        assert matmul_precision() != before
        elmo.embed(SENTENCES)
        assert elmo.tokens._rows is not rows
    finally:
        torch.set_float32_matmul_precision(setting)


# --- types of weights -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize(
    "make", [small, lambda: varied_elmo(n_words=9), lambda: lexicon_elmo("cnn"),
             lambda: lexicon_elmo("lstm")],
    ids=["characters", "words", "lexicon", "lexicon, LSTM"],
)  # fmt: skip
def test_a_model_of_any_floating_type_embeds(make: Callable[[], Elmo], dtype: torch.dtype):
    elmo = make()
    expected = elmo.embed(SENTENCES, "all")
    elmo.bilm.to(dtype)
    for found, right in zip(elmo.embed(SENTENCES, "all"), expected, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, right, **CLOSE[dtype])
    assert elmo.tokens._rows.dtype == dtype
    mixture = ElmoEmbedding(elmo).to(dtype).eval()(SENTENCES).mixtures[0]
    assert mixture.dtype == dtype
    elmo.bilm.float()
    for found, right in zip(elmo.embed(SENTENCES, "all"), expected, strict=True):
        np.testing.assert_allclose(found, right, **CLOSE[dtype])


@pytest.mark.parametrize("dtype", CLOSE)
def test_a_model_of_any_floating_type_is_fine_tuned(dtype: torch.dtype):
    layer = ElmoEmbedding(small(), dropout=0.0, layer_norm=True, fine_tune=True).to(dtype)
    short = [["The"] * n for n in range(1, 9)]  # several sentences in a row
    output = layer([*SENTENCES, *short]).mixtures[0]
    assert output.dtype == dtype
    output.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.dtype == dtype for p in layer.parameters())
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters())


@pytest.mark.parametrize("dtype", CLOSE)
def test_a_model_of_any_floating_type_is_a_language_model(dtype: torch.dtype):
    elmo = small()
    words = LanguageModel(elmo)

    def answers() -> list[Any]:
        top = next(iter(words.top(SENTENCES[:1], 3))).forward.log_probabilities
        return [*surprisal(elmo), *carried(elmo), *substitutes(elmo), top]

    expected = answers()
    elmo.bilm.to(dtype)
    for found, right in zip(answers(), expected, strict=True):
        np.testing.assert_allclose(found, right, rtol=0.1, atol=0.1)
    elmo.bilm.to(torch.float32)
    exact = tiny_elmo(words=WORDS)
    exact.bilm.to(dtype).float()  # the weights were rounded, the softmax was not
    expected = [s.forward.surprisal for s in LanguageModel(exact).surprisal(SENTENCES)]
    for found, right in zip(words.surprisal(SENTENCES), expected, strict=True):
        np.testing.assert_allclose(found.forward.surprisal, right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("settings", [{}, {"requires_grad": True}, {"stateful": True}], ids=repr)
def test_drop_ins_of_any_floating_type_work(
    goldens: Path, settings: dict[str, Any], dtype: torch.dtype
):
    elmo, ids = representations(goldens, **settings)
    expected = representations(goldens)[0](ids)["elmo_representations"][0]
    found = elmo.to(dtype)(ids)["elmo_representations"][0]
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, **CLOSE[dtype])
    for version in (2, 3):
        module = tfhub.Module(small(), version=version).to(dtype)
        outputs = module(["The cat sat", "on"], as_dict=True)
        assert {t.dtype for name, t in outputs.items() if name != "sequence_len"} == {dtype}


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64])
@pytest.mark.parametrize("fine_tune", [False, True])
@pytest.mark.filterwarnings("ignore:Complex modules")
def test_any_other_type_is_refused_by_name(fine_tune: bool, dtype: torch.dtype, goldens: Path):
    layer = ElmoEmbedding(small(), fine_tune=fine_tune).to(dtype)
    elmo, ids = representations(goldens)
    asked: list[Callable[[], object]] = [
        lambda: layer(SENTENCES),
        lambda: layer.elmo.embed(SENTENCES),
        lambda: layer.elmo.embed([]) or layer.elmo.embed([[]]),
        lambda: layer.elmo.surprisal(SENTENCES),
        lambda: elmo.to(dtype)(ids),
    ]
    for ask in asked:
        with pytest.raises(ConfigError, match=f"weights are {dtype}, expected one of"):
            ask()
    with pytest.raises(RelmoError, match=str(dtype)):
        layer.elmo.save("nowhere")


def test_vectors_read_from_a_file_are_not_rounded_for_good(tmp_path: Path):
    elmo = small()
    elmo.save_token_vectors(tmp_path / "vectors.hdf5", ["The", "cat"])
    elmo.load_token_vectors(tmp_path / "vectors.hdf5", Vocabulary(["The", "cat"]))
    expected = elmo.token_vectors(["cat", "sat"])
    elmo.bilm.half()
    assert elmo.token_vectors(["cat", "sat"]).dtype == torch.float16
    elmo.bilm.float()
    found = elmo.token_vectors(["cat", "sat"])
    assert torch.equal(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1], **CLOSE[torch.float16])


def test_a_token_without_characters_is_what_zero_vectors_of_characters_give():
    for activation in ("relu", "tanh"):
        encoder = varied_elmo(char_cnn=char_config(activation=activation)).bilm.token_encoder
        assert isinstance(encoder, CharCNN)
        ids = torch.full((1, encoder.config.max_characters_per_token), PAD)
        blank = {"char_embedding": torch.zeros_like(encoder.char_embedding)}
        torch.testing.assert_close(
            encoder.without_characters(), functional_call(encoder, blank, (ids,))
        )
