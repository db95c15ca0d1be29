"""Word senses by nearest neighbor: a vector per sense, the average of its uses (section 5.3).

averages = SenseAverages()
for sentence, vectors in word_vectors(elmo, senses.read("semcor.tar.xz")):
    averages.add(zip(sentence.words, vectors))
averages.nearest(lexeme, vectors)       # for each layer the key of the nearest sense
averages.first(lexeme)                  # the baseline, and the answer for unseen lexemes

save(averages, elmo, "semcor.safetensors")              # so that a corpus is read only once
averages = load("semcor.safetensors", elmo)             # with the same model
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from relmo._files import check_regular, replacing_file
from relmo._read import PathLike
from relmo._typing import Float
from relmo.data.senses import Lexeme, SenseSentence, SenseWord
from relmo.elmo.model import Elmo
from relmo.errors import FormatError, InputError
from relmo.formats.verify import parameters_sha256

__all__ = [
    "Answers",
    "SenseAverages",
    "SenseScore",
    "Vectors",
    "answers",
    "evaluate",
    "load",
    "save",
    "score_of_keys",
    "scores",
    "word_vectors",
]


_SAME = 1e-5  # cosines as near are ties: sums of thousands in single precision are not nearer
Vectors = Float[np.ndarray[Any, Any], "layers dim"]


def word_vectors(
    elmo: Elmo, sentences: Iterable[SenseSentence]
) -> Iterator[tuple[SenseSentence, Float[np.ndarray[Any, Any], "words layers dim"]]]:
    """Yield vectors of the tagged words: the mean over a word's tokens, of each layer and of all.

    Args:
        elmo: the model.
        sentences: read as they are needed, a few batches before the others.

    Yields:
        each sentence that has tagged words, and (words, n_layers + 1, dim): the last row of each
        word is the average of the layers.
    """
    tagged, to_embed = tee(sentence for sentence in sentences if sentence.words)
    embedded = elmo.embed_stream((sentence.tokens for sentence in to_embed), layers="all")
    for sentence, layers in zip(tagged, embedded, strict=True):
        rows = [layers[:, word.start : word.stop].mean(axis=1) for word in sentence.words]
        vectors = np.stack(rows)  # (words, n_layers, dim)
        yield sentence, np.concatenate([vectors, vectors.mean(axis=1, keepdims=True)], axis=1)


class SenseAverages:
    """The senses of each lexeme that have been seen, and the average vectors of their uses.

    Args:
        dictionary: the senses of lexemes in its order, as `data.wordnet` reads them. The first
            sense of a lexeme that it does not have is the most frequent one (ties: by key).
    """

    def __init__(self, dictionary: Mapping[Lexeme, Sequence[str]] | None = None) -> None:
        self._dictionary = dictionary or {}
        # Sums point where averages do, and a cosine depends on the direction alone.
        self._sums: dict[str, Vectors] = {}
        self._counts: dict[Lexeme, Counter[str]] = {}

    @classmethod
    def of(
        cls,
        sums: Mapping[str, Vectors],
        counts: Mapping[Lexeme, Mapping[str, int]],
        dictionary: Mapping[Lexeme, Sequence[str]] | None = None,
    ) -> Self:
        """Return averages with the `sums` and `counts` of earlier ones."""
        averages = cls(dictionary)
        averages._sums = dict(sums)
        averages._counts = {lexeme: Counter(of_keys) for lexeme, of_keys in counts.items()}
        return averages

    def add(self, uses: Iterable[tuple[SenseWord, Vectors]]) -> int:
        """Add uses, each to all of its word's senses, and return their number.

        Args:
            uses: tagged words and their vectors, (layers, dim).
        """
        n = 0
        for n, (word, vectors) in enumerate(uses, start=1):  # noqa: B007 - the last is the count
            counts = self._counts.setdefault(word.lexeme, Counter())
            for key in word.keys:
                counts[key] += 1
                if key in self._sums:
                    self._sums[key] += vectors
                else:
                    self._sums[key] = vectors.astype(np.float32)
        return n

    @property
    def sums(self) -> Mapping[str, Vectors]:
        """The sum of the vectors of each sense's uses."""
        return self._sums

    @property
    def counts(self) -> Mapping[Lexeme, Mapping[str, int]]:
        """Frequency of each sense of each lexeme."""
        return self._counts

    @property
    def n_senses(self) -> int:
        """Number of senses that have been seen."""
        return len(self._sums)

    def seen(self, lexeme: Lexeme) -> tuple[str, ...]:
        """Return the senses of a lexeme, the most frequent one first."""
        counts = self._counts.get(lexeme, Counter())
        return tuple(sorted(counts, key=lambda key: (-counts[key], key)))

    def first(self, lexeme: Lexeme) -> str | None:
        """Return its first sense; None if it was not seen and is not in the dictionary."""
        return next(iter(self._dictionary.get(lexeme) or self.seen(lexeme)), None)

    def nearest(self, lexeme: Lexeme, vectors: Vectors, prior: float = 0.0) -> list[str | None]:
        """Return for each layer the sense whose average has the largest cosine with the vector.

        With a prior, frequent senses have an advantage: `prior` times the logarithm of a sense's
        relative frequency among the lexeme's uses is added to its cosine.

        Of ties, to rounding, the most frequent sense is returned: such as where a layer has one
        vector for a word whatever its sentence. A lexeme that was not seen gets its first sense.

        Args:
            lexeme: the word.
            vectors: (layers, dim).
            prior: 0 as in the paper; the larger it is, the more often the answer is the most
                frequent sense.
        """
        keys = self.seen(lexeme)
        if len(keys) < 2:
            return [keys[0] if keys else self.first(lexeme)] * len(vectors)
        averages = np.stack([self._sums[key] for key in keys])  # (senses, layers, dim)
        norms = np.linalg.norm(averages, axis=-1) * np.linalg.norm(vectors, axis=-1)
        products = np.einsum("sld,ld->sl", averages, vectors)
        cosines = products / np.where(norms > 0, norms, 1.0)  # (senses, layers)
        counts = np.array([self._counts[lexeme][key] for key in keys])
        near = cosines + prior * np.log(counts / counts.sum())[:, None]
        is_nearest = near > near.max(axis=0) - _SAME
        return [keys[n] for n in is_nearest.argmax(axis=0)]  # the first of them


