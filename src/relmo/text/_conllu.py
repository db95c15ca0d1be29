"""Words and their universal parts of speech out of CoNLL-U."""

from collections.abc import Iterator

from relmo.errors import InputError
from relmo.text.corpora import PathLike, lines

__all__ = ["read"]

_COLUMNS = 10


def read(path: PathLike) -> Iterator[tuple[list[str], list[str]]]:
    """The words of each sentence, and their tags.

    Ranges (`1-2`, the text before it was split into words) and empty nodes (`1.1`) are left out.

    Raises:
        InputError: the file is missing or unreadable, a row has not ten columns or no tag, or
            there is no sentence; it names file and line.
    """
    words: list[str] = []
    tags: list[str] = []
    is_empty = True
    for number, line in enumerate([*lines(path), ""], start=1):
        if line.startswith("#"):
            continue
        if not line.strip():
            if words:
                is_empty = False
                yield words, tags
                words, tags = [], []
            continue
        columns = line.split("\t")
        if len(columns) != _COLUMNS:
            raise InputError(
                f"{path}: line {number}: {len(columns)} columns, expected {_COLUMNS} between tabs, "
                "as in CoNLL-U"
            )
        if not columns[0].isdecimal():
            continue
        if columns[3] in ("", "_"):
            raise InputError(f"{path}: line {number}: {columns[1]!r} has no tag (column 4, UPOS)")
        words.append(columns[1])
        tags.append(columns[3])
    if is_empty:
        raise InputError(f"{path}: no sentence")
