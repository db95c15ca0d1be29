"""Word sense disambiguation, by layer: the table of docs/senses.md (the paper's section 5.3).

    RELMO_DATA=data .venv/bin/python -m recipes.wsd [--wordnet FOLDER] [--static FILE]

Senses are learned from all of SemCor, nothing else. What is chosen is chosen on SemEval-2007, the
customary development set: the weights of the mix, among shares in quarters, and the prior of each
row. The other sets are test. Nothing is drawn by chance, so there are no seeds.
"""

import argparse
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

import relmo
from recipes.task_runs import command_line, found
from relmo.data import senses, wordnet
from relmo.data import word_vectors as static_vectors
from relmo.data.senses import Lexeme, SenseSentence, SenseWord
from relmo.elmo.model import Elmo
from relmo.explore.neighbours import token_vectors
from relmo.tasks.probe import layer_names
from relmo.tasks.senses import SenseAverages, SenseScore, Vectors, answers, scores, word_vectors

DEV = "semeval2007"
TESTS = ("senseval2", "senseval3", "semeval2013", "semeval2015")
PRIORS = [step / 50 for step in range(11)]
_STEPS = 4  # a layer's share of the mix is so many parts
_SEMCOR, _SETS = "wsd/semcor.tar.xz", "wsd/raganato/Evaluation_Datasets"
_SOURCE = (
    f"{_SEMCOR} is SemCor 3.0 with WordNet 3.0's keys, as the Natural Language Toolkit has it, and "
    f"{_SETS} is of Raganato et al. 2017, lcl.uniroma1.it/wsdeval"
)

Uses = list[tuple[SenseWord, Vectors]]
Embed = Callable[[Iterable[SenseSentence]], Iterator[tuple[SenseWord, Vectors]]]
Dictionary = Mapping[Lexeme, Sequence[str]] | None


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What SemCor's uses have taught, and the words of the sets with their vectors."""

    averages: SenseAverages
    found: Mapping[str, Uses]
    dictionary: Dictionary


def learn(embed: Embed, semcor: Path, sets: Path, dictionary: Dictionary) -> Learned:
    """Average the uses in SemCor, and embed the sets in the same way."""
    averages = SenseAverages(dictionary)
    averages.add(embed(senses.read(semcor)))
    paths = {name: sets / name / f"{name}.data.xml" for name in (DEV, *TESTS)}
    words = {name: list(embed(senses.read(path))) for name, path in paths.items()}
    return Learned(averages=averages, found=words, dictionary=dictionary)


def in_context(elmo: Elmo) -> Embed:
    """The vectors that the model has for words in their sentences, (layers + 1, dim)."""

    def embed(sentences: Iterable[SenseSentence]) -> Iterator[tuple[SenseWord, Vectors]]:
        for sentence, vectors in word_vectors(elmo, sentences):
            yield from zip(sentence.words, vectors, strict=True)

    return embed


def of_context(table: Mapping[str, np.ndarray]) -> Embed:
    """The mean of the one vector that each other word of the sentence has, (1, dim)."""

    def embed(sentences: Iterable[SenseSentence]) -> Iterator[tuple[SenseWord, Vectors]]:
        for sentence in sentences:
            rows = np.stack([table[token] for token in sentence.tokens])
            for word in sentence.words:
                others = np.delete(rows, slice(word.start, word.stop), axis=0)
                yield word, others.sum(axis=0, keepdims=True) / max(1, len(others))

    return embed


def shares(n_layers: int) -> np.ndarray:
    """All mixes of the layers in parts of a quarter, (mixes, layers)."""
    parts = [row for row in product(range(_STEPS + 1), repeat=n_layers) if sum(row) == _STEPS]
    return np.array(parts, np.float32) / _STEPS


def mixed(
    learned: Learned, words: Uses, weights: np.ndarray, prior: float = 0.0
) -> list[SenseScore]:
    """The score of each mix of the layers, (mixes, layers), on some words; then the first sense's.

    The weights are of the first layers that there are vectors of, so not of the average.
    """

    def mix(vectors: Vectors) -> Vectors:
        return weights @ vectors[: weights.shape[1]]

    averages = learned.averages
    lexemes = {word.lexeme for word, _ in words} & averages.counts.keys()
    sums = {key: mix(averages.sums[key]) for lexeme in lexemes for key in averages.seen(lexeme)}
    counts = {lexeme: averages.counts[lexeme] for lexeme in lexemes}
    of_mixes = SenseAverages.of(sums, counts, learned.dictionary)
    return scores(answers(of_mixes, ((word, mix(vectors)) for word, vectors in words), prior))


