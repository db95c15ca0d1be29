"""Token vectors of a fixed vocabulary: the golden, there and back, and models that live on them."""

import json
import logging
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import relmo
from relmo.elmo.model import Elmo
from relmo.errors import FormatError, InputError
from relmo.formats import token_embeddings
from relmo.text.vocab import Vocabulary
from tests.formats.helpers import save_random
from tests.helpers import tiny_elmo

WORDS = ["<S>", "</S>", "<UNK>", "cat", "naïve", "x" * 70]


@pytest.fixture(scope="module")
def golden(goldens: Path) -> Path:
    return goldens / "allennlp"


def with_characters(golden: Path) -> Elmo:
    return relmo.load(options=golden / "options.json", weights=golden / "lm_weights.hdf5")


def without_characters(golden: Path, tmp_path: Path) -> Elmo:
    """The golden model as bilm-tf runs it on cached token vectors."""
    options = json.loads((golden / "options.json").read_text())
    del options["char_cnn"]
    (tmp_path / "options.json").write_text(json.dumps(options))
    return relmo.load(
        options=tmp_path / "options.json",
        weights=golden / "lm_weights.hdf5",
        token_embeddings=golden / "elmo_token_embeddings.hdf5",
        vocab=golden / "vocab_test.txt",
    )


def sentences(golden: Path) -> list[list[str]]:
    return [line.split() for line in json.loads((golden / "sentences.json").read_text())[0]]


def test_the_layers_from_cached_vectors_are_those_from_characters(golden: Path, tmp_path: Path):
    elmo = with_characters(golden)
    expected = elmo.embed(sentences(golden), "all")
    elmo.load_token_vectors(golden / "elmo_token_embeddings.hdf5", golden / "vocab_test.txt")
    words = without_characters(golden, tmp_path)
    assert (words.config.char_cnn, words.config.n_words) == (None, 458)
    known = set((golden / "vocab_test.txt").read_text().split())
    assert {word for sentence in sentences(golden) for word in sentence} <= known
    first = np.load(golden / "zero_state_layers.npz")["0_0"]
    for model in (elmo, words):
        found = model.embed(sentences(golden), "all")
        np.testing.assert_allclose(found[0], first, rtol=2.5e-7, atol=2e-6)
        for layers, others in zip(found, expected, strict=True):
            np.testing.assert_allclose(layers, others, rtol=2.5e-7, atol=2e-6)
        with h5py.File(golden / "lm_embeddings_0.hdf5") as file:
            top = np.concatenate(file["0"], axis=1)
        np.testing.assert_allclose(found[0][2], top, rtol=0, atol=2e-6)


def test_the_golden_file_is_written_anew(golden: Path, tmp_path: Path):
    vocab = Vocabulary.read(golden / "vocab_test.txt")
    with_characters(golden).save_token_vectors(tmp_path / "words.hdf5", vocab)
    expected = token_embeddings.read(golden / "elmo_token_embeddings.hdf5", vocab, 16)
    with h5py.File(tmp_path / "words.hdf5") as file:
        assert list(file) == ["embedding"]
        assert file["embedding"].dtype == np.float32
        np.testing.assert_allclose(file["embedding"], expected, rtol=0, atol=2e-6)


def test_what_is_saved_is_used_and_other_words_are_encoded(tmp_path: Path):
    elmo = tiny_elmo()
    elmo.save_token_vectors(tmp_path / "words.hdf5", WORDS)
    asked = ["cat", "dog", "naïve", "dog", "x" * 70, "x" * 69]
    expected = elmo.token_vectors(asked)
    other = tiny_elmo(seed=1)
    unlike = other.token_vectors(asked)
    Vocabulary(WORDS).write(tmp_path / "vocab.txt")
    other.load_token_vectors(tmp_path / "words.hdf5")  # vocab.txt beside it
    found = other.token_vectors(asked)
    for place, word in enumerate(asked):
        wanted = expected if word in WORDS else unlike
        torch.testing.assert_close(found[place], wanted[place])
    assert other.token_vectors([]).shape == (0, 4)
    torch.testing.assert_close(other.token_vectors(["dog"])[0], unlike[1])


def test_a_model_that_trains_encodes_every_word(tmp_path: Path):
    elmo, other = tiny_elmo(), tiny_elmo(seed=1)
    elmo.save_token_vectors(tmp_path / "words.hdf5", ["cat"])
    (expected, *_), _ = other.run([["cat"]])
    other.load_token_vectors(tmp_path / "words.hdf5", Vocabulary(["cat"]))
    other.bilm.requires_grad_(True)
    (found, *_), _ = other.run([["cat"]])
    torch.testing.assert_close(found, expected)
    with torch.no_grad():
        (fixed, *_), _ = other.run([["cat"]])
    torch.testing.assert_close(fixed[1, :4], elmo.token_vectors(["cat"])[0])


