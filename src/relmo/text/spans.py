"""Tags of tokens and the spans they stand for, in the usual schemes.

    >>> spans(["B-LOC", "I-LOC", "O", "B-PER"])
    [Span(label='LOC', start=0, end=2), Span(label='PER', start=3, end=4)]
    >>> tags([Span("LOC", 0, 2), Span("PER", 3, 4)], 4, "BIOES")
    ['B-LOC', 'E-LOC', 'O', 'S-PER']

| scheme | a span of one token | of several | |
|---|---|---|---|
| BIO | B | B I I | IOB2; the scheme of most corpora |
| IOB1 | I | I I I | B where a span of its label ends just before; CoNLL-2003 |
| BIOES | S | B I E | IOBES |
| BILOU | U | B I L | spaCy's |
| plain | the label | | not spans, such as parts of speech: each token has a label of its own |

A tag is `O`, or a letter, a hyphen and the label, which may have hyphens itself; or the letter
alone, and the label is then empty.

Sequences of tags that no scheme allows, such as an I after O, are common in what a tagger predicts
and found in corpora. `spans` reads them as the conlleval script does, which knows no invalid ones:
a span begins at a B or S, after an E or S, and wherever the label is another than before.
`invalid` names them.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from relmo.errors import InputError

__all__ = ["Invalid", "Scheme", "Span", "convert", "detect", "invalid", "spans", "tags"]

Scheme = Literal["BIO", "IOB1", "BIOES", "BILOU", "plain"]
_OUTSIDE = "O"
_AS_BIOES = {"B": "B", "I": "I", "E": "E", "S": "S", "L": "E", "U": "S"}
_LETTERS: dict[Scheme, dict[str, str]] = {
    "BIO": {"B": "B", "I": "I", "E": "I", "S": "B"},
    "IOB1": {"B": "I", "I": "I", "E": "I", "S": "I"},
    "BIOES": {"B": "B", "I": "I", "E": "E", "S": "S"},
    "BILOU": {"B": "B", "I": "I", "E": "L", "S": "U"},
}
"""How a scheme writes the first, middle, last and only token of a span."""


class Span(NamedTuple):
    """A labelled stretch of a sentence's tokens."""

    label: str
    start: int
    """Number of its first token, from 0."""
    end: int
    """Number of the token after its last one."""


class Invalid(NamedTuple):
    """A tag that its scheme does not allow where it stands."""

    position: int
    """Number of the token, from 0."""
    message: str
    """Such as "I-X at the start and before O; BIO would have B-X"."""


def spans(tags: Sequence[str], scheme: Scheme | None = None) -> list[Span]:
    """The spans that tags stand for, from left to right, invalid sequences read as conlleval does.

    Args:
        tags: of one sentence, in any scheme.
        scheme: only whether it is `plain` matters: each token is a span then.

    Raises:
        InputError: a tag is of no scheme, and `scheme` is not `plain`.
    """
    if scheme == "plain":
        return [Span(tag, i, i + 1) for i, tag in enumerate(tags)]
    found: list[Span] = []
    start, last, label = 0, _OUTSIDE, ""  # of the token before
    for i, tag in enumerate(tags):
        letter, its_label = _parts(tag)
        if last != _OUTSIDE and (letter in "BSO" or last in "ES" or its_label != label):
            found.append(Span(label, start, i))
            last = _OUTSIDE
        if last == _OUTSIDE:
            start = i
        last, label = letter, its_label
    if last != _OUTSIDE:
        found.append(Span(label, start, len(tags)))
    return found


def _parts(tag: str) -> tuple[str, str]:
    """The letter, as in BIOES, and the label."""
    if tag == _OUTSIDE:
        return _OUTSIDE, ""
    letter, _, label = tag.partition("-")
    if letter not in _AS_BIOES:
        raise InputError(
            f"tag {tag!r}: expected O or a letter of {', '.join(_AS_BIOES)} with a hyphen and a "
            "label, such as B-LOC; tags that are no spans need the scheme 'plain'"
        )
    return _AS_BIOES[letter], label


