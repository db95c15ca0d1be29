"""Word <-> id: a list of words, as a rule by decreasing frequency after the three specials."""

import gzip
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from relmo._files import replacing_file
from relmo._read import PathLike, lines
from relmo.errors import FormatError, InputError
from relmo.text.chars import BOS_TOKEN, EOS_TOKEN, UNK_TOKEN
from relmo.text.tokenizers import check_strings

__all__ = [
    "SPECIALS",
    "TokenReader",
    "Vocabulary",
    "VocabularyReader",
    "check_counts_path",
    "check_limits",
    "check_path",
    "counted",
    "write_counts",
]


SPECIALS = (EOS_TOKEN, BOS_TOKEN, UNK_TOKEN)
_SKIPPED = "!!!MAXTERMID"  # a line of published vocabularies that takes no id (bilm-tf's reader)


class Vocabulary:
    """Words and their ids, 0 up; immutable.

        >>> vocab = Vocabulary(["</S>", "<S>", "<UNK>", "the"])
        >>> vocab.ids(["the", "ornithopter"]).tolist()
        [3, 2]

    Args:
        words: the words in the order of their ids, all different.

    Raises:
        FormatError: a word comes twice.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.words: tuple[str, ...] = tuple(words)
        self._ids = {word: i for i, word in enumerate(self.words)}
        if len(self._ids) < len(self.words):
            twice = next(word for i, word in enumerate(self.words) if self._ids[word] != i)
            raise FormatError(f"vocabulary: {twice!r} comes more than once")

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.words == other.words

    def __hash__(self) -> int:
        return hash(self.words)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} words)"

    def sha256(self) -> str:
        """Return the checksum of its words, in hexadecimal."""
        text = "\n".join(self.words)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def bos(self) -> int:
        """Id of `<S>`; FormatError where there is none."""
        return self._special(BOS_TOKEN)

    @property
    def eos(self) -> int:
        """Id of `</S>`; FormatError where there is none."""
        return self._special(EOS_TOKEN)

    @property
    def unk(self) -> int:
        """Id of `<UNK>`; FormatError where there is none."""
        return self._special(UNK_TOKEN)

    def _special(self, word: str) -> int:
        if word not in self._ids:
            raise FormatError(f"vocabulary: no {word!r} among its {len(self)} words")
        return self._ids[word]

    def index(self, word: str) -> int:
        """Return the id of a word, that of `<UNK>` for any other.

        Raises:
            FormatError: the word is not in the vocabulary, nor is `<UNK>`.
        """
        index = self._ids.get(word)
        return self.unk if index is None else index

    def ids(self, tokens: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return ids of tokens as `index` gives them, `(n_tokens,)`.

        Raises:
            FormatError: a token is not in the vocabulary, nor is `<UNK>`.
        """
        unknown = self._ids.get(UNK_TOKEN, -1)
        ids = np.fromiter(map(self._ids.get, tokens, repeat(unknown)), np.int64, len(tokens))
        if unknown < 0 and ids.size and ids.min() < 0:
            raise FormatError(
                f"vocabulary: {tokens[int(ids.argmin())]!r} is not in it, and no {UNK_TOKEN!r} "
                "either to stand for it"
            )
        return ids

    @classmethod
    def read(cls, path: PathLike, require_specials: bool = False) -> "Vocabulary":
        """Read one word a line, stripped of white space at both ends; compressed too.

        A blank line is the empty word and takes an id, as in bilm-tf, so that ids stay the rows
        of the softmax; a line `!!!MAXTERMID` takes none.

        Args:
            path: the file.
            require_specials: whether `<S>`, `</S>` and `<UNK>` have to be among the words.

        Raises:
            InputError: the file is missing, unreadable or not UTF-8 (see `corpora.lines`).
            FormatError: a word comes twice, or a required special word is not there.
        """
        line_of: dict[str, int] = {}
        for number, line in enumerate(lines(path), start=1):
            word = line.strip()
            if word == _SKIPPED:
                continue
            if word in line_of:
                raise FormatError(
                    f"{os.fspath(path)}: line {number}: {word!r} was on line {line_of[word]} "
                    "already; each word has one id, remove one of the two lines"
                )
            line_of[word] = number
        missing = [word for word in SPECIALS if word not in line_of]
        if require_specials and missing:
            raise FormatError(
                f"{os.fspath(path)}: {missing[0]!r} is not among its {len(line_of)} words; a "
                "vocabulary for training needs '<S>', '</S>' and '<UNK>', spelled so"
            )
        return cls(line_of)

    def write(self, path: PathLike) -> None:
        """Write one word a line, written aside and renamed; .gz by name.

        Raises:
            InputError: a word that `read` would not give back (with white space at an end or a
                line feed in it, or a lone surrogate), or a file that cannot be written.
        """
        path = check_path(path)
        for i, word in enumerate(self.words):
            if not _is_writable(word) or (i == 0 and word.startswith("\ufeff")):
                raise InputError(f"{path}: word {i}, {word!r}, cannot be a line of a vocabulary")
        data = "".join(f"{word}\n" for word in self.words).encode("utf-8")
        with replacing_file(path) as aside:
            aside.write_bytes(
                gzip.compress(data, mtime=0) if path.suffix.lower() == ".gz" else data
            )

    @classmethod
    def build(
        cls, sentences: Iterable[Sequence[str]], size: int | None = None, min_count: int = 1
    ) -> "Vocabulary":
        """Build from the words of `counted` sentences; see `of_counts`.

        Args:
            sentences: read once.
            size: words at most, the three specials counted; None: all.
            min_count: rarer words are left to `<UNK>`.

        Raises:
            InputError: `size` is below 3 or `min_count` below 1, or a sentence is one string.
        """
        check_limits(size, min_count)
        return cls.of_counts(counted(sentences), size, min_count)

    @classmethod
    def of_counts(
        cls, counts: Mapping[str, int], size: int | None = None, min_count: int = 1
    ) -> "Vocabulary":
        """Build of `</S>`, `<S>`, `<UNK>`, then words by decreasing frequency, ties by the word.

        Words that a vocabulary file cannot hold (see `write`) are left to `<UNK>`.

        Args:
            counts: how often each word comes.
            size: words at most, the three specials counted; None: all.
            min_count: rarer words are left to `<UNK>`.

        Raises:
            InputError: `size` is below 3 or `min_count` below 1.
        """
        check_limits(size, min_count)
        words = [
            word
            for word, count in counts.items()
            if count >= min_count and word and word not in SPECIALS and _is_writable(word)
        ]
        words.sort(key=lambda word: (-counts[word], word))
        return cls((*SPECIALS, *words)[:size])