@pytest.mark.parametrize("has_unknown", [True, False])
def test_a_word_outside_the_vocabulary_is_unk_or_zeros_and_said(
    has_unknown: bool, golden: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    words = ["<S>", "</S>", "cat", *(["<UNK>"] if has_unknown else [])]
    with_characters(golden).save_token_vectors(tmp_path / "words.hdf5", words)
    Vocabulary(words).write(tmp_path / "vocab.txt")
    options = json.loads((golden / "options.json").read_text())
    del options["char_cnn"]
    (tmp_path / "options.json").write_text(json.dumps(options))
    with caplog.at_level(logging.WARNING, "relmo"):
        elmo = relmo.load(
            options=tmp_path / "options.json",
            weights=golden / "lm_weights.hdf5",
            token_embeddings=tmp_path / "words.hdf5",
        )
        vectors = elmo.token_vectors(["dog", "cat"])
    assert elmo.embed(["dog cat"])[0].shape == (2, 32)  # nothing is left out
    if has_unknown:
        torch.testing.assert_close(vectors[0], elmo.token_vectors(["<UNK>"])[0])
        assert not caplog.text
    else:
        assert not vectors[0].any()
        assert "words that are not in the vocabulary have zero vectors, e.g. 'dog'" in caplog.text
    assert vectors[1].any()


# --- files that do not fit ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrays", "parts"),
    [
        ({"embedding": np.zeros((5, 4), np.float32)}, ("shape (5, 4), expected (6, 4)",)),
        ({"embedding": np.ones((6, 5), np.float32)}, ("shape (6, 5), expected (6, 4)",)),
        ({"embedding": np.ones((6, 4), np.int32)}, ("'embedding' is int32",)),
        ({"embedding": np.full((6, 4), np.nan, np.float32)}, ("NaN",)),
        ({"embeddings": np.ones((6, 4), np.float32)}, ("no other, got 'embeddings'",)),
        (
            {"embedding": np.ones((6, 4), np.float32), "x": np.ones(3, np.float32)},
            ("no other, got 'embedding', 'x'",),
        ),
        ({}, ("no other, got none",)),
    ],
)
def test_files_that_hold_something_else(arrays, parts: tuple[str, ...], tmp_path: Path):
    path = tmp_path / "words.hdf5"
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            file[name] = value
    with pytest.raises(FormatError) as caught:
        tiny_elmo().load_token_vectors(path, Vocabulary(WORDS))
    for part in (f"token_embeddings: {path}", *parts):
        assert part in str(caught.value)


def test_files_that_are_damaged_or_not_there(tmp_path: Path):
    elmo, path = tiny_elmo(), tmp_path / "words.hdf5"
    elmo.save_token_vectors(path, WORDS)
    with pytest.raises(InputError, match=r"expected vocab\.txt beside it, found none"):
        elmo.load_token_vectors(path)
    data = path.read_bytes()
    for kept in (0, 100, len(data) - 1):
        path.write_bytes(data[:kept])
        with pytest.raises(FormatError, match="cannot be read as HDF5"):
            elmo.load_token_vectors(path, Vocabulary(WORDS))
    with pytest.raises(InputError, match="cannot be read"):
        elmo.load_token_vectors(tmp_path / "nowhere.hdf5", Vocabulary(WORDS))
    (tmp_path / "vocab.txt").write_text("a\na\n")
    with pytest.raises(FormatError, match="line 2"):
        elmo.load_token_vectors(path)


@pytest.mark.parametrize("words", [[], "cat", ()])
def test_there_is_nothing_to_save(words, tmp_path: Path):
    with pytest.raises(InputError, match="expected a list of words"):
        tiny_elmo().save_token_vectors(tmp_path / "words.hdf5", words)
    with pytest.raises(InputError, match="cannot write"):
        tiny_elmo().save_token_vectors(tmp_path / "nowhere" / "words.hdf5", WORDS)
    assert not list(tmp_path.iterdir())


def test_vectors_are_given_only_to_a_model_without_any(golden: Path, tmp_path: Path):
    given = {
        "token_embeddings": golden / "elmo_token_embeddings.hdf5",
        "vocab": golden / "vocab_test.txt",
    }
    with pytest.raises(InputError, match=r"it has 'char_cnn'; for this one: .*load_token_vectors"):
        relmo.load(options=golden / "options.json", weights=golden / "lm_weights.hdf5", **given)
    folder = save_random(tmp_path / "words", n_words=9)
    with pytest.raises(FormatError, match="'embedding' not expected"):
        relmo.load(
            options=folder / "options.json",
            weights=folder / "weights.hdf5",
            token_embeddings=golden / "elmo_token_embeddings.hdf5",
            vocab=golden / "vocab_test.txt",
        )
    with pytest.raises(InputError, match="go with options= and weights="):
        relmo.load(folder, **given)


def test_the_vocabulary_of_a_model_of_words_may_be_given(tmp_path: Path):
    folder = save_random(tmp_path / "words", n_words=9)
    (folder / "vocab.txt").rename(tmp_path / "elsewhere.txt")
    pair = {"options": folder / "options.json", "weights": folder / "weights.hdf5"}
    elmo = relmo.load(**pair, vocab=tmp_path / "elsewhere.txt")
    by_address = relmo.load(**pair, vocab=(tmp_path / "elsewhere.txt").as_uri())
    assert by_address.vocab == elmo.vocab
    assert elmo.vocab is not None
    assert len(elmo.vocab) == 9
