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
| IO | I | I I I | two spans of a label never touch; Stanford's NER writes the label alone |
| plain | the label | | not spans, such as parts of speech: each token has a label of its own |

A tag is `O`, or a letter, a hyphen and the label, which may have hyphens itself; or the letter
alone, and the label is then empty. M, of BMES, is another I. Corpora that spell tags in other ways
(`B_PER`, `PER-B`, `PER`), or mistype some, are read by `tag_reading`.

Sequences of tags that no scheme allows, such as an I after O, are common in what a tagger predicts
and found in corpora. `spans` reads them as the conlleval script does, which knows no invalid ones:
a span begins at a B or S, after an E or S, and wherever the label is another than before.
`invalid` names them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

from relmo.errors import InputError
from relmo.text.tokenizers import check_strings

__all__ = [
    "OUTSIDE",
    "Invalid",
    "Scheme",
    "Span",
    "check_scheme",
    "closest_scheme",
    "convert",
    "invalid",
    "scheme_letters",
    "spans",
    "tags",
]

OUTSIDE = "O"
"""The tag of a token in no span."""
Scheme = Literal["BIO", "IOB1", "BIOES", "BILOU", "IO", "plain"]
_AS_BIOES = {"B": "B", "I": "I", "E": "E", "S": "S", "L": "E", "U": "S", "M": "I"}
_LETTERS: dict[Scheme, dict[str, str]] = {
    "BIO": {"B": "B", "I": "I", "E": "I", "S": "B"},
    "IOB1": {"B": "I", "I": "I", "E": "I", "S": "I"},
    "BIOES": {"B": "B", "I": "I", "E": "E", "S": "S"},
    "BILOU": {"B": "B", "I": "I", "E": "L", "S": "U"},
    "IO": {"B": "I", "I": "I", "E": "I", "S": "I"},
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


def check_scheme(scheme: object) -> None:
    """Refuse anything but the name of a scheme.

    Raises:
        InputError: it is another string or object.
    """
    if scheme not in get_args(Scheme):
        raise InputError(f"scheme {scheme!r}: expected one of {', '.join(get_args(Scheme))}")


def spans(tags: Sequence[str], scheme: Scheme | None = None) -> list[Span]:
    """Return the spans that tags stand for, from left to right.

    Args:
        tags: of one sentence, in any scheme; invalid sequences are read as conlleval reads them.
        scheme: only whether it is `plain` matters: each token is a span then.

    Raises:
        InputError: a tag belongs to no scheme, and `scheme` is not `plain`; or `tags` is one
            string.
    """
    check_strings(tags, "tags")
    if scheme is not None:
        check_scheme(scheme)
    if scheme == "plain":
        return [Span(tag, i, i + 1) for i, tag in enumerate(tags)]
    spans: list[Span] = []
    start, last_letter, last_label = 0, OUTSIDE, ""
    for i, tag in enumerate(tags):
        letter, label = _parts(tag)
        begins = letter in "BSO" or last_letter in "ES" or label != last_label
        if last_letter != OUTSIDE and begins:
            spans.append(Span(last_label, start, i))
            last_letter = OUTSIDE
        if last_letter == OUTSIDE:
            start = i
        last_letter, last_label = letter, label
    if last_letter != OUTSIDE:
        spans.append(Span(last_label, start, len(tags)))
    return spans


def _parts(tag: str) -> tuple[str, str]:
    """Return the letter, as in BIOES, and the label."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    letter, _, label = tag.partition("-")
    if letter not in _AS_BIOES:
        raise InputError(
            f"tag {tag!r}: expected O or a letter of {', '.join(_AS_BIOES)} with a hyphen and a "
            "label, such as B-LOC; tags that do not stand for spans need the scheme 'plain', those "
            "in another spelling are read by relmo.data.tag_reading.read_tags"
        )
    return _AS_BIOES[letter], label


def tags(spans: Iterable[Span], n: int, scheme: Scheme = "BIO") -> list[str]:
    """Return the tags of a sentence of `n` tokens with these spans.

    Args:
        spans: in any order.
        n: number of tokens.
        scheme: to write them in; `plain` needs a span for each token.

    Raises:
        InputError: a span is empty, not in the sentence or overlaps another, or it cannot be
            written in the scheme.
    """
    check_scheme(scheme)
    written = [OUTSIDE] * n
    end, label, covered = 0, None, 0
    for span in sorted(spans, key=lambda span: span.start):
        if not end <= span.start < span.end <= n:
            raise InputError(
                f"{span}: expected a span of at least one token between token {end}, where the "
                f"one before ends, and the sentence's end, {n}"
            )
        follows = span.start == end and span.label == label
        if scheme == "IO" and follows:
            raise InputError(f"{span}: it touches one of its label, which IO cannot write; use BIO")
        written[span.start : span.end] = _written(span, scheme, follows)
        end, label = span.end, span.label
        covered += span.end - span.start
    if scheme == "plain" and covered < n:
        raise InputError(f"scheme plain: expected a span for each of {n} tokens, got {covered}")
    return written


def _written(span: Span, scheme: Scheme, follows: bool) -> list[str]:
    """Return the tags of a span, which follows another of its label at once or not."""
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
    """Write the same spans in another scheme, invalid sequences as what conlleval reads in them.

    Raises:
        InputError: a tag belongs to no scheme, or `scheme` is `plain`.
    """
    if scheme == "plain":
        raise InputError("scheme plain: it has no spans to convert to; choose BIO, IOB1, BIOES ...")
    return tags(spans(sequence), len(sequence), scheme)


def closest_scheme(sentences: Iterable[Sequence[str]], canonical: Mapping[str, str]) -> Scheme:
    """Return the scheme of spans that the fewest of a corpus's tags contradict.

    So one mistyped E-PER makes no BIOES of a corpus in BIO. Of those equal in this it is BILOU
    where there are letters that only BILOU has, L and U, then BIOES (E and S), then BIO.

    Args:
        sentences: the tags of each.
        canonical: canonical tags by the tag as it is written; see `tag_spelling.Spelling`.
    """
    letters = {tag[0] for tag in canonical.values()}
    candidates: list[Scheme] = ["BIO", "IOB1"]
    if letters & {"E", "S"}:
        candidates.insert(0, "BIOES")
    if letters & {"L", "U"}:
        candidates.insert(0, "BILOU")
    n_invalid: Counter[Scheme] = Counter()
    for sentence in sentences:
        tags = [canonical[tag] for tag in sentence]
        if any(tag != OUTSIDE for tag in tags):
            n_invalid.update(
                {scheme: sum(1 for _ in invalid(tags, scheme)) for scheme in candidates}
            )
    return min(candidates, key=lambda scheme: n_invalid[scheme])  # the first of equal ones


def scheme_letters(scheme: Scheme) -> list[str]:
    """Return the letters that a scheme has, sorted; plain has none."""
    check_scheme(scheme)
    if scheme == "plain":
        return []
    letters = {*_LETTERS[scheme].values()}
    # IOB1 has a B too, where a span follows another of its label; of the others only IO has none.
    return sorted(letters if scheme == "IO" else letters | {"B"})


def invalid(sequence: Sequence[str], scheme: Scheme) -> Iterator[Invalid]:
    """Yield the tags that a scheme does not allow where they stand, from left to right.

    A tag is held against what the scheme would write for the spans that `spans` reads, so that a
    slip is named once or twice and not to the sentence's end.

    Args:
        sequence: the tags of one sentence.
        scheme: what they should be in; plain tags are never invalid.
    """
    check_strings(sequence, "tags")
    letters = scheme_letters(scheme)
    if scheme == "plain":
        return
    try:
        expected = convert(sequence, scheme)
    except InputError:  # a tag of no scheme, or spans that touch in IO: only letters are checked
        expected = list(sequence)
    for i, (tag, wanted) in enumerate(zip(sequence, expected, strict=True)):
        if tag != OUTSIDE and tag.partition("-")[0] not in letters:
            allowed = ", ".join((*letters, OUTSIDE))
            yield Invalid(i, f"{tag} is not a tag of {scheme}; its letters are {allowed}")
        elif tag != wanted:
            before = f"after {sequence[i - 1]}" if i else "at the start"
            after = f"before {sequence[i + 1]}" if i + 1 < len(sequence) else "at the end"
            yield Invalid(i, f"{tag} {before} and {after}; {scheme} would have {wanted}")
