"""Sense maps: every use of a word, each layer's vectors brought down to two dimensions.

from relmo.explore import sense_map
found = sense_map.find_uses("work", sentences, labels)
drawn = sense_map.compute(relmo.load(), "work", found)
drawn.layers[2].separation          # how far apart the labeled senses are
relmo.explore.sense_plot.draw(drawn, "work.png")
"""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast, runtime_checkable

import numpy as np
import numpy.typing as npt

from relmo.errors import InputError, MissingExtraError

__all__ = [
    "LayerMap",
    "SenseMap",
    "Use",
    "compute",
    "find_uses",
    "inflections",
    "looks_for",
    "normalized",
    "of_vectors",
    "principal_plane",
    "silhouette",
    "vectors_of",
]

Array = npt.NDArray[np.floating[Any]]

_VOWELS = "aeiou"
_SAME = 1e-6  # relative: rounding leaves equal vectors apart by about 1e-7


@runtime_checkable
class Embedder(Protocol):
    """Method of `relmo.Elmo` that a map needs."""

    def embed_stream(
        self, sentences: Iterable[Sequence[str]], *, layers: Literal["all"]
    ) -> Iterator[npt.NDArray[np.float32]]:
        """Yield (n_layers, tokens, dim) for each sentence."""
        ...


@dataclass(frozen=True, kw_only=True)
class Use:
    """Occurrence of the word in a sentence."""

    tokens: tuple[str, ...]
    """Sentence."""
    position: int
    """Index of the word among the tokens."""
    label: str | None = None
    """Known sense."""

    @property
    def form(self) -> str:
        """Word as it stands in the sentence."""
        return self.tokens[self.position]


@dataclass(frozen=True, kw_only=True)
class LayerMap:
    """Picture of one layer."""

    name: str
    """"token layer", "layer 1", ..."""
    points: Array
    """First two principal components of the centered vectors, (uses, 2)."""
    variance_kept: float
    """Fraction of the layer's variance that two dimensions keep; 1 where there is none."""
    has_variance: bool
    """Whether the vectors differ."""
    separation: float | None
    """`silhouette` of the labels, or None where they do not name two senses."""


@dataclass(frozen=True, kw_only=True)
class SenseMap:
    """Uses of a word, and where each layer puts them."""

    word: str
    uses: tuple[Use, ...]
    layers: tuple[LayerMap, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Senses, sorted."""
        return tuple(sorted({use.label for use in self.uses if use.label is not None}))


def inflections(word: str) -> frozenset[str]:
    """Return a word and its regular English forms in lower case: work, works, worked, working.

    Spelling rules only: -s, -es, -ed, -ing; a silent e dropped, y turned to i, a final consonant
    doubled. Some forms may not exist, which does no harm; irregular ones have to be given.
    """
    word = word.lower()
    stems = {word}
    if word.endswith("e"):
        stems.add(word[:-1])
    if len(word) > 2 and word[-1] not in _VOWELS + "wxy" and word[-2] in _VOWELS:
        stems.add(word + word[-1])
    forms = {word, word + "s", word + "es"}
    forms |= {stem + ending for stem in stems for ending in ("ed", "ing")}
    if word.endswith("y") and word[-2:-1] not in _VOWELS:
        forms |= {word[:-1] + "ies", word[:-1] + "ied"}
    return frozenset(forms)


def looks_for(
    word: str, *, forms: Iterable[str] | None = None, exact: bool = False
) -> Callable[[str], bool]:
    """Return a function that says whether a token is a form of the word; see `find_uses`."""
    if exact:
        as_typed = frozenset(forms) if forms is not None else frozenset([word])
        return as_typed.__contains__
    wanted = frozenset(map(str.lower, forms)) if forms is not None else inflections(word)
    return lambda token: _bare(token) in wanted


def find_uses(
    word: str,
    sentences: Iterable[Sequence[str]],
    labels: Iterable[str | None] | None = None,
    *,
    forms: Iterable[str] | None = None,
    exact: bool = False,
    limit: int | None = None,
) -> tuple[Use, ...]:
    """Return every token of the sentences that is a form of the word.

    Args:
        word: as typed.
        sentences: each a list of tokens; read once, those without the word are not kept.
        labels: the sense of the word in each sentence; None: not known.
        forms: the forms to look for; None: the regular English `inflections`.
        exact: capitals count and punctuation belongs to the token; without `forms` only the word
            itself is looked for. Otherwise "Work," is a use of "work".
        limit: read no further once so many are found.

    Raises:
        InputError: `labels` ends before or after `sentences`.
    """
    is_wanted = looks_for(word, forms=forms, exact=exact)
    uses: list[Use] = []
    for tokens, label in _paired(sentences, labels):
        uses += [
            Use(tokens=tuple(tokens), position=position, label=label)
            for position, token in enumerate(tokens)
            if is_wanted(token)
        ]
        if limit is not None and len(uses) >= limit:
            return tuple(uses[:limit])
    return tuple(uses)


def compute(elmo: Embedder, word: str, uses: Sequence[Use]) -> SenseMap:
    """Compute the map of the uses.

    Args:
        elmo: the model.
        word: for the title.
        uses: what `find_uses` gave.

    Raises:
        InputError: fewer than two uses.
    """
    if len(uses) < 2:
        n_found = "no use" if not uses else f"one use ({' '.join(uses[0].tokens)!r})"
        raise InputError(f"map: {n_found} of {word!r} in the sentences; a map needs two or more")
    return of_vectors(word, uses, list(vectors_of(elmo, uses)))


def vectors_of(elmo: Embedder, uses: Sequence[Use]) -> Array:
    """Return the vectors of the uses, (n_layers, uses, dim); each sentence is computed once.

    Args:
        elmo: the model.
        uses: at least one.
    """
    sentences = list(dict.fromkeys(use.tokens for use in uses))
    rows: dict[tuple[tuple[str, ...], int], Array] = {}
    embedded = elmo.embed_stream(sentences, layers="all")
    wanted = {(use.tokens, use.position) for use in uses}
    for tokens, layers in zip(sentences, embedded, strict=True):
        for position in range(len(tokens)):
            if (tokens, position) in wanted:
                rows[tokens, position] = layers[:, position].copy()
    return np.stack([rows[use.tokens, use.position] for use in uses], axis=1)


def of_vectors(word: str, uses: Sequence[Use], layers: Sequence[Array]) -> SenseMap:
    """Return the map of uses whose vectors are computed already.

    Args:
        word: for the title.
        uses: what `find_uses` gave.
        layers: the vectors of the uses per layer, each (uses, dim of that layer).
    """
    labels = [use.label for use in uses]
    maps = tuple(_layer_map(n, vectors, labels) for n, vectors in enumerate(layers))
    return SenseMap(word=word, uses=tuple(uses), layers=maps)


def normalized(vectors: Array) -> Array:
    """Scale vectors to length one along the last axis; zeros stay."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Array = vectors / np.where(norms > 0, norms, 1.0)
    return unit


def principal_plane(vectors: Array) -> tuple[Array, float]:
    """Return the first two principal components, and the fraction of the variance in them.

    A component's sign is free; scikit-learn takes the one in which its largest loading is positive,
    so that the same vectors always give the same picture.

    Args:
        vectors: (n, dim).

    Returns:
        Points (n, 2), zero where there is no second component, and the fraction: 1.0 where all
        vectors are the same.

    Raises:
        MissingExtraError: no scikit-learn.
    """
    try:
        from sklearn.decomposition import PCA
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "plot") from error
    vectors = vectors.astype(np.float64)
    points = np.zeros((len(vectors), 2))
    if np.abs(vectors - vectors.mean(axis=0)).max() <= _SAME * np.abs(vectors).max():
        return points, 1.0
    pca = PCA(min(2, *vectors.shape), svd_solver="full")
    points[:, : pca.n_components] = pca.fit_transform(vectors)
    return points, float(pca.explained_variance_ratio_.sum())


