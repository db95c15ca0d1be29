"""`relmo vocab`: a corpus in, the words of a softmax out."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relmo.cli import corpus
from relmo.cli.words import some
from relmo.errors import InputError

if TYPE_CHECKING:
    from collections import Counter

    from relmo.data.corpora import Corpus
    from relmo.text.vocab import Vocabulary

__all__ = ["vocab"]

_SHOW_EVERY = 2048  # sentences


def vocab(
    files: corpus.Files,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE", help="The vocabulary; .gz too.", show_default=False
        ),
    ],
    size: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=4, help="Words at most, three special ones counted.",
            show_default="all",
        ),
    ] = None,
    min_count: Annotated[
        int, typer.Option(metavar="N", min=1, help="Rarer words are left out.")
    ] = 1,
    counts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write how often every word comes, as tab-separated values.",
            show_default="not written",
        ),
    ] = None,
    field: corpus.Field = "text",
    tokenizer: corpus.Tokenizer = "whitespace",
) -> None:  # fmt: skip
    """Write the words of CORPUS..., one a line, by falling frequency.

    The special words </S>, <S> and <UNK> come first; words equally frequent are in the order of
    their characters. The corpus is read once. Memory is that of its different words, about 200
    bytes each.
    """
    text = corpus.read(files, field, tokenizer)

    from relmo.text import vocab as vocabularies

    _check_outputs(output, counts, text)
    found = _counted(text)
    chosen = vocabularies.Vocabulary.of_counts(found, size, min_count)
    chosen.write(output)
    if counts is not None:
        vocabularies.write_counts(found, counts)
    print(
        f"{output}: {some(len(chosen), 'word')}, three of them special\n{_coverage(chosen, found)}"
    )


def _check_outputs(output: Path, counts: Path | None, text: "Corpus") -> None:
    """Find out before the work begins whether the files can be written and lose nothing."""
    from relmo.text.vocab import check_counts_path, check_path

    check_path(output)
    read = {os.path.realpath(path) for path in text.paths}
    for path in (output, counts):
        if path is None:
            continue
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise InputError(f"cannot write '{path}': not a file in a folder that is there")
        if os.path.realpath(path) in read:
            raise InputError(f"{path}: is among the corpus's files; write to another place")
    if counts is not None:
        check_counts_path(counts)
        if os.path.realpath(counts) == os.path.realpath(output):
            raise InputError(f"{counts}: both the vocabulary and the counts would be written there")


def _counted(text: "Corpus") -> "Counter[str]":
    from relmo.text.vocab import counted

    with _progress(text) as seen:
        return counted(seen)


def _coverage(chosen: "Vocabulary", counts: "Counter[str]") -> str:
    """What of the corpus the vocabulary holds; special words in the text are not held."""
    from relmo.text.vocab import SPECIALS

    total = counts.total()
    kept = [counts[word] for word in chosen.words[len(SPECIALS) :]]
    lines = [
        f"corpus: {some(total, 'token')}, {some(len(counts), 'different word')}",
        f"kept: {len(kept):,} of them ({_percent(len(kept), len(counts))}), "
        f"{_percent(sum(kept), total)} of the tokens",
    ]
    if kept:
        lines.append(_as_min_count(kept[-1], chosen, counts))
    return "\n".join(lines)


def _as_min_count(rarest: int, chosen: "Vocabulary", counts: "Counter[str]") -> str:
    n_others = len(chosen.of_counts(counts, min_count=rarest)) - len(chosen)
    if not n_others:
        return f"as with --min-count {rarest}"
    return f"between --min-count {rarest} ({some(n_others, 'word')} more) and {rarest + 1}"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %"


@contextmanager
def _progress(text: "Corpus") -> Iterator[Iterator[list[str]]]:
    """The sentences; a progress bar on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield iter(text)
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.BarColumn(),
        progress.TextColumn("{task.description}"),
        progress.TimeElapsedColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        sizes = [path.stat().st_size for path in text.paths]
        task = bar.add_task("counting", total=sum(sizes) if sizes[1:] else None)

        def show(n_files: int, description: str) -> None:
            bar.update(task, completed=sum(sizes[:n_files]), description=description)

        yield _shown(text, show)


def _shown(text: "Corpus", show: Callable[[int, str], None]) -> Iterator[list[str]]:
    """The sentences, and in between how far they are: files done, tokens and their speed."""
    n_tokens, start = 0, time.perf_counter()
    for n_sentences, (n_files, tokens) in enumerate(text.by_file()):
        n_tokens += len(tokens)
        if n_sentences % _SHOW_EVERY == 0:
            speed = n_tokens / max(time.perf_counter() - start, 1e-9)
            show(
                n_files,
                f"file {n_files + 1} of {len(text.paths)}, {some(n_tokens, 'token')}, "
                f"{speed:,.0f} a second",
            )
        yield tokens
