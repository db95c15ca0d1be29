"""Sentences as they are given: lists of tokens, or strings that are split on white space."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from relmo.errors import InputError

__all__ = ["Sentence", "tokenised"]

Sentence = str | Sequence[str]


def tokenised(sentences: Iterable[Any]) -> Iterator[list[str]]:
    """The tokens of each sentence, lazily.

    Raises:
        InputError: `sentences` is a single string; when its turn comes, a token that is not one.
    """
    if isinstance(sentences, str):
        raise InputError("sentences is one string; give a list of sentences, such as [sentence]")
    return (_tokens(sentence, number) for number, sentence in enumerate(sentences))


def _tokens(sentence: Any, number: int) -> list[str]:
    if isinstance(sentence, str):
        return sentence.split()
    tokens = list(sentence)
    for token in tokens:
        if not isinstance(token, str):
            raise InputError(
                f"sentence {number}: expected tokens of type str, got {type(token).__name__}"
            )
    return tokens
