"""The senses of WordNet's own files (index.noun, data.noun, ...), as Debian's `wordnet` has them.

senses = wordnet.read("/usr/share/wordnet")
senses[Lexeme("play", "n")][0]  # 'play%1:10:01::': the first sense, the most frequent one
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from relmo._read import PathLike, lines
from relmo.data.senses import Lexeme
from relmo.errors import InputError

__all__ = ["read"]

_FILES = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
_KINDS = {"n": 1, "v": 2, "a": 3, "r": 4, "s": 5}
"""The number of a synset's kind in a sense key; `s` are adjectives grouped around a head."""


class _Synset(NamedTuple):
    kind: str
    file: int
    """Number of the lexicographer's file."""
    words: tuple[tuple[str, int], ...]
    """Lower case, each with the number that sets it apart in that file."""
    head: str | None
    """Offset of the head's synset, for kind `s`."""


def read(folder: PathLike) -> dict[Lexeme, tuple[str, ...]]:
    """The sense keys of each lexeme, in WordNet's order.

    Args:
        folder: with index.noun, data.noun and so on of verb, adj and adv; WordNet 2.1 to 3.1.

    Raises:
        InputError: a file is missing or unreadable, or is not WordNet's; it names file and line.
    """
    senses: dict[Lexeme, tuple[str, ...]] = {}
    for pos, name in _FILES.items():
        data, index = Path(folder) / f"data.{name}", Path(folder) / f"index.{name}"
        synsets: dict[str, _Synset] = {}
        for number, line in _rows(data):
            try:
                synsets[line[:8]] = _synset(line.split())
            except (ValueError, IndexError, KeyError) as error:
                raise _no_row(data, number) from error
        for number, line in _rows(index):
            try:
                lemma, _, n, *rest = line.split()
                offsets = rest[len(rest) - int(n) :]
                senses[Lexeme(lemma, pos)] = tuple(_key(lemma, at, synsets) for at in offsets)
            except (ValueError, IndexError, KeyError) as error:
                raise _no_row(index, number) from error
    return senses


def _rows(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file but those of its licence, which begin with a space."""
    return ((number, line) for number, line in enumerate(lines(path), start=1) if line[:1].strip())


def _synset(columns: list[str]) -> _Synset:
    """Of `offset file kind n_words [word number]... n_pointers [symbol offset kind ends]...`."""
    kind, end = columns[2], 4 + 2 * int(columns[3], 16)
    words = tuple(
        (word.partition("(")[0].lower(), int(number, 16))  # galore(ip): where it may stand
        for word, number in zip(columns[4:end:2], columns[5:end:2], strict=True)
    )
    pointers = columns[end + 1 : end + 1 + 4 * int(columns[end])]
    pairs = zip(pointers[::4], pointers[1::4], strict=True)
    head = next((at for symbol, at in pairs if symbol == "&"), None)
    return _Synset(kind, int(columns[1]), words, head if kind == "s" else None)


def _key(lemma: str, offset: str, synsets: Mapping[str, _Synset]) -> str:
    synset = synsets[offset]
    head = ":"
    if synset.head is not None:
        word, number = synsets[synset.head].words[0]
        head = f"{word}:{number:02}"
    own = dict(reversed(synset.words))[lemma]  # of Sun and sun the one that comes first
    return f"{lemma}%{_KINDS[synset.kind]}:{synset.file:02}:{own:02}:{head}"


def _no_row(path: Path, number: int) -> InputError:
    return InputError(f"{path}: line {number}: not as in WordNet's files, or a synset is missing")
