"""The lexicons of ELMoForManyLangs: words and Unicode characters to ids, in ONE place.

    >>> special = ["<bos>", "<eos>", "<oov>", "<pad>", "<bow>", "<eow>"]
    >>> lexicon = Lexicon(["<oov>", "the", "cat"], [*special, "c", "a", "t"])
    >>> reader = LexiconReader(lexicon, 8)
    >>> words, characters, lengths = reader.inputs(["cat", "dog", "<bos>"])
    >>> words.tolist()
    [2, 0, 0]
    >>> characters[:, :6].tolist()
    [[5, 6, 7, 8, 4, 3], [5, 2, 2, 2, 4, 3], [5, 0, 4, 3, 3, 3]]

A character is a code point. No token is lowercased, normalized or otherwise changed.
"""

from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from relmo._files import read_regular
from relmo._read import PathLike
from relmo.errors import ConfigError, FormatError

__all__ = [
    "BOS_WORD",
    "EOS_WORD",
    "OOV",
    "SPECIAL_CHARACTERS",
    "Lexicon",
    "LexiconReader",
    "read_dic",
]

BOS_WORD, EOS_WORD, OOV, PAD = "<bos>", "<eos>", "<oov>", "<pad>"
BEGIN, END = "<eow>", "<bow>"
"""What stands before and behind a word's characters: the original swaps the two, and so do the
models trained with it."""
SPECIAL_CHARACTERS = (BOS_WORD, EOS_WORD, OOV, PAD, END, BEGIN)
"""What a lexicon of characters has to hold beside characters."""
_BLANK = "\u3000"
_BOUNDARY_WORDS = (BOS_WORD, EOS_WORD)
_MOST_DIGITS = 12
_MOST_BYTES = 2**28  # of a .dic: those published have a few MB


class Lexicon:
    """The words and the characters that a model knows, in the order of their ids; immutable.

    Args:
        words: the words, `<oov>` among them, or None for a model that knows none.
        characters: single characters and `SPECIAL_CHARACTERS`, or None.

    Raises:
        FormatError: one comes twice, a special one is not there, or both are None.
    """

    def __init__(self, words: Iterable[str] | None, characters: Iterable[str] | None) -> None:
        self.words = None if words is None else tuple(words)
        self.characters = None if characters is None else tuple(characters)
        if self.words is None and self.characters is None:
            raise FormatError("lexicon: expected words, characters or both, got neither")
        self.word_ids = _ids(self.words or (), (OOV,) if self.words is not None else (), "words")
        special = SPECIAL_CHARACTERS if self.characters is not None else ()
        self.character_ids = _ids(self.characters or (), special, "characters")

    @property
    def n_words(self) -> int | None:
        """How many words, or None."""
        return None if self.words is None else len(self.words)

    @property
    def n_characters(self) -> int | None:
        """How many characters, or None."""
        return None if self.characters is None else len(self.characters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lexicon) and (self.words, self.characters) == (
            other.words,
            other.characters,
        )

    def __hash__(self) -> int:
        return hash((self.words, self.characters))

    def __repr__(self) -> str:
        return f"Lexicon({self.n_words or 'no'} words, {self.n_characters or 'no'} characters)"


def _ids(names: Sequence[str], special: Sequence[str], kind: str) -> dict[str, int]:
    ids = {name: i for i, name in enumerate(names)}
    if len(ids) < len(names):
        twice = next(name for i, name in enumerate(names) if ids[name] != i)
        raise FormatError(f"lexicon: {twice!r} comes more than once among the {kind}")
    missing = [name for name in special if name not in ids]
    if missing:
        raise FormatError(f"lexicon: no {missing[0]!r} among the {len(names)} {kind}")
    return ids


