r"""Layouts with a token a line: columns as of the CoNLL tasks, CoNLL-U, and CSV as of Kaggle.

The cells of a line, and a line with one of its cells changed and the rest left as it is.

>>> cells('7,"10,000",CD', ",")
['7', '10,000', 'CD']
>>> with_cell("the   DT  O", " ", 1, "NN")
'the   NN  O'

What the layouts of files with tokens have in common, and those with a sentence a line.

A layout gives the sentences of a `Source` as numbers of lines, tokens and tags, and writes tags
into those lines. Those with a token a line are in `tables`; docs/tagging.md describes them all.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, NamedTuple, Protocol, runtime_checkable

from relmo.data.corpora import json_object, some, text_value
from relmo.data.files import Source
from relmo.errors import InputError
from relmo.text.tokenizers import Tokenize

__all__ = [
    "Column",
    "Found",
    "JsonLines",
    "Layout",
    "Lines",
    "Table",
    "cells",
    "columns",
    "conllu",
    "csv",
    "data_lines",
    "is_conllu",
    "is_csv",
    "with_cell",
]


_CELLS = {
    "\t": re.compile(r"(?:^|(?<=\t))[^\t]*"),
    " ": re.compile(r"[^ \t]+"),
    ",": re.compile(r'(?:^|(?<=,))(?:"(?:[^"]|"")*"(?=,|$)|[^,]*)'),
}


def cells(line: str, separator: str) -> list[str]:
    """The cells of a line.

    Args:
        line: without its end.
        separator: a tab; a blank, for runs of blanks and tabs; or a comma, where a cell may be in
            double quotes and those in it doubled.

    Raises:
        ValueError: a quoted cell has no end.
    """
    if separator == "\t" or (separator == "," and '"' not in line):
        return line.split(separator)
    found = _CELLS[separator].findall(line)
    return found if separator == " " else [_unquoted(cell) for cell in found]


def _unquoted(cell: str) -> str:
    if not cell.startswith('"'):
        return cell
    if len(cell) == 1 or not cell.endswith('"'):
        raise ValueError("a quoted cell has no end on this line")
    return cell[1:-1].replace('""', '"')


def with_cell(line: str, separator: str, index: int | None, value: str) -> str:
    """The line with another value in a cell.

    Args:
        line: as for `cells`.
        separator: as for `cells`.
        index: number of the cell, from 0; None for a new one at the end.
        value: what to write there, quoted where it has to be.
    """
    if separator == "," and any(mark in value for mark in ',"'):
        value = '"' + value.replace('"', '""') + '"'
    if index is None:
        joint = "\t" if separator == " " and "\t" in line else separator
        return line.rstrip(" \t") + joint + value if separator == " " else line + joint + value
    start, end = [found.span() for found in _CELLS[separator].finditer(line)][index]
    return line[:start] + value + line[end:]


Column = int | str | None
"""Of tokens or tags: a number from 0, from the end where negative; a name; None: the usual one."""


class Found(NamedTuple):
    """A sentence of a file."""

    lines: tuple[int, ...]
    """Numbers of its tokens' lines, or of its one line, from 0."""
    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    """As many; none where tags are not read."""


@runtime_checkable
class Layout(Protocol):
    """How a file is laid out."""

    def sentences(self, source: Source) -> Iterator[Found]:
        """The sentences of a file.

        Raises:
            InputError: a line is not laid out so, named with the file and its number.
        """

    def write(
        self, lines: list[str], found: Iterable[Found], tags: Iterable[Sequence[str]]
    ) -> None:
        """Write tags into the lines of a file, in place.

        Args:
            lines: all lines of the file.
            found: what `sentences` gave.
            tags: of each sentence, one for each token.
        """


