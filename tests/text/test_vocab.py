"""Vocabularies: ids are line numbers, unknown words are `<UNK>`, files round-trip."""

import gzip
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from relmo.errors import FormatError, InputError
from relmo.text.vocab import SPECIALS, Vocabulary

any_word = st.text(st.characters()) | st.sampled_from(["a", "b", "<S>", "<UNK>", "!!!MAXTERMID"])
a_line = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\ufeff"))
file_word = a_line.map(str.strip).filter(lambda word: word != "!!!MAXTERMID")
laws = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_the_characters_of_a_string_are_not_counted_as_words() -> None:
    with pytest.raises(
        InputError, match=r"sentence 2: expected a list of strings, got .* 'the cat'"
    ):
        Vocabulary.build([["a"], "the cat"])


@given(st.lists(any_word, unique=True), st.lists(any_word))
def test_ids_are_positions_and_the_rest_is_unk(words: list[str], tokens: list[str]) -> None:
    vocab = Vocabulary([*SPECIALS, *(word for word in words if word not in SPECIALS)])
    ids = vocab.ids(tokens)
    assert ids.dtype == np.int64
    assert ids.shape == (len(tokens),)
    assert ids.tolist() == [vocab.index(token) for token in tokens]
    for token, i in zip(tokens, ids, strict=True):
        assert vocab.words[i] == (token if token in vocab else "<UNK>")
    assert vocab.ids(vocab.words).tolist() == list(range(len(vocab)))


@given(words=st.lists(file_word, unique=True), suffix=st.sampled_from([".txt", ".txt.gz"]))
@example(words=["a", ""], suffix=".txt")
@example(words=["a\u2028b", "a\rb", "New York"], suffix=".txt")
@laws
def test_read_gives_back_what_write_wrote(tmp_path: Path, words: list[str], suffix: str) -> None:
    vocab = Vocabulary(words)
    vocab.write(tmp_path / f"vocab{suffix}")
    assert Vocabulary.read(tmp_path / f"vocab{suffix}") == vocab
    assert hash(Vocabulary(words)) == hash(vocab)
    assert len(list(tmp_path.iterdir())) <= 2  # one of each suffix, and nothing aside


def test_the_golden_vocabulary(goldens: Path) -> None:
    path = goldens / "allennlp" / "vocab_test.txt"
    vocab = Vocabulary.read(path, require_specials=True)
    assert len(vocab) == 458  # the rows of elmo_token_embeddings.hdf5
    expected = path.read_text(encoding="utf-8").split("\n")
    assert vocab.words == tuple(expected)
    assert (vocab.eos, vocab.bos, vocab.unk) == tuple(map(expected.index, SPECIALS))
    assert vocab.index("ornithopter") == vocab.unk


def test_lines_are_stripped_and_maxtermid_takes_no_id(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt.gz"
    path.write_bytes(gzip.compress(b"</S>\r\n <S>\n!!!MAXTERMID\n<UNK>\xc2\xa0\n\nlast"))
    vocab = Vocabulary.read(path, require_specials=True)
    assert vocab.words == ("</S>", "<S>", "<UNK>", "", "last")


def test_hostile_vocabularies_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"a\n!!!MAXTERMID\nb\na \n")
    with pytest.raises(FormatError, match=r"vocab\.txt: line 4: 'a' was on line 1"):
        Vocabulary.read(path)
    path.write_bytes(b"a\n\xff\n")
    with pytest.raises(InputError, match=r"vocab\.txt: line 2: not UTF-8"):
        Vocabulary.read(path)
    path.write_bytes(b"<S>\n</S>\n<unk>\n")
    with pytest.raises(FormatError, match=r"vocab\.txt: '<UNK>' is not among its 3 words"):
        Vocabulary.read(path, require_specials=True)
    with pytest.raises(InputError, match="no such file"):
        Vocabulary.read(tmp_path / "nowhere.txt")


def test_without_unk_an_unknown_word_is_an_error() -> None:
    vocab = Vocabulary(["a", "b"])
    assert vocab.ids(["b", "a"]).tolist() == [1, 0]
    with pytest.raises(FormatError, match="'c' is not in it, and no '<UNK>'"):
        vocab.ids(["a", "c"])
    for lookup in (lambda: vocab.index("c"), lambda: vocab.unk):
        with pytest.raises(FormatError, match="no '<UNK>' among its 2 words"):
            lookup()
    assert vocab.ids([]).shape == (0,)


def test_a_word_given_twice_is_an_error() -> None:
    with pytest.raises(FormatError, match="'b' comes more than once"):
        Vocabulary(["a", "b", "c", "b"])


@pytest.mark.parametrize("word", [" a", "a\n", "a\nb", "\xa0", "\ud800", "\ufeffa", "!!!MAXTERMID"])
def test_words_a_file_cannot_hold_are_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(InputError, match=r"word 0, .* cannot be a line"):
        Vocabulary([word, "b"]).write(tmp_path / "vocab.txt")
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_earlier_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write"):
        Vocabulary(["a"]).write(tmp_path / "nowhere" / "vocab.txt")
    folder = tmp_path / "vocab.txt"
    (folder / "inside").mkdir(parents=True)
    with pytest.raises(InputError, match="cannot write"):
        Vocabulary(["a"]).write(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["vocab.txt"]
    with pytest.raises(InputError, match=r"not \.xz"):
        Vocabulary(["a"]).write(tmp_path / "vocab.txt.xz")


@given(st.lists(st.lists(any_word)), st.integers(1, 3), st.none() | st.integers(3, 8))
def test_build_is_by_falling_frequency_then_by_word(
    sentences: list[list[str]], min_count: int, size: int | None
) -> None:
    vocab = Vocabulary.build(sentences, size=size, min_count=min_count)
    counts = Counter(word for sentence in sentences for word in sentence)
    kept = vocab.words[3:]
    assert vocab.words[:3] == SPECIALS
    assert list(kept) == sorted(kept, key=lambda word: (-counts[word], word))
    assert all(counts[word] >= min_count for word in kept)
    assert size is None or len(vocab) <= size
    shuffled = random.Random(0).sample(sentences, len(sentences))
    assert Vocabulary.build(shuffled, size, min_count) == vocab


@given(sentences=st.lists(st.lists(any_word)))
@laws
def test_what_build_keeps_can_be_written_and_nothing_else_is_lost(
    tmp_path: Path, sentences: list[list[str]]
) -> None:
    vocab = Vocabulary.build(sentences)
    vocab.write(tmp_path / "vocab.txt")
    assert Vocabulary.read(tmp_path / "vocab.txt", require_specials=True) == vocab
    words = {w for s in sentences for w in s if w.isprintable() and w and w == w.strip()}
    assert words - {"!!!MAXTERMID"} <= set(vocab.words)


@pytest.mark.parametrize(("size", "min_count"), [(2, 1), (0, 1), (None, 0)])
def test_impossible_sizes_are_an_error(size: int | None, min_count: int) -> None:
    with pytest.raises(InputError, match="must be at least"):
        Vocabulary.build([["a"]], size, min_count)