def silhouette(vectors: Array, labels: Sequence[str | None]) -> float | None:
    """Return the mean silhouette of the labeled vectors under cosine distance, from -1 to 1.

    Rousseeuw 1987, "Silhouettes: a graphical aid to the interpretation and validation of cluster
    analysis". Computed from the whole vectors, not from the picture.

    Args:
        vectors: (n, dim).
        labels: n labels; vectors labeled None are left out.

    Returns:
        The mean, or None where there are not two labels, one of them at least twice.

    Raises:
        MissingExtraError: no scikit-learn.
    """
    try:
        from sklearn.metrics import silhouette_score
        from sklearn.metrics.pairwise import cosine_distances
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "plot") from error
    known = [(row, label) for row, label in enumerate(labels) if label is not None]
    if not 2 <= len({label for _, label in known}) < len(known):
        return None
    distances = cosine_distances(vectors[[row for row, _ in known]].astype(np.float64))
    distances[distances < _SAME] = 0.0  # else rounding would part identical vectors
    return float(silhouette_score(distances, [label for _, label in known], metric="precomputed"))


def _paired(
    sentences: Iterable[Sequence[str]], labels: Iterable[str | None] | None
) -> Iterator[tuple[Sequence[str], str | None]]:
    """Yield each sentence with its label, read in step."""
    if labels is None:
        yield from ((tokens, None) for tokens in sentences)
        return
    rest = iter(labels)
    end = object()
    for tokens in sentences:
        label = next(rest, end)
        if label is end:
            raise InputError("find_uses: fewer labels than sentences")
        yield tokens, cast("str | None", label)
    if next(rest, end) is not end:
        raise InputError("find_uses: more labels than sentences")


def _layer_map(n: int, vectors: Array, labels: Sequence[str | None]) -> LayerMap:
    points, kept = principal_plane(vectors)
    return LayerMap(
        name="token layer" if n == 0 else f"layer {n}",
        points=points,
        variance_kept=kept,
        has_variance=bool(np.any(points)),
        separation=silhouette(vectors, labels),
    )


def _bare(token: str) -> str:
    """Return the token in lower case without punctuation at its ends."""
    letters = [k for k, char in enumerate(token) if not unicodedata.category(char).startswith("P")]
    return token[letters[0] : letters[-1] + 1].lower() if letters else token
