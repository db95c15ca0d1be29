"""Word sense disambiguation, by layer: the table of docs/senses.md (the paper's section 5.3).

    RELMO_DATA=data .venv/bin/python -m recipes.wsd [--wordnet FOLDER] [--model MODEL]

Senses are learned from all of SemCor, nothing else. The weights of the mix are the ones that do
best on SemEval-2007, the customary development set, among shares in quarters; the others are test.
"""

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np

import relmo
from relmo.errors import InputError
from relmo.model import Elmo
from relmo.tasks.probe import layer_names
from relmo.tasks.senses import SenseAverages, SenseScore, Vectors, answers, scores, word_vectors
from relmo.text import senses, wordnet
from relmo.text.senses import Lexeme, SenseWord

DEV = "semeval2007"
TESTS = ("senseval2", "senseval3", "semeval2013", "semeval2015")
_STEPS = 4  # a layer's share of the mix is so many parts

Uses = list[tuple[SenseWord, Vectors]]


def uses(elmo: Elmo, path: Path) -> Uses:
    """The words of a set, and their vectors."""
    return [
        use
        for sentence, vectors in word_vectors(elmo, senses.read(path))
        for use in zip(sentence.words, vectors, strict=True)
    ]


def shares(n_layers: int) -> np.ndarray:
    """All mixes of the layers in parts of a quarter, (mixes, layers)."""
    parts = [row for row in product(range(_STEPS + 1), repeat=n_layers) if sum(row) == _STEPS]
    return np.array(parts, np.float32) / _STEPS


def mixed(
    averages: SenseAverages,
    found: Uses,
    weights: np.ndarray,
    dictionary: Mapping[Lexeme, Sequence[str]] | None,
) -> list[SenseScore]:
    """The score of each mix of the layers, (mixes, layers), on some words."""

    def mix(vectors: Vectors) -> Vectors:
        return weights @ vectors[: weights.shape[1]]  # without the average

    lexemes = {word.lexeme for word, _ in found} & averages.counts.keys()
    sums = {key: mix(averages.sums[key]) for lexeme in lexemes for key in averages.seen(lexeme)}
    counts = {lexeme: averages.counts[lexeme] for lexeme in lexemes}
    of_mixes = SenseAverages.of(sums, counts, dictionary)
    return scores(answers(of_mixes, ((word, mix(vectors)) for word, vectors in found)))[:-1]


def table(columns: Mapping[str, Mapping[str, float]]) -> str:
    """In Markdown: a row a way to choose, a column a set; the best of a column is bold."""
    said = ["| F1 % | " + " | ".join(columns) + " |", "|---" + "|---:" * len(columns) + "|"]
    for row in next(iter(columns.values())):
        cells = (
            f"**{100 * found[row]:.1f}**"
            if found[row] == max(found.values())
            else f"{100 * found[row]:.1f}"
            for found in columns.values()
        )
        said.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(said)


def measure(elmo: Elmo, folder: Path, wordnet_folder: Path | None) -> str:
    """Learn, choose the mix, and test."""
    dictionary = None if wordnet_folder is None else wordnet.read(wordnet_folder)
    sets = folder / "wsd/raganato/Evaluation_Datasets"
    found = {name: uses(elmo, sets / name / f"{name}.data.xml") for name in (DEV, *TESTS)}
    averages = SenseAverages(dictionary)
    for sentence, vectors in word_vectors(elmo, senses.read(folder / "wsd/semcor.tar.xz")):
        averages.add(zip(sentence.words, vectors, strict=True))
    weights = shares(elmo.n_layers)
    on_dev = mixed(averages, found[DEV], weights, dictionary)
    best = int(np.argmax([score.f1 for score in on_dev]))
    found |= {"the four": _joined(found[name] for name in TESTS), "ALL": _joined(found.values())}
    names = ["first sense", *layer_names(elmo.n_layers), "mix"]
    columns = {}
    for name, words in found.items():
        *layers, first = scores(answers(averages, words))
        (mix,) = mixed(averages, words, weights[best : best + 1], dictionary)
        columns[name] = {
            row: score.f1 for row, score in zip(names, [first, *layers, mix], strict=True)
        }
    said = ", ".join(f"{share:g}" for share in weights[best])
    return f"{table(columns)}\n\nmix: {said} of the layers, chosen on {DEV}"


def _joined(parts: Iterable[Uses]) -> Uses:
    return [use for part in parts for use in part]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wordnet", type=Path, help="its files: which sense is the first")
    parser.add_argument("--model", help="as relmo.load takes it")
    given = parser.parse_args()
    folder = os.environ.get("RELMO_DATA")
    if not folder:
        raise InputError(
            "RELMO_DATA names no folder; expected one with wsd/semcor.tar.xz (SemCor 3.0 with "
            "WordNet 3.0's keys) and wsd/raganato/Evaluation_Datasets (Raganato et al. 2017, "
            "lcl.uniroma1.it/wsdeval)"
        )
    print(measure(relmo.load(given.model), Path(folder), given.wordnet))


if __name__ == "__main__":
    main()
