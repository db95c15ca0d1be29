"""Tokenizers by name, each a function from a line of text to its tokens.

    split = by_name("moses:fr")
    split("L'eau, s'il vous plaît.")   # ["L'", 'eau', ',', "s'", 'il', 'vous', 'plaît', '.']

A line is taken for a sentence: none of them looks for where sentences end. sacremoses is imported
here alone, spaCy for no more than its tokenizers.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from relmo.errors import InputError, MissingExtraError

__all__ = [
    "NAMES",
    "Offset",
    "Sentence",
    "Tokenize",
    "by_name",
    "check_sentences",
    "check_strings",
    "name_of",
    "offsets",
    "tokenised",
    "with_texts",
]


Tokenize = Callable[[str], list[str]]

NAMES = ("whitespace", "moses", "spacy")


@dataclass(frozen=True)
class _Named:
    """A library's tokenizer under the name it was asked for by."""

    name: str
    tokenize: Tokenize

    def __call__(self, text: str) -> list[str]:
        """Return the tokens; whatever the library does, none holds white space."""
        return [part for token in self.tokenize(text) for part in token.split()]


def by_name(name: str) -> Tokenize:
    """Return the tokenizer of a name.

    Args:
        name: `whitespace`; or `moses` or `spacy`, with a language's code after a colon unless it
            is English, as in `spacy:de`.

    Raises:
        InputError: there is no such tokenizer, or spaCy has none for the language.
        MissingExtraError: its library is not installed.
    """
    kind, colon, language = name.partition(":")
    if kind not in NAMES or (colon and (kind == "whitespace" or not language)):
        raise InputError(f"tokenizer {name!r}: expected whitespace, moses, spacy or as in spacy:de")
    if kind == "whitespace":
        return str.split
    made = _moses if kind == "moses" else _spacy
    return _Named(name, made(language or "en"))


def name_of(tokenize: Tokenize) -> str:
    """Return a tokenizer's name: the one that `by_name` knows, else the function's."""
    if tokenize == str.split:
        return "whitespace"
    kind = type(tokenize).__qualname__
    return str(getattr(tokenize, "name", getattr(tokenize, "__qualname__", kind)))


def _moses(language: str) -> Tokenize:
    try:
        from sacremoses import MosesTokenizer
    except ImportError as error:
        raise MissingExtraError("sacremoses", "moses") from error
    tokenizer = MosesTokenizer(lang=language)
    # Moses's own escapes (&apos; for ') are for its decoder; here a word is what was written.
    return lambda text: list(tokenizer.tokenize(text, escape=False))


def _spacy(language: str) -> Tokenize:
    try:
        import spacy
    except ImportError as error:
        raise MissingExtraError("spacy", "spacy") from error
    try:
        tokenizer = spacy.blank(language).tokenizer
    except (ImportError, ValueError) as error:  # no such language, or one that needs a library
        raise InputError(f"tokenizer 'spacy:{language}': {error}") from error
    return lambda text: [token.text for token in tokenizer(text)]


Sentence = str | Sequence[str]
Offset = tuple[int, int]
"""In a text: of a first character, from 0, and of the one after a last."""


def check_strings(value: Any, name: str) -> None:
    """Refuse anything but a list of strings, such as the tags of a sentence.

    A string is a sequence of strings too, its characters, which nobody means.

    Args:
        value: anything; an iterator is refused, as it can be run through only once.
        name: of the value in the message, such as "sentence 3: tags".

    Raises:
        InputError: it is a string or bytes, or not all of its items are strings.
    """
    if not _is_list(value):
        raise InputError(f"{name}: expected a list of strings, got {_shown(value)}")
    if all(issubclass(kind, str) for kind in {*map(type, value)}):
        return
    number, item = next((n, item) for n, item in enumerate(value) if not isinstance(item, str))
    raise InputError(f"{name}: expected strings, got {_shown(item)} as item {number}")


def check_sentences(value: Any, name: str) -> None:
    """Refuse anything but a list of lists of strings, such as the tags of sentences.

    Args:
        value: as for `check_strings`.
        name: of the value in the message.

    Raises:
        InputError: it or one of its items is not a list, or an item of those is not a string.
    """
    if not _is_list(value):
        raise InputError(
            f"{name}: expected a list of sentences, each a list of strings, got {_shown(value)}"
        )
    for number, sentence in enumerate(value, start=1):
        check_strings(sentence, f"{name}: sentence {number}")


def _is_list(value: Any) -> bool:
    """Whether a value is a collection, and not a string or bytes."""
    if isinstance(value, str | bytes) or not isinstance(value, Collection):
        return False
    return getattr(value, "ndim", 1) > 0  # a NumPy array of no dimensions is a single value


def _shown(value: Any) -> str:
    hint = ", whose items are single characters" if isinstance(value, str) else ""
    return f"the {type(value).__name__} {value!r:.60}{hint}"


def tokenised(sentences: Iterable[Any]) -> Iterator[list[str]]:
    """Yield the tokens of each sentence; strings are split on white space.

    Raises:
        InputError: `sentences` is a single string; when its turn comes, a token that is not one.
    """
    return (tokens for tokens, _ in with_texts(sentences))


def with_texts(
    sentences: Iterable[Any], tokenize: Tokenize = str.split
) -> Iterator[tuple[list[str], str | None]]:
    """Yield the tokens of each sentence, and the sentence where it is a string.

    Args:
        sentences: lists of tokens, or strings.
        tokenize: from a string to its tokens.

    Raises:
        InputError: as for `tokenised`.
    """
    if isinstance(sentences, str):
        raise InputError("sentences is one string; give a list of sentences, such as [sentence]")
    if isinstance(sentences, bytes):
        raise InputError(f"sentences: expected a list of sentences, got {_shown(sentences)}")
    return (
        (tokenize(sentence), sentence)
        if isinstance(sentence, str)
        else (_tokens(sentence, number), None)
        for number, sentence in enumerate(sentences)
    )


def offsets(text: str, tokens: Sequence[str]) -> list[Offset] | None:
    """Return the positions of tokens in their text; white space may be in between.

    None where they are not its characters, all of them and in order: some tokenizers write other
    ones here and there.
    """
    if not all(tokens) or "".join(tokens) != "".join(text.split()):
        return None
    positions = [k for k, character in enumerate(text) if not character.isspace()]
    ends = list(accumulate(map(len, tokens)))
    return [
        (positions[end - len(token)], positions[end - 1] + 1)
        for token, end in zip(tokens, ends, strict=True)
    ]


def _tokens(sentence: Any, number: int) -> list[str]:
    if not isinstance(sentence, Iterable) or isinstance(sentence, bytes):
        raise InputError(
            f"sentence {number}: expected a string or a list of tokens, got "
            f"{type(sentence).__name__}"
        )
    tokens = list(sentence)
    for token in tokens:
        if not isinstance(token, str):
            raise InputError(
                f"sentence {number}: expected tokens of type str, got {type(token).__name__}"
            )
    return tokens
