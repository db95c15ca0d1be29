"""Tokenizers by name, each a function from a line of text to its tokens.

    split = by_name("moses:fr")
    split("L'eau, s'il vous plaît.")   # ["L'", 'eau', ',', "s'", 'il', 'vous', 'plaît', '.']

A line is taken for a sentence: none of them looks for where sentences end. sacremoses is imported
here alone, spaCy for no more than its tokenizers.
"""

from collections.abc import Callable
from dataclasses import dataclass

from relmo.errors import InputError, MissingExtraError

__all__ = ["NAMES", "Tokenize", "by_name", "name_of"]

Tokenize = Callable[[str], list[str]]

NAMES = ("whitespace", "moses", "spacy")


@dataclass(frozen=True)
class _Named:
    """A library's tokenizer under the name it was asked for by."""

    name: str
    tokenize: Tokenize

    def __call__(self, text: str) -> list[str]:
        """The tokens; whatever the library does, none holds white space."""
        return [part for token in self.tokenize(text) for part in token.split()]


def by_name(name: str) -> Tokenize:
    """The tokenizer of a name.

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
    """What to write down of a tokenizer: the name that `by_name` knows, else the function's."""
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
