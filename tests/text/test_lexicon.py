"""The lexicons of ELMoForManyLangs: ids of words and characters, and fragile .dic files."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relmo.errors import ConfigError, FormatError, InputError
from relmo.text.lexicon import SPECIAL_CHARACTERS, Lexicon, LexiconReader, read_dic

WORDS = ("<oov>", "<bos>", "<eos>", "<pad>", "the", "cat", "\u3000", "éé")
CHARACTERS = (*SPECIAL_CHARACTERS, "t", "h", "e", "c", "a", "é", "𝒳", "\u3000", "<")
LEXICON = Lexicon(WORDS, CHARACTERS)

any_token = st.one_of(
    st.text(st.characters()),
    st.text(st.sampled_from(["t", "<", ">", "é", "\ud800", "𝒳", "\0", "\u3000"])),
    st.sampled_from(["", "<bos>", "<eos>", "<oov>", "<pad>", "<bow>", "the", "cat", "e" * 48]),
)
sizes = st.integers(3, 60)


def slow_inputs(token: str, size: int) -> tuple[int, list[int], int]:
    """The definition, read aloud."""
    read = token if token in ("<bos>", "<eos>") else token[: size - 2]
    inside = [read] if read in ("<bos>", "<eos>") else list(read)
    word = WORDS.index(read) if read in WORDS else WORDS.index("<oov>")
    # before the characters stands <eow>, behind them <bow>: swapped, as in the original
    names = ["<eow>", *inside, "<bow>"]
    ids = [CHARACTERS.index(n if n in CHARACTERS else "<oov>") for n in names]
    pad = CHARACTERS.index("<pad>")
    return word, ids + [pad] * (size - len(ids)), len(ids)


@given(st.lists(any_token), sizes)
@example(["<bos>", "<eos>", "<bos>x", "th", "<bow>"], 7)
@example(["<bos>", "the"], 3)
@example([], 50)
def test_the_inputs_are_the_definition(tokens: list[str], size: int):
    words, characters, lengths = LexiconReader(LEXICON, size).inputs(tokens)
    assert words is not None
    assert characters is not None
    assert lengths is not None
    assert characters.shape == (len(tokens), size)
    found = list(zip(words.tolist(), characters.tolist(), lengths.tolist(), strict=True))
    assert found == [slow_inputs(token, size) for token in tokens]


@given(any_token, sizes)
@example("<bos>" * 9, 7)
def test_the_key_of_a_token_has_its_ids_and_is_short(token: str, size: int):
    reader = LexiconReader(LEXICON, size)
    key = reader.key(token)
    assert reader.key(key) == key
    assert len(key) <= max(size, len("<bos>"))
    for one, other in zip(reader.inputs([key]), reader.inputs([token]), strict=True):
        assert one is not None
        assert other is not None
        assert one.tolist() == other.tolist()


@given(any_token, sizes)
def test_truncated_means_that_characters_are_left_out(token: str, size: int):
    reader = LexiconReader(LEXICON, size)
    assert reader.is_truncated(token) == (reader.key(token) != token)
    assert reader.limit == f"{size - 2} characters"


def test_what_there_is_no_lexicon_of_has_no_ids():
    words, characters, lengths = LexiconReader(Lexicon(WORDS, None)).inputs(["cat"])
    assert (words is not None, characters, lengths) == (True, None, None)
    words, characters, lengths = LexiconReader(Lexicon(None, CHARACTERS)).inputs(["cat"])
    assert (words, characters is not None, lengths is not None) == (None, True, True)


def test_equal_lexicons_are_equal():
    assert Lexicon(WORDS, CHARACTERS) == LEXICON
    assert hash(Lexicon(WORDS, CHARACTERS)) == hash(LEXICON)
    assert Lexicon(WORDS, None) != LEXICON
    assert repr(Lexicon(None, CHARACTERS)) == "Lexicon(no words, 15 characters)"


@pytest.mark.parametrize(
    ("words", "characters", "message"),
    [
        (None, None, "expected words, characters or both"),
        (("the",), None, "no '<oov>' among the 1 words"),
        ((*WORDS, "cat"), None, "'cat' comes more than once among the words"),
        (WORDS, SPECIAL_CHARACTERS[1:], "no '<bos>' among the 5 characters"),
        (None, (*CHARACTERS, "t"), "'t' comes more than once among the characters"),
    ],
)
def test_a_lexicon_that_is_none_is_an_error(words, characters, message: str):
    with pytest.raises(FormatError, match=message):
        Lexicon(words, characters)


@pytest.mark.parametrize("size", [2, 0, -1])
def test_no_room_for_a_character_is_an_error(size: int):
    with pytest.raises(ConfigError, match=f"at least 3.*got {size}"):
        LexiconReader(LEXICON, size)


# --- .dic files -----------------------------------------------------------------------------------

names = st.lists(
    st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1)
    | st.sampled_from(["\u3000", "\xa0", "\u2028", "\x85", "\t", "\r", " ", "7", "a\tb", "\t7"]),
    unique=True,
    max_size=30,
)


@given(names, st.randoms(use_true_random=False))
def test_a_dic_is_read_back_whatever_its_names_and_the_order_of_its_lines(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], random
):
    path = tmp_path_factory.mktemp("dic") / "x.dic"
    lines = [f"{name}\t{number}\n" for number, name in enumerate(names)]
    random.shuffle(lines)
    path.write_bytes("".join(lines).encode())
    blank = [name for name in names if not name.strip()]
    if len(blank) == 1:  # the one of its kind, which the original takes for U+3000
        names = ["\u3000" if name == blank[0] else name for name in names]
    assert read_dic(path) == names


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"a\t0\nb\t1", ["a", "b"]),
        (b"a\t0\r\nb\t1\r\n\r\n\n", ["a", "b"]),
        ("\u3000\t1\na\t0\n".encode(), ["a", "\u3000"]),
        (b"a\t0\n\t1\n", ["a", "\u3000"]),  # the white space was lost
        (b"a\t0\n1\n", ["a", "\u3000"]),  # and the tab with it
        (b"a\t0\n \t1\n", ["a", "\u3000"]),
        ("\xa0\t0\n".encode(), ["\u3000"]),
        ("\xa0\t0\n\u3000\t1\n\x85\t2\n\u2028\t3\n\t\t4\n".encode(),
         ["\xa0", "\u3000", "\x85", "\u2028", "\t"]),
        (b"\t\t0\n\t1\n", ["\t", "\u3000"]),
        (b"a b\tc\t0\n", ["a b\tc"]),
    ],
)  # fmt: skip
def test_fragile_lines_are_read(data: bytes, expected: list[str], tmp_path: Path):
    (tmp_path / "x.dic").write_bytes(data)
    assert read_dic(tmp_path / "x.dic") == expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a\t0\nb\n", "line 2: expected a name, a tab and an id, got 'b'"),
        (b"a\t0\nb\t-1\n", "line 2: expected a name, a tab and an id"),
        (b"a\t0\nb\t1.0\n", "line 2: expected a name, a tab and an id"),
        ("a\t٠\n".encode(), "line 1: expected a name, a tab and an id"),
        (b"a\t0\n\nb\t1\n", "line 2: expected a name, a tab and an id, got ''"),
        (b"a\t0\nb\t" + b"9" * 5000 + b"\n", "line 2: expected a name, a tab and an id"),
        (b"a\t0\nb\t2\n", "line 2: the id of 'b' is 2, expected one below 2, the number of lines"),
        (b"a\t0\nb\t0\n", "line 2: 'b' has the id 0, as 'a' on line 1"),
        (b"a\t0\nb\t1\na\t2\n", "line 3: 'a' was on line 1 already"),
        (b"\t0\n1\n", r"line 2: '\u3000' was on line 1 already"),
        (b"a\t0\n\xff\t1\n", "line 2: is not UTF-8"),
        (b"\x80\x03}q\x00.", "line 1: is not UTF-8"),
    ],
)
def test_a_dic_that_is_none_is_an_error_naming_file_and_line(
    data: bytes, message: str, tmp_path: Path
):
    (tmp_path / "x.dic").write_bytes(data)
    with pytest.raises(FormatError) as caught:
        read_dic(tmp_path / "x.dic")
    assert str(caught.value).startswith(f"{tmp_path / 'x.dic'}: {message}")


def test_a_dic_of_absurd_length_is_an_error_and_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("relmo.text.lexicon._MOST_BYTES", 8)
    (tmp_path / "x.dic").write_text("a\t0\nb\t1\n")
    assert read_dic(tmp_path / "x.dic") == ["a", "b"]
    (tmp_path / "x.dic").write_text("a\t0\nb\t1\n\n")
    with pytest.raises(FormatError, match=r"x\.dic: has more than 8 bytes, expected at most that"):
        read_dic(tmp_path / "x.dic")


def test_a_dic_that_is_not_there_is_an_input_error(tmp_path: Path):
    for path in (tmp_path, tmp_path / "x.dic"):
        with pytest.raises(InputError, match="cannot be read"):
            read_dic(path)
