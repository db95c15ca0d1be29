"""`relmo map`: a picture of a word's uses, layer by layer."""

import sys
from itertools import tee
from pathlib import Path
from typing import Annotated

import typer

from relmo.cli import given, lines
from relmo.cli.words import some
from relmo.errors import InputError

__all__ = ["map_word"]


def map_word(
    word: Annotated[str, typer.Argument(metavar="WORD", help="A word.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The picture: .png, .svg or .pdf.",
            show_default=False,
        ),
    ],
    sentences: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SENTENCES",
            help="Files with one tokenised sentence a line, - for standard input, or sentences "
            "themselves. A line may begin with a label of the word's sense there and a tab.",
            show_default="-",
        ),
    ] = None,
    forms: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,C",
            help="The forms of WORD to look for.",
            show_default="WORD with regular English endings",
        ),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact", help="Look for WORD (or --forms) as it is typed, capitals and all."
        ),
    ] = False,
    limit: Annotated[
        int, typer.Option(min=2, metavar="N", help="Draw the first N uses, no more.")
    ] = 200,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help=given.HELP, show_default="the model in the box"),
    ] = None,
) -> None:
    """Draw every use of WORD, a panel for each layer.

    The vectors of WORD in SENTENCES, brought down to two dimensions, each labelled by its
    sentence. Where lines have labels, each panel says how far apart the senses are.
    """
    if not sentences and sys.stdin.isatty():
        raise typer.BadParameter("give sentences, or files of them", param_hint="SENTENCES")
    arguments = sentences or ["-"]
    lines.check(arguments)

    from relmo.explore import page, sense_map, sense_plot  # torch takes a second to import

    page.check_path(output)
    wanted = None if forms is None else [form.strip() for form in forms.split(",") if form.strip()]
    labels, texts = tee(map(_columns, lines.read(arguments)))
    uses = sense_map.find_uses(
        word,
        (text.split() for _, text in texts),
        (label for label, _ in labels),
        forms=wanted,
        exact=exact,
        limit=limit,
    )
    drawn = sense_map.compute(given.load(model), word, uses)
    name = "the model in the box" if model is None else Path(model).resolve().name
    sense_plot.draw(drawn, output, model=name)
    n_sentences = len({use.tokens for use in uses})
    print(f"{output}: {some(len(uses), 'use')} of {word!r} in {some(n_sentences, 'sentence')}")
    for layer in drawn.layers:
        kept = f"{100 * layer.variance_kept:3.0f} % of the variance kept"
        said = "" if layer.separation is None else f", separation {layer.separation:.2f}"
        print(f"  {layer.name:<12}{kept}{said}")


def _columns(line: lines.Line) -> tuple[str | None, str]:
    """Label and sentence of a line."""
    columns = line.text.split("\t")
    if len(columns) > 2:
        raise InputError(
            f"{line}: {len(columns)} columns, expected a sentence, or a label, a tab, a sentence"
        )
    return (columns[0].strip() or None if len(columns) == 2 else None), columns[-1]
