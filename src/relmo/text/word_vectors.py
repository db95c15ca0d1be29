"""Static word vectors in word2vec's text format, or GloVe's, which has no first line."""

from collections.abc import Container
from typing import Any

import numpy as np
import numpy.typing as npt

from relmo.errors import InputError
from relmo.text.corpora import PathLike, lines

__all__ = ["WordVectors", "read"]


class WordVectors:
    """Words and a vector for each.

    Args:
        words: all different.
        vectors: (words, dim), float32.
    """

    def __init__(self, words: list[str], vectors: npt.NDArray[np.float32]) -> None:
        self.rows = {word: row for row, word in enumerate(words)}
        self.vectors = vectors

    def __getitem__(self, word: str) -> npt.NDArray[np.float32]:
        """(dim,): of the word as written, else of the word in lower case, else zeros."""
        row = self.rows.get(word, self.rows.get(word.lower()))
        return np.zeros_like(self.vectors[0]) if row is None else self.vectors[row]

    def __contains__(self, word: str) -> bool:
        return word in self.rows or word.lower() in self.rows


def read(path: PathLike, wanted: Container[str]) -> WordVectors:
    """The vectors of a text file: a word and its numbers a line, between spaces.

    Args:
        path: plain or compressed. word2vec's first line, the number of words and of numbers, may
            be there or not.
        wanted: the words to read; of the others not even the numbers are looked at.

    Raises:
        InputError: the file cannot be read, a wanted word has another number of numbers or one
            that is not finite, or none of the words is there; it names file and line.
    """
    words: dict[str, int] = {}
    rows: list[npt.NDArray[Any]] = []
    dim = None
    for number, line in enumerate(lines(path), start=1):
        word, _, rest = line.rstrip(" ").partition(" ")
        if number == 1 and len(rest.split()) == 1:
            dim = int(rest) if rest.isdecimal() else None
            continue
        if word not in wanted or word in words:
            continue
        try:
            row = np.array(rest.split(), np.float32)
        except ValueError as error:
            raise InputError(f"{path}: line {number}: {error}") from error
        dim = len(row) if dim is None else dim
        if len(row) != dim or not np.isfinite(row).all():
            raise InputError(
                f"{path}: line {number}: expected {dim} finite numbers after {word!r:.40}, got "
                f"{len(row)}" + ("" if len(row) != dim else ", not all finite")
            )
        words[word] = len(rows)
        rows.append(row)
    if not rows:
        raise InputError(f"{path}: has none of the words; expected a word and its vector a line")
    return WordVectors(list(words), np.stack(rows))
