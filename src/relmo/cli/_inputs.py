"""What commands read: a model, sentences, a corpus, tagged files; and a device by its name."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from relmo import _read
from relmo.errors import InputError

if TYPE_CHECKING:
    from relmo.data.corpora import Corpus
    from relmo.elmo.model import Elmo
    from relmo.formats.checkpoint import Checkpoint
    from relmo.hub import Progress
    from relmo.text.vocab import Vocabulary

__all__ = [
    "Line",
    "check_apart",
    "check_lines",
    "column",
    "count_lines",
    "device",
    "find_model",
    "forms",
    "load_model",
    "model_name",
    "read_checkpoint",
    "read_corpus",
    "read_lines",
    "tag_layout",
    "text_lines",
    "vocabulary",
]


_ADDRESS = re.compile(r"(\w[\w+.-]+):/([^/].*)")  # as a path has it: one slash is gone
_PATH = re.compile(r"\S*[/\\]\S*|\S*\.[A-Za-z]\w{0,7}")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_SUFFIXES = (".txt", ".tok", ".tsv", ".csv", ".conll", ".json", ".jsonl", *_COMPRESSED)


def find_model(model: str | None) -> Path:
    """Return a model's path, the bundled one's for None; show a download's progress."""
    from relmo import hub

    if model is None:
        return hub.BOX
    with _progress() as show:
        return hub.resolve(model, progress=show)


def read_checkpoint(model: str | None) -> "Checkpoint":
    """Return what is in a model's files; no network is built."""
    from relmo.formats import detect

    return detect.read(find_model(model))


def load_model(model: str | None) -> "Elmo":
    """Return a model."""
    import relmo

    return relmo.load(find_model(model))


