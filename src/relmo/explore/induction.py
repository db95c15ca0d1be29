"""Induce the senses of a word: its uses in clusters, by scikit-learn.

uses = sense_map.find_uses("bank", Corpus("news.txt"), exact=True, limit=500)
found = induction.induce(relmo.load(), "bank", uses)
found.clusters[0].words, found.clusters[0].uses      # its name, and its typical uses
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from relmo.elmo.language_model import LanguageModel, bracketed
from relmo.elmo.model import Elmo
from relmo.errors import InputError, MissingExtraError
from relmo.explore.sense_map import (
    SenseMap,
    Use,
    inflections,
    normalized,
    of_vectors,
    silhouette,
    vectors_of,
)

try:
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, v_measure_score
except ImportError as error:
    raise MissingExtraError("scikit-learn", "sklearn") from error

__all__ = ["Agreement", "Cluster", "Induction", "induce"]

Array = npt.NDArray[np.floating[Any]]
_Labels = npt.NDArray[np.int64]

_MOST_CLUSTERS = 8
_N_WORDS = 5
_N_SUBSTITUTES = 30  # of each use
_NEAR = 5  # words on either side that are a use's context


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Similar uses."""

    words: tuple[str, ...]
    """Words that set it apart, best first: substitutes for the word, or words around it."""
    uses: tuple[Use, ...]
    """Uses, most typical first: by the cosine with the cluster's mean."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Agreement of the clusters with the known senses of uses."""

    n_uses: int
    """Number of uses that have a known sense."""
    adjusted_rand: float
    """Adjusted Rand index, Hubert and Arabie 1985; 1 the same, 0 as by chance."""
    v_measure: float
    """V-measure, Rosenberg and Hirschberg 2007; from 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Induction:
    """Clusters of a word's uses, the largest first."""

    word: str
    clusters: tuple[Cluster, ...]
    separation: float
    """Mean silhouette of the clusters, from -1 to 1."""
    agreement: Agreement | None
    """Agreement with known senses, or None where fewer than two uses have one."""
    by_substitutes: bool
    """Whether the clusters' words are substitutes; else the model has no softmax."""
    vectors: Array
    """Vectors of the uses, cluster after cluster, (n_layers, uses, dim)."""

    def drawn(self, n_uses: int = 40, seed: int = 0) -> SenseMap:
        """Return the map of some of the uses, drawn by the seed, labeled by their clusters."""
        labeled = [
            Use(tokens=use.tokens, position=use.position, label=label)
            for label, cluster in zip(self.labels, self.clusters, strict=True)
            for use in cluster.uses
        ]
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.permutation(len(labeled))[:n_uses])
        return of_vectors(self.word, [labeled[row] for row in rows], list(self.vectors[:, rows]))

    @property
    def labels(self) -> tuple[str, ...]:
        """Name of each cluster: its number from 1, and its best words."""
        return tuple(
            f"{n}: {', '.join(cluster.words[:3])}" for n, cluster in enumerate(self.clusters, 1)
        )


def induce(
    elmo: Elmo,
    word: str,
    uses: Sequence[Use],
    *,
    k: int | None = None,
    layer: int = -1,
    seed: int = 0,
) -> Induction:
    """Cluster the uses by k-means on a layer's vectors of length one.

    The order of the uses changes nothing, and a use that comes twice counts once. Forms of a word
    (Bank, banks) tend to become clusters: give the uses of one.

    Args:
        elmo: the model; with a softmax, its substitutes name the clusters.
        word: the word of the uses.
        uses: what `sense_map.find_uses` gave; their labels are only what the clusters are
            compared with.
        k: the number of clusters; None: the one up to eight with the largest mean silhouette.
        layer: whose vectors; the last one's tell senses apart best (section 5.3 of the paper).
        seed: of k-means.

    Raises:
        InputError: fewer uses, or different vectors among them, than clusters and one more; or
            there is no such layer.
    """
    if not -elmo.n_layers <= layer < elmo.n_layers:
        raise InputError(f"layer: expected a number below {elmo.n_layers}, got {layer}")
    if k is not None and k < 2:
        raise InputError(f"induce: the number of clusters must be at least 2, got {k}")
    # a labeled use stands for the same one without a label
    known = {
        (use.tokens, use.position): use for use in sorted(uses, key=lambda use: use.label or "")
    }
    uses = [known[key] for key in sorted(known)]
    if len(uses) < (k or 2) + 1:
        raise InputError(
            f"induce: different uses of {word!r}: {len(uses)}; {k or 2} clusters take more than "
            f"{k or 2}"
        )
    vectors = vectors_of(elmo, uses)  # (n_layers, uses, dim)
    unit = normalized(vectors[layer])
    labels = _clustered(unit, k, seed, word)
    order, clusters = [], []
    words, by_substitutes = _words(elmo, word, uses, labels)
    for number, _ in sorted(Counter(labels.tolist()).items(), key=lambda item: (-item[1], item[0])):
        rows = np.flatnonzero(labels == number)
        typical = rows[np.argsort(-(unit[rows] @ unit[rows].mean(axis=0)), kind="stable")]
        clusters.append(Cluster(words=words[number], uses=tuple(uses[row] for row in typical)))
        order += typical.tolist()
    return Induction(
        word=word,
        clusters=tuple(clusters),
        separation=silhouette(unit, [str(label) for label in labels]) or 0.0,
        agreement=_agreement(uses, labels),
        by_substitutes=by_substitutes,
        vectors=vectors[:, order],
    )