def best_priors(learned: Learned, weights: np.ndarray) -> list[float]:
    """Of each mix the prior that does best on the development set, of as good ones the least."""
    f1 = [[s.f1 for s in mixed(learned, learned.found[DEV], weights, prior)] for prior in PRIORS]
    return [PRIORS[n] for n in np.argmax(f1, axis=0)[:-1]]


def rows(names: Sequence[str], learned: Learned, weights: np.ndarray) -> dict[str, list[float]]:
    """Of each mix the F1 on each set, on the test sets and on all; then with its best prior."""
    said = {}
    chosen = best_priors(learned, weights)
    for has_prior in (False, True):
        for n, (name, prior) in enumerate(zip(names, chosen, strict=True)):
            row = weights[n : n + 1], prior * has_prior
            dev, *tests = (mixed(learned, words, *row)[0] for words in learned.found.values())
            label = f"{name}, prior {prior:g}" if has_prior else name
            said[label] = [s.f1 for s in (dev, *tests, _joined(tests), _joined([dev, *tests]))]
    return said


def first_senses(learned: Learned) -> list[float]:
    """The F1 of the first sense, in the columns of `rows`."""
    nothing = np.zeros((0, 1), np.float32)
    dev, *tests = (mixed(learned, words, nothing)[-1] for words in learned.found.values())
    return [s.f1 for s in (dev, *tests, _joined(tests), _joined([dev, *tests]))]


def _joined(parts: Sequence[SenseScore]) -> SenseScore:
    return SenseScore(
        n_words=sum(part.n_words for part in parts),
        n_answered=sum(part.n_answered for part in parts),
        n_right=sum(part.n_right for part in parts),
    )


def table(said: Mapping[str, Sequence[float]]) -> str:
    """In Markdown: a row a way to choose, a column a set; the best of a column is bold."""
    heads = [DEV, *TESTS, "the four", "ALL"]
    best = [max(column) for column in zip(*said.values(), strict=True)]
    lines = ["| F1 % | " + " | ".join(heads) + " |", "|---" + "|---:" * len(heads) + "|"]
    for name, row in said.items():
        cells = (
            f"**{100 * f1:.1f}**" if f1 == most else f"{100 * f1:.1f}"
            for f1, most in zip(row, best, strict=True)
        )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def measure(elmo: Elmo, data: Path | None, wordnet_folder: Path | None, static: Path | None) -> str:
    """Learn, choose the mix and the priors, and test."""
    semcor, sets = found(data, [_SEMCOR], _SOURCE), found(data, [_SETS], _SOURCE)
    dictionary = None if wordnet_folder is None else wordnet.read(wordnet_folder)
    paths = [semcor, *(sets / name / f"{name}.data.xml" for name in (DEV, *TESTS))]
    words = sorted({t for path in paths for sentence in senses.read(path) for t in sentence.tokens})
    one_each = token_vectors(elmo, words) if static is None else (
        static_vectors.read(static, words).matrix
    )  # fmt: skip
    embed = of_context(dict(zip(words, one_each, strict=True)))
    without = learn(embed, semcor, sets, dictionary)
    learned = learn(in_context(elmo), semcor, sets, dictionary)
    mixes = shares(elmo.n_layers)
    best = int(np.argmax([s.f1 for s in mixed(learned, learned.found[DEV], mixes)[:-1]]))
    equal = np.full((1, elmo.n_layers), 1 / elmo.n_layers, np.float32)
    weights = np.concatenate([np.eye(elmo.n_layers, dtype=np.float32), equal, mixes[[best]]])
    name = "token vectors of the context" if static is None else "word vectors of the context"
    said = {
        "first sense": first_senses(learned),
        **rows([name], without, np.ones((1, 1), np.float32)),
        **rows([*layer_names(elmo.n_layers), "mix"], learned, weights),
    }
    share = ", ".join(f"{share:g}" for share in mixes[best])
    return f"{table(said)}\n\nmix: {share} of the layers; it and the priors were chosen on {DEV}"


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="the folder of data; else that in RELMO_DATA")
    parser.add_argument("--wordnet", type=Path, help="its files: which sense is the first")
    parser.add_argument("--static", type=Path, help="word2vec or GloVe; else the token layer's")
    parser.add_argument("--model", help="as relmo.load takes it")
    given = parser.parse_args()
    start = time.perf_counter()
    print(measure(relmo.load(given.model), given.data, given.wordnet, given.static))
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        f"{time.perf_counter() - start:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of processor "
        f"time, {used.ru_maxrss / 1e6:.1f} GB"
    )


if __name__ == "__main__":
    command_line(main)
