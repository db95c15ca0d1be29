"""How a corpus spells its tags, found from all of them together, and the one spelling of relmo.

    >>> found = spelling(Counter(["O", "O", "PER-B", "PER-I", "o"]))
    >>> found.kind, found.canonical["PER-B"], found.strays
    ('spans', 'B-PER', {'o': 'O'})

| corpus | canonical | |
|---|---|---|
| `B-PER`, `I-PER`, `O` | the same | the letters are B, I, E, S, L, U |
| `B_PER`, `PER-B`, `b-per` | `B-PER`, `B-PER`, `B-per` | separators are `-_:/.` and a bar |
| `B-PER`, `M-PER`, `E-PER`, `S-PER` | `B-PER`, `I-PER`, ... | BMES is BIOES with another letter |
| `PER`, `O` | `I-PER`, `O` | "IO": a run of one label is a span, as Stanford's NER has it |
| `NOUN`, `X` | the same | "plain": no spans |

One tag does not say which of these a corpus is: `PER-B` may be a part of speech, and labels have
hyphens. So the dialect is the one that most of the tokens' tags fit. A tag that does not fit it is
a stray: it is read as what was meant where that is clear (`b-PER`, `B_PER`, `O.`, `0`), else as
`O`. Strays whose meaning is not clear have to be few (see `_are_few`), or the corpus is plain.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Literal, NamedTuple

__all__ = ["OUTSIDE", "Doubt", "Kind", "Spelling", "plain", "spelling"]

Kind = Literal["spans", "IO", "plain"]
OUTSIDE = "O"
_SEPARATORS = "-_:/.|"
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—−"), "-")  # which word processors write for a hyphen
_LETTERS = "BIESLUM"
_FRAME = " \t\xa0.,;:-_*|'\"()[]<>"  # what may stand around a mistyped O
_OUTSIDES = {"", "o", "0", "о", "ο"}  # the last two are the Cyrillic and the Greek letter


class Doubt(NamedTuple):
    """What speaks against a reading."""

    tag: str
    """The most frequent tag that looks like a span's, or else O."""
    other: str
    """The most frequent tag that does not."""
    n_others: int
    """Tokens that have such a tag."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spelling:
    """What each tag of a corpus stands for."""

    kind: Kind
    canonical: Mapping[str, str]
    """By the tag as it is written: `O`, a letter of B, I, E, S, L, U with a hyphen and a label, or
    such a letter alone; of plain tags the tag itself."""
    strays: Mapping[str, str] = field(default_factory=dict)
    """Those of `canonical` that do not fit the dialect of the others."""
    unclear: frozenset[str] = frozenset()
    """The strays that are O for want of a better reading."""
    doubt: Doubt | None = None
    """A plain corpus looks like one of spans, or one that is to be of spans does not."""


class _Dialect(NamedTuple):
    """How tags are put together."""

    label_first: bool
    separator: str
    is_lower: bool
    """Whether letters, and the O, are small."""

    def parts(self, tag: str) -> tuple[str, str] | None:
        """The letter, as a capital, and the label; None where the tag does not fit."""
        if self.label_first:
            label, separator, letter = tag.rpartition(self.separator)
        else:
            letter, separator, label = tag.partition(self.separator)
        if not separator or not label or len(letter) != 1:
            return None
        return (letter.upper(), label) if letter in self.letters else None

    @property
    def letters(self) -> str:
        """Those of tags."""
        return _LETTERS.lower() if self.is_lower else _LETTERS

    @property
    def outside(self) -> str:
        """The tag of a token in no span."""
        return OUTSIDE.lower() if self.is_lower else OUTSIDE


# In order of preference: capitals first, then the letter before the label, then the hyphen.
_DIALECTS = [
    _Dialect(label_first, separator, is_lower)
    for is_lower, label_first, separator in product((False, True), (False, True), _SEPARATORS)
]


def plain(counts: Mapping[str, int], doubt: Doubt | None = None) -> Spelling:
    """Tags as they are."""
    return Spelling(kind="plain", canonical={tag: tag for tag in counts}, doubt=doubt)


def spelling(counts: Mapping[str, int], kind: Kind | None = None) -> Spelling:
    """How tags are to be read.

    Args:
        counts: on how many tokens each tag stands.
        kind: what they are known to be: "spans" of any scheme, bare labels beside O ("IO"), or
            "plain"; None: it is found.
    """
    if kind == "plain":
        return plain(counts)
    n_tokens = sum(counts.values())
    if not n_tokens:
        return Spelling(kind="spans", canonical={})
    dialect = max(_DIALECTS, key=lambda dialect: _n_fitting(dialect, counts))  # the first if equal
    n_outside = counts.get(dialect.outside, 0)
    split = {tag: parts for tag in counts if (parts := dialect.parts(tag))}
    letters = {letter for letter, _ in split.values()} or _bare_letters(dialect, counts)
    # Every scheme has a B or an I; parts of speech may well be S-..., L-... or one letter alone.
    is_usual = dialect is _DIALECTS[0] and len(split) + bool(n_outside) == len(counts)
    if not letters & {"B", "I"} and not (is_usual and split):
        split, letters = {}, set()
    as_spans = _as_spans(counts, dialect, split, letters)
    n_unclear = sum(counts[tag] for tag in as_spans.unclear)
    n_spans = n_tokens - n_outside - n_unclear if letters else 0
    if letters and _are_few(n_unclear, n_spans, n_tokens):
        return as_spans
    labels = {tag for tag in counts if tag not in split and not _is_outside(tag)}
    if not labels and n_outside and not letters:
        return as_spans  # nothing but O
    n_bare = sum(counts[tag] for tag in labels)
    n_split = sum(counts[tag] for tag in split)
    is_io = kind == "IO" or 2 * n_outside > n_tokens
    if labels and is_io and _are_few(n_split, n_bare, n_tokens):
        return _as_io(counts, dialect, split, labels)
    if kind is not None and not as_spans.unclear:
        return as_spans
    others = as_spans.unclear
    tag = max(split, key=lambda tag: counts[tag], default=dialect.outside)
    other = max(others, key=lambda tag: (counts[tag], tag), default="")
    doubt = Doubt(tag, other, sum(counts[tag] for tag in others))
    if kind is not None:
        return replace(as_spans, doubt=doubt)
    looks_like_spans = bool(split) and 2 * (n_split + n_outside) >= n_tokens
    # O may be a part of speech too: of tweets it is that of pronouns, one token in 14.
    most = max((counts[tag] for tag in counts if tag != dialect.outside), default=0)
    o_is_usual = n_outside > most and 3 * n_outside >= n_tokens
    return plain(counts, doubt if other and (looks_like_spans or o_is_usual) else None)


def _n_fitting(dialect: _Dialect, counts: Mapping[str, int]) -> int:
    return counts.get(dialect.outside, 0) + sum(
        n for tag, n in counts.items() if dialect.parts(tag)
    )


def _bare_letters(dialect: _Dialect, counts: Mapping[str, int]) -> set[str]:
    """The letters of a corpus whose spans have no labels: tags B, I and O."""
    if dialect.outside not in counts:
        return set()
    return {tag.strip(_SEPARATORS).upper() for tag in counts if _is_bare(tag, dialect)}


def _is_bare(tag: str, dialect: _Dialect) -> bool:
    letter = tag.strip(_SEPARATORS)
    return len(letter) == 1 and letter in dialect.letters


def _are_few(n_strays: int, n_spans: int, n_tokens: int) -> bool:
    """Whether tags that do not fit are slips rather than the way the corpus is tagged.

    A slip is rare among all tokens, at most one in 20, and among those that the scores count: at
    most one for 4 in spans. One stray alone is a slip wherever more tokens fit than not, as of a
    few sentences it may be more than that.
    """
    allowed = max(1, min(n_tokens // 20, n_spans // 4))
    return n_strays <= allowed and n_strays < n_tokens - n_strays


def _as_spans(
    counts: Mapping[str, int],
    dialect: _Dialect,
    split: Mapping[str, tuple[str, str]],
    letters: set[str],
) -> Spelling:
    """Every tag as a letter and a label."""
    has_m = _has_middle(counts, split) or ("M" in letters and not split)
    labels = {label for _, label in split.values()}
    canonical: dict[str, str] = {}
    strays: dict[str, str] = {}
    unclear: set[str] = set()
    for tag in counts:
        if tag == dialect.outside:
            canonical[tag] = OUTSIDE
        elif tag in split and (split[tag][0] != "M" or has_m):
            canonical[tag] = _joined(*split[tag])
        elif not split and letters and _is_bare(tag, dialect):
            canonical[tag] = _joined(tag.strip(_SEPARATORS).upper(), "")
        else:
            meant = _joined(*split[tag]) if tag in split else _meant(tag, dialect, labels)
            canonical[tag] = strays[tag] = meant or OUTSIDE
            if meant is None:
                unclear.add(tag)
    return Spelling(kind="spans", canonical=canonical, strays=strays, unclear=frozenset(unclear))


def _has_middle(counts: Mapping[str, int], split: Mapping[str, tuple[str, str]]) -> bool:
    """Whether the inner letter is M rather than I."""
    n = Counter[str]()
    for tag, (letter, _) in split.items():
        n[letter] += counts[tag]
    return n["M"] > n["I"]


def _as_io(
    counts: Mapping[str, int],
    dialect: _Dialect,
    split: Mapping[str, tuple[str, str]],
    labels: set[str],
) -> Spelling:
    """Every tag but O as the inner tag of a label."""
    canonical: dict[str, str] = {}
    strays: dict[str, str] = {}
    for tag in counts:
        if tag == dialect.outside:
            canonical[tag] = OUTSIDE
        elif tag in labels:
            canonical[tag] = _joined("I", tag)
        else:
            canonical[tag] = strays[tag] = _joined("I", split[tag][1]) if tag in split else OUTSIDE
    return Spelling(kind="IO", canonical=canonical, strays=strays)


def _joined(letter: str, label: str) -> str:
    letter = "I" if letter == "M" else letter
    return f"{letter}-{label}" if label else letter


def _is_outside(tag: str) -> bool:
    """Whether a tag is a way to miswrite O, or nothing."""
    return tag.strip(_FRAME).lower() in _OUTSIDES


def _meant(tag: str, dialect: _Dialect, labels: set[str]) -> str | None:
    """What a mistyped tag stands for, as a canonical one; None where that is not clear.

    Args:
        tag: it does not fit the dialect.
        dialect: of the corpus.
        labels: of the tags that fit.
    """
    if _is_outside(tag):
        return OUTSIDE
    if not labels:  # of letters alone
        letter = tag.strip(_FRAME + _SEPARATORS).upper()
        return _joined(letter, "") if len(letter) == 1 and letter in _LETTERS else None
    tag = tag.strip().translate(_DASHES)
    for small in (False, True):  # of the corpus's own dialect any label will do
        if parts := dialect._replace(is_lower=small).parts(tag):
            return _joined(*parts)
    for other in _DIALECTS:
        letter, label = other.parts(tag) or ("", "")
        if letter and label in labels:
            return _joined(letter, label)
    if tag in labels:  # where it begins is not said: conlleval has it begin after another label
        return _joined("I", tag)
    if tag[:1].upper() in _LETTERS and tag[1:] in labels:  # BPER
        return _joined(tag[0].upper(), tag[1:])
    if tag[:1].upper() == OUTSIDE and tag[1:].lstrip(_SEPARATORS) in labels:  # O-PER
        return OUTSIDE
    return None