@dataclass(frozen=True, kw_only=True)
class SenseScore:
    """Scores as the scorer of the evaluation sets counts: any of a word's keys is right."""

    n_words: int
    n_answered: int
    n_right: float
    """A word with several answers counts by the fraction of them that is right."""

    @property
    def precision(self) -> float:
        """Fraction of the answers that are right, from 0 to 1."""
        return self.n_right / self.n_answered if self.n_answered else 0.0

    @property
    def recall(self) -> float:
        """Fraction of the words that got a right answer."""
        return self.n_right / self.n_words if self.n_words else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.n_words + self.n_answered
        return 2 * self.n_right / total if total else 0.0


Answers = tuple[SenseWord, Sequence[str | None]]
"""A word, and sense keys for it; None: no answer."""


def answers(
    averages: SenseAverages, uses: Iterable[tuple[SenseWord, Vectors]], prior: float = 0.0
) -> Iterator[Answers]:
    """Yield the sense of each word: by each layer's vectors, and at the end the first sense.

    Args:
        averages: of the training corpus.
        uses: words and their vectors, (layers, dim).
        prior: see `SenseAverages.nearest`.
    """
    for word, vectors in uses:
        first = averages.first(word.lexeme)
        yield word, [*averages.nearest(word.lexeme, vectors, prior), first]


def scores(answered: Iterable[Answers]) -> list[SenseScore]:
    """Return the score of each of the words' answers: first answers, second ones, and so on."""
    columns: list[list[tuple[SenseWord, str | None]]] = []
    for word, keys in answered:
        columns = columns or [[] for _ in keys]
        for column, key in zip(columns, keys, strict=True):
            column.append((word, key))
    return [
        SenseScore(
            n_words=len(column),
            n_answered=sum(key is not None for _, key in column),
            n_right=sum(key in word.keys for word, key in column),
        )
        for column in columns
    ]


def score_of_keys(
    gold: Mapping[str, Sequence[str]], predicted: Mapping[str, Sequence[str]]
) -> SenseScore:
    """Return the score of any program's answers, as the scorer of the evaluation sets counts.

    Args:
        gold: the right keys of each word, by its name, as `data.senses.read_keys` reads them.
        predicted: the answers; those to words that are not in `gold` do not count.
    """
    answered = [(set(gold[name]), set(keys)) for name, keys in predicted.items() if name in gold]
    return SenseScore(
        n_words=len(gold),
        n_answered=len(answered),
        n_right=sum(len(right & keys) / len(keys) for right, keys in answered),
    )