class LexiconReader:
    """Word id and character ids of tokens, as ELMoForManyLangs gives them.

    A token's first `max_characters_per_token - 2` characters are read, by the lexicon of words
    too; a word or a character that is not in its lexicon is `<oov>`. Exactly `<bos>` and `<eos>`
    are one character between `<bow>` and `<eow>`.

    Args:
        lexicon: the words and characters.
        max_characters_per_token: ids per token, `<bow>` and `<eow>` counted.
    """

    begin = BOS_WORD
    end = EOS_WORD

    def __init__(self, lexicon: Lexicon, max_characters_per_token: int = 50) -> None:
        if max_characters_per_token < 3:
            raise ConfigError(
                "LexiconReader: max_characters_per_token must be at least 3 (begin, end and one "
                f"character), got {max_characters_per_token}"
            )
        self.lexicon = lexicon
        self.max_characters_per_token = max_characters_per_token
        self._size = max_characters_per_token - 2
        self.limit = f"{self._size} characters"

    def inputs(self, tokens: Sequence[str]) -> tuple[npt.NDArray[Any] | None, ...]:
        """Return word ids (n_tokens,), character ids, and how many of them are up to `<eow>`.

        Of the characters (n_tokens, max_characters_per_token) what is behind `<eow>` is the
        id of `<pad>`. What the lexicon has no part for is None.
        """
        keys = [self.key(token) for token in tokens]
        words = characters = lengths = None
        if self.lexicon.words is not None:
            words = _looked_up(keys, len(keys), self.lexicon.word_ids)
        if self.lexicon.characters is not None:
            characters, lengths = self._characters(keys)
        return words, characters, lengths

    def _characters(
        self, keys: Sequence[str]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        ids = self.lexicon.character_ids
        pieces = [(key,) if key in _BOUNDARY_WORDS else key for key in keys]
        lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
        rows = np.full((len(pieces), self.max_characters_per_token), ids[PAD], np.int64)
        rows[:, 0] = ids[BEGIN]
        inside = np.arange(self._size) < lengths[:, None]  # (n_tokens, max - 2)
        rows[:, 1:-1][inside] = _looked_up(chain.from_iterable(pieces), int(lengths.sum()), ids)
        rows[np.arange(len(pieces)), lengths + 1] = ids[END]
        return rows, lengths + 2

    def key(self, token: str) -> str:
        """Return what is read of a token: a string of bounded length, with the same ids."""
        return token if token in _BOUNDARY_WORDS else token[: self._size]

    def is_truncated(self, token: str) -> bool:
        """Whether some characters of the token do not fit and are ignored."""
        return len(token) > self._size and token not in _BOUNDARY_WORDS

    def is_known(self, token: str) -> bool:
        """Whether the token has ids: True, what is in no lexicon is `<oov>`."""
        return True


def _looked_up(names: Iterable[str], number: int, ids: dict[str, int]) -> npt.NDArray[np.int64]:
    return np.fromiter(map(ids.get, names, repeat(ids[OOV])), np.int64, number)


def read_dic(path: PathLike) -> list[str]:
    r"""Read the names of a `.dic` file in the order of their ids: a name, a tab and its id a line.

    The original splits lines at any Unicode line break and strips each of white space, which
    loses or mixes up names that are white space. Here a line ends at a line feed and the id stands
    behind the last tab, so that NBSP, U+2028, U+0085 and a tab are names like others. As in the
    original, the one name of the file that is nothing but white space, or a line with an id
    alone, is the ideographic space U+3000; where several are, each is what is written.

    Raises:
        InputError: there is no such file, or it cannot be opened.
        FormatError: it is absurdly long or not UTF-8, a line has no id, or the ids are not 0 up to
            the number of lines, each once.
    """
    path = Path(path)
    data = read_regular(path, _MOST_BYTES)
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise FormatError(f"{path}: line {number}: is not UTF-8") from error
    while lines and not lines[-1].strip("\r"):
        lines.pop()
    names: dict[int, str] = {}
    line_of: dict[int, int] = {}
    for number, line in enumerate(lines, start=1):
        where = f"{path}: line {number}"
        name, id_ = _parsed(line, where)
        if id_ >= len(lines):
            raise FormatError(
                f"{where}: the id of {name!r} is {id_}, expected one below {len(lines)}, the "
                "number of lines"
            )
        if id_ in names:
            raise FormatError(
                f"{where}: {name!r} has the id {id_}, as {names[id_]!r} on line {line_of[id_]}"
            )
        names[id_], line_of[id_] = name, number
    blanks = [id_ for id_, name in names.items() if not name.strip()]
    for id_ in blanks:
        if len(blanks) == 1 or not names[id_]:
            names[id_] = _BLANK
    seen: dict[str, int] = {}
    for id_, name in names.items():
        if name in seen:
            raise FormatError(
                f"{path}: line {line_of[id_]}: {name!r} was on line {line_of[seen[name]]} already"
            )
        seen[name] = id_
    return [names[id_] for id_ in range(len(names))]


def _parsed(line: str, where: str) -> tuple[str, int]:
    name, _, digits = line.rpartition("\t")
    digits = digits.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS):
        raise FormatError(f"{where}: expected a name, a tab and an id, got {line!r:.60}")
    return name, int(digits)
