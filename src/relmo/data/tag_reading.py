"""A corpus's tags as they are trained on and scored: canonical, with a message on each odd one.

    reading = read_tags([["PER-B", "PER-I", "O", "o"]])
    reading.scheme, reading.spelled(["PER-B", "o"])  # ("BIO", ("B-PER", "O"))
    reading.messages  # ("... tags such as 'PER-B' are read as 'B-PER' ...", "... the tag 'o' ...")

`tag_spelling` says which tags are read in which way. Nothing is read otherwise than it stands
without a message that says where, what, and how often.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain

from relmo.data.spans import (
    OUTSIDE,
    Scheme,
    check_scheme,
    closest_scheme,
    convert,
    scheme_letters,
)
from relmo.data.tag_spelling import Kind, Spelling, find_spelling, has_letter
from relmo.errors import InputError
from relmo.text.tokenizers import check_sentences

__all__ = ["TagReading", "Where", "detect", "kind_of", "read_tags"]

Where = Callable[[int, int], str]
"""Names a token for a message, by the numbers of its sentence and of itself in it, from 0."""
_First = Callable[[str], str]
_NAMED = 5  # strays that have a message of their own


@dataclass(frozen=True, kw_only=True, slots=True)
class TagReading:
    """The reading of a corpus's tags."""

    scheme: Scheme
    """What `in_scheme` writes."""
    corpus_scheme: Scheme
    """What the corpus is written in."""
    canonical: Mapping[str, str]
    """By the tag as it is written; see `tag_spelling`."""
    messages: tuple[str, ...] = ()
    """What is not read as it stands, for a log."""

    @property
    def labels(self) -> frozenset[str]:
        """The labels of spans, those without a label apart."""
        if self.scheme == "plain":
            return frozenset()
        return frozenset(tag[2:] for tag in self.canonical.values() if tag[2:])

    def spelled(self, tags: Sequence[str]) -> tuple[str, ...]:
        """Return the tags of a sentence in the canonical spelling, whatever scheme they are of."""
        return tuple(self.canonical[tag] for tag in tags)

    def in_scheme(self, tags: Sequence[str]) -> tuple[str, ...]:
        """Return the tags of a sentence in the canonical spelling and in the scheme.

        Its spans are written anew, read as conlleval reads them, where the corpus is of another
        scheme or a tag has a letter of another one. Else tags stay, whatever their order is.
        """
        spelled = self.spelled(tags)
        letters = (*scheme_letters(self.scheme), OUTSIDE)
        is_of_scheme = self.corpus_scheme == self.scheme and all(
            tag.startswith(letters) for tag in spelled
        )
        if self.scheme == "plain" or is_of_scheme:
            return spelled
        if self.scheme == "IO":  # which cannot tell spans that touch apart
            return tuple(tag if tag == OUTSIDE else f"I{tag[1:]}" for tag in spelled)
        return tuple(convert(spelled, self.scheme))


def kind_of(scheme: Scheme | None) -> Kind | None:
    """Return what tags are known to be where their scheme is stated.

    Raises:
        InputError: there is no such scheme.
    """
    if scheme is None:
        return None
    check_scheme(scheme)
    return scheme if scheme == "plain" or scheme == "IO" else "spans"


def detect(sentences: Iterable[Sequence[str]]) -> Scheme:
    """Find the scheme of a corpus's tags, in whichever spelling, as `read_tags` does.

    Args:
        sentences: the tags of each.

    Raises:
        InputError: `sentences` or one of them is one string, or a tag is not a string.
    """
    return read_tags(sentences).scheme


def _number(sentence: int, token: int) -> str:
    return f"sentence {sentence + 1}: token {token + 1}"


def read_tags(
    sentences: Iterable[Sequence[str]],
    scheme: Scheme | None = None,
    kind: Kind | None = None,
    *,
    labels: Set[str] = frozenset(),
    where: Where = _number,
) -> TagReading:
    """Find how the tags of a corpus are to be read.

    Args:
        sentences: the tags of each.
        scheme: to write them in; None: that of the corpus.
        kind: what they are known to be; None: what the scheme says or, without one, what they
            fit. With a kind and no scheme, a tag may well be of another scheme than the others,
            and no message names it.
        labels: known beforehand, such as those of the true tags for predicted ones.
        where: names a token in the messages.

    Raises:
        InputError: the tags are known to be those of spans, and too many are not; there is no such
            scheme; or `sentences` or one of them is not a list of strings.
    """
    if not isinstance(sentences, str | bytes):
        sentences = list(sentences)  # which may be an iterator
    check_sentences(sentences, "tags")

    def first(tag: str) -> str:
        """Name the first token with a tag."""
        number, tags = next(item for item in enumerate(sentences) if tag in item[1])
        return where(number, list(tags).index(tag))

    counts = Counter(chain.from_iterable(sentences))
    has_any_scheme = kind is not None and scheme is None
    kind = kind or kind_of(scheme)
    spelling = find_spelling(counts, kind, labels)
    if spelling.kind != "plain" and spelling.is_doubtful:
        raise _not_spans(spelling, kind, counts, first)
    corpus_scheme: Scheme = (
        closest_scheme(sentences, spelling.canonical) if spelling.kind == "spans" else spelling.kind
    )
    reading = TagReading(
        scheme=scheme or corpus_scheme,
        corpus_scheme=corpus_scheme,
        canonical=spelling.canonical,
    )
    if spelling.kind == "plain":
        messages = [_may_be_spans(spelling, counts, first)] if spelling.is_doubtful else []
    else:
        messages = _on_dialect(reading, spelling, kind, counts, first)
        messages += _on_strays(reading, spelling, counts, first)
        if not has_any_scheme:
            messages += _on_scheme(reading, sentences, where)
    return replace(reading, messages=tuple(messages))


