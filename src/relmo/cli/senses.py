"""`relmo senses`: which sense a word has, where else it is used so, and which senses there are."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from relmo.cli import _flags, _inputs
from relmo.cli._output import count, print_report
from relmo.cli.induce import induce
from relmo.cli.neighbours import neighbours
from relmo.errors import InputError

if TYPE_CHECKING:
    from relmo.data.senses import Lexeme, SenseSentence
    from relmo.elmo.model import Elmo
    from relmo.tasks.senses import Answers, SenseAverages, SenseScore

__all__ = ["senses"]

senses = App(
    name="senses",
    help="Tell the senses of a word apart: by WordNet's, by similarity, or without being told any.",
)
senses.command(neighbours)
senses.command(induce)


@senses.command
def disambiguate(
    files: list[Path],
    /,
    *,
    train: Path,
    save: Path | None = None,
    output: _flags.Output | None = None,
    layer: str | None = None,
    prior: float = 0.0,
    wordnet: _flags.WordNet = None,
    model: _flags.Model | None = None,
    report: _flags.Report = "text",
) -> None:
    """Find the WordNet sense of words in their sentences.

    The sense whose uses in SemCor have the nearest average vector, by layer; the first sense for a
    word that was not seen. Precision, recall and F1 are those of the official scorer.

        relmo senses disambiguate ALL.data.xml --train semcor.tar.xz

    Args:
        files: Words to disambiguate: NAME.data.xml, as the evaluation sets have them. They are
            scored where NAME.gold.key.txt is beside it.
        train: What to learn senses from: SemCor's files, folder or .tar.xz, another NAME.data.xml,
            or what --save wrote.
        save: File (.safetensors) in which what was learned is kept, for --train.
        output: The answers, a line per word: its name and a sense key, as the official scorer
            reads them.
        layer: Whose answers are written: a layer's (0, 1, ..., average), or the first sense
            (first) (default: those of the last layer).
        prior: Advantage of frequent senses: so many times the logarithm of a sense's fraction of
            the word's uses is added to its cosine. 0 is the paper's way; 0.08 does better.
        report: How to print the scores.
    """
    if not prior >= 0:
        raise InputError(f"--prior must be at least 0, got {prior}")
    from relmo.tasks.senses import answers, scores, word_vectors  # torch takes a second to import

    elmo = _inputs.load_model(model)
    column = _column(layer, elmo.n_layers)
    tests = [(path, list(_read(path))) for path in files]  # or an error comes before the work
    averages = _averages(train, elmo, wordnet, save)
    parts: list[_Part] = []
    for path, sentences in tests:
        uses = (
            use
            for sentence, vectors in word_vectors(elmo, sentences)
            for use in zip(sentence.words, vectors, strict=True)
        )
        answered = list(answers(averages, uses, prior))
        if not answered:
            raise InputError(f"{path}: has no word to disambiguate")
        parts.append(_Part(path.name.removesuffix(".data.xml"), answered))
    if output is not None:
        _write([answer for part in parts for answer in part.answers], column, output)
    table = {
        part.name: scores(part.answers)
        for whole in parts
        for part in whole.with_its_sources()
        if all(word.keys for word, _ in part.answers)
    }
    names = [*_layer_names(elmo.n_layers), "first sense"]
    _report(table, names, report)
    if not table and output is None:
        print(f"{count(sum(len(p.answers) for p in parts), 'word')}; -o FILE writes their senses")


@senses.command
def score(answers: Path, gold: Path, /, *, report: _flags.Report = "text") -> None:
    """Score answers of any program, as the official scorer of the evaluation sets does.

    Of several right keys any will do; of several answers each counts as a fraction. What has no
    answer costs recall; answers to words that GOLD does not have do not count.

        relmo senses score answers.txt ALL.gold.key.txt

    Args:
        answers: A line per word: its name and one or more sense keys, with blanks between them.
        gold: NAME.gold.key.txt, which has the same form.
        report: How to print the scores.
    """
    from relmo.data.senses import read_keys
    from relmo.tasks.senses import score_of_keys  # torch takes a second to import

    scored = score_of_keys(read_keys(gold), read_keys(answers))
    if not scored.n_answered:
        raise InputError(
            f"{answers}: answers none of the {count(scored.n_words, 'word')} of {gold}"
        )
    _report({answers.name: [scored]}, ["answers"], report)


@dataclass(frozen=True)
class _Part:
    """Words that are scored together."""

    name: str
    answers: "Sequence[Answers]"

    def with_its_sources(self) -> "Iterator[_Part]":
        """Yield itself; and where names begin with those of several data sets, as in ALL, these."""
        yield self
        sources: dict[str, list[Answers]] = {}
        for word, keys in self.answers:
            *source, _, _, _ = ["", "", "", *word.name.split(".")]  # senseval2.d000.s000.t000
            sources.setdefault(source[-1], []).append((word, keys))
        if len(sources) > 1:
            for name, answers in sources.items():
                yield _Part(name, answers)


def _column(layer: str | None, n_layers: int) -> int:
    """Return the number of a layer among the answers."""
    names = [*map(str, range(n_layers)), "average", "first"]
    if layer and layer not in names:
        raise InputError(f"--layer: expected one of {', '.join(names)}, got {layer!r}")
    return names.index(layer) if layer else n_layers - 1


def _layer_names(n_layers: int) -> list[str]:
    from relmo.tasks.probe import layer_names

    return layer_names(n_layers)


def _read(path: Path) -> "Iterator[SenseSentence]":
    from relmo.data import senses as files

    if not path.name.endswith(".data.xml"):
        raise InputError(f"{path}: expected a file NAME.data.xml")
    return files.read(path, has_keys=files.keys_path(path).exists())


def _averages(
    learn: Path, elmo: "Elmo", wordnet_folder: Path | None, save: Path | None
) -> "SenseAverages":
    from relmo.data import senses as files
    from relmo.data import wordnet
    from relmo.tasks import senses as sense_file
    from relmo.tasks.senses import SenseAverages, word_vectors

    dictionary: Mapping[Lexeme, Sequence[str]] | None = None
    if wordnet_folder is not None:
        dictionary = wordnet.read(wordnet_folder)
    if learn.suffix == ".safetensors":
        averages = sense_file.load(learn, elmo, dictionary=dictionary)
    else:
        averages = SenseAverages(dictionary)
        for sentence, vectors in word_vectors(elmo, files.read(learn)):
            averages.add(zip(sentence.words, vectors, strict=True))
        if not averages.n_senses:
            raise InputError(f"{learn}: has no word with a sense to learn from")
    if save is not None:
        sense_file.save(averages, elmo, save)
    return averages


def _write(answered: "Sequence[Answers]", column: int, output: Path) -> None:
    """Write a line for each word that has an answer."""
    from relmo._files import replacing_file

    rows = [f"{word.name} {keys[column]}\n" for word, keys in answered if keys[column] is not None]
    with replacing_file(output) as aside:
        aside.write_text("".join(rows), encoding="utf-8")


def _report(
    table: "Mapping[str, Sequence[SenseScore]]", names: Sequence[str], report: _flags.Report
) -> None:
    """Print a table: a row per layer, a column per set of words."""
    if report == "json":
        facts = {
            part: {
                name: {
                    "precision": s.precision,
                    "recall": s.recall,
                    "f1": s.f1,
                    "words": s.n_words,
                }
                for name, s in zip(names, scores, strict=True)
            }
            for part, scores in table.items()
        }
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    if not table:
        return
    rows = [[name, *(_cell(s[n]) for s in table.values())] for n, name in enumerate(names)]
    rows.append(["words", *(f"{column[0].n_words:,}" for column in table.values())])
    metric = "F1 %"
    if any(s.n_answered != s.n_words for column in table.values() for s in column):
        metric = "precision / recall / F1 %"
    print_report([metric, *table], rows, report, right=len(table))


def _cell(score: "SenseScore") -> str:
    """Return F1; before it precision and recall, where not every word has an answer."""
    scores = [score.precision, score.recall] if score.n_answered != score.n_words else []
    return " / ".join(f"{100 * number:.1f}" for number in [*scores, score.f1])