def evaluate(
    averages: SenseAverages, uses: Iterable[tuple[SenseWord, Vectors]]
) -> tuple[list[SenseScore], SenseScore]:
    """Return the scores of each layer's vectors, and of taking the first sense.

    Args:
        averages: of the training corpus.
        uses: tagged words and their vectors, (layers, dim); at least one.
    """
    *layers, first = scores(answers(averages, uses))
    return layers, first


_FORMAT = "relmo senses 1"


def save(averages: SenseAverages, elmo: Elmo, path: PathLike) -> None:
    """Write averages; the file appears whole or not at all.

    Args:
        averages: of one sense or more.
        elmo: the model whose vectors they are.
        path: a safetensors file, which holds the sums in single precision.

    Raises:
        InputError: there is no sense, or the file cannot be written.
    """
    if not averages.n_senses:
        raise InputError(f"cannot write {str(path)!r}: no sense has been seen")
    keys = list(averages.sums)
    counts = [[*lexeme, dict(of_keys)] for lexeme, of_keys in averages.counts.items()]
    metadata = {
        "format": _FORMAT,
        "model": parameters_sha256(elmo.checkpoint()),
        "keys": json.dumps(keys),
        "counts": json.dumps(counts),
    }
    with replacing_file(path) as aside:
        aside.touch()
        mode = aside.stat().st_mode  # as of any new file; save_file lets only the owner read
        try:
            save_file({"sums": np.stack([averages.sums[key] for key in keys])}, aside, metadata)
        except SafetensorError as error:
            raise InputError(f"cannot write {str(path)!r}: {error}") from error
        aside.chmod(mode)


def load(
    path: PathLike, elmo: Elmo, *, dictionary: Mapping[Lexeme, Sequence[str]] | None = None
) -> SenseAverages:
    """Load the averages that `save` wrote.

    Args:
        path: the file.
        elmo: the model; it must be that of the averages.
        dictionary: see `SenseAverages`.

    Raises:
        InputError: there is no such file, or its averages are another model's.
        FormatError: it is another file, or is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    check_regular(path)
    metadata, sums = _read(path, (elmo.n_layers + 1, elmo.dim))
    if metadata["model"] != parameters_sha256(elmo.checkpoint()):
        raise InputError(
            f"{path}: average vectors of another model; load that one, or average anew"
        )
    try:
        keys: list[str] = json.loads(metadata["keys"])
        counts = {
            Lexeme(str(lemma), str(pos)): {str(key): int(n) for key, n in of_keys.items()}
            for lemma, pos, of_keys in json.loads(metadata["counts"])
        }
        by_key = dict(zip(keys, sums, strict=True))
        unknown = {key for of_keys in counts.values() for key in of_keys} - by_key.keys()
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(f"{path}: its keys and counts are damaged: {error}") from error
    if unknown:
        raise FormatError(f"{path}: {len(unknown)} senses have no vector, such as {min(unknown)!r}")
    return SenseAverages.of(by_key, counts, dictionary)


def _read(
    path: Path, shape: tuple[int, int]
) -> tuple[dict[str, str], Float[np.ndarray[Any, Any], "senses layers dim"]]:
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT or list(file.keys()) != ["sums"]:
                raise FormatError(f"{path}: holds no senses as `relmo senses` saves them")
            stored = file.get_slice("sums")
            sizes, dtype = tuple(stored.get_shape()), stored.get_dtype()
            if len(sizes) != 3 or dtype != "F32":
                raise FormatError(f"{path}: 'sums' is {dtype} {sizes}, expected F32 of three axes")
            if sizes[1:] != shape:
                raise InputError(
                    f"{path}: vectors of {sizes[1] - 1} layers and width {sizes[2]}, but the "
                    f"model has {shape[0] - 1} and {shape[1]}; load theirs"
                )
            sums = file.get_tensor("sums")
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise FormatError(f"{path}: cannot be read as safetensors: {error}") from error
    if not np.isfinite(sums).all():
        raise FormatError(f"{path}: a number is NaN or infinite")
    return {"model": "", "keys": "", "counts": "", **metadata}, sums
