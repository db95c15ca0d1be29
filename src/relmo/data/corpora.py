"""Streaming readers of text, in memory bounded by the longest line.

A file is plain text or JSON lines, as it is or compressed (.gz, .bz2, .xz, .zst), or a Parquet
table. Which, its name says: `.jsonl` and `.ndjson`, `.parquet`; any other is plain text.

A line ends at a line feed and nowhere else: U+2028, U+0085, form feeds and the like are part of
their line. A sentence is a line split as by `str.split()`: at any Unicode white space, so at
no-break spaces (U+00A0), ideographic spaces (U+3000) and U+2028 too. Tokens never hold white
space, therefore, and the same text gives the same tokens as `"...".split()` in Python.

Texts out of JSON lines and Parquet tables: one field of each record.

pyarrow is imported here alone.
"""

import copy
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Self

from relmo._read import COMPRESSED, MAX_LINE_BYTES, PathLike, expand, lines
from relmo.errors import InputError, MissingExtraError
from relmo.text.tokenizers import Tokenize

__all__ = [
    "Corpus",
    "json_object",
    "of_json_lines",
    "of_parquet",
    "read_sentences",
    "some",
    "text_value",
]


_ROWS = 64  # at a time: few, as a row may hold a book
_BUFFER_BYTES = 2**20
_KINDS = {
    bool: "a truth value",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
}


def of_json_lines(lines: Iterable[str], path: Path, field: str) -> Iterator[str]:
    """The field of each line's object; blank lines hold none.

    Args:
        lines: all lines of a file.
        path: the file, for messages.
        field: name of a field that is text.

    Raises:
        InputError: a line is not valid JSON or no object, or the field is missing or no text.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}: line {number}"
        yield text_value(json_object(line, where, (field,))[field], field, where)


def json_object(line: str, where: str, fields: Sequence[str]) -> dict[str, Any]:
    """The object that a line is, which has these fields.

    Args:
        line: of a file of JSON lines.
        where: the file and line, for messages.
        fields: what it has to have.

    Raises:
        InputError: the line is not valid JSON or no object, or a field is missing.
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not valid JSON: {error}") from error
    if not isinstance(record, dict):
        raise InputError(f"{where}: expected a JSON object with {some(fields)}")
    for field in fields:
        if field not in record:
            raise InputError(f"{where}: no field {field!r}; it has {some(record)}")
    return record


