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
from itertools import chain
from typing import Literal, NamedTuple

from relmo.data.tag_spelling import OUTSIDE as _OUTSIDE
from relmo.data.tag_spelling import spelling
from relmo.errors import InputError
from relmo.text.tokenizers import check_sentences, check_strings

__all__ = ["Invalid", "Scheme", "Span", "convert", "detect", "invalid", "scheme_letters", "spans",
           "tags", "usual_scheme"]  # fmt: skip

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


def spans(tags: Sequence[str], scheme: Scheme | None = None) -> list[Span]:
    """The spans that tags stand for, from left to right, invalid sequences read as conlleval does.

    Args:
        tags: of one sentence, in any scheme.
        scheme: only whether it is `plain` matters: each token is a span then.

    Raises:
        InputError: a tag is of no scheme, and `scheme` is not `plain`; or `tags` is one string.
    """
    check_strings(tags, "tags")
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
            "label, such as B-LOC; tags that are no spans need the scheme 'plain', and those of "
            "another spelling relmo.data.tag_reading.read_tags"
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
        if scheme == "IO" and follows:
            raise InputError(f"{span}: it touches one of its label, which IO cannot write; use BIO")
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
    """The scheme of a corpus's tags, in whichever spelling.

    See `tag_spelling` for which are plain, and how few mistyped ones change nothing;
    `tag_reading.read_tags` names those.

    Args:
        sentences: the tags of each.

    Raises:
        InputError: `sentences` or one of them is one string, or a tag is not a string.
    """
    if not isinstance(sentences, str):
        sentences = list(sentences)  # which may be an iterator
    check_sentences(sentences, "tags")
    found = spelling(Counter(chain.from_iterable(sentences)))
    if found.kind != "spans":
        return found.kind
    return usual_scheme(sentences, found.canonical)


def usual_scheme(sentences: Iterable[Sequence[str]], canonical: Mapping[str, str]) -> Scheme:
    """The scheme of spans that the fewest of a corpus's tags contradict.

    So one mistyped E-PER makes no BIOES of a corpus in BIO. Of those equal in this it is BILOU
    where there are letters of its own, L and U, then BIOES (E and S), then BIO.

    Args:
        sentences: the tags of each.
        canonical: what each tag stands for; see `tag_spelling.Spelling`.
    """
    letters = {tag[0] for tag in canonical.values()}
    tried: list[Scheme] = ["BIO", "IOB1"]
    if letters & {"E", "S"}:
        tried.insert(0, "BIOES")
    if letters & {"L", "U"}:
        tried.insert(0, "BILOU")
    against: Counter[Scheme] = Counter()
    for sentence in sentences:
        tags = [canonical[tag] for tag in sentence]
        if any(tag != _OUTSIDE for tag in tags):
            against.update({scheme: sum(1 for _ in invalid(tags, scheme)) for scheme in tried})
    return min(tried, key=lambda scheme: against[scheme])  # the first of equal ones


def scheme_letters(scheme: Scheme) -> list[str]:
    """The letters that a scheme has, sorted; plain has none."""
    if scheme == "plain":
        return []
    letters = {*_LETTERS[scheme].values()}
    return sorted(letters if scheme == "IO" else letters | {"B"})


def invalid(sequence: Sequence[str], scheme: Scheme) -> Iterator[Invalid]:
    """The tags that a scheme does not allow where they stand, from left to right.

    A tag is held against what the scheme would write for the spans that `spans` reads, so that a
    slip is named once or twice and not to the sentence's end.

    Args:
        sequence: the tags of one sentence.
        scheme: what they should be in; plain tags are never invalid.
    """
    check_strings(sequence, "tags")
    if scheme == "plain":
        return
    letters = scheme_letters(scheme)
    try:
        expected = convert(sequence, scheme)
    except InputError:  # a tag of no scheme, or spans that touch in IO: no more can be said
        expected = list(sequence)
    for i, (tag, wanted) in enumerate(zip(sequence, expected, strict=True)):
        if tag != _OUTSIDE and tag.partition("-")[0] not in letters:
            allowed = ", ".join((*letters, _OUTSIDE))
            yield Invalid(i, f"{tag} is no tag of {scheme}; its letters are {allowed}")
        elif tag != wanted:
            before = f"after {sequence[i - 1]}" if i else "at the start"
            after = f"before {sequence[i + 1]}" if i + 1 < len(sequence) else "at the end"
            yield Invalid(i, f"{tag} {before} and {after}; {scheme} would have {wanted}")
