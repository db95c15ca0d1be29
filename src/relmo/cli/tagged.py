"""Files of tagged sentences, as commands are given them."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

import typer

from relmo import _read
from relmo.cli import lines
from relmo.errors import InputError

__all__ = ["Encoding", "FileFormat", "Format", "Scheme", "TagColumn", "TagScheme", "TokenColumn",
           "Tokenizer", "column", "layout", "text"]  # fmt: skip


class FileFormat(StrEnum):
    """Of files with tags."""

    conll = "conll"
    conllu = "conllu"
    csv = "csv"
    jsonl = "jsonl"
    text = "text"


class TagScheme(StrEnum):
    """Of tags; see `relmo.data.spans`."""

    BIO = "BIO"
    IOB1 = "IOB1"
    BIOES = "BIOES"
    BILOU = "BILOU"
    IO = "IO"
    plain = "plain"


Format = Annotated[
    FileFormat | None,
    typer.Option(help="Of the files.", show_default="as their names and first lines say"),
]
TokenColumn = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Number from 0, from the end where negative, or name.",
        show_default="the usual one",
    ),
]
TagColumn = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Likewise, of the tags.", show_default="the usual one"),
]
Scheme = Annotated[
    TagScheme | None,
    typer.Option(
        help="Scheme of the tags: one of spans, or plain, where each token has its own tag.",
        show_default="what most of them fit",
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Of the files, such as latin-1.", show_default="utf-8, see docs"
    ),
]
Tokenizer = Annotated[
    str | None,
    typer.Option(
        metavar="whitespace|moses[:LANG]|spacy[:LANG]",
        help="How a sentence becomes tokens; LANG is a language's code, en without.",
        show_default="whitespace",
    ),
]


def column(name: str | None) -> int | str | None:
    """A column as a flag gives it: a number where it is one."""
    if name is None or not name.removeprefix("-").isdecimal():
        return name
    return int(name)


def layout(
    format: FileFormat | None, token: str | None, tag: str | None, encoding: str | None
) -> dict[str, Any]:
    """How files are laid out, as `relmo.data.tagged` takes it."""
    return {
        "format": None if format is None else format.value,
        "token_column": column(token),
        "tag_column": column(tag),
        "encoding": encoding,
    }


def text(file: str) -> Iterator[str]:
    """The lines of a text, as they are but for their ends.

    Raises:
        InputError: it cannot be read, or has no sentence.
    """
    is_empty = True
    for line in lines.stdin() if file == "-" else _read.lines(file):
        is_empty = is_empty and not line.strip()
        yield line
    if is_empty:
        raise InputError(f"{'standard input' if file == '-' else file}: no sentence in it")