@contextmanager
def _progress() -> "Iterator[Progress | None]":
    """Show a bar for each file that is downloaded, on standard error where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(compact=True),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, progress.TaskID] = {}

        def show(name: str, n_bytes: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name)
            bar.update(tasks[name], completed=n_bytes, total=total)

        yield show


def model_name(model: str | None) -> str:
    """Return how a picture names a model."""
    return "the bundled model" if model is None else Path(model).resolve().name


def vocabulary(
    path: Path | None, out: Path, text: "Corpus", size: int | None, min_count: int
) -> "Vocabulary | None":
    """Return the vocabulary of a file, or of a text; None where the run in `out` has one."""
    from relmo.text.vocab import Vocabulary
    from relmo.train.folder import LAST

    if path is not None:
        return Vocabulary.read(path, require_specials=True)
    if (out / LAST).exists():
        return None
    return Vocabulary.build(text, size=size, min_count=min_count)


def device(name: str) -> str:
    """Return a device's name, if there is such a device.

    Raises:
        InputError: there is not.
    """
    import torch

    from relmo.train.distributed import own_device

    try:
        torch.empty(0, device=own_device(name))
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name}: {str(error).splitlines()[0]}") from error
    return name


def forms(names: str | None) -> list[str] | None:
    """Return what --forms names."""
    return None if names is None else [name.strip() for name in names.split(",") if name.strip()]


class Line(NamedTuple):
    """A line of input, and where it stands, for messages."""

    text: str
    source: str
    number: int

    def __str__(self) -> str:
        return f"{self.source}: line {self.number}"


def check_lines(arguments: Sequence[str]) -> None:
    """Check before the work begins that each argument can be read.

    Raises:
        InputError: one is a folder, or looks like a file's name and there is no such file.
    """
    for argument in arguments:
        if argument == "-" or not argument:
            continue
        if os.path.isdir(argument):  # noqa: PTH112 - Path.is_dir raises on a very long sentence
            raise InputError(f"{argument}: a folder, expected a text file")
        if not _is_file(argument) and _looks_like_file(argument):
            raise InputError(
                f"{argument}: no such file (a sentence that looks like a file's name can be given "
                "on standard input, with -)"
            )


def read_lines(arguments: Sequence[str]) -> Iterator[Line]:
    """Yield the lines of each argument: of a file, of standard input for "-", or itself.

    Blank lines are lines too. White space at the ends is stripped.

    Raises:
        InputError: what a file or standard input holds is not text (see `_read.lines`).
    """
    for argument in arguments:
        if argument == "-":
            source, lines = "standard input", _stdin()
        elif _is_file(argument):
            source, lines = argument, _read.lines(argument)
        else:
            source, lines = "argument", iter(_checked(argument).split("\n"))
        for number, line in enumerate(lines, start=1):
            yield Line(line.strip(), source, number)


def count_lines(arguments: Sequence[str]) -> int | None:
    """Return the number of lines of all arguments, or None where only reading would tell."""
    n_lines = 0
    for argument in arguments:
        if argument == "-":
            return None
        if not _is_file(argument):
            n_lines += argument.count("\n") + 1
        elif Path(argument).is_file():
            n_lines += sum(1 for _ in _read.lines(argument))
        else:  # a named pipe, which can be read once
            return None
    return n_lines


def _is_file(argument: str) -> bool:
    """Whether a file or pipe of that name exists; False for a name too long to be one."""
    return bool(argument) and os.path.exists(argument)  # noqa: PTH110 - Path.exists raises


def _looks_like_file(argument: str) -> bool:
    """Whether it is a path or a name with a suffix, without white space, or names a text file."""
    return _PATH.fullmatch(argument) is not None or argument.lower().endswith(_SUFFIXES)


def _checked(argument: str) -> str:
    """Return the argument, if the bytes that the shell gave were UTF-8."""
    try:
        argument.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"argument {argument!a}: not UTF-8") from error
    return argument


def _stdin() -> Iterator[str]:
    """Yield the lines of standard input without their ends, blank ones too.

    Raises:
        InputError: a line is not UTF-8, or longer than `_read.MAX_LINE_BYTES`.
    """
    stream = sys.stdin.buffer
    number = 0
    while line := stream.readline(_read.MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > _read.MAX_LINE_BYTES:
            raise InputError(
                f"standard input: line {number}: longer than {_read.MAX_LINE_BYTES} bytes"
            )
        try:
            yield line.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise InputError(
                f"standard input: line {number}: not UTF-8: byte 0x{line[error.start]:02x} at "
                f"column {error.start + 1}"
            ) from error


def read_corpus(files: Sequence[Path], field: str, tokenizer: str) -> "Corpus":
    """Return the corpus of some files; one at an address is downloaded first."""
    from relmo.data.corpora import Corpus
    from relmo.text.tokenizers import by_name

    return Corpus([_local(path) for path in files], field=field, tokenize=by_name(tokenizer))


def _local(path: Path) -> Path:
    """Return where a file or folder lies on this machine, downloaded where it is an address."""
    address = _ADDRESS.fullmatch(str(path))
    if address is None or path.exists():
        return path
    return find_model(f"{address[1]}://{address[2]}")


def check_apart(files: list[Path], out: Path, text: "Corpus", held_out: "Corpus | None") -> None:
    """Check that a run does not read its own files; warn where it trains on held-out text.

    Raises:
        InputError: the run's folder lies in a folder that is read.
    """
    for path in files:
        if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
            raise InputError(
                f"--out {out}: lies in '{path}', all of which is read; choose a folder beside it"
            )
    held = {path.resolve() for path in (held_out.paths if held_out else ())}
    for path in text.paths:
        if path.resolve() in held:
            print(f"relmo: WARNING: {path}: is trained on and validated on", file=sys.stderr)


def column(name: str | None) -> int | str | None:
    """Return a column as a flag gives it: its number, or its name."""
    if name is None or not name.removeprefix("-").isdecimal():
        return name
    return int(name)


def tag_layout(
    format: str | None, token: str | None, tag: str | None, encoding: str | None
) -> dict[str, Any]:
    """Return how tagged files are laid out, as `relmo.data.tagged` takes it."""
    return {
        "format": format,
        "token_column": column(token),
        "tag_column": column(tag),
        "encoding": encoding,
    }


def text_lines(file: str) -> Iterator[str]:
    """Yield the lines of a text, as they are but for their ends.

    Raises:
        InputError: it cannot be read, or has no sentence.
    """
    is_empty = True
    for line in _stdin() if file == "-" else _read.lines(file):
        is_empty = is_empty and not line.strip()
        yield line
    if is_empty:
        raise InputError(f"{'standard input' if file == '-' else file}: it has no sentence")