def _on_dialect(
    reading: TagReading, spelling: Spelling, kind: Kind | None, counts: Counter[str], first: _First
) -> list[str]:
    """Write a message on one example of tags that are spelled otherwise, as a rule."""
    canonical = reading.canonical
    changed = [tag for tag in canonical if canonical[tag] != tag and tag not in spelling.strays]
    if not changed:
        return []
    tag = max(changed, key=lambda tag: (canonical[tag] != OUTSIDE, counts[tag]))
    message = f"{first(tag)}: tags such as {tag!r} are read as {canonical[tag]!r}"
    if spelling.kind == "IO" and kind != "IO":  # O decided, nobody stated it
        message += (
            f": as {OUTSIDE} is on most tokens, a run of one label is a span, scheme "
            f"{reading.scheme}; the scheme plain takes each token's tag by itself"
        )
    return [message]


def _on_strays(
    reading: TagReading, spelling: Spelling, counts: Counter[str], first: _First
) -> list[str]:
    """Write a message on each of the most frequent strays, and one on the others."""
    canonical, labels = spelling.canonical, reading.labels
    strays = sorted(spelling.strays, key=lambda tag: (-counts[tag], tag))
    messages = []
    for tag in strays[:_NAMED]:
        message = f"{first(tag)}: the tag {tag!r} does not fit the others; read as"
        message += f" {canonical[tag]!r}{_times(counts[tag], counts)}"
        if tag in spelling.unclear and tag[2:] in labels:  # T-cell beside B-cell
            message += f"; where {tag!r} is a label as a whole, state the scheme IO"
        messages.append(message)
    if rest := strays[_NAMED:]:
        n = sum(counts[tag] for tag in rest)
        pairs = ", ".join(f"{tag!r} as {canonical[tag]!r}" for tag in rest[:_NAMED])
        messages.append(
            f"{first(rest[0])}: {len(rest)} other tags do not fit either; read {pairs}"
            f"{', ...' if len(rest) > _NAMED else ''}{_times(n, counts)}"
        )
    return messages


def _on_scheme(reading: TagReading, sentences: Sequence[Sequence[str]], where: Where) -> list[str]:
    """Write a message on the first tag that another scheme writes otherwise."""
    changed = [
        (number, token, tag, written)
        for number, tags in enumerate(sentences)
        for token, (tag, written) in enumerate(
            zip(reading.spelled(tags), reading.in_scheme(tags), strict=True)
        )
        if tag != written
    ]
    if not changed:
        return []
    number, token, tag, written = changed[0]
    n_tokens = sum(map(len, sentences))
    return [
        f"{where(number, token)}: the tag {tag!r} is not of {reading.scheme}; spans are read as "
        f"conlleval does and written in {reading.scheme}, this one as {written!r}"
        f" ({len(changed):,} of {n_tokens:,} tokens)"
    ]


def _times(n: int, counts: Counter[str]) -> str:
    return f" ({n:,} of {counts.total():,} tokens)"


def _may_be_spans(spelling: Spelling, counts: Counter[str], first: _First) -> str:
    """Write why a corpus is plain, though it looks like one of spans."""
    others = spelling.unclear
    other = max(others, key=lambda tag: (counts[tag], tag))
    n = sum(counts[tag] for tag in others)
    fitting = [tag for tag in counts if tag not in others]
    tag = max(fitting, key=lambda tag: (has_letter(tag), tag.upper() == OUTSIDE, counts[tag]))
    looks = "like that of a span" if has_letter(tag) else "the most frequent, as between spans"
    return (
        f"{first(tag)}: the tag {tag!r} is {looks}, but too many others are not"
        f"{_times(n, counts)}, such as {other!r}, {first(other)}; all are taken as plain tags, "
        f"each token scored by itself, {OUTSIDE} included; correct them, or state the scheme"
    )


def _not_spans(
    spelling: Spelling, kind: Kind | None, counts: Counter[str], first: _First
) -> InputError:
    """Return the error that too many tags do not stand for spans."""
    tag = max(spelling.unclear, key=lambda tag: (counts[tag], tag))
    n = sum(counts[tag] for tag in spelling.unclear)
    labels_alone = "" if kind == "IO" else "labels alone need the scheme IO, "
    return InputError(
        f"{first(tag)}: tag {tag!r}: expected O or a letter of B, I, E, S, L, U with a label, such "
        "as B-LOC, as the tags should be those of spans; too many are not"
        f"{_times(n, counts)}; is it the right column? If it is, {labels_alone}tags that do not "
        "stand for spans need the scheme plain"
    )
