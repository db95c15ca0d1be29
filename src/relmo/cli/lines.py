"""What several commands read: sentences from files, from standard input, or typed as arguments."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from relmo import _read
from relmo.errors import InputError

__all__ = ["Line", "check", "count", "read", "stdin"]

_PATH = re.compile(r"\S*[/\\]\S*|\S*\.[A-Za-z]\w{0,7}")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_SUFFIXES = (".txt", ".tok", ".tsv", ".csv", ".conll", ".json", ".jsonl", *_COMPRESSED)


class Line(NamedTuple):
    """One line of input, and where it stands, for messages."""

    text: str
    source: str
    number: int

    def __str__(self) -> str:
        return f"{self.source}: line {self.number}"


def check(arguments: Sequence[str]) -> None:
    """Find out before the work begins whether each argument can be read.

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


def read(arguments: Sequence[str]) -> Iterator[Line]:
    """The lines of each argument: of the file of that name, of standard input for "-", or itself.

    Blank lines are lines too. White space at the ends is taken off.

    Raises:
        InputError: what a file or standard input holds is no text (see `corpora.lines`).
    """
    for argument in arguments:
        if argument == "-":
            source, lines = "standard input", stdin()
        elif _is_file(argument):
            source, lines = argument, _read.lines(argument)
        else:
            source, lines = "argument", iter(_checked(argument).split("\n"))
        for number, line in enumerate(lines, start=1):
            yield Line(line.strip(), source, number)


def count(arguments: Sequence[str]) -> int | None:
    """Number of lines of all arguments; None where it cannot be known before they are read."""
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
    """Whether there is something of that name; False for a name too long to be one."""
    return bool(argument) and os.path.exists(argument)  # noqa: PTH110 - Path.exists raises


def _looks_like_file(argument: str) -> bool:
    """A path or a name with a suffix, without white space; or any name of a text file."""
    return _PATH.fullmatch(argument) is not None or argument.lower().endswith(_SUFFIXES)


def _checked(argument: str) -> str:
    """The argument, if the bytes that the shell gave were UTF-8."""
    try:
        argument.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"argument {argument!a}: not UTF-8") from error
    return argument


def stdin() -> Iterator[str]:
    """The lines of standard input without their ends, blank ones too.

    Raises:
        InputError: a line is not UTF-8, or longer than `corpora.MAX_LINE_BYTES`.
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
