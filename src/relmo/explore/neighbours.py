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
from relmo.explore.sense_map import Embedder, Use, normalized

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
_Key = tuple[tuple[str, ...], int]

_DECIMALS = 5  # of a cosine: rounding, which depends on the batch, shall not decide the order
_TOKENS_AT_ONCE = 8192


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """Use, and how near it is."""

    use: Use
    cosine: float
    """Cosine of the two vectors, from -1 to 1."""


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Uses nearest to one."""

    use: Use
    layers: tuple[tuple[Neighbour, ...], ...]
    """Uses per layer, nearest first. At the token layer all uses of one form are equally near."""
    n_uses: int
    """Number of uses compared."""


class Word(NamedTuple):
    """Word, and how near its one vector is."""

    text: str
    cosine: float


def use_of(sentence: str) -> Use:
    """Return the use in brackets of a sentence, such as "a spectacular [play] on a grounder .".

    Raises:
        InputError: not one token is in brackets.
    """
    tokens = sentence.split()
    positions = bracketed(tokens)
    if len(positions) != 1:
        raise InputError(
            f"expected one word in brackets, such as [play], with spaces around it, got "
            f"{len(positions)} in {sentence!r:.200}"
        )
    tokens[positions[0]] = tokens[positions[0]][1:-1]
    return Use(tokens=tuple(tokens), position=positions[0])


def nearest_uses(
    elmo: Embedder,
    use: Use,
    sentences: Iterable[Sequence[str]],
    n: int = 10,
    *,
    is_wanted: Callable[[str], bool] | None = None,
    limit: int | None = None,
) -> Neighbours:
    """Find the uses whose vectors have the largest cosine with that of one, for each layer.

    In memory that does not grow with the corpus. A repeated sentence counts once, and uses
    that are equally near, to five decimals, are sorted by their words: the order of the sentences
    changes nothing.

    Args:
        elmo: the model.
        use: what they are compared with; where the corpus has it too, it is its own nearest.
        sentences: the corpus, read once.
        n: uses for each layer.
        is_wanted: says which tokens are compared, such as `sense_map.looks_for(word)`; None: all.
        limit: read no further once so many uses were compared.

    Raises:
        InputError: `n` is below 1, or no token is wanted.
    """
    if n < 1:
        raise InputError(f"the number of neighbours must be at least 1, got {n}")
    (layers,) = elmo.embed_stream([use.tokens], layers="all")
    target = normalized(layers[:, use.position])  # (layers, dim)
    best = [_Best(n) for _ in target]
    n_uses = 0
    candidates, to_embed = tee(_candidates(sentences, is_wanted, limit))
    embedded = elmo.embed_stream((tokens for tokens, _ in to_embed), layers="all")
    for (tokens, positions), layers in zip(candidates, embedded, strict=True):
        vectors = normalized(layers[:, positions])  # (layers, positions, dim)
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
    """Find the words whose one vector has the largest cosine with a vector, nearest first.

    Args:
        words: all different.
        vectors: their vectors, (words, dim); words whose vector is zero are left out.
        vector: (dim,).
        n: the number of words at most.
        without: a word that is not to be among them, in whatever case.
    """
    cosines = (normalized(vectors) @ normalized(vector)).astype(np.float64).round(_DECIMALS)
    is_known = (vectors != 0).any(axis=1)
    known = [
        Word(word, cosine)
        for word, cosine, has_vector in zip(words, cosines.tolist(), is_known.tolist(), strict=True)
        if has_vector and word.lower() != without.lower()
    ]
    return sorted(known, key=lambda word: (-word.cosine, word.text))[:n]


def token_vectors(elmo: Elmo, words: Sequence[str]) -> Array:
    """Return the vectors that the token layer has for words, (words, projection_dim)."""
    starts = range(0, len(words), _TOKENS_AT_ONCE)
    parts = [elmo.token_vectors(words[n : n + _TOKENS_AT_ONCE]).cpu().numpy() for n in starts]
    return np.concatenate(parts)


class _Best:
    """Nearest n of the uses that were added."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._cosines: dict[_Key, float] = {}
        self._least = -np.inf
        """Cosine of the farthest of the n nearest so far."""

    def add(self, key: _Key, cosine: float) -> None:
        if cosine < self._least:
            return
        self._cosines[key] = max(cosine, self._cosines.get(key, cosine))
        if len(self._cosines) > 4 * self._n:
            nearest = self._sorted()
            self._cosines, self._least = dict(nearest), nearest[-1][1]

    def ranked(self) -> tuple[Neighbour, ...]:
        return tuple(
            Neighbour(use=Use(tokens=tokens, position=position), cosine=cosine)
            for (tokens, position), cosine in self._sorted()
        )

    def _sorted(self) -> list[tuple[_Key, float]]:
        return sorted(self._cosines.items(), key=lambda item: (-item[1], item[0]))[: self._n]


def _candidates(
    sentences: Iterable[Sequence[str]], is_wanted: Callable[[str], bool] | None, limit: int | None
) -> Iterator[tuple[tuple[str, ...], list[int]]]:
    """Yield the sentences that have wanted tokens, and their positions."""
    left = float("inf") if limit is None else limit
    for tokens in sentences:
        positions = [n for n, token in enumerate(tokens) if is_wanted is None or is_wanted(token)]
        if left < len(positions):
            positions = positions[: int(left)]
        left -= len(positions)
        if positions:
            yield tuple(tokens), positions
        if left <= 0:
            return
