"""What the commands that read a corpus share: its files, its field, its tokenizer."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relmo.cli import given
from relmo.errors import InputError

if TYPE_CHECKING:
    from relmo.data.corpora import Corpus

__all__ = ["Field", "Files", "Tokenizer", "check_apart", "read"]

_ADDRESS = re.compile(r"(\w[\w+.-]+):/([^/].*)")
"""As a path has it: one of the two slashes is gone."""

Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="CORPUS",
        help="Files, folders, patterns or addresses. Text has a sentence a line; .jsonl and "
        ".parquet have it in --field. .gz, .bz2, .xz and .zst are decompressed.",
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
    from relmo.data.corpora import Corpus
    from relmo.text.tokenizers import by_name

    return Corpus([_here(place) for place in files], field=field, tokenize=by_name(tokenizer))


def _here(place: Path) -> Path:
    """Where it lies on this machine; a file or folder at an address comes into the cache first."""
    found = _ADDRESS.fullmatch(str(place))
    if found is None or place.exists():
        return place
    return given.find(f"{found[1]}://{found[2]}")


def check_apart(files: list[Path], out: Path, text: "Corpus", held_out: "Corpus | None") -> None:
    """A folder or pattern takes in more than one thinks: the run's own files, the held-out text."""
    for place in files:
        if place.is_dir() and out.resolve().is_relative_to(place.resolve()):
            raise InputError(
                f"--out {out}: lies in '{place}', all of which is read; choose a folder beside it"
            )
    held = {path.resolve() for path in (held_out.paths if held_out else ())}
    for path in text.paths:
        if path.resolve() in held:
            print(f"relmo: WARNING: {path}: is trained on and validated on", file=sys.stderr)