def _clustered(unit: Array, k: int | None, seed: int, word: str) -> _Labels:
    """Return the cluster of each vector, (uses,)."""
    n_different = len(np.unique(unit.round(5), axis=0))
    if n_different < (k or 2):
        raise InputError(
            f"induce: the uses of {word!r} have {n_different} different vectors, too few for "
            f"{k or 2} clusters; take more uses, or a layer above the token layer"
        )
    best: tuple[float, _Labels] | None = None
    for number in [k] if k else range(2, min(_MOST_CLUSTERS, n_different, len(unit) - 1) + 1):
        labels: _Labels = KMeans(number, n_init=10, random_state=seed).fit_predict(unit)
        labels = labels.astype(np.int64)
        score = silhouette(unit, [str(label) for label in labels]) or 0.0
        if best is None or score > best[0] + 1e-9:  # of as good ones the fewest
            best = score, labels
    assert best is not None
    return best[1]


def _agreement(uses: Sequence[Use], labels: _Labels) -> Agreement | None:
    known = [(use.label, int(k)) for use, k in zip(uses, labels, strict=True) if use.label]
    if len(known) < 2:
        return None
    senses, clusters = zip(*known, strict=True)
    return Agreement(
        n_uses=len(known),
        adjusted_rand=float(adjusted_rand_score(senses, clusters)),
        v_measure=float(v_measure_score(senses, clusters)),
    )


def _words(
    elmo: Elmo, word: str, uses: Sequence[Use], labels: _Labels
) -> tuple[list[tuple[str, ...]], bool]:
    """Return the words that set each cluster apart, and whether they are substitutes."""
    has_softmax = elmo.softmax is not None and elmo.vocab is not None
    of_uses = _substitutes(elmo, uses) if has_softmax else map(_context, uses)
    forms = inflections(word) | {use.form.lower() for use in uses}
    sums: list[Counter[str]] = [Counter() for _ in range(int(labels.max()) + 1)]
    for label, weights in zip(labels.tolist(), of_uses, strict=True):
        for text, weight in weights.items():
            if text.lower() not in forms and any(map(str.isalpha, text)):
                sums[label][text] += weight
    sizes = np.bincount(labels)
    means = [
        {text: weight / size for text, weight in of_cluster.items()}
        for of_cluster, size in zip(sums, sizes.tolist(), strict=True)
    ]
    return [_apart(n, means) for n in range(len(means))], has_softmax


def _apart(number: int, means: Sequence[dict[str, float]]) -> tuple[str, ...]:
    """Return the words whose mean weight is most above the largest in another cluster."""
    others = [of_cluster for n, of_cluster in enumerate(means) if n != number]
    gains = {
        text: weight - max((other.get(text, 0.0) for other in others), default=0.0)
        for text, weight in means[number].items()
    }
    ranked = sorted(gains, key=lambda text: (-round(gains[text], 9), text))
    return tuple(text for text in ranked[:_N_WORDS] if gains[text] > 0)


def _substitutes(elmo: Elmo, uses: Sequence[Use]) -> Iterator[dict[str, float]]:
    """Yield the likeliest words in the place of each use, with their probabilities."""
    queries = (
        [
            f"[{token}]" if n == use.position else "[" if n in bracketed(use.tokens) else token
            for n, token in enumerate(use.tokens)
        ]
        for use in uses
    )
    for substitutes in LanguageModel(elmo).substitutes(queries, _N_SUBSTITUTES):
        yield dict(
            zip(substitutes.words, np.exp(substitutes.log_probabilities).tolist(), strict=True)
        )


def _context(use: Use) -> dict[str, float]:
    """Return the words around a use, in lower case, once each."""
    before = use.tokens[max(0, use.position - _NEAR) : use.position]
    after = use.tokens[use.position + 1 : use.position + 1 + _NEAR]
    return dict.fromkeys((token.lower() for token in (*before, *after)), 1.0)
