"""What the layouts of files with tokens have in common, and those with a sentence a line.

A layout gives the sentences of a `Source` as numbers of lines, tokens and tags, and writes tags
into those lines. Those with a token a line are in `tables`; docs/tagging.md describes them all.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from relmo.errors import InputError
from relmo.text.records import json_object, text_value
from relmo.text.sources import Source
from relmo.text.tokenizers import Tokenize

__all__ = ["Column", "Found", "JsonLines", "Layout", "Lines"]

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