def of_parquet(path: Path, field: str, longest: int) -> Iterator[str]:
    """The column of a Parquet file, row by row; a few rows are held at a time.

    Args:
        path: the file.
        field: name of a column of strings.
        longest: characters of a row, at most.

    Raises:
        InputError: the file is missing, unreadable, truncated or damaged, or has no such column
            of strings, or a row is null, not UTF-8 or too long.
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "parquet") from error
    n_rows = 0
    try:
        # With pre_buffer, a row group's whole column would be read at once.
        with parquet.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            _check_column(pyarrow.types, file.schema_arrow, field, path)
            for batch in file.iter_batches(_ROWS, columns=[field], use_threads=False):
                for value in batch.column(0):
                    n_rows += 1
                    text = text_value(value.as_py(), field, f"{path}: row {n_rows}")
                    if len(text) > longest:
                        raise InputError(f"{path}: row {n_rows}: longer than {longest} characters")
                    yield text
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: row {n_rows}: not UTF-8: {error.reason}") from error
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path}: truncated or damaged, or not Parquet: {error}") from error


def _check_column(types: Any, schema: Any, field: str, path: Path) -> None:
    if schema.names.count(field) != 1:
        raise InputError(f"{path}: no column {field!r}; it has {some(schema.names)}")
    kind = schema.field(field).type
    values = kind.value_type if types.is_dictionary(kind) else kind
    if not (types.is_string(values) or types.is_large_string(values)):
        raise InputError(f"{path}: column {field!r} is of {kind}, expected string")


def text_value(value: Any, field: str, where: str) -> str:
    """The value of a field, if it is text.

    Raises:
        InputError: it is not, or holds what no file can.
    """
    if not isinstance(value, str):
        kind = _KINDS.get(type(value), "null")
        raise InputError(f"{where}: {field!r} is {kind}, expected text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"{where}: {field!r} holds half a surrogate pair, no character") from error
    return value


def some(names: Iterable[str]) -> str:
    """Names for a message."""
    shown = [repr(name) for name in names]
    return ", ".join(shown[:8]) + (", ..." if shown[8:] else "") if shown else "none"


def read_sentences(paths: PathLike | Iterable[PathLike]) -> Iterator[list[str]]:
    """The sentences of a `Corpus`, one a line, split on white space; blank lines skipped.

    Args:
        paths: a file, folder or pattern or several, read one after another.

    Raises:
        InputError: at once for a missing file; while reading as `lines` does; at the end where
            no file held a token.
    """
    return iter(Corpus(paths))


class Corpus:
    """Sentences of any number of files, streamed anew each time it is iterated over.

    Args:
        paths: a file or several, a folder for all files in it, or a pattern; see `places.expand`.
        field: of the objects of JSON lines and the columns of Parquet tables, the one that holds
            text. Each of its lines is a sentence.
        tokenize: from a line to its tokens, none with white space in it.

    Raises:
        InputError: no file is given, or there is none.
    """

    def __init__(
        self,
        paths: PathLike | Iterable[PathLike],
        *,
        field: str = "text",
        tokenize: Tokenize = str.split,
    ) -> None:
        self.paths = expand([paths] if isinstance(paths, str | os.PathLike) else paths)
        self.field, self.tokenize = field, tokenize
        self.shard_number, self.n_shards = 0, 1
        if not self.paths:
            raise InputError("corpus: no file given")

    def shard(self, number: int, n_shards: int) -> Self:
        """One of so many corpora that hold each line of this one, blank ones too, exactly once.

        Every n-th line of each file, the first of a file being the next shard's in the next file,
        so that files of a line go round as well. Each shard reads all the files.

        Args:
            number: which, from 0.
            n_shards: how many there are.
        """
        shard = copy.copy(self)
        shard.shard_number, shard.n_shards = number, n_shards
        return shard

    def __iter__(self) -> Iterator[list[str]]:
        """The sentences, file after file.

        Raises:
            InputError: as `text_lines` does; at the end where no file held a token.
        """
        return (tokens for _, tokens in self.by_file())

    def by_file(self) -> Iterator[tuple[int, list[str]]]:
        """The sentences, each with the number of its file, from 0; else as `iter` does."""
        is_empty = True
        for number in range(len(self.paths)):
            for line in self.text_lines(number):
                if tokens := self.tokenize(line):
                    is_empty = False
                    yield number, tokens
        if is_empty:
            raise self.is_empty()

    def text_lines(self, number: int, skip: int = 0) -> Iterator[str]:
        """The lines of text in one of its files, blank ones too, so they can be counted.

        Args:
            number: which file, from 0.
            skip: lines to leave out at the start; of a shard, lines of its own.

        Raises:
            InputError: the file is not what `lines` or the readers in `records` can read.
            MissingExtraError: it needs an optional library that is not installed.
        """
        first = (self.shard_number - number) % self.n_shards
        found = self._all_lines(self.paths[number], first + skip * self.n_shards)
        return islice(found, 0, None, self.n_shards)

    def _all_lines(self, path: Path, skip: int) -> Iterator[str]:
        """The lines of a file, whatever the shard."""
        kind = _kind(path)
        if kind == "text":
            return lines(path, skip)
        if kind == "parquet":
            texts = of_parquet(path, self.field, longest=MAX_LINE_BYTES)
        else:
            texts = of_json_lines(lines(path), path, self.field)
        return islice((line for text in texts for line in _cut(text)), skip, None)

    def is_empty(self) -> InputError:
        """The error to raise where no file held a token."""
        names = ", ".join(map(str, self.paths[:3])) + (", ..." if self.paths[3:] else "")
        if self.n_shards > 1:
            return InputError(
                f"{names}: no usable line among those of part {self.shard_number + 1} of "
                f"{self.n_shards}; expected more sentences, or fewer parts"
            )
        return InputError(f"{names}: no usable line; expected one tokenised sentence a line")


def _kind(path: Path) -> str:
    """`text`, `json` or `parquet`, by name."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    last = suffixes[-1] if suffixes else ""
    return {".jsonl": "json", ".ndjson": "json", ".parquet": "parquet"}.get(last, "text")


def _cut(text: str) -> Iterator[str]:
    """The lines of a record's text, as `lines` has them of a file that holds it."""
    return (line.rstrip("\r") for line in text.removesuffix("\n").split("\n"))
