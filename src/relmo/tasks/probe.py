"""What each layer's vectors are worth: part of speech and word senses (the paper's Tables 5, 6).

probe_tags(elmo, tagged_train, tagged_test)     # a linear probe
probe_senses(elmo, senses.read("semcor.tar.xz"))    # nearest neighbors
"""

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from relmo._typing import Float, Integer
from relmo.data.senses import Lexeme, SenseSentence, SenseWord
from relmo.elmo.model import Elmo
from relmo.errors import InputError
from relmo.tasks.senses import SenseAverages, Vectors, evaluate, word_vectors
from relmo.text.tokenizers import check_strings

__all__ = [
    "LinearProbe",
    "MostFrequentTag",
    "Probe",
    "is_held_out",
    "layer_names",
    "probe_senses",
    "probe_tags",
]


_STEPS = 100


class LinearProbe:
    """A linear classifier of vectors.

    The features are normalized to mean 0 and variance 1, and the weights found by L-BFGS from
    zeros, with the L2 penalty of scikit-learn's default (C=1): convex, so there is no seed.

    Args:
        vectors: (n, dim), any float; at least one.
        labels: (n,), classes from 0.

    Raises:
        InputError: there is no vector.
    """

    def __init__(
        self,
        vectors: Float[np.ndarray[Any, Any], "n dim"],
        labels: Integer[np.ndarray[Any, Any], " n"],
    ) -> None:
        if not len(labels):
            raise InputError("probe: no vector to learn from")
        x = torch.from_numpy(vectors.astype(np.float32))
        deviation, self._mean = torch.std_mean(x, dim=0, correction=0)
        self._deviation = torch.where(deviation > 0, deviation, torch.ones(()))
        x.sub_(self._mean).div_(self._deviation)
        n_classes = int(labels.max()) + 1
        self._weight = torch.zeros(n_classes, x.shape[1])
        self._bias = torch.zeros(n_classes)
        self._fit(x, torch.from_numpy(labels.astype(np.int64)))

    def _fit(self, x: Tensor, y: Tensor) -> None:
        parameters = [self._weight.requires_grad_(), self._bias.requires_grad_()]
        optimizer = torch.optim.LBFGS(
            parameters, max_iter=_STEPS, tolerance_change=1e-7, line_search_fn="strong_wolfe"
        )

        def loss() -> Tensor:
            optimizer.zero_grad()
            total = F.cross_entropy(F.linear(x, *parameters), y)
            total = total + self._weight.square().sum() / (2 * len(x))
            total.backward()  # type: ignore[no-untyped-call]
            return total

        with torch.enable_grad():
            optimizer.step(loss)  # type: ignore[no-untyped-call]
        for parameter in parameters:
            parameter.requires_grad_(False)

    def predict(self, vectors: Float[np.ndarray[Any, Any], "n dim"]) -> npt.NDArray[np.int64]:
        """Return the most likely class of each vector, (n,)."""
        x = torch.from_numpy(vectors.astype(np.float32))
        x = x.sub_(self._mean).div_(self._deviation)
        classes: npt.NDArray[np.int64] = F.linear(x, self._weight, self._bias).argmax(-1).numpy()
        return classes


Tagged = tuple[Sequence[str], Sequence[str]]
"""The words of a sentence, and their tags."""
Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True)
class Probe:
    """The score of a task with the vectors of each layer, from 0 to 1."""

    task: str
    metric: str
    layers: dict[str, float]
    """Scores by the names of the layers; the last is the average of them all."""
    baselines: dict[str, float]
    n_train: int
    """Number of tagged words to train on."""
    n_test: int


def layer_names(n_layers: int) -> list[str]:
    """Return the names of the layers, and of the average of all."""
    return ["token layer", *(f"layer {n}" for n in range(1, n_layers)), "average"]


# --- Part of speech -------------------------------------------------------------------------------


class MostFrequentTag:
    """The most frequent tag of each word; of an unknown word, that of all words.

    Of tags as frequent, the first by name.

    Args:
        sentences: tagged; at least one word.
    """

    def __init__(self, sentences: Iterable[Tagged]) -> None:
        by_word: dict[str, Counter[str]] = {}
        of_all: Counter[str] = Counter()
        for words, tags in sentences:
            of_all.update(tags)
            for word, tag in zip(words, tags, strict=True):
                by_word.setdefault(word, Counter())[tag] += 1
        self._tags = {word: _most_frequent(counts) for word, counts in by_word.items()}
        self.tag = _most_frequent(of_all)
        """The tag of unknown words."""

    def predict(self, words: Iterable[str]) -> list[str]:
        """Return a tag for each word."""
        return [self._tags.get(word, self.tag) for word in words]


def _most_frequent(counts: Counter[str]) -> str:
    return min(counts, key=lambda tag: (-counts[tag], tag))