@dataclass(frozen=True, slots=True)
class Lines:
    """A sentence a line, with no tags; with tags it is written as columns."""

    tokenize: Tokenize = str.split

    def sentences(self, source: Source) -> Iterator[Found]:
        """The lines that have tokens."""
        for i, line in enumerate(source.lines):
            if tokens := tuple(self.tokenize(line)):
                yield Found((i,), tokens, ())

    def write(
        self, lines: list[str], found: Iterable[Found], tags: Iterable[Sequence[str]]
    ) -> None:
        """A line `token TAB tag` for each token, and a blank one for the end of the sentence."""
        for sentence, its_tags in zip(found, tags, strict=True):
            pairs = zip(sentence.tokens, its_tags, strict=True)
            lines[sentence.lines[0]] = "".join(f"{token}\t{tag}\n" for token, tag in pairs)


@dataclass(frozen=True, slots=True)
class JsonLines:
    """An object a line, with a list of tokens and one of tags."""

    tokens: str
    tags: str
    tagged: bool
    """Whether tags are read."""

    def sentences(self, source: Source) -> Iterator[Found]:
        """The objects of the lines that are not blank; an empty list of tokens is no sentence."""
        fields = (self.tokens, self.tags) if self.tagged else (self.tokens,)
        for i, line in enumerate(source.lines):
            if not line.strip():
                continue
            where = source.where(i)
            record = json_object(line, where, fields)
            tokens, *rest = (_texts(record[field], field, where) for field in fields)
            tags = rest[0] if rest else ()
            if self.tagged and len(tags) != len(tokens):
                raise InputError(
                    f"{where}: expected a tag for each token, got {len(tokens)} in {self.tokens!r} "
                    f"and {len(tags)} in {self.tags!r}"
                )
            if tokens:
                yield Found((i,), tokens, tags)

    def write(
        self, lines: list[str], found: Iterable[Found], tags: Iterable[Sequence[str]]
    ) -> None:
        """The object with its field of tags set, and its other fields as they are."""
        for sentence, its_tags in zip(found, tags, strict=True):
            record = json.loads(lines[sentence.lines[0]])
            record[self.tags] = list(its_tags)
            lines[sentence.lines[0]] = json.dumps(record, ensure_ascii=False)


