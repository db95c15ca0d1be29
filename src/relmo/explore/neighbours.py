"""The nearest uses of a word in a corpus, by layer, beside the nearest words (the paper's Table 4).

use = neighbours.use_of("a spectacular [play] on a grounder .")
found = neighbours.nearest_uses(relmo.load(), use, Corpus("news.txt"))
found.layers[2][0].use          # what layer 2 has nearest, with found.layers[2][0].cosine
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import tee
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from relmo.elmo.language_model import bracketed
from relmo.elmo.model import Elmo
from relmo.errors import InputError
from relmo.explore.sense_map import Embedder, Use

__all__ = [
    "Neighbour",
    "Neighbours",
    "Word",
    "nearest_uses",
    "nearest_words",
    "token_vectors",
    "use_of",
]

Array = npt.NDArray[np.floating[Any]]
_Place = tuple[tuple[str, ...], int]

_DECIMALS = 5  # of a cosine: rounding, which depends on the batch, shall not decide the order
_TOKENS_AT_ONCE = 8192


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A use, and how near it is."""

    use: Use
    cosine: float
    """From -1 to 1."""


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """The uses nearest to one."""

    use: Use
    layers: tuple[tuple[Neighbour, ...], ...]
    """Of each layer, nearest first. At the token layer all uses of one form are as near."""
    n_uses: int
    """Uses looked at."""


class Word(NamedTuple):
    """A word, and how near its one vector is."""

    text: str
    cosine: float


def use_of(sentence: str) -> Use:
    """The use that a sentence has in brackets, such as "a spectacular [play] on a grounder .".

    Raises:
        InputError: not one token is in brackets.
    """
    tokens = sentence.split()
    places = bracketed(tokens)
    if len(places) != 1:
        raise InputError(
            f"expected one word in brackets, such as [play], with spaces around it, got "
            f"{len(places)} in {sentence!r:.200}"
        )
    tokens[places[0]] = tokens[places[0]][1:-1]
    return Use(tokens=tuple(tokens), position=places[0])


def nearest_uses(
    elmo: Embedder,
    use: Use,
    sentences: Iterable[Sequence[str]],
    n: int = 10,
    *,
    is_wanted: Callable[[str], bool] | None = None,
    limit: int | None = None,
) -> Neighbours:
    """The uses whose vectors have the largest cosine with that of one, for each layer.

    In memory that does not grow with the corpus. A sentence that comes again counts once, and of
    uses as near, to five decimals, those come first that do by their words: the order of the
    sentences changes nothing.

    Args:
        elmo: the model.
        use: what they shall be like; where the corpus has it too, it is its own nearest.
        sentences: the corpus, read once.
        n: uses for each layer.
        is_wanted: which tokens are looked at, such as `sense_map.looks_for(word)`; None: all.
        limit: read no further once so many uses were looked at.

    Raises:
        InputError: `n` is below 1, or no token is wanted.
    """
    if n < 1:
        raise InputError(f"the number of neighbours must be at least 1, got {n}")
    (layers,) = elmo.embed_stream([use.tokens], layers="all")
    target = _unit(layers[:, use.position])  # (layers, dim)
    best = [_Best(n) for _ in target]
    n_uses = 0
    found, to_embed = tee(_candidates(sentences, is_wanted, limit))
    embedded = elmo.embed_stream((tokens for tokens, _ in to_embed), layers="all")
    for (tokens, positions), layers in zip(found, embedded, strict=True):
        vectors = _unit(layers[:, positions])  # (layers, positions, dim)
        cosines = np.einsum("lpd,ld->lp", vectors, target).astype(np.float64).round(_DECIMALS)
        for of_layer, row in zip(best, cosines.tolist(), strict=True):
            for position, cosine in zip(positions, row, strict=True):
                of_layer.add((tokens, position), cosine)
        n_uses += len(positions)
    if not n_uses:
        raise InputError(f"neighbours: no use of {use.form!r} in the corpus")
    return Neighbours(use=use, layers=tuple(of.ranked() for of in best), n_uses=n_uses)


def nearest_words(
    words: Sequence[str], vectors: Array, vector: Array, n: int = 10, *, without: str = ""
) -> list[Word]:
    """The words whose one vector has the largest cosine with a vector, nearest first.

    Args:
        words: all different.
        vectors: theirs, (words, dim); those that are zeros are left out.
        vector: (dim,).
        n: so many, at most.
        without: a word that is not to be among them, in whatever case.
    """
    cosines = (_unit(vectors) @ _unit(vector)).astype(np.float64).round(_DECIMALS)
    is_known = (vectors != 0).any(axis=1)
    known = [
        Word(word, cosine)
        for word, cosine, has_vector in zip(words, cosines.tolist(), is_known.tolist(), strict=True)
        if has_vector and word.lower() != without.lower()
    ]
    return sorted(known, key=lambda word: (-word.cosine, word.text))[:n]


def token_vectors(elmo: Elmo, words: Sequence[str]) -> Array:
    """The vectors that the token layer has for words, (words, projection_dim)."""
    starts = range(0, len(words), _TOKENS_AT_ONCE)
    parts = [elmo.token_vectors(words[at : at + _TOKENS_AT_ONCE]).cpu().numpy() for at in starts]
    return np.concatenate(parts)


class _Best:
    """The n nearest of those that were added."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._found: dict[_Place, float] = {}
        self._least = -np.inf
        """Of the n nearest so far; what is farther is of no use."""

    def add(self, place: _Place, cosine: float) -> None:
        if cosine < self._least:
            return
        self._found[place] = max(cosine, self._found.get(place, cosine))
        if len(self._found) > 4 * self._n:
            kept = self._sorted()
            self._found, self._least = dict(kept), kept[-1][1]

    def ranked(self) -> tuple[Neighbour, ...]:
        return tuple(
            Neighbour(use=Use(tokens=tokens, position=position), cosine=cosine)
            for (tokens, position), cosine in self._sorted()
        )

    def _sorted(self) -> list[tuple[_Place, float]]:
        return sorted(self._found.items(), key=lambda item: (-item[1], item[0]))[: self._n]


def _candidates(
    sentences: Iterable[Sequence[str]], is_wanted: Callable[[str], bool] | None, limit: int | None
) -> Iterator[tuple[tuple[str, ...], list[int]]]:
    """The sentences that have wanted tokens, and where."""
    left = float("inf") if limit is None else limit
    for tokens in sentences:
        places = [n for n, token in enumerate(tokens) if is_wanted is None or is_wanted(token)]
        if left < len(places):
            places = places[: int(left)]
        left -= len(places)
        if places:
            yield tuple(tokens), places
        if left <= 0:
            return


def _unit(vectors: Array) -> Array:
    """Of length one along the last axis; zeros stay."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Array = vectors / np.where(norms > 0, norms, 1.0)
    return unit
