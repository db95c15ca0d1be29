"""`relmo senses`: which sense a word has, where else it is used so, and which senses there are."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relmo.cli import given
from relmo.cli.induce import induce
from relmo.cli.neighbours import neighbours
from relmo.cli.report import Report
from relmo.cli.words import some
from relmo.errors import InputError

if TYPE_CHECKING:
    from relmo.data.senses import Lexeme, SenseSentence
    from relmo.elmo.model import Elmo
    from relmo.tasks.senses import Answers, SenseAverages, SenseScore

__all__ = ["senses"]

senses = typer.Typer(
    name="senses",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Tell the senses of a word apart: by WordNet's, by likeness, or without being told any.",
)
senses.command()(neighbours)
senses.command()(induce)


@senses.command()
def disambiguate(  # noqa: PLR0913 - each is a flag
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="Words to disambiguate: NAME.data.xml, as the evaluation sets have them. They are "
            "scored where NAME.gold.key.txt is beside it.",
            show_default=False,
        ),
    ],
    learn: Annotated[
        Path,
        typer.Option(
            "--train",
            metavar="SEMCOR",
            help="What to learn senses from: SemCor's files, folder or .tar.xz, another "
            "NAME.data.xml, or what --save wrote.",
            show_default=False,
        ),
    ],
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keep what was learned (.safetensors), to give to --train.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The answers, a line a word: its name and a sense key, as the official scorer "
            "reads them.",
            show_default=False,
        ),
    ] = None,
    layer: Annotated[
        str,
        typer.Option(
            metavar="0|1|...|average|first",
            help="Whose answers are written: a layer's, or `first`: the first sense.",
            show_default="the last",
        ),
    ] = "",
    prior: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="X",
            help="Advantage of frequent senses: X times the logarithm of a sense's share of the "
            "word's uses is added to its cosine. 0 is the paper's way; 0.08 does better.",
        ),
    ] = 0.0,
    wordnet: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="WordNet's files (Debian: /usr/share/wordnet), to say which sense is the first.",
            show_default="the most frequent sense",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help=given.HELP, show_default="the model in the box"),
    ] = None,
    report: Annotated[Report, typer.Option(help="How to print the scores.")] = Report.text,
) -> None:
    """Find the WordNet sense of words in their sentences.

    The sense whose uses in SemCor have the nearest average vector, by layer; the first sense for a
    word that was not seen. Precision, recall and F1 are those of the official scorer.
    """
    from relmo.tasks.senses import answers, scores, word_vectors  # torch takes a second to import

    elmo = given.load(model)
    column = _column(layer, elmo.n_layers)
    tests = [(path, list(_read(path))) for path in files]  # or it is said before the work
    averages = _averages(learn, elmo, wordnet, save)
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
    for line in _report(table, names, report):
        print(line)
    if not table and output is None:
        print(f"{some(sum(len(p.answers) for p in parts), 'word')}; -o FILE keeps their senses")


@senses.command()
def score(
    answers: Annotated[
        Path,
        typer.Argument(
            metavar="ANSWERS",
            help="A line a word: its name and one or more sense keys, with blanks between them.",
            show_default=False,
        ),
    ],
    gold: Annotated[
        Path,
        typer.Argument(
            metavar="GOLD", help="NAME.gold.key.txt, which has the same form.", show_default=False
        ),
    ],
    report: Annotated[Report, typer.Option(help="How to print the scores.")] = Report.text,
) -> None:
    """Score answers of any program, as the official scorer of the evaluation sets does.

    Of several right keys any will do; of several answers each counts its share. What has no answer
    costs recall; answers to words that GOLD does not have do not count.
    """
    from relmo.data.senses import read_keys
    from relmo.tasks.senses import score_of_keys  # torch takes a second to import

    found = score_of_keys(read_keys(gold), read_keys(answers))
    if not found.n_answered:
        raise InputError(f"{answers}: answers none of the {some(found.n_words, 'word')} of {gold}")
    for line in _report({answers.name: [found]}, ["answers"], report):
        print(line)


@dataclass(frozen=True)
class _Part:
    """Words that are scored together."""

    name: str
    answers: "Sequence[Answers]"

    def with_its_sources(self) -> "Iterator[_Part]":
        """Itself; and where names begin with those of several data sets, as in ALL, these too."""
        yield self
        sources: dict[str, list[Answers]] = {}
        for word, keys in self.answers:
            *source, _, _, _ = ["", "", "", *word.name.split(".")]  # senseval2.d000.s000.t000
            sources.setdefault(source[-1], []).append((word, keys))
        if len(sources) > 1:
            for name, found in sources.items():
                yield _Part(name, found)


def _column(layer: str, n_layers: int) -> int:
    names = [*map(str, range(n_layers)), "average", "first"]
    if layer and layer not in names:
        raise typer.BadParameter(f"expected one of {', '.join(names)}", param_hint="--layer")
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
    """A line a word that has an answer."""
    from relmo._files import replacing_file

    rows = [f"{word.name} {keys[column]}\n" for word, keys in answered if keys[column] is not None]
    with replacing_file(output) as aside:
        aside.write_text("".join(rows), encoding="utf-8")


def _report(
    table: "Mapping[str, Sequence[SenseScore]]", names: Sequence[str], report: Report
) -> Iterator[str]:
    """The lines of the table: a row a layer, a column a set of words."""
    if report is Report.json:
        facts = {
            part: {
                name: {"precision": s.precision, "recall": s.recall, "f1": s.f1,
                       "words": s.n_words}
                for name, s in zip(names, found, strict=True)
            }
            for part, found in table.items()
        }  # fmt: skip
        yield json.dumps(facts, indent=2, ensure_ascii=False)
        return
    if not table:
        return
    rows = [[name, *(_cell(found[n]) for found in table.values())] for n, name in enumerate(names)]
    rows.append(["words", *(f"{found[0].n_words:,}" for found in table.values())])
    heads = ["F1 %", *table]
    if any(s.n_answered != s.n_words for found in table.values() for s in found):
        heads[0] = "precision / recall / F1 %"
    if report is Report.markdown:
        yield "| " + " | ".join(heads) + " |"
        yield "|---" + "|---:" * len(table) + "|"
        yield from ("| " + " | ".join(row) + " |" for row in rows)
        return
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for first, *rest in [heads, *rows]:
        cells = (f"   {cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        yield f"{first:<{widths[0]}}" + "".join(cells)


def _cell(score: "SenseScore") -> str:
    """F1; before it precision and recall, which are the same where every word has an answer."""
    shares = [score.precision, score.recall] if score.n_answered != score.n_words else []
    return " / ".join(f"{100 * share:.1f}" for share in [*shares, score.f1])
