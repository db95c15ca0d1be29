"""`relmo vocab`: a corpus in, the words of a softmax out."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from relmo.cli import _flags, _inputs
from relmo.cli._output import count
from relmo.errors import InputError
from relmo.settings import Bounds

if TYPE_CHECKING:
    from collections import Counter

    from relmo.data.corpora import Corpus
    from relmo.text.vocab import Vocabulary

__all__ = ["vocab"]

_SHOW_EVERY = 2048  # sentences


def vocab(
    files: _flags.Files,
    /,
    *,
    output: _flags.Output,
    size: Annotated[int | None, Bounds(at_least=4)] = None,
    min_count: Annotated[int, Bounds(at_least=1)] = 1,
    counts: Path | None = None,
    field: _flags.Field = "text",
    tokenizer: _flags.Tokenizer = "whitespace",
) -> None:
    """Write the words of a corpus, one per line, by decreasing frequency.

    The special words </S>, <S> and <UNK> come first; words equally frequent are in the order of
    their characters. The corpus is read once. Memory is that of its different words, about 200
    bytes each.

        relmo vocab corpus.txt -o vocab.txt --size 50000

    Args:
        output: File of the vocabulary; .gz too.
        size: Words at most, three special ones included (default: all).
        min_count: Rarer words are left out.
        counts: File to which the frequency of every word is written too, as tab-separated values.
    """
    text = _inputs.read_corpus(files, field, tokenizer)

    from relmo.text import vocab as vocabularies

    _check_outputs(output, counts, text)
    found = _counted(text)
    chosen = vocabularies.Vocabulary.of_counts(found, size, min_count)
    chosen.write(output)
    if counts is not None:
        vocabularies.write_counts(found, counts)
    print(
        f"{output}: {count(len(chosen), 'word')}, three of them special\n{_coverage(chosen, found)}"
    )


def _check_outputs(output: Path, counts: Path | None, text: "Corpus") -> None:
    """Check before the work begins that the files can be written and nothing is lost."""
    from relmo.text.vocab import check_counts_path, check_path

    check_path(output)
    read = {os.path.realpath(path) for path in text.paths}
    for path in (output, counts):
        if path is None:
            continue
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise InputError(f"cannot write '{path}': not a file in an existing folder")
        if os.path.realpath(path) in read:
            raise InputError(f"{path}: is among the corpus's files; write elsewhere")
    if counts is not None:
        check_counts_path(counts)
        if os.path.realpath(counts) == os.path.realpath(output):
            raise InputError(f"{counts}: both the vocabulary and the counts would be written there")


def _counted(text: "Corpus") -> "Counter[str]":
    from relmo.text.vocab import counted

    with _progress(text) as seen:
        return counted(seen)


def _coverage(chosen: "Vocabulary", counts: "Counter[str]") -> str:
    """Return how much of the corpus the vocabulary covers; special words do not count."""
    from relmo.text.vocab import SPECIALS

    total = counts.total()
    kept = [counts[word] for word in chosen.words[len(SPECIALS) :]]
    lines = [
        f"corpus: {count(total, 'token')}, {count(len(counts), 'different word')}",
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
    return f"between --min-count {rarest} ({count(n_others, 'word')} more) and {rarest + 1}"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %"


@contextmanager
def _progress(text: "Corpus") -> Iterator[Iterator[list[str]]]:
    """Yield the sentences; show a progress bar on standard error, where that is a terminal."""
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
    """Yield the sentences, and show now and then: files done, tokens and their speed."""
    n_tokens, start = 0, time.perf_counter()
    for n_sentences, (n_files, tokens) in enumerate(text.by_file()):
        n_tokens += len(tokens)
        if n_sentences % _SHOW_EVERY == 0:
            speed = n_tokens / max(time.perf_counter() - start, 1e-9)
            show(
                n_files,
                f"file {n_files + 1} of {len(text.paths)}, {count(n_tokens, 'token')}, "
                f"{speed:,.0f} a second",
            )
        yield tokens
