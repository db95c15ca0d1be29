"""`relmo probe`: what each layer's vectors are worth, as a table and a figure."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relmo.cli import given
from relmo.errors import InputError

if TYPE_CHECKING:
    from relmo.model import Elmo
    from relmo.tasks.probe import Probe, Tagged

__all__ = ["probe"]

_DATA = {
    "pos_train": "pos/ewt/en_ewt-ud-train.conllu",
    "pos_test": "pos/ewt/en_ewt-ud-test.conllu",
    "senses": "wsd/semcor.tar.xz",
    "senses_test": "wsd/raganato/Evaluation_Datasets/ALL/ALL.data.xml",
}
"""In the folder that RELMO_DATA names."""


class Report(StrEnum):
    """How the table is printed."""

    text = "text"
    json = "json"
    markdown = "markdown"


def probe(
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
    if pos_train is None and pos_test is None and senses is None:
        folder = _data_folder()
        pos_train, pos_test = folder / _DATA["pos_train"], folder / _DATA["pos_test"]
        senses, senses_test = folder / _DATA["senses"], [folder / _DATA["senses_test"]]
    if (pos_train is None) != (pos_test is None):
        raise typer.BadParameter("go together", param_hint="--pos-train, --pos-test")
    if senses_test and senses is None:
        raise typer.BadParameter("needs --senses to learn from", param_hint="--senses-test")
    if static and pos_train is None:
        raise typer.BadParameter("needs --pos-train", param_hint="--static")

    from relmo.explore import layer_chart, page  # torch takes a second to import

    if output is not None:
        page.check_path(output)
    elmo = given.load(model)
    found: list[Probe] = []
    if pos_train is not None and pos_test is not None:
        found.append(_tags(elmo, pos_train, pos_test, static))
    if senses is not None:
        found += _senses(elmo, senses, senses_test or [], wordnet, seed)
    name = "the model in the box" if model is None else Path(model).resolve().name
    print("\n".join(_printed(found, name, report)))
    if output is not None:
        panels = [layer_chart.Panel(**_panel(probe)) for probe in found]
        layer_chart.draw(panels, output, model=name)