def probe_tags(
    elmo: Elmo,
    train: Sequence[Tagged],
    test: Sequence[Tagged],
    *,
    static: Mapping[str, Array] | None = None,
) -> Probe:
    """Return the accuracy of a linear probe for the tags on each layer.

    Memory: both parts' vectors of all layers in half precision, and one layer's in single.

    Args:
        elmo: the model.
        train: tagged sentences to fit the probes on.
        test: tagged sentences to measure them on; a tag that `train` lacks counts as an error.
        static: vectors (dim,) to compare with, one per word. A word without one has that of its
            lower case, else zeros.

    Raises:
        InputError: a part has no word, or one string for its words or tags; or `static` is empty.
    """
    for name, part in (("train", train), ("test", test)):
        for number, (words, tags) in enumerate(part, start=1):
            check_strings(words, f"probe: {name}: sentence {number}: words")
            check_strings(tags, f"probe: {name}: sentence {number}: tags")
        if not any(words for words, _ in part):
            raise InputError(f"probe: the {name} part has no word")
    if static is not None and not static:
        raise InputError("probe: static has no word")
    names = sorted({tag for _, tags in train for tag in tags})
    numbers = {tag: number for number, tag in enumerate(names)}
    y_train, y_test = (
        np.array([numbers.get(tag, -1) for _, tags in part for tag in tags])
        for part in (train, test)
    )

    def accuracy(x_train: Array, x_test: Array) -> float:
        return float((LinearProbe(x_train, y_train).predict(x_test) == y_test).mean())

    by_layer = zip(_layers(elmo, train), _layers(elmo, test), strict=True)
    layers = {
        name: accuracy(*pair)
        for name, pair in zip(layer_names(elmo.n_layers), by_layer, strict=True)
    }
    frequent = MostFrequentTag(train)
    right = [
        tag == guess
        for words, tags in test
        for tag, guess in zip(tags, frequent.predict(words), strict=True)
    ]
    baselines = {"most frequent tag": float(np.mean(right))}
    if static is not None:
        baselines["static vectors"] = accuracy(_static(static, train), _static(static, test))
    return Probe(
        task="part of speech",
        metric="accuracy",
        layers=layers,
        baselines=baselines,
        n_train=len(y_train),
        n_test=len(y_test),
    )


def _layers(elmo: Elmo, sentences: Sequence[Tagged]) -> Iterator[Array]:
    """Yield the vectors (tokens, dim) of each layer in turn, then of their average."""
    n_tokens = sum(len(words) for words, _ in sentences)
    all_layers = np.empty((elmo.n_layers, n_tokens, elmo.dim), np.float16)
    stop = 0
    for vectors in elmo.embed_stream((words for words, _ in sentences), layers="all"):
        start, stop = stop, stop + vectors.shape[1]
        all_layers[:, start:stop] = vectors
    yield from all_layers
    yield all_layers.mean(axis=0, dtype=np.float32)


def _static(vectors: Mapping[str, Array], sentences: Sequence[Tagged]) -> Array:
    unknown = np.zeros_like(next(iter(vectors.values())))
    return np.stack(
        [
            vectors.get(word, vectors.get(word.lower(), unknown))
            for words, _ in sentences
            for word in words
        ]
    )


# --- Word senses ----------------------------------------------------------------------------------


def is_held_out(document: str, seed: int) -> bool:
    """Whether a document is one of the tenth (about) that senses are tested on."""
    return zlib.crc32(f"{seed} {document}".encode("utf-8", "surrogatepass")) % 10 == 0


def probe_senses(
    elmo: Elmo,
    corpus: Iterable[SenseSentence],
    tests: Mapping[str, Iterable[SenseSentence]] | None = None,
    *,
    dictionary: Mapping[Lexeme, Sequence[str]] | None = None,
    seed: int = 0,
) -> list[Probe]:
    """Return the F1 of the nearest neighbor among a word's senses, by layer.

    First with a tenth of the corpus held out, by document; then, for each of `tests`, with the
    average vectors of the whole corpus.

    Args:
        elmo: the model.
        corpus: sentences with senses, of at least two documents; read once.
        tests: other sentences with senses, by name.
        dictionary: which sense is a lexeme's first; see `SenseAverages`.
        seed: which documents are held out.

    Raises:
        InputError: no word is held out, or all are, or a test has none.
    """
    averages = SenseAverages(dictionary)
    held_out: list[tuple[SenseWord, Vectors]] = []
    n_train = 0
    for sentence, vectors in word_vectors(elmo, corpus):
        uses = list(zip(sentence.words, vectors, strict=True))
        if is_held_out(sentence.document, seed):
            held_out += uses
        else:
            n_train += averages.add(uses)
    if not held_out or not n_train:
        raise InputError(
            f"probe: of the documents with senses {'all' if held_out else 'none'} are held out "
            "(about a tenth, by the seed); give more documents or another seed"
        )
    probes = [_sense_probe(elmo, "held out", averages, held_out, n_train)]
    if tests:
        n_train += averages.add(held_out)
    for name, sentences in (tests or {}).items():
        uses = [
            use
            for sentence, vectors in word_vectors(elmo, sentences)
            for use in zip(sentence.words, vectors, strict=True)
        ]
        if not uses:
            raise InputError(f"probe: {name} has no word with a sense")
        probes.append(_sense_probe(elmo, name, averages, uses, n_train))
    return probes


def _sense_probe(
    elmo: Elmo,
    name: str,
    averages: SenseAverages,
    uses: Sequence[tuple[SenseWord, Vectors]],
    n_train: int,
) -> Probe:
    layers, first = evaluate(averages, uses)
    return Probe(
        task=f"word senses, {name}",
        metric="F1",
        layers={
            layer: score.f1 for layer, score in zip(layer_names(elmo.n_layers), layers, strict=True)
        },
        baselines={"first sense": first.f1},
        n_train=n_train,
        n_test=len(uses),
    )
