"""The text of a label: a sentence, shortened around one of its words and broken into lines."""

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Run", "label_lines", "width"]

_NO_SPACE_BEFORE = frozenset(".,;:!?%)]}'’”…") | {"''", "n't", "...", "。", "、", "，", "！", "？"}
_NO_SPACE_AFTER = frozenset("([{$“‘") | {"``", "#", "。", "、", "，"}
_MAX_WORD = 24


class Run(NamedTuple):
    """Some words of one line that are set alike."""

    text: str
    is_word: bool
    """Whether this is the word that the label is about."""


class _Word(NamedTuple):
    text: str
    is_word: bool
    space: str  # before it


def label_lines(
    tokens: Sequence[str], position: int, *, line_width: int, n_lines: int
) -> list[list[Run]]:
    """The label of one use: lines of runs, the word in a run of its own.

    Args:
        tokens: the sentence.
        position: which of them is the word.
        line_width: columns in a line, at the most; a CJK character is two.
        n_lines: at the most; what is too long is cut on both sides, with an ellipsis.
    """
    words = _words(tokens, position)

    def wrapped(first: int, last: int) -> list[list[_Word]]:
        return _wrap(_window(words, first, last), line_width)

    first = last = position
    grew = True
    while grew:  # one word more on each side, while all of it fits
        grew = False
        if first > 0 and len(wrapped(first - 1, last)) <= n_lines:
            first, grew = first - 1, True
        if last + 1 < len(words) and len(wrapped(first, last + 1)) <= n_lines:
            last, grew = last + 1, True
    return [_runs(line) for line in wrapped(first, last)]


def width(text: str) -> int:
    """Columns of a text: two for a wide character, none for a combining mark."""
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def _words(tokens: Sequence[str], position: int) -> list[_Word]:
    """The tokens as printed: without the spaces that tokenising put before punctuation."""
    words: list[_Word] = []
    before = None
    for n, token in enumerate(tokens):
        joined = before is None or token in _NO_SPACE_BEFORE or before in _NO_SPACE_AFTER
        joined = joined or (token[:1] in "'’" and len(token) <= 3)
        words.append(_Word(_printable(token), n == position, "" if joined else " "))
        before = token
    return words


def _printable(token: str) -> str:
    shown = {"``": "“", "''": "”"}.get(token, token)
    shown = shown if len(shown) <= _MAX_WORD else shown[: _MAX_WORD - 1] + "…"
    return "".join("�" if unicodedata.category(c)[0] == "C" else c for c in shown)


def _window(words: Sequence[_Word], first: int, last: int) -> list[_Word]:
    chosen = list(words[first : last + 1])
    if first > 0:
        chosen = [_Word("…", False, ""), chosen[0]._replace(space=" "), *chosen[1:]]
    if last < len(words) - 1:
        chosen.append(_Word("…", False, " "))
    return chosen


def _wrap(words: Sequence[_Word], line_width: int) -> list[list[_Word]]:
    """Lines, broken at spaces only, as even in length as their number allows."""
    lines = _fill(words, line_width)
    narrower = line_width
    while narrower > 8 and len(_fill(words, narrower - 1)) == len(lines):
        narrower -= 1
    return _fill(words, narrower)


def _fill(words: Sequence[_Word], line_width: int) -> list[list[_Word]]:
    lines: list[list[_Word]] = [[]]
    column = 0
    pieces = _pieces(words)
    for piece in pieces:
        needed = sum(width(word.space + word.text) for word in piece)
        if lines[-1] and piece[0].space and column + needed > line_width:
            lines.append([])
            column = 0
        lines[-1] += piece
        column += needed
    return lines


def _pieces(words: Sequence[_Word]) -> list[list[_Word]]:
    """Words that no space parts, together."""
    pieces: list[list[_Word]] = []
    for word in words:
        if pieces and not word.space:
            pieces[-1].append(word)
        else:
            pieces.append([word])
    return pieces


def _runs(line: Sequence[_Word]) -> list[Run]:
    runs: list[Run] = []
    for n, word in enumerate(line):
        text = (word.space if n else "") + word.text
        if runs and runs[-1].is_word == word.is_word:
            runs[-1] = Run(runs[-1].text + text, word.is_word)
        else:
            runs.append(Run(text, word.is_word))
    return runs
