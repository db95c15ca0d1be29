"""What the commands that read a corpus share: its files, its field, its tokenizer."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from relmo.text.corpora import Corpus

__all__ = ["Field", "Files", "Tokenizer", "read"]

Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="CORPUS",
        help="Files, folders or patterns. Text has a sentence a line; .jsonl and .parquet have it "
        "in --field. .gz, .bz2, .xz and .zst are decompressed.",
        show_default=False,
    ),
]
Field = Annotated[
    str, typer.Option(metavar="NAME", help="Which field of .jsonl and .parquet is the text.")
]
Tokenizer = Annotated[
    str,
    typer.Option(
        metavar="whitespace|moses[:LANG]|spacy[:LANG]",
        help="How lines become tokens; LANG is a language's code, en without.",
    ),
]


def read(files: Sequence[Path], field: str, tokenizer: str) -> "Corpus":
    """The corpus."""
    from relmo.text.corpora import Corpus
    from relmo.text.tokenizers import by_name

    return Corpus(files, field=field, tokenize=by_name(tokenizer))
