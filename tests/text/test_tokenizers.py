"""Tokenizers by name: a line in, tokens without white space out."""

import sys
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relmo.data.corpora import Corpus
from relmo.errors import InputError, MissingExtraError
from relmo.text.tokenizers import by_name, name_of, with_texts
from relmo.text.vocab import counted

LINE = "Don't give Mr. Smith's  dog <b> & 3.5% of it, (please)."
# What each library itself makes of it.
AFTER_NOT = "give Mr. Smith 's dog < b > & 3.5 % of it , ( please ) ."
EXPECTED = {
    "whitespace": LINE.split(),
    "moses": ["Don", "'t", *AFTER_NOT.split()],
    "spacy": ["Do", "n't", *AFTER_NOT.split()],
}
LIBRARIES = {"moses": "sacremoses", "spacy": "spacy"}


cached = cache(by_name)


def needs(name: str) -> None:
    kind = name.partition(":")[0]
    if kind in LIBRARIES:
        pytest.importorskip(LIBRARIES[kind])


@pytest.mark.parametrize("name", EXPECTED)
def test_a_line_is_split_as_the_library_does(tmp_path: Path, name: str) -> None:
    needs(name)
    tokenize = by_name(name)
    assert tokenize(LINE) == EXPECTED[name]
    assert tokenize("") == tokenize(" \u3000") == []
    assert name_of(tokenize) == name
    (tmp_path / "a.txt").write_text(f"{LINE}\n\n{LINE}\n")
    assert list(Corpus(tmp_path / "a.txt", tokenize=tokenize)) == [EXPECTED[name]] * 2


def test_a_language_is_named_after_a_colon() -> None:
    for name in ("moses:fr", "spacy:fr"):
        needs(name)
        expected = ["L'", "eau", ",", "s'", "il", "vous", "plaît", "."]
        assert by_name(name)("L'eau, s'il vous plaît.") == expected
        assert name_of(by_name(name)) == name


@pytest.mark.parametrize("name", EXPECTED)
@settings(max_examples=50)
@given(line=st.text(st.sampled_from("a.' \t\u2028\u3000\xa0-") | st.characters(), max_size=30))
def test_no_token_is_empty_or_holds_white_space(name: str, line: str) -> None:
    needs(name)
    for token in cached(name)(line.encode("utf-8", "ignore").decode()):
        assert token.split() == [token]


@pytest.mark.parametrize("name", ["", "mosses", "moses:", "whitespace:en", "Spacy", ":en"])
def test_another_name_is_an_error(name: str) -> None:
    with pytest.raises(InputError, match="expected whitespace, moses, spacy or as in spacy:de"):
        by_name(name)


def test_a_language_that_spacy_does_not_know_is_an_error() -> None:
    needs("spacy")
    with pytest.raises(InputError, match="tokenizer 'spacy:qqq': "):
        by_name("spacy:qqq")


@pytest.mark.parametrize("name", LIBRARIES)
def test_without_the_library_its_extra_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, LIBRARIES[name], None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'relmo\[{name}\]'"):
        by_name(name)


def test_a_function_of_ones_own_is_known_by_its_name() -> None:
    def characters(text: str) -> list[str]:
        return list(text)

    assert name_of(characters).endswith("characters")


def test_bytes_are_refused_as_what_they_are() -> None:
    with pytest.raises(InputError, match=r"sentences: expected a list of sentences, got the bytes"):
        with_texts(b"The cat")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"sentence 1: expected a string or a list .* got bytes"):
        list(with_texts(["a", b"The cat"]))
    with pytest.raises(InputError, match=r"sentence 2: expected a list of strings, got the bytes"):
        counted(iter([["a"], b"The cat"]))  # type: ignore[list-item]
