"""`relmo surprisal`: every token's surprisal, entropy and rank, as a table."""

import gzip
import io
import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relmo.cli import _flags, _inputs
from relmo.cli._output import count, in_bytes
from relmo.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from relmo.elmo.language_model import LanguageModel, Surprisal

__all__ = ["surprisal"]

_COLUMNS = (
    "sentence",
    "token_number",
    "token",
    "forward",
    "backward",
    "entropy_forward",
    "entropy_backward",
    "rank_forward",
    "rank_backward",
    "unknown",
)
_DIGITS = 4  # of bits; more would be rounding, and differ from batch to batch
_SUFFIXES = (".tsv", ".jsonl", ".tsv.gz", ".jsonl.gz", ".parquet")
_ROW_GROUP = 100_000  # rows of a Parquet file that are held at a time


def surprisal(
    model: _flags.Model,
    text: str,
    /,
    *,
    output: _flags.Output,
    context: _flags.Context = "fresh",
    ends: bool = False,
) -> None:
    """Write how each token of a text was predicted, a row per token.

    Surprisal forward and backward and entropy of the prediction, in bits; rank of the word, 1 the
    likeliest; and whether it is unknown, <UNK> being predicted for it. Sentences are the lines of
    TEXT and tokens what spaces separate, both numbered from 1; a blank line has a number but no
    rows.

        relmo surprisal original letters.txt -o surprisal.tsv

    Args:
        text: A file with one tokenized sentence per line (.gz, .xz, .zst too), - for standard
            input, or a sentence itself.
        output: The table: .tsv or .jsonl, or the same with .gz, or .parquet. An earlier file is
            replaced when the new one is whole.
        ends: Add a row for each end: <S>, predicted backward, as token 0, and </S>, predicted
            forward, after the last token.
    """
    _inputs.check_lines([text])
    if not output.name.lower().endswith(_SUFFIXES):
        raise InputError(f"{output}: the name must end in {', '.join(_SUFFIXES)}")

    from relmo.elmo.language_model import LanguageModel  # torch takes a second to import

    words = LanguageModel(_inputs.load_model(model))
    n_lines = n_tokens = 0
    with _writer(output) as write:
        for line, tokens, found in _scored(words, _inputs.read_lines([text]), ends, context):
            for row in _rows(line.number, tokens, found):
                write(row)
            n_lines += 1
            n_tokens += len(tokens)
        if not n_tokens:
            raise InputError("no token in the input; expected one tokenized sentence per line")
    counts = f"{count(n_lines, 'sentence')}, {count(n_tokens, 'token')}"
    print(f"{output}: {counts}, {in_bytes(output.stat().st_size)}")


def _scored(
    words: "LanguageModel", source: Iterator[_inputs.Line], ends: bool, context: _flags.Context
) -> Iterator[tuple[_inputs.Line, list[str], "Surprisal"]]:
    """Yield each line that is not blank; only those that the model has read ahead are held."""
    waiting: deque[tuple[_inputs.Line, list[str]]] = deque()

    def sentences() -> Iterator[list[str]]:
        for line in source:
            if tokens := line.text.split():
                waiting.append((line, tokens))
                yield tokens

    for found in words.surprisal(sentences(), ends=ends, context=context):
        yield *waiting.popleft(), found


def _rows(number: int, tokens: list[str], found: "Surprisal") -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a sentence in the order of `_COLUMNS`; None where nothing is predicted."""
    forward, backward = (
        list(zip(side.surprisal.tolist(), side.entropy.tolist(), side.rank.tolist(), strict=True))
        for side in (found.forward, found.backward)
    )
    unknown = found.unknown.tolist()
    first = 1
    if len(forward) > len(tokens):  # with the ends
        none = (None, None, None)
        forward, backward = [none, *forward], [*backward, none]
        tokens, unknown, first = ["<S>", *tokens, "</S>"], [False, *unknown, False], 0
    for number_of_token, (token, f, b, is_unknown) in enumerate(
        zip(tokens, forward, backward, unknown, strict=True), start=first
    ):
        yield number, number_of_token, token, f[0], b[0], f[1], b[1], f[2], b[2], int(is_unknown)


@contextmanager
def _writer(output: Path) -> Iterator[Callable[[tuple[Any, ...]], object]]:
    """Yield what writes a row to the file, which appears when the block ends."""
    from relmo._files import replacing_file

    name = output.name.lower()
    is_table = name.removesuffix(".gz").endswith(".tsv")
    with replacing_file(output) as aside, ExitStack() as opened:
        if name.endswith(".parquet"):
            yield opened.enter_context(_parquet(aside))
            return
        raw: Any = opened.enter_context(aside.open("wb"))
        if name.endswith(".gz"):  # no time in it: the same rows, the same bytes
            raw = opened.enter_context(gzip.GzipFile("", "wb", fileobj=raw, mtime=0))
        file = opened.enter_context(io.TextIOWrapper(raw, encoding="utf-8", newline="\n"))
        if is_table:
            file.write("\t".join(_COLUMNS) + "\n")
        yield lambda row: file.write(_table_line(row) if is_table else _json_line(row))


@contextmanager
def _parquet(path: Path) -> Iterator[Callable[[tuple[Any, ...]], object]]:
    """Yield what writes a row to a Parquet file, whose numbers keep all their digits."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "parquet") from error
    bits = ("forward", "backward", "entropy_forward", "entropy_backward")
    kinds = {"token": pa.string(), "unknown": pa.bool_(), **dict.fromkeys(bits, pa.float32())}
    schema = pa.schema([(name, kinds.get(name, pa.int64())) for name in _COLUMNS])
    rows: list[tuple[Any, ...]] = []

    def flush() -> None:
        columns = zip(*rows, strict=True)
        arrays = [
            pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)
        ]
        writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        rows.clear()

    def write(row: tuple[Any, ...]) -> None:
        rows.append((*row[:-1], bool(row[-1])))
        if len(rows) == _ROW_GROUP:
            flush()

    with parquet.ParquetWriter(path, schema) as writer:
        yield write
        if rows:
            flush()


def _table_line(row: tuple[Any, ...]) -> str:
    cells = (
        "" if value is None else f"{value:.{_DIGITS}f}" if isinstance(value, float) else str(value)
        for value in row
    )
    return "\t".join(cells) + "\n"


def _json_line(row: tuple[Any, ...]) -> str:
    rounded = (round(value, _DIGITS) if isinstance(value, float) else value for value in row)
    named = dict(zip(_COLUMNS, rounded, strict=True))
    return json.dumps(named, ensure_ascii=False) + "\n"
