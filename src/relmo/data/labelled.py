"""Sentences, or pairs of them, with a label, out of the files that data sets come in.

    train = read_labelled("stsa.binary.train")
    train[0].tokens, train[0].label

| format | a file of |
|---|---|
| `lines` | a label, white space and a tokenised sentence a line |
| `tsv` | columns between tabs, headed `label` and `sentence`, or `sentence1` and `sentence2` |
| `csv` | the same between commas, where cells may be in double quotes and hold line ends |
| `jsonl` | objects a line with such fields |
| `text` | a sentence a line, with no label; of a pair, a tab between the two |
| `datasets` | see `hf_datasets` |

Files may be compressed or in a zip archive, and `-` is standard input: see `read_source`.
"""

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isclose
from typing import Any, Literal, TypeVar

import numpy as np

from relmo._read import PathLike
from relmo.data import hf_datasets
from relmo.data.columns import Column
from relmo.data.corpora import json_object, some, text_value
from relmo.data.files import Source, read_source, suffix
from relmo.errors import InputError
from relmo.text.tokenizers import Tokenize, check_strings

__all__ = ["LabelledFormat", "LabelledSentence", "read_labelled", "split"]


LabelledFormat = Literal["lines", "tsv", "csv", "jsonl", "text", "datasets"]
_LABEL = "label"
_TEXTS = (("sentence",), ("text",), ("sentence1", "sentence2"))
_LATIN = ("", ".all", ".train", ".dev", ".test", ".txt")  # of the sets that are latin-1 in part


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledSentence:
    """A sentence or a pair, its label, and where it stands.

    Raises:
        InputError: the tokens are one string; the message names the line.
    """

    tokens: tuple[str, ...]
    second: tuple[str, ...] | None
    """The tokens of a pair's second sentence."""
    label: str | None
    """None where labels are not read."""
    source: str
    """The file."""
    line: int
    """Its line in the file, from 1."""

    def __post_init__(self) -> None:
        for tokens in (self.tokens, self.second):
            if tokens is not None:
                check_strings(tokens, f"{self.source}: line {self.line}: tokens")


Record = tuple[int, str | None, Sequence[str]]
"""Number of a line from 1, the label and the texts."""
Rows = Iterator[tuple[int, list[str]]]
"""The cells of a table's rows, each with the number of its first line, from 1."""


def read_labelled(
    path: PathLike,
    *,
    format: LabelledFormat | None = None,
    label_column: Column = _LABEL,
    text_columns: Sequence[int | str] = (),
    tokenize: Tokenize = str.split,
    encoding: str | None = None,
) -> list[LabelledSentence]:
    """The sentences or pairs of a file, each with its label.

    Args:
        path: the file; see the module for what it may be.
        format: what it is; None: what its name or first line says.
        label_column: the heading or field of labels, which may be numbers in JSON; or the number
            of a column, from 0, from the end where negative. None: labels are not read, and a file
            of no other format is `text`.
        text_columns: that of sentences, or those of the two of a pair; none: `sentence`, `text`,
            or `sentence1` and `sentence2`. A table whose columns are all given by number has no
            heading.
        tokenize: from a text to its tokens.
        encoding: None: UTF-8, or latin-1 for what is not UTF-8 and is named .all, .train, .dev,
            .test, .txt or has no suffix, as TREC and others that come as `lines`.

    Raises:
        InputError: the file cannot be read, is not in its encoding or not laid out as its format,
            a label or a sentence is missing, or there is no sentence in it.
        MissingExtraError: an optional library is needed that is not installed.
    """
    if len(text_columns) > 2:
        raise InputError(f"text columns: expected one or two, got {len(text_columns)}")
    columns = tuple(text_columns)
    if format == "datasets" or (format is None and hf_datasets.is_dataset(path)):
        name = os.fspath(path)
        label = None if label_column is None else str(label_column)
        found = _of_dataset(name, label, tuple(map(str, columns)))
    else:
        source = read_source(path, encoding, latin=_LATIN)
        name, found = source.name, _records(source, format, label_column, columns)
    sentences = []
    for line, label, texts in found:
        first, *rest = (tuple(tokenize(text)) for text in texts)
        if not first or not all(rest):
            raise InputError(f"{name}: line {line}: expected a sentence, got one without a token")
        second = rest[0] if rest else None
        sentences.append(
            LabelledSentence(tokens=first, second=second, label=label, source=name, line=line)
        )
    if not sentences:
        raise InputError(f"{name}: no sentence in it")
    return sentences


def _records(
    source: Source, format: LabelledFormat | None, label: Column, columns: tuple[int | str, ...]
) -> Iterator[Record]:
    are_named = bool(columns) or label not in (None, _LABEL)
    format = format or _format(source, label, are_named)
    if format == "jsonl":
        return _of_json(source, None if label is None else str(label), tuple(map(str, columns)))
    if format in ("tsv", "csv"):
        rows = _tabbed(source) if format == "tsv" else _csv(source)
        return _of_table(source, rows, label, columns)
    if are_named:
        raise InputError(f"{source.name}: a file of the format {format!r} has no columns to name")
    if format == "text":
        if label is not None:
            raise InputError(f"{source.name}: a text has no labels to read")
        return ((i, None, line.split("\t", 1)) for i, line in _lines(source))
    return _of_lines(source, label)


