"""Elmo: a sentence has the same vectors in any company, in the shapes that were promised."""

import copy
import importlib.util
import logging
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import relmo
from relmo.elmo.model import BOX, Elmo
from relmo.errors import ConfigError, FormatError, InputError
from relmo.formats.checkpoint import Checkpoint
from relmo.nn.softmax import stored
from relmo.text.vocab import Vocabulary
from tests.nn.helpers import SENTENCES, config, tiny_bilm, tiny_elmo

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
tokens = st.one_of(
    st.sampled_from(["the", "cat", "<S>", "</S>", "<UNK>", "", "x" * 10_000, "\udcff", "é" * 25]),
    st.text(st.characters(), max_size=12),  # lone surrogates too
)
some_sentences = st.lists(st.lists(tokens, max_size=6), max_size=6)


@pytest.fixture(scope="module")
def elmo() -> Elmo:
    return tiny_elmo()


@pytest.fixture(scope="module")
def unchecked() -> Iterator[type[Elmo]]:
    """Elmo as users have it, without the checks of types, which see a wrong argument first."""
    spec = importlib.util.spec_from_file_location("unchecked_model", relmo.elmo.model.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module.Elmo
    del sys.modules[spec.name]


def assert_same(actual: list[np.ndarray], expected: list[np.ndarray], **tolerance: float) -> None:
    assert [array.shape for array in actual] == [array.shape for array in expected]
    for a, b in zip(actual, expected, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, **(tolerance or CLOSE))


# --- the same vectors, whatever the company -------------------------------------------------------


@settings(max_examples=20)
@given(some_sentences, st.randoms(), st.sampled_from([1, 7, 30, 10_000]))
def test_a_sentence_has_the_same_vectors_in_any_batch_and_order(
    sentences: list[list[str]], random: Any, budget: int
):
    elmo = tiny_elmo()
    alone = [elmo.embed([sentence], "all")[0] for sentence in sentences]
    order = random.sample(range(len(sentences)), len(sentences))
    shuffled = [sentences[number] for number in order]
    expected = [alone[number] for number in order]
    assert_same(elmo.embed(shuffled, "all", token_budget=budget), expected)
    assert_same(elmo.embed(sentences, "all"), alone)
    fresh = tiny_elmo(token_budget=budget, cache_size=3)
    assert_same(fresh.embed(shuffled, "all"), expected)
    assert_same(fresh.embed(shuffled, "all"), expected)


def test_the_same_call_twice_gives_the_same_numbers(elmo: Elmo):
    assert_same(elmo.embed(SENTENCES), elmo.embed(SENTENCES), rtol=0, atol=0)


def test_a_string_is_split_on_white_space(elmo: Elmo):
    strings = ["The cat\tsat .", "  x \n y ", "", " "]
    lists = [["The", "cat", "sat", "."], ["x", "y"], [], []]
    assert_same(elmo.embed(strings), elmo.embed(lists))


def test_tuples_arrays_and_generators_are_sentences_too(elmo: Elmo):
    expected = elmo.embed([["The", "cat"], ["sat"]])
    assert_same(elmo.embed((("The", "cat"), ("sat",))), expected)
    assert_same(elmo.embed(iter([["The", "cat"], ["sat"]])), expected)
    assert_same(elmo.embed(np.array(["The cat", "sat"]).tolist()), expected)


def test_a_word_in_another_context_has_another_vector_but_the_same_token(elmo: Elmo):
    first, second = elmo.embed([["the", "cat", "sat"], ["a", "cat"]], "all")
    np.testing.assert_allclose(first[0, 1], second[0, 1], **CLOSE)
    assert np.abs(first[1:, 1] - second[1:, 1]).max() > 0.01


def test_a_token_of_ten_thousand_characters_is_its_first_bytes(elmo: Elmo):
    long, cut = elmo.embed([["a", "é" * 10_000], ["a", "é" * 24]], "all")
    np.testing.assert_allclose(long, cut, **CLOSE)


# --- shapes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_layers", [1, 3])
def test_shapes_are_tokens_by_dim_and_all_layers_before_them(n_layers: int):
    elmo = tiny_elmo(n_layers=n_layers)
    assert (elmo.n_layers, elmo.dim) == (n_layers + 1, 10)
    for sentence, average, layers in zip(
        SENTENCES, elmo.embed(SENTENCES), elmo.embed(SENTENCES, "all"), strict=True
    ):
        assert average.shape == (len(sentence), 10)
        assert layers.shape == (n_layers + 1, len(sentence), 10)
        assert average.dtype == layers.dtype == np.float32


def test_no_sentences_give_no_vectors(elmo: Elmo):
    assert elmo.embed([]) == []
    assert elmo.encode([]).shape == (0, 10)
    assert elmo.encode([], "all").shape == (0, 3, 10)


def test_an_empty_sentence_has_no_rows(elmo: Elmo):
    assert [array.shape for array in elmo.embed([[], ""])] == [(0, 10)] * 2
    assert elmo.embed([[]], "all")[0].shape == (3, 0, 10)


def test_an_array_that_is_kept_does_not_keep_its_batch(elmo: Elmo):
    assert all(array.base is None for array in elmo.embed(SENTENCES, "all"))


@pytest.mark.parametrize(
    ("layers", "combine"),
    [
        ("average", lambda a: a.mean(0)),
        ("top", lambda a: a[2]),
        ("token", lambda a: a[0]),
        (0, lambda a: a[0]),
        (1, lambda a: a[1]),
        (-1, lambda a: a[2]),
        (-3, lambda a: a[0]),
        (np.int64(1), lambda a: a[1]),
        ([0.2, 0.5, 0.3], lambda a: 0.2 * a[0] + 0.5 * a[1] + 0.3 * a[2]),
        ((0, 0, 1), lambda a: a[2]),
        ([-1.0, 0.0, 2.5], lambda a: 2.5 * a[2] - a[0]),
    ],
    ids=lambda value: None if callable(value) else repr(value),
)
def test_layers_are_combined_as_asked(layers: Any, combine: Any, unchecked: type[Elmo]):
    elmo = unchecked(tiny_bilm())
    every = elmo.embed(SENTENCES, "all")
    assert_same(elmo.embed(SENTENCES, layers), [combine(array) for array in every])


def test_the_token_layer_is_one_vector_twice(elmo: Elmo):
    for array in elmo.embed(SENTENCES, "token"):
        np.testing.assert_array_equal(array[:, :5], array[:, 5:])


@pytest.mark.parametrize("layers", ["average", "all", 1])
def test_encode_is_the_mean_over_real_tokens_and_zeros_without_any(elmo: Elmo, layers: Any):
    encoded = elmo.encode(SENTENCES, layers)
    assert encoded.dtype == np.float32
    assert encoded.shape == ((len(SENTENCES), 3, 10) if layers == "all" else (len(SENTENCES), 10))
    for sentence, vector, array in zip(
        SENTENCES, encoded, elmo.embed(SENTENCES, layers), strict=True
    ):
        if sentence:
            np.testing.assert_allclose(vector, array.mean(axis=-2), **CLOSE)
        else:
            np.testing.assert_array_equal(vector, 0)


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", ["bottom", 3, -4, [0.5, 0.5], [], None, ["a", "b", "c"], 1.5])
def test_layers_that_are_not_there_are_an_error(layers: Any, unchecked: type[Elmo]):
    elmo = unchecked(tiny_bilm())
    for call in (elmo.embed, elmo.embed_stream, elmo.encode):
        with pytest.raises(InputError, match=r"^layers: expected "):
            call([["a"]], layers)


def test_one_string_for_many_sentences_is_an_error(elmo: Elmo):
    for call in (elmo.embed, elmo.embed_stream, elmo.encode):
        with pytest.raises(InputError, match="give a list of sentences"):
            call("The cat")


@pytest.mark.parametrize("token", [3, None, b"cat", ["cat"]])
def test_a_token_that_is_no_string_is_an_error(token: Any, unchecked: type[Elmo]):
    elmo = unchecked(tiny_bilm())
    message = f"sentence 1: expected tokens of type str, got {type(token).__name__}"
    with pytest.raises(InputError, match=message):
        elmo.embed([["a"], ["the", token]])


@pytest.mark.parametrize("budget", [0, -5])
def test_a_budget_below_one_is_an_error(elmo: Elmo, budget: int):
    with pytest.raises(InputError, match=f"token_budget must be at least 1, got {budget}"):
        elmo.embed_stream([["a"]], token_budget=budget)


# --- what is said ---------------------------------------------------------------------------------


def test_marks_and_cut_tokens_are_said_once_each(caplog: pytest.LogCaptureFixture):
    elmo = tiny_elmo()
    with caplog.at_level(logging.WARNING, "relmo"):
        elmo.embed([["the", "cat"], ["x" * 48], ["<s>"], ["<UNK>"]])
        assert caplog.messages == []
        for _ in range(2):
            elmo.embed([["a", "<S>"], ["</S>"], ["x" * 49, "y" * 10_000], ["z" * 50]])
    assert sorted(caplog.messages) == [
        "the token '<S>' is read as a boundary token (said once)",
        f"tokens longer than 48 bytes are cut to them, e.g. '{'x' * 49}' (said once)",
    ]


def test_a_token_shown_in_a_message_is_short(caplog: pytest.LogCaptureFixture):
    tiny_elmo().embed([["\ud800" + "x" * 10_000]])
    assert len(caplog.messages) == 1
    assert len(caplog.messages[0]) < 150


# --- files, copies, devices -----------------------------------------------------------------------


def test_saved_and_loaded_a_model_gives_the_same_vectors(tmp_path: Path):
    vocab, bilm = Vocabulary(["</S>", "<S>", "<UNK>", "cat"]), tiny_bilm()
    softmax = {"weight": torch.randn(4, 5), "bias": torch.randn(4)}
    elmo = Elmo(bilm, vocab=vocab, softmax=softmax)
    elmo.save(tmp_path / "model")
    loaded = relmo.load(tmp_path / "model")
    assert_same(loaded.embed(SENTENCES, "all"), elmo.embed(SENTENCES, "all"), rtol=0, atol=0)
    assert (loaded.config, loaded.vocab) == (elmo.config, vocab)
    assert loaded.softmax is not None
    assert all(
        torch.equal(stored(loaded.softmax)[name], tensor) for name, tensor in softmax.items()
    )
    assert loaded.checkpoint_info is not None
    assert loaded.checkpoint_info.format == "relmo"
    assert loaded.checkpoint_info.source == tmp_path / "model"


def test_saving_does_not_touch_what_stands_there(tmp_path: Path, elmo: Elmo):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError):
        elmo.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.skipif(not (BOX / "config.json").exists(), reason="no model in the box yet")
