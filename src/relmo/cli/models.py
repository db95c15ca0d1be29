"""`relmo models`: the models known by name."""

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from relmo.cli.words import some
from relmo.errors import InputError

if TYPE_CHECKING:
    from relmo.hub import Model

__all__ = ["models"]

_COLUMNS = ("name", "language", "parameters", "perplexity", "license", "title; corpus", "cached")


def models(
    language: Annotated[
        str | None,
        typer.Option(
            metavar="XX", help="Those of one language, by its ISO code.", show_default="all"
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all that is known of them as JSON.")
    ] = False,
) -> None:
    """Print the models known by name, and which of them are in the cache.

    Perplexities are their authors' own, on different texts: they do not compare.
    """
    from relmo import hub

    known = [m for m in hub.catalogue() if language is None or m.language == language.lower()]
    if not known:
        languages = sorted({model.language for model in hub.catalogue()})
        raise InputError(f"--language: none for {language!r}; there are {', '.join(languages)}")
    if as_json:
        print(json.dumps([_facts(model) for model in known], indent=2, ensure_ascii=False))
        return
    rows = [_row(model) for model in known]
    if sys.stdout.isatty():
        _print_table(rows)
    else:
        _print_columns([_COLUMNS, *rows])
    print(f"{some(len(known), 'model')}; the cache is {hub.home()}")


def _facts(model: "Model") -> dict[str, object]:
    from relmo import hub

    return {**dataclasses.asdict(model), "cached": hub.is_cached(model)}


def _row(model: "Model") -> tuple[str, ...]:
    from relmo import hub

    return (
        ", ".join([model.name, *(alias for alias in model.aliases if "/" not in alias)]),
        model.language,
        "" if model.parameters is None else f"{model.parameters / 1e6:.1f} M",
        "" if model.perplexity is None else f"{model.perplexity:g}",
        model.license,
        f"{model.title}; {model.corpus}",
        "yes" if hub.is_cached(model) else "",
    )


def _print_columns(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _print_table(rows: list[tuple[str, ...]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*_COLUMNS, box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