def check_path(path: PathLike) -> Path:
    """Return the path, if its name says what can be written.

    Raises:
        InputError: it does not.
    """
    path = Path(path)
    if path.suffix.lower() in (".bz2", ".xz", ".zst"):
        raise InputError(f"{path}: a vocabulary is written plain or as .gz, not {path.suffix}")
    return path


def counted(sentences: Iterable[Sequence[str]]) -> Counter[str]:
    """Count how often each word comes; memory grows with the number of different words alone.

    Raises:
        InputError: a sentence is one string, whose characters would be counted.
    """
    counts: Counter[str] = Counter()
    for number, sentence in enumerate(sentences, start=1):
        if isinstance(sentence, str | bytes):  # alone: a look at each word would double the time
            check_strings(sentence, f"vocabulary: sentence {number}")
        counts.update(sentence)
    return counts


def check_limits(size: int | None, min_count: int) -> None:
    """Whether a vocabulary can be so: said before anything is counted.

    Raises:
        InputError: `size` is below 3 or `min_count` below 1.
    """
    if size is not None and size < len(SPECIALS):
        raise InputError(f"vocabulary: size must be at least 3 (the specials), got {size}")
    if min_count < 1:
        raise InputError(f"vocabulary: min_count must be at least 1, got {min_count}")


def check_counts_path(path: PathLike) -> Path:
    """Return the path, if its name says what can be written.

    Raises:
        InputError: it does not.
    """
    path = Path(path)
    if path.suffix.lower() in (".gz", ".bz2", ".xz", ".zst"):
        raise InputError(f"{path}: counts are written plain, not {path.suffix}")
    return path


def write_counts(counts: Mapping[str, int], path: PathLike) -> None:
    """Write a line `word TAB count` for each word, under a heading, in a vocabulary's order.

    Every word that was counted is there, but those that a line cannot hold. The file is written
    aside and renamed.

    Raises:
        InputError: it cannot be written.
    """
    path = check_counts_path(path)
    with replacing_file(path) as aside, aside.open("w", encoding="utf-8", newline="\n") as file:
        file.write("word\tcount\n")
        for word in sorted(counts, key=lambda word: (-counts[word], word)):
            if _is_writable(word) and "\t" not in word:
                file.write(f"{word}\t{counts[word]}\n")


def _is_writable(word: str) -> bool:
    """Whether `read` gives the word back from a line of a file."""
    if word != word.strip() or "\n" in word or word == _SKIPPED:
        return False
    return word.isascii() or word.encode("utf-8", "ignore").decode("utf-8") == word


@runtime_checkable
class TokenReader(Protocol):
    """How a model reads tokens: `CharSpace`, `VocabularyReader` or `LexiconReader`."""

    begin: str
    """The token that stands before a sentence; as a user's token it is read as that one."""
    end: str
    """The token that stands behind a sentence."""

    @property
    def limit(self) -> str | None:
        """What is read of a token at most, such as "48 bytes"; None: the whole of it."""

    def inputs(self, tokens: Sequence[str]) -> tuple[npt.NDArray[Any] | None, ...]:
        """Return the arguments of the model's token encoder, a row per token."""

    def key(self, token: str) -> str:
        """Return a string with the same inputs, of bounded length where there is a limit."""

    def is_truncated(self, token: str) -> bool:
        """Whether some of the token is beyond the limit and ignored."""

    def is_known(self, token: str) -> bool:
        """Whether the token's inputs say anything; if not, its vector shall be zeros."""


class VocabularyReader:
    """The ids of whole words, for a word-input model.

    A word that is not in the vocabulary is `<UNK>`, or not known where the vocabulary has none.

    Args:
        vocab: the words.
    """

    begin = BOS_TOKEN
    end = EOS_TOKEN
    limit = None

    def __init__(self, vocab: Vocabulary) -> None:
        self.vocab = vocab

    def inputs(self, tokens: Sequence[str]) -> tuple[npt.NDArray[Any], ...]:
        """Return word ids (n_tokens,); that of a word that is not known means nothing."""
        first = self.vocab.words[0]
        return (self.vocab.ids([token if self.is_known(token) else first for token in tokens]),)

    def key(self, token: str) -> str:
        """Return the token."""
        return token

    def is_truncated(self, token: str) -> bool:
        """Whether some of the token is ignored: False."""
        return False

    def is_known(self, token: str) -> bool:
        """Whether there is an id for it."""
        return token in self.vocab or UNK_TOKEN in self.vocab
