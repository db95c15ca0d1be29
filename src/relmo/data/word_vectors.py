"""Word vectors of word2vec (text and binary) and of GloVe, read for the words that are wanted.

A text has a word and its numbers on each line; word2vec's has a line before them: how many words
there are and of what width. word2vec's binary file has the same first line, then for each word its
bytes, a space and little-endian float32 numbers. Either may be compressed (by name).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from relmo._read import PathLike, chunks, lines
from relmo.errors import InputError

__all__ = ["WordVectors", "read"]

_MOST_DIM = 100_000
_MOST_WORD_BYTES = 2**16
_BEGINNING_BYTES = 2**16
_NOT_TEXT = frozenset(range(32)) - frozenset(b"\t\n\r")


@dataclass(frozen=True, eq=False)
class WordVectors:
    """What a file has of the words that were wanted.

    Args:
        matrix: (words, dim), float32; zeros for a word that is not in the file.
        mask: whether it is (words,).
    """

    matrix: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]

    @property
    def n_found(self) -> int:
        """Words that are in the file."""
        return int(self.mask.sum())


def read(path: PathLike, words: Sequence[str], dim: int | None = None) -> WordVectors:
    """The vectors of some words, in one pass and the memory of these alone.

    Of a word that comes twice in the file the first counts, and nothing else is done to words: no
    change of case, no mark taken off.

    Args:
        path: word2vec's text or binary file, or GloVe's text; which of them its contents say.
        words: those wanted, all different.
        dim: the width that the vectors have to have; None: whatever it is.

    Raises:
        InputError: the file is missing, unreadable, truncated or damaged (named with its line or
            word), or its vectors have another width.
        MissingExtraError: a .zst file and no zstandard.
    """
    path = Path(path)
    header, is_binary = _beginning(path)
    if header is not None:
        _check_dim(header[1], dim, path)
    if is_binary:
        assert header is not None
        vectors = _binary(path, *header)
    else:
        vectors = _text(path, header, dim)
    places = {word: place for place, word in enumerate(words)}
    matrix, mask = None, np.zeros(len(words), np.bool_)
    for word, where, numbers in vectors:
        place = places.get(word)
        if place is None or mask[place]:
            continue
        vector = _parsed(numbers, where)
        if matrix is None:
            matrix = np.zeros((len(words), len(vector)), np.float32)
        matrix[place], mask[place] = vector, True
    if matrix is None:
        matrix = np.zeros((len(words), dim or (header[1] if header else 0)), np.float32)
    return WordVectors(matrix, mask)


_Numbers = str | npt.NDArray[np.float32]
_Vectors = Iterator[tuple[str, str, _Numbers]]
"""Words, where they stand, and their numbers, not looked at yet."""


def _beginning(path: Path) -> tuple[tuple[int, int] | None, bool]:
    """Number and width of the vectors where the first line says it, and whether it is binary."""
    start = _first(chunks(path))
    if not start:
        raise InputError(f"{path}: is empty, expected word vectors")
    first, _, rest = start.partition(b"\n")
    fields = first.split()
    if len(fields) != 2 or not all(field.isdigit() and len(field) < 19 for field in fields):
        return None, False
    n_words, dim = map(int, fields)
    return (n_words, dim), not _NOT_TEXT.isdisjoint(rest)


def _first(pieces: Iterator[bytes]) -> bytes:
    """The beginning of a file, of which a compressed one may give little at a time."""
    start = b""
    while len(start) < _BEGINNING_BYTES and (piece := next(pieces, b"")):
        start += piece
    return start


def _check_dim(found: int, expected: int | None, where: object) -> None:
    if expected is not None and found != expected:
        raise InputError(f"{where}: vectors of width {found}, expected {expected}")
    if not 1 <= found <= _MOST_DIM:
        raise InputError(f"{where}: vectors of width {found}, expected 1 to {_MOST_DIM}")


def _text(path: Path, header: tuple[int, int] | None, dim: int | None) -> _Vectors:
    width = None if header is None else header[1]
    n = 0
    for number, line in enumerate(lines(path), start=1):
        if number == 1 and header is not None:
            continue
        line, where = line.rstrip(" \t").replace("\t", " "), f"{path}: line {number}"
        n_spaces = line.count(" ")
        if width is None:
            width = n_spaces
            _check_dim(width, dim, where)
        word, _, numbers = line.partition(" ")
        if n_spaces > width:  # GloVe's words of 840 billion tokens may hold spaces
            word, *fields = line.rsplit(" ", width)
            numbers = " ".join(fields)
        # A number before the numbers is no word's end, but one too many.
        if n_spaces < width or (n_spaces > width and _is_number(word.rpartition(" ")[2])):
            raise InputError(f"{where}: {n_spaces} numbers, expected {width}")
        n += 1
        yield word, where, numbers
    if header is not None and n != header[0]:
        raise InputError(f"{path}: {n} vectors, expected {header[0]} as its first line says")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parsed(
    numbers: str | list[str] | npt.NDArray[np.float32], where: str
) -> npt.NDArray[np.float32]:
    if isinstance(numbers, str):
        numbers = numbers.split(" ")
    try:
        with np.errstate(over="ignore"):  # said below
            vector = np.array(numbers, np.float32)
    except ValueError as error:
        raise InputError(f"{where}: not a number: {error}") from error
    if not np.isfinite(vector).all():
        raise InputError(f"{where}: a number is NaN, infinite or too large")
    return vector


def _binary(path: Path, n_words: int, dim: int) -> _Vectors:
    pieces = chunks(path)
    data, at = _first(pieces).partition(b"\n")[2], 0
    for number in range(1, n_words + 1):
        where = f"{path}: word {number} of {n_words}"
        while (end := data.find(b" ", at)) < 0 or len(data) < end + 1 + 4 * dim:
            if end < 0 and len(data) - at > _MOST_WORD_BYTES:
                raise InputError(f"{where}: no space behind it, expected one and {dim} numbers")
            piece = next(pieces, b"")
            if not piece:
                raise InputError(f"{where}: the file ends in it (truncated, or its line 1 lies)")
            data, at = data[at:] + piece, 0
        word = data[at:end].lstrip(b"\n")  # some writers end each vector with a line feed
        at = end + 1 + 4 * dim
        yield word.decode("utf-8", "replace"), where, np.frombuffer(data, "<f4", dim, end + 1)
    if data[at:].strip(b"\n") or next(pieces, b""):
        raise InputError(f"{path}: more behind its {n_words} vectors, as many as line 1 says")
