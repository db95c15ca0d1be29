"""Sentences as they are given: lists of tokens, or strings; and where tokens stand in a string."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from relmo.errors import InputError
from relmo.text.tokenizers import Tokenize

__all__ = ["Offset", "Sentence", "check_sentences", "check_strings", "offsets", "tokenised",
           "with_texts"]  # fmt: skip

Sentence = str | Sequence[str]
Offset = tuple[int, int]
"""In a text: of a first character, from 0, and of the one after a last."""


def check_strings(given: Any, name: str) -> None:
    """Take a list of strings, such as the tags of a sentence, and no string in its place.

    A string is a sequence of strings too, its characters, which nobody means.

    Args:
        given: anything that can be gone through twice.
        name: what it is, for the message, such as "sentence 3: tags".

    Raises:
        InputError: it is a string or bytes, or not all of its items are strings.
    """
    if isinstance(given, str | bytes) or not isinstance(given, Collection):
        raise InputError(f"{name}: expected a list of strings, got {_shown(given)}")
    if all(issubclass(kind, str) for kind in {*map(type, given)}):
        return
    number, item = next((n, item) for n, item in enumerate(given) if not isinstance(item, str))
    raise InputError(f"{name}: expected strings, got {_shown(item)} as item {number}")


def check_sentences(given: Any, name: str) -> None:
    """Take a list of lists of strings, such as the tags of sentences; see `check_strings`.

    Args:
        given: anything that can be gone through twice.
        name: what they are, for the message.

    Raises:
        InputError: it or one of its items is a string or bytes, or an item of those is none.
    """
    if isinstance(given, str | bytes) or not isinstance(given, Collection):
        raise InputError(
            f"{name}: expected a list of sentences, each a list of strings, got {_shown(given)}"
        )
    for number, sentence in enumerate(given, start=1):
        check_strings(sentence, f"{name}: sentence {number}")


def _shown(value: Any) -> str:
    hint = ", whose items are single characters" if isinstance(value, str) else ""
    return f"the {type(value).__name__} {value!r:.60}{hint}"


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
    if isinstance(sentences, str | bytes):
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
