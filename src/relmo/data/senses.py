"""Text whose words are tagged with WordNet's senses: SemCor's SGML, and XML with a file of keys.

for sentence in senses.read("semcor.tar.xz"):          # or its folder, or one of its files
for sentence in senses.read("ALL/ALL.data.xml"):       # the keys: ALL/ALL.gold.key.txt
    for word in sentence.words: word.lexeme, word.keys
"""

import gzip
import html
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from xml.parsers import expat

from relmo._read import MAX_LINE_BYTES, PathLike, expand, lines
from relmo.errors import InputError

__all__ = ["Lexeme", "SenseSentence", "SenseWord", "keys_path", "lexeme_of", "read", "read_keys"]

_XML, _KEYS = ".data.xml", ".gold.key.txt"
_POS = {"NOUN": "n", "VERB": "v", "ADJ": "a", "ADV": "r"}
_KEY = re.compile(r"(?P<lemma>[^%\s]+)%(?P<kind>[1-5]):\d\d:\d\d:[^:\s]*:(\d\d)?")
_WORD = re.compile(r"<(?P<name>wf|punc)(?P<attributes>[^>]*)>(?P<text>[^<>]*)</(?P=name)>")
_ATTRIBUTE = re.compile(r"""(\w+)=(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_OPEN: dict[str, Callable[..., Any]] = {
    ".gz": gzip.open,
    ".tgz": gzip.open,
    ".xz": lzma.open,
    ".txz": lzma.open,
}
_MARKER = re.compile(r"\([a-z]+\)")  # preceding(a): no part of WordNet's keys
_FRAME = re.compile(r"</?(contextfile|context|p)\b[^>]*>")


class Lexeme(NamedTuple):
    """A word of the dictionary, which has the senses."""

    lemma: str
    """Lower case, `_` between the words of it."""
    pos: str
    """`n`, `v`, `a` or `r` (adverbs)."""


@dataclass(frozen=True, kw_only=True)
class SenseWord:
    """A tagged word of a sentence; it may be of several tokens."""

    start: int
    """Its first token, from 0."""
    stop: int
    """The token after its last one."""
    lexeme: Lexeme
    keys: tuple[str, ...]
    """Sense keys, such as `play%1:10:01::`; more than one where any of them is right. None where
    they are not known."""
    name: str = ""
    """Of the word in a file of keys; SemCor's have none."""


@dataclass(frozen=True, kw_only=True)
class SenseSentence:
    """A sentence, and those of its words that are tagged."""

    tokens: tuple[str, ...]
    words: tuple[SenseWord, ...]
    document: str
    """Name of the document it is from."""


def lexeme_of(key: str) -> Lexeme:
    """The word that a sense key is of.

        >>> lexeme_of("play%1:10:01::")
        Lexeme(lemma='play', pos='n')

    Raises:
        InputError: it is no sense key.
    """
    found = _KEY.fullmatch(key)
    if found is None:
        raise InputError(f"{key!r:.80} is no sense key; expected one such as 'play%1:10:01::'")
    return Lexeme(found["lemma"].lower(), "nvara"[int(found["kind"]) - 1])


def keys_path(path: Path) -> Path:
    """The file of keys that belongs to a file NAME.data.xml."""
    return path.with_name(path.name.removesuffix(_XML) + _KEYS)


def read(path: PathLike, *, has_keys: bool = True) -> Iterator[SenseSentence]:
    """The sentences of a corpus, in the order of its files.

    Args:
        path: a name that ends in .data.xml, with its keys in .gold.key.txt beside it (the layout
            of Raganato's evaluation sets); else SemCor: a .tar, .tar.gz or .tar.xz of its files,
            their folder, or one of them.
        has_keys: whether NAME.data.xml has its keys beside it; else words have none, and lexemes
            are as its attributes lemma and pos say.

    Raises:
        InputError: there is no such file, it cannot be read, or is none of these; it names file
            and line.
    """
    path = Path(path)
    if path.name.endswith(_XML):
        return _of_xml(path, keys_path(path) if has_keys else None)
    if re.search(r"\.(tar(\.\w+)?|tgz|txz)$", path.name):
        return _of_tar(path)
    return (found for file in expand([path]) for found in _of_semcor(lines(file), str(file)))


def read_keys(path: PathLike) -> dict[str, tuple[str, ...]]:
    """The sense keys of words by their names, of a file with a line `name key key ...` for each.

    Raises:
        InputError: there is no such file, or a line is not so or has a word that was there before;
            it names file and line.
    """
    found: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(lines(path), start=1):
        name, *keys = line.split() or [""]
        try:
            if name and not keys:
                raise InputError("no sense key; expected 'id key ...'")
            if name in found:
                raise InputError(f"{name} comes twice")
            if name:
                found[name] = _word(0, 1, tuple(keys)).keys
        except InputError as error:
            raise InputError(f"{path}: line {number}: {error}") from error
    return found


# --- SemCor: an element a line, `<wf pos="NN" lemma="jury" wnsn="1" lexsn="1:14:00::">jury</wf>` --


def _of_tar(path: Path) -> Iterator[SenseSentence]:
    """The files of an archive, in its order; read as a stream, nothing goes to the disk."""
    try:
        # Opened by its own module, as tarfile takes the end of a truncated one for the end.
        opened = _OPEN.get(path.suffix, open)(path, "rb")
        with opened as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file is None:
                    continue
                where = f"{path}: {member.name}"
                if member.size > MAX_LINE_BYTES:
                    raise InputError(f"{where}: {member.size} bytes, too many for a file of SemCor")
                try:
                    text = file.read().decode("utf-8")
                except UnicodeDecodeError as error:
                    raise InputError(f"{where}: not UTF-8: byte {error.start}") from error
                if text.lstrip().startswith("<"):  # as the licence does not
                    yield from _of_semcor(text.split("\n"), where)
            while stream.read(2**20):  # its checksum is at the end
                pass
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (tarfile.TarError, OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise InputError(f"{path}: truncated or damaged, or no archive: {error}") from error


def _of_semcor(source: Iterable[str], name: str) -> Iterator[SenseSentence]:
    tokens: list[str] | None = None
    words: list[SenseWord] = []
    document = re.split(r"[/\\]", name)[-1]
    number = 0
    for number, line in enumerate(map(str.strip, source), start=1):
        try:
            if tokens is None:
                tokens, words = ([], []) if _is_start(line) else (None, [])
            elif line == "</s>":
                yield SenseSentence(tokens=tuple(tokens), words=tuple(words), document=document)
                tokens = None
            else:
                start = len(tokens)
                more, keys = _semcor_word(line)
                tokens += more
                if keys:
                    words.append(_word(start, len(tokens), keys))
        except InputError as error:
            raise InputError(f"{name}: line {number}: {error}") from error
    if tokens is not None:
        raise InputError(f"{name}: line {number}: ends within a sentence; it is truncated")


def _is_start(line: str) -> bool:
    """Whether a line between sentences begins one."""
    if re.match(r"<s\b", line):
        return True
    if line and not _FRAME.fullmatch(line):
        raise InputError(f"{line!r:.60}: expected <s> before the words, as in SemCor")
    return False


def _semcor_word(line: str) -> tuple[list[str], tuple[str, ...]]:
    """Tokens, and sense keys but those that have no number in WordNet 3.0 (wnsn 0)."""
    found = _WORD.fullmatch(line)
    if found is None:
        raise InputError(f"{line!r:.60}: expected <wf ...>, <punc> or </s>")
    tokens = html.unescape(found["text"]).replace("_", " ").split() or ["_"]
    if "lexsn=" not in found["attributes"]:
        return tokens, ()
    given = {name: a or b or c for name, a, b, c in _ATTRIBUTE.findall(found["attributes"])}
    for name in ("lemma", "wnsn", "lexsn"):
        if name not in given:
            raise InputError(f"expected lemma, wnsn and lexsn, got no {name}")
    numbers, senses = given["wnsn"].split(";"), given["lexsn"].split(";")
    if len(numbers) != len(senses):
        raise InputError(f"{len(numbers)} numbers in wnsn, but {len(senses)} senses in lexsn")
    return tokens, tuple(
        f"{given['lemma']}%{_MARKER.sub('', sense)}"
        for number, sense in zip(numbers, senses, strict=True)
        if number not in ("0", "-1")
    )


def _word(start: int, stop: int, keys: tuple[str, ...]) -> SenseWord:
    lexeme, *_ = [lexeme_of(key) for key in keys]
    return SenseWord(start=start, stop=stop, lexeme=lexeme, keys=keys)


# --- XML: <sentence> of <wf> and <instance id="...">, and keys: `id key key` a line ---------------


def _of_xml(path: Path, keys: Path | None) -> Iterator[SenseSentence]:
    reader = _Reader(path, None if keys is None else read_keys(keys))
    for line in lines(path):
        reader.feed(line + "\n")
        yield from reader.take()
    reader.feed("", is_end=True)
    if keys is not None:
        reader.check(keys)


class _Reader:
    """Sentences out of XML that is fed line by line; no entity is expanded, nothing else opened."""

    def __init__(self, path: Path, keys: Mapping[str, tuple[str, ...]] | None) -> None:
        self._path, self._keys = path, keys
        self._done: list[SenseSentence] = []
        self._tokens: list[str] = []
        self._words: list[SenseWord] = []
        self._text: list[str] | None = None  # of the word that is being read
        self._instance: SenseWord | None = None
        self._document = ""
        self._n_read = 0
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.EntityDeclHandler = self._entity

    def feed(self, text: str, *, is_end: bool = False) -> None:
        try:
            self._parser.Parse(text.encode("utf-8"), is_end)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise InputError(
                f"{self._path}: line {error.lineno}: no valid XML: {reason}"
            ) from error

    def take(self) -> list[SenseSentence]:
        """The sentences that have come to their end since the last call."""
        done, self._done = self._done, []
        return done

    def check(self, keys: Path) -> None:
        """At the end: every key is of a word that was there."""
        if self._keys is not None and self._n_read != len(self._keys):
            raise InputError(
                f"{keys}: {len(self._keys)} words have keys, but {self._path.name} has "
                f"{self._n_read} instances"
            )

    @property
    def _where(self) -> str:
        return f"{self._path}: line {self._parser.CurrentLineNumber}"

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "text":
            self._document = attributes.get("id", "")
        elif name == "sentence":
            self._tokens, self._words = [], []
        elif name in ("wf", "instance"):
            self._text = []
            self._instance = self._of_instance(attributes) if name == "instance" else None
        elif name != "corpus":
            raise InputError(
                f"{self._where}: <{name}>: expected <text>, <sentence>, <wf> or <instance>"
            )

    def _of_instance(self, attributes: Mapping[str, str]) -> SenseWord:
        """The word, but for its place."""
        name = attributes.get("id", "")
        if self._keys is not None:
            if name not in self._keys:
                raise InputError(f"{self._where}: instance {name} has no key")
            return replace(_word(0, 1, self._keys[name]), name=name)
        lemma, pos = attributes.get("lemma", "").lower(), _POS.get(attributes.get("pos", ""))
        if not name or not lemma or pos is None:
            raise InputError(
                f"{self._where}: an instance without keys needs id, lemma and pos (one of "
                f"{', '.join(_POS)}), got {dict(attributes)}"
            )
        return SenseWord(start=0, stop=1, lexeme=Lexeme(lemma, pos), keys=(), name=name)

    def _characters(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def _end(self, name: str) -> None:
        if name in ("wf", "instance"):
            start = len(self._tokens)
            self._tokens += "".join(self._text or ()).split() or ["_"]
            if self._instance is not None:
                self._words.append(replace(self._instance, start=start, stop=len(self._tokens)))
                self._n_read += 1
            self._text = self._instance = None
        elif name == "sentence":
            self._done.append(
                SenseSentence(
                    tokens=tuple(self._tokens), words=tuple(self._words), document=self._document
                )
            )

    def _entity(self, name: str, *_: object) -> None:
        raise InputError(f"{self._where}: declares the entity {name}; expected none")