def test_without_arguments_the_model_in_the_box_is_loaded():
    elmo = relmo.load()
    (vectors,) = elmo.embed(["The cat sat ."])
    assert vectors.shape == (4, elmo.dim)


def test_tensors_that_do_not_fit_the_configuration_are_named():
    tensors = dict(tiny_bilm().state_dict())
    del tensors["forward_lstm.layers.1.bias"]
    checkpoint = Checkpoint(config=config(), tensors=tensors, format="x", source=Path("y"))
    with pytest.raises(FormatError, match=r"forward_lstm\.layers\.1\.bias"):
        Elmo.from_checkpoint(checkpoint)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda elmo: pickle.loads(pickle.dumps(elmo))])
def test_a_copy_of_a_used_model_gives_the_same_vectors_and_is_its_own(clone: Any):
    elmo = tiny_elmo()
    expected = elmo.embed(SENTENCES)
    copied = clone(elmo)
    assert_same(copied.embed(SENTENCES), expected, rtol=0, atol=0)
    with torch.no_grad():
        for parameter in copied.bilm.parameters():
            parameter.mul_(2)
    assert np.abs(copied.embed([["cat"]])[0] - elmo.embed([["cat"]])[0]).max() > 0.01
    assert_same(elmo.embed(SENTENCES), expected, rtol=0, atol=0)


