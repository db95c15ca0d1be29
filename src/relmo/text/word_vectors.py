"""Static word vectors in word2vec's text format, or GloVe's, which has no first line."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from relmo.errors import InputError
from relmo.text.corpora import PathLike, lines

__all__ = ["WordVectors", "read"]


@dataclass(frozen=True, eq=False)
class WordVectors:
    """What a file has of the words that were wanted.

    Args:
        matrix: (words, dim), float32; zeros for a word that is not in the file.
        mask: whether it is (words,).
    """

    matrix: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]


def read(path: PathLike, words: Sequence[str]) -> WordVectors:
    """The vectors of some words; of the others not even the numbers are looked at.

    Args:
        path: a word and its numbers a line, between spaces; plain or compressed. word2vec's first
            line, the number of words and of numbers, may be there or not.
        words: those wanted, all different.

    Raises:
        InputError: the file cannot be read, or a wanted word has another number of numbers or one
            that is not finite; it names file and line.
    """
    places = {word: place for place, word in enumerate(words)}
    found: dict[int, npt.NDArray[np.float32]] = {}
    dim = None
    for number, line in enumerate(lines(path), start=1):
        word, _, rest = line.rstrip(" ").partition(" ")
        if number == 1 and rest.isdecimal():
            dim = int(rest)
            continue
        place = places.get(word)
        if place is None or place in found:
            continue
        try:
            row = np.array(rest.split(" "), np.float32)
        except ValueError as error:
            raise InputError(f"{path}: line {number}: {error}") from error
        dim = len(row) if dim is None else dim
        if len(row) != dim or not np.isfinite(row).all():
            raise InputError(
                f"{path}: line {number}: expected {dim} finite numbers after {word!r:.40}, got "
                f"{len(row)}" + ("" if len(row) != dim else ", not all finite")
            )
        found[place] = row
    mask = np.isin(np.arange(len(words)), list(found))
    matrix = np.zeros((len(words), len(next(iter(found.values()), ()))), np.float32)
    for place, row in found.items():
        matrix[place] = row
    return WordVectors(matrix, mask)