def tags(spans: Iterable[Span], n: int, scheme: Scheme = "BIO") -> list[str]:
    """The tags of a sentence of `n` tokens with these spans.

    Args:
        spans: in any order.
        n: number of tokens.
        scheme: how to write them; `plain` needs a span for each token.

    Raises:
        InputError: a span is empty, not in the sentence or overlaps another, or it cannot be
            written in the scheme.
    """
    written = [_OUTSIDE] * n
    end, label, covered = 0, None, 0
    for span in sorted(spans, key=lambda span: span.start):
        if not end <= span.start < span.end <= n:
            raise InputError(
                f"{span}: expected a span of at least one token between token {end}, where the "
                f"one before ends, and the sentence's end, {n}"
            )
        follows = span.start == end and span.label == label
        written[span.start : span.end] = _written(span, scheme, follows)
        end, label = span.end, span.label
        covered += span.end - span.start
    if scheme == "plain" and covered < n:
        raise InputError(f"scheme plain: expected a span for each of {n} tokens, got {covered}")
    return written


def _written(span: Span, scheme: Scheme, follows: bool) -> list[str]:
    """The tags of a span, which follows another of its label at once or not."""
    size = span.end - span.start
    if scheme == "plain":
        if size > 1:
            raise InputError(f"{span}: the scheme plain has a label for each token and no spans")
        return [span.label]
    parts = "S" if size == 1 else "B" + "I" * (size - 2) + "E"
    letters = [_LETTERS[scheme][part] for part in parts]
    if scheme == "IOB1" and follows:
        letters[0] = "B"
    return [f"{letter}-{span.label}" if span.label else letter for letter in letters]


def convert(sequence: Sequence[str], scheme: Scheme) -> list[str]:
    """The same spans in another scheme; invalid sequences become what conlleval reads in them.

    Raises:
        InputError: a tag is of no scheme, or `scheme` is `plain`.
    """
    if scheme == "plain":
        raise InputError("scheme plain: it has no spans to convert to; choose BIO, IOB1, BIOES ...")
    return tags(spans(sequence), len(sequence), scheme)


def detect(sentences: Iterable[Sequence[str]]) -> Scheme:
    """The scheme of a corpus's tags.

    Tags with L or U are BILOU, with E or S BIOES. BIO and IOB1 have the same letters: it is the
    one that fewer of the tags contradict, BIO where neither does. One tag of no scheme makes all
    plain, as does a corpus of nothing but such bare letters without an O.

    Args:
        sentences: the tags of each.
    """
    sentences = list(sentences)
    kinds = {tag for sentence in sentences for tag in sentence}
    letters = {tag.partition("-")[0] for tag in kinds - {_OUTSIDE}}
    is_bare = bool(kinds) and _OUTSIDE not in kinds and not any("-" in tag for tag in kinds)
    if not letters <= set(_AS_BIOES) or is_bare:
        return "plain"
    if letters & {"L", "U"}:
        return "BILOU"
    if letters & {"E", "S"}:
        return "BIOES"
    against: dict[Scheme, int] = {"BIO": 0, "IOB1": 0}
    for scheme in against:
        against[scheme] = sum(1 for sentence in sentences for _ in invalid(sentence, scheme))
    return "IOB1" if against["IOB1"] < against["BIO"] else "BIO"


def invalid(sequence: Sequence[str], scheme: Scheme) -> Iterator[Invalid]:
    """The tags that a scheme does not allow where they stand, from left to right.

    A tag is held against what the scheme would write for the spans that `spans` reads, so that a
    slip is named once or twice and not to the sentence's end.

    Args:
        sequence: the tags of one sentence.
        scheme: what they should be in; plain tags are never invalid.
    """
    if scheme == "plain":
        return
    letters = sorted({"B", *_LETTERS[scheme].values()})
    try:
        expected = convert(sequence, scheme)
    except InputError:  # a tag of no scheme at all: no more can be said of the others
        expected = list(sequence)
    for i, (tag, wanted) in enumerate(zip(sequence, expected, strict=True)):
        if tag != _OUTSIDE and tag.partition("-")[0] not in letters:
            allowed = ", ".join((*letters, _OUTSIDE))
            yield Invalid(i, f"{tag} is no tag of {scheme}; its letters are {allowed}")
        elif tag != wanted:
            before = f"after {sequence[i - 1]}" if i else "at the start"
            after = f"before {sequence[i + 1]}" if i + 1 < len(sequence) else "at the end"
            yield Invalid(i, f"{tag} {before} and {after}; {scheme} would have {wanted}")
