"""`relmo probe`: what each layer's vectors are worth, as a table and a figure."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relmo.cli import given
from relmo.cli.report import Report
from relmo.cli.words import some
from relmo.errors import InputError

if TYPE_CHECKING:
    from relmo.elmo.model import Elmo
    from relmo.tasks.probe import Probe

__all__ = ["probe"]

_DATA = {
    "pos_train": "pos/ewt/en_ewt-ud-train.conllu",
    "pos_test": "pos/ewt/en_ewt-ud-test.conllu",
    "senses": "wsd/semcor.tar.xz",
    "senses_test": "wsd/raganato/Evaluation_Datasets/ALL/ALL.data.xml",
}
"""In the folder that RELMO_DATA names."""


def probe(  # noqa: PLR0913 - each is a flag
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help=given.HELP, show_default="the model in the box"),
    ] = None,
    pos_train: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="CoNLL-U to learn parts of speech from.", show_default=False
        ),
    ] = None,
    pos_test: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CoNLL-U to test them on.", show_default=False),
    ] = None,
    static: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Word vectors to compare with: text of word2vec or GloVe.",
            show_default=False,
        ),
    ] = None,
    senses: Annotated[
        Path | None,
        typer.Option(
            metavar="SEMCOR",
            help="Word senses to learn from: SemCor's files, folder or .tar.xz, or NAME.data.xml "
            "with NAME.gold.key.txt beside it. A tenth, by document, is held out.",
            show_default=False,
        ),
    ] = None,
    senses_test: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Test on these senses too (NAME.data.xml), then with nothing held out. May be "
            "given more than once.",
            show_default=False,
        ),
    ] = None,
    wordnet: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="WordNet's files (Debian: /usr/share/wordnet), to say which sense is the first.",
            show_default="the most frequent sense",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Which documents are held out.")] = 0,
    report: Annotated[Report, typer.Option(help="How to print the table.")] = Report.text,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The figure: .png, .svg or .pdf.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Measure what the vectors of each layer are worth.

    Parts of speech by a linear probe, word senses by the nearest of the senses' average vectors,
    beside what does without the model. Without any data, the parts of the folder RELMO_DATA.
    """
    if pos_train is pos_test is senses is None:
        folder = _data_folder()
        pos_train, pos_test = folder / _DATA["pos_train"], folder / _DATA["pos_test"]
        senses = folder / _DATA["senses"]
        senses_test = senses_test or [folder / _DATA["senses_test"]]
    if (pos_train is None) != (pos_test is None):
        raise typer.BadParameter("go together", param_hint="--pos-train and --pos-test")
    if senses_test and senses is None:
        raise typer.BadParameter("needs --senses to learn from", param_hint="--senses-test")
    if static and pos_train is None:
        raise typer.BadParameter("needs --pos-train", param_hint="--static")

    from relmo.explore import page  # torch takes a second to import

    if output is not None:
        page.check_path(output)
    elmo = given.load(model)
    found: list[Probe] = []
    if pos_train is not None and pos_test is not None:
        found.append(_of_tags(elmo, pos_train, pos_test, static))
    if senses is not None:
        found += _of_senses(elmo, senses, senses_test or [], wordnet, seed)
    name = "the model in the box" if model is None else Path(model).resolve().name
    for line in _report(found, name, report):
        print(line)
    if output is not None:
        _draw(found, name, output)


def _data_folder() -> Path:
    name = os.environ.get("RELMO_DATA", "")
    if not name:
        raise InputError(
            "no data: give --pos-train and --pos-test (CoNLL-U, such as UD English EWT), --senses "
            "(SemCor), or let RELMO_DATA name a folder that has " + " and ".join(_DATA.values())
        )
    return Path(name)


def _of_tags(elmo: "Elmo", train_path: Path, test_path: Path, static: Path | None) -> "Probe":
    from relmo.data import tagged, word_vectors
    from relmo.tasks.probe import probe_tags

    train, test = (
        [(list(s.tokens), list(s.tags)) for s in tagged.read_tagged(path)]
        for path in (train_path, test_path)
    )
    if static is None:
        return probe_tags(elmo, train, test)
    words = sorted({form for found, _ in (*train, *test) for w in found for form in (w, w.lower())})
    vectors = word_vectors.read(static, words)
    rows = zip(words, vectors.matrix, vectors.mask, strict=True)
    known = {word: row for word, row, is_known in rows if is_known}
    if not known:
        raise InputError(f"{static}: has none of the words to be tagged")
    return probe_tags(elmo, train, test, static=known)


def _of_senses(
    elmo: "Elmo", corpus: Path, tests: Sequence[Path], wordnet_folder: Path | None, seed: int
) -> "list[Probe]":
    from relmo.data import senses, wordnet
    from relmo.tasks.probe import probe_senses

    return probe_senses(
        elmo,
        senses.read(corpus),
        {path.name.removesuffix(".data.xml"): senses.read(path) for path in tests},
        dictionary=None if wordnet_folder is None else wordnet.read(wordnet_folder),
        seed=seed,
    )


def _report(found: "Sequence[Probe]", model: str, report: Report) -> Iterator[str]:
    """The lines of the table: a row a layer, a column a task."""
    if report is Report.json:
        facts = {"model": model, "probes": [asdict(probe) for probe in found]}
        yield json.dumps(facts, indent=2, ensure_ascii=False)
        return
    heads = [f"{probe.task}, {probe.metric} %" for probe in found]
    names = dict.fromkeys(name for probe in found for name in (*probe.layers, *probe.baselines))
    rows = [
        [name, *(_per_cent({**probe.layers, **probe.baselines}.get(name)) for probe in found)]
        for name in names
    ]
    rows.append(["words learned from", *(f"{probe.n_train:,}" for probe in found)])
    rows.append(["words tested", *(f"{probe.n_test:,}" for probe in found)])
    if report is Report.markdown:
        yield f"| {model} | " + " | ".join(heads) + " |"
        yield "|---" + "|---:" * len(heads) + "|"
        yield from ("| " + " | ".join(row) + " |" for row in rows)
        return
    widths = [max(len(row[0]) for row in rows), *(len(head) + 3 for head in heads)]
    yield model
    for first, *rest in [["", *heads], *rows]:
        cells = (f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        yield f"{first:<{widths[0]}}" + "".join(cells)


def _per_cent(score: float | None) -> str:
    return "-" if score is None else f"{100 * score:.1f}"


def _draw(found: "Sequence[Probe]", model: str, output: Path) -> None:
    from relmo.explore import layer_chart

    panels = []
    for probe in found:
        *layers, average = probe.layers.items()
        panels.append(
            layer_chart.Panel(
                title=probe.task,
                subtitle=f"{probe.metric}, %; {some(probe.n_test, 'word')} tested",
                layers=dict(layers),
                apart=dict([average]),
                baselines=probe.baselines,
            )
        )
    layer_chart.draw(panels, output, title="What each layer's vectors are worth", subtitle=model)
