"""The spelling of a corpus's tags, worked out from all of them together, and the one of relmo.

    >>> spelling = find_spelling(Counter(["O", "O", "PER-B", "PER-I", "o"]))
    >>> spelling.kind, spelling.canonical["PER-B"], spelling.canonical["o"], *spelling.strays
    ('spans', 'B-PER', 'O', 'o')

| corpus | canonical | |
|---|---|---|
| `B-PER`, `I-PER`, `O` | the same | the letters are B, I, E, S, L, U |
| `B_PER`, `PER-B`, `b-per` | `B-PER`, `B-PER`, `B-per` | separators are `-_:/.` and a bar |
| `B-PER`, `M-PER`, `E-PER`, `S-PER` | `B-PER`, `I-PER`, ... | BMES is BIOES with another letter |
| `PER`, `O` | `I-PER`, `O` | "IO": a run of one label is a span, as Stanford's NER has it |
| `NOUN`, `X` | the same | "plain": each token has its own tag |

One tag does not say which of these a corpus is: `PER-B` may be a part of speech, and labels have
hyphens. So the dialect is the one that most of the tokens' tags fit. A tag that does not fit it is
a stray: it is read as what was meant where that is clear (`b-PER`, `B_PER`, `O.`, `0`), else as
`O`. Strays whose meaning is not clear have to be few (see `_are_few`), or the corpus is plain.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal, NamedTuple

from relmo.data.spans import OUTSIDE

__all__ = ["Kind", "Spelling", "find_spelling", "has_letter"]

Kind = Literal["spans", "IO", "plain"]
_SEPARATORS = "-_:/.|"
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—−"), "-")  # which word processors write for a hyphen
_LETTERS = "BIESLUM"
_INNER = {"I", "E", "L", "M"}  # the letters of tokens after a span's first
_BOTH_OUTSIDES = (OUTSIDE, OUTSIDE.lower())
_FRAME = " \t\xa0.,;:-_*|'\"()[]<>"  # what may stand around a mistyped O
_OUTSIDES = {"", "o", "0", "о", "ο"}  # the last two are the Cyrillic and the Greek letter

# Strays are few up to one in 20 of all tokens and one for 4 tokens in spans.
_TOKENS_PER_STRAY = 20
_SPAN_TOKENS_PER_STRAY = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Spelling:
    """The reading of each tag of a corpus."""

    kind: Kind
    canonical: Mapping[str, str]
    """By the tag as it is written: `O`, a letter of B, I, E, S, L, U with a hyphen and a label, or
    such a letter alone; of plain tags the tag itself."""
    strays: frozenset[str] = frozenset()
    """Tags that do not fit the dialect of the others and are read as something else."""
    unclear: frozenset[str] = frozenset()
    """Strays that are O for want of a better reading; of plain tags those that would be."""
    is_doubtful: bool = False
    """Whether plain tags look like those of spans, or tags stated to be of spans do not."""


class _Dialect(NamedTuple):
    """A way to put a tag together, in capitals or small letters."""

    label_first: bool
    separator: str

    def split(self, tag: str) -> tuple[str, str]:
        """Return what is before and behind the separator, as letter and label; "" for neither."""
        if self.label_first:
            label, _, letter = tag.rpartition(self.separator)
        else:
            letter, _, label = tag.partition(self.separator)
        return letter, label

    def parts(self, tag: str) -> tuple[str, str] | None:
        """Return letter and label; None where the tag does not fit."""
        letter, label = self.split(tag)
        return (letter, label) if label and _is_letter(letter) else None


# In order of preference: the letter before the label, then the hyphen.
_DIALECTS = [_Dialect(*pair) for pair in product((False, True), _SEPARATORS)]


def find_spelling(
    counts: Mapping[str, int], kind: Kind | None = None, labels: Set[str] = frozenset()
) -> Spelling:
    """Find how a corpus's tags are to be read.

    Args:
        counts: number of tokens by tag.
        kind: what the tags are known to be: "spans" of any scheme, labels beside O ("IO"), or
            "plain"; None: whichever they fit.
        labels: known beforehand, such as those of the true tags for predicted ones. A tag that is
            one of these is that label.
    """
    plain = Spelling(kind="plain", canonical={tag: tag for tag in counts})
    if kind == "plain":
        return plain
    if not counts:
        return Spelling(kind="spans", canonical={})
    corpus = _Corpus(counts, kind, labels)
    n_tokens, n_outside = corpus.n_tokens, corpus.n_outside
    others = {tag for tag in corpus.counts if tag not in corpus.parts and not _is_outside(tag)}

    spans = corpus.as_spans(labels)
    n_unclear = sum(counts[tag] for tag in spans.unclear)
    has_spans = bool(corpus.letters) or (n_outside > 0 and not others)
    # Where labels alone are stated, B-cell beside T-cell is a label as a whole.
    may_be_whole = kind == "IO" and not corpus.letters & _INNER
    is_whole = may_be_whole and corpus.has_other_letters()
    n_in_spans = n_tokens - n_outside - n_unclear
    if has_spans and not is_whole and _are_few(n_unclear, n_in_spans, n_tokens):
        return spans

    if kind == "IO" or corpus.is_mostly_outside:
        parts = {**_parts_in_any_dialect(others - labels), **corpus.parts}
        are_slips = _are_few(corpus.n(parts), corpus.n(others - parts.keys()), n_tokens)
        if is_whole or (may_be_whole and others and not are_slips):
            return corpus.as_io({**corpus.parts, **dict.fromkeys(others)}.keys(), {})
        if others - parts.keys() and are_slips:
            return corpus.as_io(others - parts.keys(), parts)

    if kind is not None:
        return replace(spans, is_doubtful=bool(spans.unclear))
    n_like_spans = corpus.n(corpus.parts) + n_outside
    looks_like_spans = bool(corpus.parts) and 2 * n_like_spans >= n_tokens
    # O may be a part of speech too: of tweets it is that of pronouns, one token in 14.
    n_most = max((n for tag, n in corpus.counts.items() if tag not in _BOTH_OUTSIDES), default=0)
    has_much_outside = n_outside > n_most and 3 * n_outside >= n_tokens
    is_doubtful = bool(spans.unclear) and (looks_like_spans or has_much_outside)
    return replace(plain, unclear=spans.unclear, is_doubtful=is_doubtful)


class _Corpus:
    """A corpus's tags, tidied, and the dialect that most of them fit.

    Args:
        counts: number of tokens by tag.
        kind: what the tags are known to be, if anything.
        labels: known beforehand; a tag that is one of these has no letter.
    """

    def __init__(self, counts: Mapping[str, int], kind: Kind | None, labels: Set[str]) -> None:
        self.tidied = {tag: _tidied(tag) for tag in counts}
        self.counts = Counter[str]()
        for tag, n in counts.items():
            self.counts[self.tidied[tag]] += n
        self.n_tokens = self.counts.total()
        self.n_outside = self.n(_BOTH_OUTSIDES)
        self.outside = max(_BOTH_OUTSIDES, key=lambda tag: self.counts[tag])
        self.is_mostly_outside = 2 * self.n_outside > self.n_tokens

        tags = [tag for tag in self.counts if tag not in labels]
        by_dialect = {
            dialect: {tag: parts for tag in tags if (parts := dialect.parts(tag))}
            for dialect in _DIALECTS
        }
        self.dialect = max(_DIALECTS, key=lambda dialect: self.n(by_dialect[dialect]))
        self.parts = by_dialect[self.dialect]  # letter and label by tag
        self.letter_of = {tag: letter for tag, (letter, _) in self.parts.items()}
        alone = {tag: letter for tag in tags if _is_letter(letter := tag.strip(_SEPARATORS))}
        n_parts, n_alone = self.n(self.parts), self.n(alone)
        # B and I alone may be parts of speech, unless there is an O.
        may_be_alone = n_alone > n_parts and bool(self.n_outside or kind is not None)
        self.has_labels = not (may_be_alone and _are_few(n_parts, n_alone, self.n_tokens))
        if not self.has_labels:
            self.parts, self.letter_of = {}, alone
        self._count_letters()

    def _count_letters(self) -> None:
        n_by_letter = Counter[str]()
        for tag, letter in self.letter_of.items():
            n_by_letter[letter] += self.counts[tag]
        n_lower = sum(n for letter, n in n_by_letter.items() if letter.islower())
        self.is_lower = 2 * n_lower > n_by_letter.total()
        self.is_bmes = n_by_letter["M"] + n_by_letter["m"] > n_by_letter["I"] + n_by_letter["i"]
        self.letters = {letter.upper() for letter in n_by_letter}
        # Every scheme has a B or an I, while parts of speech may be S-..., L-... or one letter. So
        # other letters count only where every tag has one and does not look like these.
        all_fit = self.parts and self.counts.keys() <= {*self.parts, *_BOTH_OUTSIDES}
        is_usual = self.dialect is _DIALECTS[0] and not self.is_lower
        are_usual = all_fit and (is_usual or self.is_mostly_outside)
        if not self.letters & {"B", "I"} and not are_usual:
            self.letters, self.parts, self.letter_of, self.has_labels = set(), {}, {}, True

    def n(self, tags: Iterable[str]) -> int:
        """Return how many tokens have one of these tags."""
        return sum(self.counts[tag] for tag in tags)

    def has_other_letters(self) -> bool:
        """Whether a label that follows a letter follows something else too, as in T-cell."""
        labels = {label for _, label in self.parts.values()}
        others = (self.dialect.split(tag) for tag in self.counts if tag not in self.parts)
        no_letter = {"", *_BOTH_OUTSIDES}
        return any(before not in no_letter and label in labels for before, label in others)

    def as_spans(self, labels: Set[str]) -> Spelling:
        """Read every tag as O or as a letter and a label, of which some may be known."""
        labels = {*labels, *(label for _, label in self.parts.values())}
        if not self.has_labels:
            labels = set()

        def fits(tag: str) -> bool:
            letter = self.letter_of.get(tag)
            if letter is None:
                return tag == self.outside
            return letter.islower() == self.is_lower and (letter not in "Mm" or self.is_bmes)

        return self._spelling("spans", lambda tag: _meant(tag, self.dialect, labels), fits)

    def as_io(self, labels: Set[str], parts: Mapping[str, tuple[str, str]]) -> Spelling:
        """Read every tag as O or as the inner tag of a label, that of its parts if it has any."""

        def read(tag: str) -> str:
            if tag in labels:
                return _joined("I", tag)
            return _joined("I", parts[tag][1]) if tag in parts else OUTSIDE

        return self._spelling("IO", read, lambda tag: tag in labels or tag == self.outside)

    def _spelling(
        self, kind: Kind, read: Callable[[str], str | None], fits: Callable[[str], bool]
    ) -> Spelling:
        """Return what each tag is read as, and which of them do not fit."""
        meant = {tag: read(text) for tag, text in self.tidied.items()}
        canonical = {tag: OUTSIDE if to is None else to for tag, to in meant.items()}
        return Spelling(
            kind=kind,
            canonical=canonical,
            strays=frozenset(
                tag
                for tag, text in self.tidied.items()
                if canonical[tag] != tag and not (text == tag and fits(tag))
            ),
            unclear=frozenset(tag for tag, to in meant.items() if to is None),
        )


def _tidied(tag: str) -> str:
    """Return a tag without white space around it and, where it is a span's, without slips.

    Those are a separator before it (`-B-PER`) and a dash for the hyphen.
    """
    text = tag.strip().lstrip(_SEPARATORS)
    for candidate in (text, text.translate(_DASHES)):
        if has_letter(candidate):
            return candidate
    return tag.strip()


def has_letter(tag: str) -> bool:
    """Whether a tag is a letter and a label in some dialect."""
    return any(dialect.parts(tag) for dialect in _DIALECTS)


def _parts_in_any_dialect(tags: Set[str]) -> dict[str, tuple[str, str]]:
    """Return letter and label of the tags that are a B or I of a label in some dialect."""
    return {
        tag: parts
        for dialect in reversed(_DIALECTS)  # so that the first one's stay
        for tag in tags
        if (parts := dialect.parts(tag)) and parts[0] in "BIbi"
    }


def _are_few(n_strays: int, n_in_spans: int, n_tokens: int) -> bool:
    """Whether tags that do not fit are slips rather than the way the corpus is tagged.

    A slip is rare among all tokens, and among those in spans, which the scores count. One stray
    alone is a slip wherever more tokens fit than not: of a few sentences it may be more than that.
    """
    allowed = min(n_tokens // _TOKENS_PER_STRAY, n_in_spans // _SPAN_TOKENS_PER_STRAY)
    return n_strays <= max(1, allowed) and n_strays < n_tokens - n_strays


def _is_letter(text: str) -> bool:
    return len(text) == 1 and text in _LETTERS + _LETTERS.lower()


def _joined(letter: str, label: str) -> str:
    letter = "I" if letter in "Mm" else letter.upper()
    return f"{letter}-{label}" if label else letter


def _is_outside(tag: str) -> bool:
    """Whether a tag is a way to miswrite O, or nothing."""
    return tag.strip(_FRAME).lower() in _OUTSIDES


def _meant(tag: str, dialect: _Dialect, labels: Set[str]) -> str | None:
    """Return the canonical tag that a tag stands for; None where that is not clear.

    Args:
        tag: of the dialect or mistyped.
        dialect: of the corpus.
        labels: of the tags that fit, if they have any.
    """
    if _is_outside(tag):
        return OUTSIDE
    if not labels:
        letter = tag.strip(_FRAME + _SEPARATORS)
        return _joined(letter, "") if _is_letter(letter) else None
    for candidate in (dialect, *_DIALECTS):
        letter, label = candidate.parts(tag) or ("", "")
        # Any label will do in the corpus's dialect, only a known one in another.
        if label and (candidate is dialect or label in labels):
            return _joined(letter, label)
    if tag in labels:  # it may begin or go on; conlleval has it begin after another label
        return _joined("I", tag)
    if _is_letter(tag[:1]) and tag[1:] in labels:  # BPER
        return _joined(tag[0], tag[1:])
    if (
        tag[:1].upper() == OUTSIDE and tag[1:].translate(_DASHES).lstrip(_SEPARATORS) in labels
    ):  # O-PER
        return OUTSIDE
    return None
