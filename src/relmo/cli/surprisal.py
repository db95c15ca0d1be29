"""`relmo surprisal`: every token's surprisal, entropy and rank, as a table."""

import gzip
import io
import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relmo.cli import given, lines
from relmo.cli.words import in_bytes, some
from relmo.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from relmo.elmo.language_model import LanguageModel, Surprisal

__all__ = ["CONTEXT_HELP", "Context", "surprisal"]

CONTEXT_HELP = (
    "What a sentence is read from: a zero state, or, forward, the state after the sentence before."
)
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


class Context(StrEnum):
    """What the forward LSTMs have read before a sentence."""

    fresh = "fresh"
    carried = "carried"


def surprisal(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=given.HELP, show_default=False)],
    text: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A file with one tokenised sentence a line (.gz, .xz, .zst too), - for standard "
            "input, or a sentence itself.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="The table: .tsv or .jsonl, or the same with .gz, or .parquet. An earlier file is "
            "replaced when the new one is whole.",
            show_default=False,
        ),
    ],
    context: Annotated[Context, typer.Option(help=CONTEXT_HELP)] = Context.fresh,
    ends: Annotated[
        bool,
        typer.Option(
            "--ends",
            help="Add a row for each end: <S>, predicted backward, as token 0, and </S>, "
            "predicted forward, after the last token.",
        ),
    ] = False,
) -> None:
    """Write how each token of FILE was predicted, a row a token.

    Surprisal forward and backward and entropy of the prediction, in bits; rank of the word, 1 the
    likeliest; and whether it is unknown, <UNK> being predicted for it. Sentences are the lines of
    FILE and tokens what spaces part, both numbered from 1; a blank line has a number but no rows.
    """
    lines.check([text])
    if not output.name.lower().endswith(_SUFFIXES):
        raise InputError(f"{output}: the name must end in {', '.join(_SUFFIXES)}")

    from relmo.elmo.language_model import LanguageModel  # torch takes a second to import

    words = LanguageModel(given.load(model))
    n_lines = n_tokens = 0
    with _writer(output) as write:
        for line, tokens, found in _scored(words, lines.read([text]), ends, context):
            for row in _rows(line.number, tokens, found):
                write(row)
            n_lines += 1
            n_tokens += len(tokens)
        if not n_tokens:
            raise InputError("no token in the input; expected one tokenised sentence a line")
    said = f"{some(n_lines, 'sentence')}, {some(n_tokens, 'token')}"
    print(f"{output}: {said}, {in_bytes(output.stat().st_size)}")


def _scored(
    words: "LanguageModel", source: Iterator[lines.Line], ends: bool, context: Context
) -> Iterator[tuple[lines.Line, list[str], "Surprisal"]]:
    """Each line that is not blank; only those that the model has read ahead are held."""
    waiting: deque[tuple[lines.Line, list[str]]] = deque()

    def sentences() -> Iterator[list[str]]:
        for line in source:
            if tokens := line.text.split():
                waiting.append((line, tokens))
                yield tokens

    for found in words.surprisal(sentences(), ends=ends, context=context.value):
        yield *waiting.popleft(), found


def _rows(number: int, tokens: list[str], found: "Surprisal") -> Iterator[tuple[Any, ...]]:
    """The rows of a sentence in the order of `_COLUMNS`; None where there is no prediction."""
    ahead, back = (
        list(zip(side.surprisal.tolist(), side.entropy.tolist(), side.rank.tolist(), strict=True))
        for side in (found.forward, found.backward)
    )
    unknown = found.unknown.tolist()
    first = 1
    if len(ahead) > len(tokens):  # with the ends
        none = (None, None, None)
        ahead, back = [none, *ahead], [*back, none]
        tokens, unknown, first = ["<S>", *tokens, "</S>"], [False, *unknown, False], 0
    for place, (token, f, b, is_unknown) in enumerate(
        zip(tokens, ahead, back, unknown, strict=True), start=first
    ):
        yield number, place, token, f[0], b[0], f[1], b[1], f[2], b[2], int(is_unknown)


@contextmanager
def _writer(output: Path) -> Iterator[Callable[[tuple[Any, ...]], object]]:
    """What writes a row to the file, which appears when the block ends."""
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
    """What writes a row to a Parquet file, whose numbers keep all their digits."""
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
