"""Sentences with a tag for each token, out of the files that corpora come in.

    train = read_tagged("wnut16/train")
    train[0].tokens, train[0].tags

| format | a file of | tokens and tags by default |
|---|---|---|
| `conll` | columns between tabs or blanks, blank lines between sentences | first and last column |
| `conllu` | CoNLL-U | `form`, `upos` |
| `csv` | comma-separated values with a heading, as the Kaggle corpus | `Word`, `Tag` |
| `jsonl` | an object a line, as `{"tokens": ["a", "b"], "tags": ["X", "O"]}` | `tokens`, `tags` |
| `text` | a sentence a line, with no tags | |
| `datasets` | see `hf_datasets` | `tokens`, `tags` or `ner_tags` |

Files may be compressed or in a zip archive, and `-` is standard input: see `read_source`.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from relmo._files import replacing_file
from relmo._read import PathLike
from relmo.data import columns, hf_datasets, spans
from relmo.data.columns import Column, Found, JsonLines, Layout, Lines
from relmo.data.files import Source, read_source, suffix
from relmo.data.tag_reading import TagReading, detect, read_tags
from relmo.errors import InputError
from relmo.text.tokenizers import Tokenize, check_sentences, check_strings

__all__ = [
    "Document",
    "Format",
    "TaggedSentence",
    "canonical_tags",
    "check_tags",
    "invalid_tags",
    "read_canonical",
    "read_tagged",
    "read_tokens",
    "write_tagged",
]

_logger = logging.getLogger(__name__)
Format = Literal["conll", "conllu", "csv", "jsonl", "text", "datasets"]
_SUFFIXES: dict[str, Format] = {
    ".conllu": "conllu",
    ".conllup": "conllu",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class TaggedSentence:
    """A sentence's tokens, their tags, and its file and line.

    Raises:
        InputError: tokens or tags are one string, or not as many; the message names the line.
    """

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    """One for each token."""
    source: str
    """The file."""
    line: int
    """Its first line in the file, from 1."""

    def __post_init__(self) -> None:
        name = f"{self.source}: sentence at line {self.line}"
        check_strings(self.tokens, f"{name}: tokens")
        check_strings(self.tags, f"{name}: tags")
        if len(self.tokens) != len(self.tags):
            raise InputError(
                f"{name}: expected a tag for each of {len(self.tokens)} tokens, got "
                f"{len(self.tags)}"
            )

    def where(self, position: int) -> str:
        """Name a token in a message: file, line of the sentence, number of the token, and it."""
        sentence = f"{self.source}: sentence at line {self.line}"
        return f"{sentence}: token {position + 1}, {self.tokens[position]!r}"


@dataclass(frozen=True, slots=True)
class Document:
    """A file of sentences whose tags are yet to be predicted."""

    sentences: tuple[tuple[str, ...], ...]
    """The tokens of each."""
    _source: Source
    _layout: Layout
    _in_file: tuple[Found, ...]

    @property
    def source(self) -> str:
        """The file."""
        return self._source.name

    @property
    def texts(self) -> tuple[str, ...] | None:
        """The sentences as the file has them; None where it has them as tokens."""
        if not isinstance(self._layout, Lines):
            return None
        return tuple(self._source.lines[sentence.lines[0]] for sentence in self._in_file)

    def with_tags(self, tags: Iterable[Sequence[str]]) -> bytes:
        """Return the file with tags in it, whatever else it holds kept as it is.

        Where no column was named they stand in a new one behind the others; of CoNLL-U in `upos`,
        of JSON lines in the field `tags`. A text becomes columns, `token TAB tag` a line.

        Args:
            tags: for each sentence one for each token.

        Raises:
            InputError: there are not as many, or they cannot be written in the file's encoding.
        """
        tags = list(tags)
        check_sentences(tags, f"{self.source}: tags")
        tags = [tuple(row) for row in tags]
        if list(map(len, tags)) != list(map(len, self.sentences)):
            raise InputError(f"{self.source}: expected tags for its sentences, one for each token")
        for row in tags:
            _check_writable(row, self.source)
        lines = list(self._source.lines)
        self._layout.write(lines, self._in_file, tags)
        return self._source.written(lines)


def read_tagged(
    path: PathLike,
    *,
    format: Format | None = None,
    token_column: Column = None,
    tag_column: Column = None,
    encoding: str | None = None,
) -> list[TaggedSentence]:
    """Read the sentences of a file, each with the tags of its tokens.

    Args:
        path: the file; see the module for what it may be.
        format: what it is; None: what its name or its first lines say.
        token_column: number of the column from 0, from the end where negative; its name in
            CoNLL-U, CSV and JSON lines.
        tag_column: likewise.
        encoding: None: UTF-8, or latin-1 for what is named .csv and is not UTF-8, as the Kaggle
            corpus.

    Raises:
        InputError: the file cannot be read, is not in its encoding or not laid out as its format,
            a token has no tag, or there is no sentence in it.
        MissingExtraError: an optional library is needed that is not installed.
    """
    if format == "datasets" or (format is None and hf_datasets.is_dataset(path)):
        return _from_dataset(os.fspath(path), token_column, tag_column)
    source = read_source(path, encoding, latin=(".csv",))
    layout = _layout(source, format or _format(source, True), token_column, tag_column, True)
    interned: dict[str, str] = {}  # one string for all tokens with a word or tag
    sentences = [
        TaggedSentence(
            tokens=tuple(interned.setdefault(token, token) for token in sentence.tokens),
            tags=tuple(interned.setdefault(tag, tag) for tag in sentence.tags),
            source=source.name,
            line=sentence.lines[0] + 1,
        )
        for sentence in layout.sentences(source)
    ]
    if not sentences:
        raise _is_empty(source)
    return sentences


def read_tokens(
    path: PathLike,
    *,
    format: Format | None = None,
    token_column: Column = None,
    tag_column: Column = None,
    tokenize: Tokenize = str.split,
    encoding: str | None = None,
) -> Document:
    """Read a file of sentences to predict tags for, which is then written in its own format.

    Args:
        path: the file, as for `read_tagged`; it need not have tags.
        format: what it is; None: what its name or its first lines say. Words between blanks are
            columns where a column is named, each line has one, or ends in a tag such as O or B-LOC;
            else each line is a sentence.
        token_column: as for `read_tagged`.
        tag_column: the column to write over; None: a new one.
        tokenize: from a sentence of a text to its tokens.
        encoding: as for `read_tagged`.

    Raises:
        InputError: as for `read_tagged`.
        MissingExtraError: an optional library is needed that is not installed.
    """
    source = read_source(path, encoding, latin=(".csv",))
    has_columns = token_column is not None or tag_column is not None
    format = format or _format(source, has_columns)
    layout = (
        Lines(tokenize)
        if format == "text"
        else _layout(source, format, token_column, tag_column, False)
    )
    sentences = tuple(layout.sentences(source))
    if not sentences:
        raise _is_empty(source)
    return Document(tuple(s.tokens for s in sentences), source, layout, sentences)


def write_tagged(sentences: Iterable[TaggedSentence], path: PathLike) -> None:
    """Write columns, `token TAB tag` a line and a blank line after each sentence.

    The file is written aside and renamed.

    Raises:
        InputError: a token or tag has a tab or line end in it or is empty, or the file cannot be
            written.
    """
    with replacing_file(path) as aside, aside.open("w", encoding="utf-8", newline="\n") as file:
        for sentence in sentences:
            for cells in zip(sentence.tokens, sentence.tags, strict=True):
                _check_writable(cells, os.fspath(path))
                file.write("\t".join(cells) + "\n")
            file.write("\n")


def canonical_tags(
    sentences: Sequence[TaggedSentence], scheme: spans.Scheme | None = None
) -> tuple[list[TaggedSentence], spans.Scheme]:
    """Return sentences with their tags in the canonical spelling of a scheme, and the scheme.

    What is not read as it stands is a warning in the log, with file, line, token and tag: mistyped
    tags, and those of another dialect, such as `PER-B`. See `tag_reading`.

    Args:
        sentences: of one corpus.
        scheme: to write the tags of spans in, or plain; None: that of the corpus.

    Raises:
        InputError: the scheme is one of spans, and too many tags do not stand for any; or there is
            no such scheme.
    """
    canonical, reading = read_canonical(sentences, scheme)
    for message in reading.messages:
        _logger.warning("%s", message)
    return canonical, reading.scheme


def read_canonical(
    sentences: Sequence[TaggedSentence], scheme: spans.Scheme | None = None
) -> tuple[list[TaggedSentence], TagReading]:
    """Do what `canonical_tags` does without a warning; the messages are in the reading."""
    reading = read_tags(
        [sentence.tags for sentence in sentences],
        scheme,
        where=lambda number, token: sentences[number].where(token),
    )
    canonical = [
        sentence
        if (tags := reading.in_scheme(sentence.tags)) == sentence.tags
        else replace(sentence, tags=tags)
        for sentence in sentences
    ]
    return canonical, reading


def invalid_tags(sentences: Iterable[TaggedSentence], scheme: spans.Scheme) -> Iterator[str]:
    """Yield the tags that a scheme does not allow, with file and line; see `spans.invalid`."""
    for sentence in sentences:
        for fault in spans.invalid(sentence.tags, scheme):
            yield f"{sentence.where(fault.position)}: {fault.message}"


def check_tags(sentences: Iterable[TaggedSentence], scheme: spans.Scheme) -> None:
    """Refuse tags that a scheme does not allow; unchecked ones are read as conlleval reads them.

    Raises:
        InputError: a tag is invalid: the first is named, and how many there are.
    """
    faults = list(invalid_tags(sentences, scheme))
    if faults:
        raise InputError(f"{faults[0]} (tags of {scheme}: {len(faults)} invalid in all)")


def _from_dataset(path: str, token: Column, tag: Column) -> list[TaggedSentence]:
    """Read the sentences of a data set, whose lines are its records."""
    fields = (
        ("tokens",) if token is None else (str(token),),
        ("tags", "ner_tags") if tag is None else (str(tag),),
    )
    sentences = []
    for number, (tokens, tags) in enumerate(hf_datasets.records(path, fields), start=1):
        for values in (tokens, tags):
            if not isinstance(values, tuple) or not all(isinstance(text, str) for text in values):
                raise InputError(f"{path}: record {number}: expected lists of texts or labels")
        if len(tokens) != len(tags):
            raise InputError(
                f"{path}: record {number}: expected a tag for each of its {len(tokens)} tokens, "
                f"got {len(tags)}"
            )
        if tokens:
            sentences.append(TaggedSentence(tokens=tokens, tags=tags, source=path, line=number))
    if not sentences:
        raise InputError(f"{path}: no sentence in it")
    return sentences


def _layout(source: Source, format: Format, token: Column, tag: Column, tagged: bool) -> Layout:
    """Return how a file is laid out, where its format is known."""
    if format == "conll":
        return columns.columns(source, token, tag, tagged)
    if format == "conllu":
        return columns.conllu(source, token, tag, tagged)
    if format == "csv":
        return columns.csv(source, token, tag, tagged)
    if format == "jsonl":
        names = ("tokens" if token is None else token, "tags" if tag is None else tag)
        return JsonLines(str(names[0]), str(names[1]), tagged)
    expected = "a file with tags, got a text" if tagged else "a file, got a data set"
    raise InputError(f"{source.name}: expected {expected}")


def _format(source: Source, tagged: bool) -> Format:
    """Return what a file's name or its first lines say that it is."""
    if by_name := _SUFFIXES.get(suffix(source.name)):
        return by_name
    if columns.is_conllu(source):
        return "conllu"
    if columns.is_csv(source):
        return "csv"
    head = columns.data_lines(source)
    if head and all(line.lstrip().startswith("{") and line.rstrip().endswith("}") for line in head):
        return "jsonl"
    return "conll" if tagged or _has_columns(head) else "text"


def _has_columns(lines: Sequence[str]) -> bool:
    """Whether lines that are not blank are rather columns than sentences, a line each."""
    if not lines or any("\t" in line for line in lines):
        return bool(lines)
    last = [line.rstrip(" ").split(" ")[-1] for line in lines]
    one_each = len(lines) > 1 and not any(" " in line.strip() for line in lines)
    # Without an O only B-X tells tags from words: a sentence may end in "hepatitis-B".
    all_have_letters = all(word[1:2] == "-" for word in last)
    are_tags = spans.OUTSIDE in last or all_have_letters
    return one_each or (are_tags and detect([last]) != "plain")


def _check_writable(cells: Iterable[str], name: str) -> None:
    for cell in cells:
        if not cell.strip(" ") or any(character in cell for character in "\t\r\n"):
            raise InputError(f"{name}: {cell!r} cannot be written in a column")


def _is_empty(source: Source) -> InputError:
    return InputError(f"{source.name}: no sentence in it ({len(source.lines)} lines)")
