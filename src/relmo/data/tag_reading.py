"""A corpus's tags as they are trained on and scored: canonical, with a message on each odd one.

    reading = read_tags([["PER-B", "PER-I", "O", "o"]])
    reading.scheme, reading.spelled(["PER-B", "o"])  # ("BIO", ("B-PER", "O"))
    reading.messages  # ("... tags such as 'PER-B' are read as 'B-PER' ...", "... the tag 'o' ...")

`tag_spelling` says which tags are read in which way. Nothing is read otherwise than it stands
without a message that says where, what, and how often.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

from relmo.data.spans import Scheme, convert, scheme_letters, usual_scheme
from relmo.data.tag_spelling import OUTSIDE, Doubt, Kind, Spelling, spelling
from relmo.errors import InputError

__all__ = ["TagReading", "Where", "read_tags"]

Where = Callable[[int, int], str]
"""Names a token for a message, by the numbers of its sentence and of itself in it, from 0."""
_NAMED = 5  # strays that have a message of their own


@dataclass(frozen=True, kw_only=True, slots=True)
class TagReading:
    """How the tags of a corpus are read."""

    scheme: Scheme
    canonical: Mapping[str, str]
    """By the tag as it is written; see `tag_spelling`."""
    messages: tuple[str, ...] = ()
    """What is not read as it stands, for a log."""
    _converts: bool = False
    """Whether the corpus is of another scheme than the one that it is wanted in."""

    def spelled(self, tags: Sequence[str]) -> tuple[str, ...]:
        """The tags of a sentence in the canonical spelling, whatever scheme they are of."""
        return tuple(self.canonical[tag] for tag in tags)

    def in_scheme(self, tags: Sequence[str]) -> tuple[str, ...]:
        """The tags of a sentence in the canonical spelling and in the scheme.

        Its spans are written anew, read as conlleval reads them, where the corpus is of another
        scheme or a tag has a letter of another one. Else tags stay, whatever their order is.
        """
        spelled = self.spelled(tags)
        letters = (*scheme_letters(self.scheme), OUTSIDE)
        is_of_scheme = not self._converts and all(tag.startswith(letters) for tag in spelled)
        if self.scheme == "plain" or is_of_scheme:
            return spelled
        if self.scheme == "IO":  # which cannot tell spans that touch apart
            return tuple(tag if tag == OUTSIDE else f"I{tag[1:]}" for tag in spelled)
        return tuple(convert(spelled, self.scheme))


def _number(sentence: int, token: int) -> str:
    return f"sentence {sentence + 1}: token {token + 1}"


def read_tags(
    sentences: Sequence[Sequence[str]],
    scheme: Scheme | None = None,
    *,
    are_spans: bool = False,
    where: Where = _number,
) -> TagReading:
    """How the tags of a corpus are to be read.

    Args:
        sentences: the tags of each.
        scheme: what they are or, where they are spans of another one, are to become; None: found.
        are_spans: whether they are known to be those of spans, of any scheme: then one of another
            scheme than most is not worth a message.
        where: names a token in the messages.

    Raises:
        InputError: they are to be spans, and too many tags stand for none.
    """
    counts = Counter(chain.from_iterable(sentences))
    is_any = are_spans
    are_spans = are_spans or scheme not in (None, "plain")
    kind: Kind | None = "spans" if are_spans else None
    if scheme == "plain" or scheme == "IO":
        kind = scheme
    found = spelling(counts, kind)
    first = _First(sentences, where)
    if found.kind == "plain":
        messages = [] if found.doubt is None else [_may_be_spans(found.doubt, counts, first)]
        return TagReading(scheme="plain", canonical=found.canonical, messages=tuple(messages))
    if found.doubt is not None:
        raise _no_spans(found.doubt, counts, first)
    own: Scheme = "IO" if found.kind == "IO" else usual_scheme(sentences, found.canonical)
    scheme = scheme or own
    reading = TagReading(scheme=scheme, canonical=found.canonical, _converts=scheme != own)
    messages = [*_on_dialect(found, counts, first), *_on_strays(found, counts, first)]
    if not is_any:  # the tags that are predicted may well be of another scheme than the true ones
        messages += _on_scheme(reading, sentences, counts, where)
    return replace(reading, messages=tuple(messages))


class _First:
    """The first place of a tag."""

    def __init__(self, sentences: Sequence[Sequence[str]], where: Where) -> None:
        self._sentences, self._where = sentences, where

    def __call__(self, tag: str) -> str:
        number, tags = next(item for item in enumerate(self._sentences) if tag in item[1])
        return self._where(number, list(tags).index(tag))


def _on_dialect(found: Spelling, counts: Counter[str], first: _First) -> Iterator[str]:
    """One example of tags that are spelled otherwise, as a rule."""
    changed = [tag for tag, to in found.canonical.items() if tag != to and tag not in found.strays]
    if not changed:
        return
    tag = max(changed, key=lambda tag: (found.canonical[tag] != OUTSIDE, counts[tag]))
    message = f"{first(tag)}: tags such as {tag!r} are read as {found.canonical[tag]!r}"
    if found.kind == "IO":
        message += (
            f": as {OUTSIDE} is on most tokens, a run of one label is a span, scheme IO; the "
            "scheme plain takes each token's tag by itself"
        )
    yield message


def _on_strays(found: Spelling, counts: Counter[str], first: _First) -> Iterator[str]:
    """A message on each of the most frequent strays, and one on the others."""
    strays = sorted(found.strays, key=lambda tag: (-counts[tag], tag))
    for tag in strays[:_NAMED]:
        read = found.canonical[tag]
        yield (
            f"{first(tag)}: the tag {tag!r} does not fit the others; read as {read!r}"
            f"{_times(counts[tag], counts)}"
        )
    if rest := strays[_NAMED:]:
        n = sum(counts[tag] for tag in rest)
        pairs = ", ".join(f"{tag!r} as {found.canonical[tag]!r}" for tag in rest[:_NAMED])
        yield (
            f"{first(rest[0])}: {len(rest)} other tags do not fit either; read {pairs}"
            f"{', ...' if len(rest) > _NAMED else ''}{_times(n, counts)}"
        )


def _on_scheme(
    reading: TagReading, sentences: Sequence[Sequence[str]], counts: Counter[str], where: Where
) -> Iterator[str]:
    """The first tag that another scheme writes otherwise, and how many there are."""
    changed = (
        (where(number, token), *pair)
        for number, tags in enumerate(sentences)
        for token, pair in enumerate(
            zip(reading.spelled(tags), reading.in_scheme(tags), strict=True)
        )
        if pair[0] != pair[1]
    )
    for place, tag, written in islice(changed, 1):
        yield (
            f"{place}: the tag {tag!r} is not of {reading.scheme}; spans are read as conlleval "
            f"does and written in {reading.scheme}, there as {written!r}"
            f"{_times(1 + sum(1 for _ in changed), counts)}"
        )


def _times(n: int, counts: Counter[str]) -> str:
    return f" ({n:,} of {counts.total():,} tokens)"


def _may_be_spans(doubt: Doubt, counts: Counter[str], first: _First) -> str:
    """Why a plain corpus is one, though it looks like one of spans."""
    is_outside = doubt.tag in (OUTSIDE, OUTSIDE.lower())
    looks = "the most frequent, as of spans' surroundings" if is_outside else "like that of a span"
    return (
        f"{first(doubt.tag)}: the tag {doubt.tag!r} is {looks}, but too many others are not"
        f"{_times(doubt.n_others, counts)}, such as {doubt.other!r}, {first(doubt.other)}; all are "
        "taken as plain tags, each token scored by itself, O included; correct them, or name the "
        "scheme"
    )


def _no_spans(doubt: Doubt, counts: Counter[str], first: _First) -> InputError:
    return InputError(
        f"{first(doubt.other)}: tag {doubt.other!r}: expected O or a letter of B, I, E, S, L, U "
        "with a label, such as B-LOC, as the tags are to be those of spans; too many are not"
        f"{_times(doubt.n_others, counts)}; is it the right column? Tags that are no spans need "
        "the scheme plain"
    )
