"""Sentences as they are given, and where their tokens stand in their texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relmo.text.tokenizers import by_name, offsets, with_texts


@given(st.text())
def test_tokens_between_any_white_space_are_stretches_of_their_text(text: str):
    tokens = text.split()
    places = offsets(text, tokens)
    assert places is not None
    assert [text[start:end] for start, end in places] == tokens


@pytest.mark.parametrize(("name", "library"), [("moses", "sacremoses"), ("spacy", "spacy")])
def test_tokens_of_the_named_tokenizers_are_stretches_of_their_text(name: str, library: str):
    pytest.importorskip(library)
    text = "\tShe doesn't live  in\u00a0New York, <b>... (really)\u3000&amp; 'no'.\n"
    ((tokens, source),) = with_texts([text], by_name(name))
    assert source == text
    places = offsets(text, tokens)
    assert places is not None
    assert [text[start:end] for start, end in places] == tokens
    assert "," in tokens


@pytest.mark.parametrize("tokens", [["a"], ["b", "a"], ["a", "``", "b"], ["", "a", "b"], ["a b"]])
def test_tokens_that_are_not_the_text_have_no_place_in_it(tokens: list[str]):
    assert offsets("a b", tokens) is None


def test_sentences_given_as_tokens_have_no_text():
    assert list(with_texts([["a", "b"], "c d", ()])) == [
        (["a", "b"], None), (["c", "d"], "c d"), ([], None),
    ]  # fmt: skip