def _format(source: Source, label: Column, are_named: bool) -> LabelledFormat:
    first = next((line for _, line in _lines(source)), "")
    ending = suffix(source.name)
    if ending in (".jsonl", ".ndjson") or (first[:1], first[-1:]) == ("{", "}"):
        return "jsonl"
    if ending == ".csv":
        return "csv"
    if are_named:
        return "tsv" if "\t" in first or ending == ".tsv" else "csv"
    tabbed, commaed = first.split("\t"), [name.strip('"') for name in first.split(",")]
    tables: tuple[tuple[LabelledFormat, list[str]], ...] = (("tsv", tabbed), ("csv", commaed))
    for format, names in tables:
        if any({*texts} <= {*names} for texts in _TEXTS):
            return format
    return "text" if label is None else "lines"


def _lines(source: Source) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1."""
    return ((i, line) for i, line in enumerate(source.lines, start=1) if line.strip())


def _of_lines(source: Source, label: Column) -> Iterator[Record]:
    for i, line in _lines(source):
        its_label, *rest = line.split(maxsplit=1)
        if not rest:
            raise InputError(
                f"{source.name}: line {i}: expected a label and a sentence, got {line!r:.60}"
            )
        yield i, None if label is None else its_label, rest


def _tabbed(source: Source) -> Rows:
    return ((i, line.split("\t")) for i, line in _lines(source))


def _csv(source: Source) -> Rows:
    """The rows that are not blank, each with the number of its first line."""
    rows = csv.reader((f"{line}\n" for line in source.lines), strict=True)
    start = 1
    try:
        for row in rows:
            if row:
                yield start, row
            start = rows.line_num + 1
    except csv.Error as error:
        raise InputError(f"{source.name}: line {start}: not comma-separated: {error}") from error


def _of_table(
    source: Source, rows: Rows, label: Column, columns: tuple[int | str, ...]
) -> Iterator[Record]:
    wanted = [*columns, *(() if label is None else (label,))]
    first = next(rows, (0, [""]))
    names, whose = first[1], "heading"
    if columns and all(isinstance(column, int) for column in wanted):
        names, whose, rows = [str(n) for n in range(len(names))], "first row", chain([first], rows)
    texts = [
        _index(names, column, source.name) for column in columns or _texts(names, (), source.name)
    ]
    labels = None if label is None else _index(names, label, source.name)
    for i, row in rows:
        if len(row) != len(names):
            raise InputError(
                f"{source.name}: line {i}: expected {len(names)} columns, as in the {whose}, got "
                f"{len(row)}: {' '.join(row)!r:.60}"
            )
        if labels is not None and not row[labels].strip():
            raise InputError(f"{source.name}: line {i}: expected a label, got an empty cell")
        yield i, None if labels is None else row[labels].strip(), [row[n] for n in texts]


def _of_json(source: Source, label: str | None, columns: tuple[str, ...]) -> Iterator[Record]:
    for i, line in _lines(source):
        where = f"{source.name}: line {i}"
        record = json_object(line, where, () if label is None else (label,))
        texts = _texts(tuple(record), columns, where)
        its_label = None if label is None else _label(record[label], label, where)
        yield i, its_label, [text_value(record[name], name, where) for name in texts]


def _of_dataset(place: str, label: str | None, columns: tuple[str, ...]) -> Iterator[Record]:
    names = _texts(hf_datasets.columns(place), columns, place)
    fields = [(name,) for name in (*names, *(() if label is None else (label,)))]
    for i, values in enumerate(hf_datasets.records(place, fields), start=1):
        where = f"{place}: line {i}"
        texts = [text_value(value, name, where) for name, value in zip(names, values, strict=False)]
        yield i, None if label is None else _label(values[-1], label, where), texts


def _label(value: Any, field: str, where: str) -> str:
    """A label, which may be a whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    label = text_value(value, field, where).strip()
    if not label:
        raise InputError(f"{where}: expected a label in {field!r}, got an empty text")
    return label


def _texts(names: Sequence[str], given: tuple[str, ...], where: str) -> tuple[str, ...]:
    """The columns of sentences among others."""
    for texts in (given,) if given else _TEXTS:
        if {*texts} <= {*names}:
            return texts
    expected = " and ".join(map(repr, given)) or "'sentence', 'text', or 'sentence1', 'sentence2'"
    raise InputError(f"{where}: expected {expected}; it has {some(names)}")


def _index(names: Sequence[str], column: int | str, where: str) -> int:
    """The number of a column of a table, from 0."""
    if isinstance(column, int) and -len(names) <= column < len(names):
        return column % len(names)
    if column not in names:
        raise InputError(f"{where}: no column {column!r}; it has {some(names)}")
    return names.index(str(column))


T = TypeVar("T")


def split(items: Sequence[T], shares: Sequence[float], seed: int) -> tuple[list[T], ...]:
    """Parts of the items, each item in one of them, in the order they came in.

        train, test = split(sentences, [0.9, 0.1], seed=2018)

    Which items a part has depends on the seed, the shares and the number of items alone.

    Args:
        items: such as sentences.
        shares: of each part, 1 together.
        seed: of the draw, 0 or more.

    Raises:
        InputError: the shares are not positive or not 1 together, the seed is negative, or a part
            would have no item.
    """
    if not isclose(sum(shares), 1, abs_tol=1e-6) or min(shares) <= 0:
        raise InputError(f"split: expected positive shares that are 1 together, got {shares}")
    if seed < 0:
        raise InputError(f"split: expected a seed of 0 or more, got {seed}")
    ends = np.rint(np.cumsum(shares) * len(items)).astype(np.int64)[:-1]
    parts = np.split(np.random.default_rng(seed).permutation(len(items)), ends)
    if any(len(part) == 0 for part in parts):
        raise InputError(f"split: {len(items)} items are too few for parts of {shares}")
    return tuple([items[i] for i in np.sort(part)] for part in parts)