def _texts(value: Any, field: str, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise InputError(f"{where}: {field!r} is no list, expected a list of texts")
    for number, text in enumerate(value):
        if not text_value(text, f"{field}[{number}]", where):
            raise InputError(f"{where}: {field}[{number}] is empty")
    return tuple(value)


Rows = Callable[[Source], Iterator[tuple[int, list[str]] | None]]
"""The numbers and cells of the lines that hold a token, and None between two sentences."""
_HEAD = 200  # lines that are looked at for how the others are laid out
_BLANKS = " \t"
_DOCSTART = "-DOCSTART-"
_COMMENT = re.compile(r"# |#(begin|end) ")
_CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
_GLOBAL = "# global.columns ="
_NO_TOKEN = re.compile(r"[0-9]+(-[0-9]+|\.[0-9]+)")  # of several tokens, or of none
_SENTENCE = ("sentence #", "sentence_id", "sentence", "sent_id")
_TOKEN = ("word", "token", "form")
_TAG = ("tag", "ner_tag", "label")
_PREDICTED = "Predicted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A layout with a token a line."""

    separator: str
    """As for `cells`."""
    n_cells: int
    token: int
    tag: int | None
    """None: tags are written in a column of their own behind the others."""
    tagged: bool
    """Whether tags are read."""
    rows: Rows
    no_tag: str = ""
    """What is written where a token has no tag."""
    has_heading: bool = False

    def sentences(self, source: Source) -> Iterator[Found]:
        """The rows between two boundaries."""
        lines: list[int] = []
        tokens: list[str] = []
        tags: list[str] = []
        for row in chain(self.rows(source), (None,)):
            if row is not None:
                i, found = row
                token, tag = self._read(source, i, found)
                lines.append(i)
                tokens.append(token)
                tags.append(tag)
            elif lines:
                yield Found(tuple(lines), tuple(tokens), tuple(tags) if self.tagged else ())
                lines, tokens, tags = [], [], []

    def _read(self, source: Source, i: int, row: list[str]) -> tuple[str, str]:
        """The token and the tag on a line."""
        if len(row) != self.n_cells:
            missing = "; is its tag missing?" if len(row) == self.n_cells - 1 else ""
            raise _unexpected(source, i, f"{self.n_cells} columns", f"{len(row)}{missing}")
        token, tag = row[self.token], "" if self.tag is None else row[self.tag]
        if not token:
            raise _unexpected(source, i, "a token", "an empty cell")
        if self.tagged and tag in ("", self.no_tag):
            raise _unexpected(source, i, f"a tag for {token!r}", "none")
        return token, tag

    def write(
        self, lines: list[str], found: Iterable[Found], tags: Iterable[Sequence[str]]
    ) -> None:
        """The tag in its cell, and the line's other cells as they are."""
        if self.has_heading and self.tag is None:
            lines[0] = with_cell(lines[0], self.separator, None, _PREDICTED)
        for sentence, its_tags in zip(found, tags, strict=True):
            for i, tag in zip(sentence.lines, its_tags, strict=True):
                lines[i] = with_cell(lines[i], self.separator, self.tag, tag)


def _unexpected(source: Source, i: int, expected: str, got: str) -> InputError:
    line = f"{source.lines[i]!r:.60}"
    return InputError(f"{source.where(i)}: expected {expected}, got {got}; the line is {line}")


def columns(source: Source, token: Column, tag: Column, tagged: bool) -> Table:
    """Columns between tabs or blanks, as many as on most of the first lines.

    Sentences are between blank lines and lines `-DOCSTART-`. A line that begins with `# `, `#begin`
    or `#end` and has another number of columns is a comment.

    Args:
        source: the file.
        token: the column of tokens, by default the first one.
        tag: that of tags; if they are read, by default the last one.
        tagged: whether tags are read.

    Raises:
        InputError: there is no such column, or none for tags.
    """
    head = data_lines(source)
    separator = "\t" if 2 * sum("\t" in line for line in head) > len(head) else " "
    counts = Counter(len(cells(line, separator)) for line in head) or Counter([1])
    n_cells = max(counts, key=lambda n: (counts[n], n))
    if head and tagged and n_cells == 1:
        raise InputError(f"{source.name}: expected columns of tokens and of tags, got one column")

    def rows(source: Source) -> Iterator[tuple[int, list[str]] | None]:
        for i, line in enumerate(source.lines):
            row = cells(line, separator)
            if not line.strip(_BLANKS) or row[0] == _DOCSTART:
                yield None
            elif len(row) == n_cells or not _COMMENT.match(line):
                yield i, row

    names = list(map(str, range(n_cells)))
    last = names[-1] if tagged else None
    return Table(
        separator=separator,
        n_cells=n_cells,
        token=_index(source, names, token, "0"),
        tag=_place(source, names, tag, last),
        tagged=tagged,
        rows=rows,
    )


def data_lines(source: Source) -> list[str]:
    """The first lines that are not blank, without comments unless they are all there is."""
    lines = [
        line
        for line in islice(source.lines, _HEAD)
        if line.strip(_BLANKS) and not line.startswith(_DOCSTART)
    ]
    return [line for line in lines if not _COMMENT.match(line)] or lines


def conllu(source: Source, token: Column, tag: Column, tagged: bool) -> Table:
    """CoNLL-U, or CoNLL-U Plus, whose first line names its columns.

    Comments begin with `#`. Lines of several words, such as `1-2`, and of none, such as `1.1`,
    are no tokens.

    Args:
        source: the file.
        token: the column of tokens, by default `form`.
        tag: that of tags: by default `upos`; `xpos`, `feats` or another.
        tagged: whether tags are read.

    Raises:
        InputError: there is no such column.
    """
    first = source.lines[0] if source.lines else ""
    names: Sequence[str] = _CONLLU
    if first.startswith(_GLOBAL):
        names = first.removeprefix(_GLOBAL).lower().split()
    number = _index(source, names, "id", "id")

    def rows(source: Source) -> Iterator[tuple[int, list[str]] | None]:
        expected = 1
        for i, line in enumerate(source.lines):
            row = line.split("\t")
            if not line.strip(_BLANKS):
                expected = 1
                yield None
            elif not line.startswith("#") and not _NO_TOKEN.fullmatch(row[number % len(row)]):
                if row[number % len(row)] != str(expected):
                    wanted = f"token {expected} of a sentence, which ends with a blank line"
                    raise _unexpected(source, i, wanted, row[number % len(row)])
                expected += 1
                yield i, row

    place = _index(source, names, tag, "upos")
    return Table(
        separator="\t",
        n_cells=len(names),
        token=_index(source, names, token, "form"),
        tag=place,
        tagged=tagged,
        rows=rows,
        no_tag="" if names[place] == "feats" else "_",  # a token may well have no features
    )


def is_conllu(source: Source) -> bool:
    """Whether a file is CoNLL-U, by its first line that is no comment, or Plus."""
    for line in source.lines[:_HEAD]:
        if line.startswith(_GLOBAL):
            return True
        if line and not line.startswith("#"):
            row = line.split("\t")
            return len(row) == len(_CONLLU) and (row[0] == "1" or row[0].startswith("1-"))
    return False


def csv(source: Source, token: Column, tag: Column, tagged: bool) -> Table:
    """Comma-separated values under a heading, a row a line, where cells may be in double quotes.

    A sentence begins where the column of sentences has another value than before, an empty cell
    standing for the one above it. Without such a column, blank lines are between sentences.

    Args:
        source: the file.
        token: the column of tokens, by default the one called Word, Token or Form.
        tag: that of tags; if they are read, by default the one called Tag, NER_Tag or Label.
        tagged: whether tags are read.

    Raises:
        InputError: there is no such column, or a quoted cell has no end.
    """
    names = [name.strip().lower() for name in _csv_cells(source, 0)] if source.lines else []
    numbered = next((names.index(name) for name in _SENTENCE if name in names), None)

    def rows(source: Source) -> Iterator[tuple[int, list[str]] | None]:
        current = ""
        for i, line in enumerate(source.lines):
            row = _csv_cells(source, i)
            if not line.strip(_BLANKS):
                yield None
            elif i:
                name = "" if numbered is None else row[numbered % len(row)]
                if name and name != current:
                    current = name
                    yield None
                yield i, row

    usual = _usual(names, _TAG) if tagged else None
    return Table(
        separator=",",
        n_cells=len(names),
        token=_index(source, names, token, _usual(names, _TOKEN)),
        tag=_place(source, names, tag, usual),
        tagged=tagged,
        rows=rows,
        has_heading=True,
    )


def is_csv(source: Source) -> bool:
    """Whether the first line is a heading of comma-separated values with a column of words."""
    first = source.lines[0].lower().replace('"', "") if source.lines else ""
    names = first.split(",")
    return "\t" not in first and len(names) > 1 and any(name in names for name in _TOKEN)


def _csv_cells(source: Source, i: int) -> list[str]:
    try:
        return cells(source.lines[i], ",")
    except ValueError as error:
        raise InputError(f"{source.where(i)}: {error}: {source.lines[i]!r:.60}") from error


def _usual(names: Sequence[str], known: Sequence[str]) -> str:
    """Which of the known names there is; the first of them where there is none."""
    return next((name for name in known if name in names), known[0])


def _place(source: Source, names: Sequence[str], given: Column, usual: str | None) -> int | None:
    """As `_index`, or None where nothing is given or usual."""
    return None if given is usual is None else _index(source, names, given, usual or "")


def _index(source: Source, names: Sequence[str], given: Column, usual: str) -> int:
    """The number of the column that is given by name or number, or of the usual one."""
    wanted = usual if given is None else given
    if isinstance(wanted, int) and -len(names) <= wanted < len(names):
        return wanted % len(names)
    name = str(wanted).lower()
    if isinstance(wanted, str) and name in names:
        return names.index(name)
    raise InputError(f"{source.name}: no column {wanted!r}; it has {some(names)}")
