"""Texts out of JSON lines and Parquet tables: one field of each record.

pyarrow is imported here alone.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from relmo.errors import InputError, MissingExtraError

__all__ = ["json_object", "of_json_lines", "of_parquet", "some", "text_value"]

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
