"""Sentences as they are given: lists of tokens, or strings; and where tokens stand in a string."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from relmo.errors import InputError
from relmo.text.tokenizers import Tokenize

__all__ = ["Offset", "Sentence", "offsets", "tokenised", "with_texts"]

Sentence = str | Sequence[str]
Offset = tuple[int, int]
"""In a text: of a first character, from 0, and of the one after a last."""


def tokenised(sentences: Iterable[Any]) -> Iterator[list[str]]:
    """The tokens of each sentence, lazily; strings are split on white space.

    Raises:
        InputError: `sentences` is a single string; when its turn comes, a token that is not one.
    """
    return (tokens for tokens, _ in with_texts(sentences))


def with_texts(
    sentences: Iterable[Any], tokenize: Tokenize = str.split
) -> Iterator[tuple[list[str], str | None]]:
    """The tokens of each sentence, lazily, and the string that it was given as, if it was one.

    Args:
        sentences: lists of tokens, or strings.
        tokenize: from a string to its tokens.

    Raises:
        InputError: as for `tokenised`.
    """
    if isinstance(sentences, str):
        raise InputError("sentences is one string; give a list of sentences, such as [sentence]")
    return (
        (tokenize(sentence), sentence)
        if isinstance(sentence, str)
        else (_tokens(sentence, number), None)
        for number, sentence in enumerate(sentences)
    )


def offsets(text: str, tokens: Sequence[str]) -> list[Offset] | None:
    """Where tokens stand in the text that they come from; white space may be in between.

    None where they are not its characters, all of them and in order: some tokenizers write other
    ones here and there.
    """
    if not all(tokens) or "".join(tokens) != "".join(text.split()):
        return None
    places = [place for place, character in enumerate(text) if not character.isspace()]
    ends = list(accumulate(map(len, tokens)))
    return [
        (places[end - len(token)], places[end - 1] + 1)
        for token, end in zip(tokens, ends, strict=True)
    ]


def _tokens(sentence: Any, number: int) -> list[str]:
    if not isinstance(sentence, Iterable):
        raise InputError(f"sentence {number}: expected a string or a list of tokens, got "
                         f"{type(sentence).__name__}")  # fmt: skip
    tokens = list(sentence)
    for token in tokens:
        if not isinstance(token, str):
            raise InputError(
                f"sentence {number}: expected tokens of type str, got {type(token).__name__}"
            )
    return tokens