def test_to_moves_the_network_and_gives_the_model_back():
    elmo = tiny_elmo()
    expected = elmo.embed(SENTENCES)
    assert elmo.to("cpu") is elmo
    assert elmo.device == torch.device("cpu")
    assert_same(elmo.embed(SENTENCES), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_the_vectors_are_the_same():
    elmo = tiny_elmo()
    expected = elmo.embed(SENTENCES, "all")
    assert_same(elmo.to("cuda").embed(SENTENCES, "all"), expected, rtol=1e-3, atol=1e-3)
    assert_same(elmo.to("cpu").embed(SENTENCES, "all"), expected)


# --- word-input models ----------------------------------------------------------------------------


def test_a_word_model_reads_unknown_words_as_unk():
    elmo = tiny_elmo(n_words=9)
    known, unknown = elmo.embed([["w4", "<UNK>", "w8"], ["w4", "zebra", "w8"]], "all")
    np.testing.assert_allclose(known, unknown, **CLOSE)
    table = elmo.bilm.state_dict()["token_encoder.embedding"]
    np.testing.assert_array_equal(known[0, :, :5], table[[4, 2, 8]])


def test_a_word_model_without_unk_has_zeros_for_unknown_words(caplog: pytest.LogCaptureFixture):
    vocab = Vocabulary(["<S>", "</S>", "a", "b"])
    elmo = Elmo(tiny_bilm(n_words=4), vocab=vocab)
    with caplog.at_level(logging.WARNING, "relmo"):
        for _ in range(2):
            layers = elmo.embed([["a", "zebra", "b"]], "all")[0]
    np.testing.assert_array_equal(layers[0, 1], 0)
    assert (layers[0, [0, 2]] != 0).all()
    assert caplog.messages == [
        "words that are not in the vocabulary have zero vectors, e.g. 'zebra' (said once)"
    ]


@pytest.mark.parametrize("vocab", [None, Vocabulary(["a", "b"])])
def test_a_word_model_needs_its_words(vocab: Vocabulary | None):
    with pytest.raises(ConfigError, match="a word-input model of 4 words needs a vocabulary"):
        Elmo(tiny_bilm(n_words=4), vocab=vocab)


# --- gradients ------------------------------------------------------------------------------------


def test_a_model_is_frozen_and_stays_so():
    elmo = tiny_elmo()
    elmo.embed(SENTENCES)
    assert not any(parameter.requires_grad for parameter in elmo.bilm.parameters())
    assert not elmo.bilm.training


def test_a_model_that_is_being_trained_still_embeds():
    elmo = tiny_elmo()
    expected = elmo.embed(SENTENCES)
    elmo.bilm.requires_grad_(True)
    assert_same(elmo.embed(SENTENCES), expected)


@pytest.mark.parametrize(
    "make",
    [
        lambda: tiny_elmo(),
        lambda: copy.deepcopy(tiny_elmo()),
        lambda: pickle.loads(pickle.dumps(tiny_elmo())),
    ],
    ids=["built", "copied", "unpickled"],
)
def test_a_model_made_in_inference_mode_embeds_in_it_and_outside(make: Callable[[], Elmo]):
    expected = tiny_elmo().embed(SENTENCES)
    with torch.inference_mode():
        elmo = make()
        assert_same(elmo.embed(SENTENCES), expected)
    for _ in range(2):
        assert_same(elmo.embed(SENTENCES), expected)
    with torch.inference_mode():
        for parameter in elmo.bilm.parameters():
            parameter.mul_(0.5)
    assert not np.allclose(elmo.embed(SENTENCES)[0], expected[0])


def test_weights_that_are_not_numbers_are_kept_in_the_caches():
    elmo = tiny_elmo()
    elmo.bilm.requires_grad_(True)  # trained weights are read through
    with torch.no_grad():
        elmo.bilm.token_encoder.projection.bias[0] = torch.nan
    elmo.embed(SENTENCES)
    rows, packed = elmo.tokens._rows, elmo.bilm.forward_lstm.layers[0].packed()
    elmo.embed(SENTENCES)
    assert elmo.tokens._rows is rows
    assert elmo.bilm.forward_lstm.layers[0].packed() is packed


def test_inference_mode_leaves_the_model_usable(tmp_path: Path):
    tiny_elmo().save(tmp_path / "model")
    expected = tiny_elmo().embed(SENTENCES)
    with torch.inference_mode():
        elmo = relmo.load(tmp_path / "model")
        assert_same(elmo.embed(SENTENCES[:2]), expected[:2])
    assert_same(elmo.embed(SENTENCES), expected)
    with torch.inference_mode():
        assert_same(elmo.embed(SENTENCES), expected)
