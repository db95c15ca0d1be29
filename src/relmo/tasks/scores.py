"""Predicted tags against true ones: precision, recall and F1 as the conlleval script counts them.

    >>> scores = evaluate([["B-LOC", "I-LOC", "O", "B-PER"]], [["B-LOC", "O", "O", "B-PER"]])
    >>> scores.precision, scores.recall, scores.f1, scores.accuracy
    (50.0, 50.0, 50.0, 75.0)
    >>> scores.by_type["PER"].f1
    100.0

A predicted span is right where a true one has the same first token, last token and label. Which
spans tags stand for, invalid sequences too, says `spans.spans`. Tags that are no spans, such as
parts of speech, are spans of one token: precision, recall and F1 are then the accuracy.

Predicted labels against true ones: accuracy, and precision, recall and F1 of each label.

>>> scores = label_scores(["a", "a", "b"], ["a", "b", "b"])
>>> round(scores.accuracy, 2), round(scores.macro_f1, 2)
(66.67, 66.67)
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from statistics import mean
from typing import Any

from relmo.data.spans import Scheme, Span, spans
from relmo.data.tag_reading import read_tags
from relmo.data.tagged import TaggedSentence
from relmo.errors import InputError
from relmo.text.tokenizers import check_sentences, check_strings

__all__ = [
    "LabelScores",
    "Score",
    "Scores",
    "confusion_of",
    "errors",
    "evaluate",
    "label_scores",
    "markdown_table",
    "percent",
]


_OUTSIDE = "O"
_logger = logging.getLogger(__name__)
Tags = Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """How many spans there are, are predicted, and are right."""

    n_true: int
    n_predicted: int
    n_right: int

    @property
    def precision(self) -> float:
        """Percent of the predicted ones that are right; 0 where none is predicted."""
        return percent(self.n_right, self.n_predicted)

    @property
    def recall(self) -> float:
        """Percent of the true ones that are predicted; 0 where there is none."""
        return percent(self.n_right, self.n_true)

    @property
    def f1(self) -> float:
        """Harmonic mean of the two, in percent; 0 where both are."""
        return percent(2 * self.n_right, self.n_true + self.n_predicted)

    def to_dict(self) -> dict[str, Any]:
        """What a report in JSON holds."""
        return {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "n_true": self.n_true,
            "n_predicted": self.n_predicted,
            "n_right": self.n_right,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores(Score):
    """The scores of all spans, of each type of span, and of the tokens' tags."""

    by_type: Mapping[str, Score]
    """By label, sorted."""
    confusion: Mapping[str, Mapping[str, int]]
    """Numbers of tokens by the label they have and the one predicted, O where there is no span."""
    n_tokens: int
    n_right_tokens: int
    """Those whose tag is right, letter and all."""

    @property
    def accuracy(self) -> float:
        """Percent of the tokens whose tag is right."""
        return percent(self.n_right_tokens, self.n_tokens)

    def to_dict(self) -> dict[str, Any]:
        """What a report in JSON holds; precision, recall, F1 and accuracy in percent."""
        return {
            **Score.to_dict(self),
            "accuracy": self.accuracy,
            "n_tokens": self.n_tokens,
            "by_type": {label: score.to_dict() for label, score in self.by_type.items()},
            "confusion": {label: dict(row) for label, row in self.confusion.items()},
        }

    def to_markdown(self) -> str:
        """Tables of the scores by type and of the confusion, for a page."""
        scored = [("all", self), *self.by_type.items()]
        head = ("type", "precision", "recall", "F1", "true", "predicted", "right")
        rows = [
            (name, *(f"{x:.2f}" for x in (score.precision, score.recall, score.f1)),
             *(f"{n:,}" for n in (score.n_true, score.n_predicted, score.n_right)))
            for name, score in scored
        ]  # fmt: skip
        accuracy = f"Token accuracy: {self.accuracy:.2f} % of {self.n_tokens:,}."
        labels = list(self.confusion)
        counts = [
            (name, *(f"{row.get(label, 0):,}" for label in labels))
            for name, row in self.confusion.items()
        ]
        confusion = markdown_table(("true \\ predicted", *labels), counts)
        return f"{markdown_table(head, rows)}\n{accuracy}\n\n{confusion}"


def evaluate(true: Tags, predicted: Tags, scheme: Scheme | None = None) -> Scores:
    """The scores of predicted tags.

    Args:
        true: the tags of each sentence.
        predicted: as many; those of spans may be in another scheme, which only the accuracy heeds.
        scheme: None: found out from the true tags. It matters only whether it is `plain`, tags of
            one token each, or `IO`, labels alone; spans may be in any other.

    Both are read by `tag_reading.read_tags`: in whichever spelling, and mistyped ones as what was
    meant, or as O. What is not read as it stands is a warning in the log.

    Raises:
        InputError: there is not one predicted tag for each true one, a sentence is one string, or
            the tags are to be those of spans, and too many are not.
    """
    true, predicted, scheme = _read(true, predicted, scheme)
    counts: dict[str, Counter[str]] = {
        "true": Counter(),
        "predicted": Counter(),
        "right": Counter(),
    }
    pairs: Counter[tuple[str, str]] = Counter()
    n_right_tokens = 0
    for true_tags, predicted_tags in zip(true, predicted, strict=True):
        there, found = spans(true_tags, scheme), spans(predicted_tags, scheme)
        counts["true"].update(span.label for span in there)
        counts["predicted"].update(span.label for span in found)
        counts["right"].update(span.label for span in {*there} & {*found})
        n = len(true_tags)
        pairs.update(zip(_labels(there, n), _labels(found, n), strict=True))
        n_right_tokens += sum(map(str.__eq__, true_tags, predicted_tags))
    return Scores(
        n_true=counts["true"].total(),
        n_predicted=counts["predicted"].total(),
        n_right=counts["right"].total(),
        by_type={
            label: Score(
                n_true=counts["true"][label],
                n_predicted=counts["predicted"][label],
                n_right=counts["right"][label],
            )
            for label in sorted({*counts["true"], *counts["predicted"]})
        },
        confusion=confusion_of(pairs),
        n_tokens=pairs.total(),
        n_right_tokens=n_right_tokens,
    )


def errors(
    sentences: Sequence[TaggedSentence], predicted: Tags, scheme: Scheme | None = None
) -> Iterator[str]:
    """The sentences with a span that is not right, each in three lines with its spans marked.

        wnut16/dev: line 42
          true:      in [New York](LOC) with Ann
          predicted: in New York with [Ann](PER)

    Of tags that are no spans, those that are wrong are marked.

    Args:
        sentences: with their true tags.
        predicted: the tags of each.
        scheme: as for `evaluate`.

    Raises:
        InputError: as `evaluate` does.
    """
    true, predicted, scheme = _read([s.tags for s in sentences], predicted, scheme)
    for sentence, true_tags, predicted_tags in zip(sentences, true, predicted, strict=True):
        there, found = spans(true_tags, scheme), spans(predicted_tags, scheme)
        if there == found:
            continue
        if scheme == "plain":
            there, found = (
                [span for span in mine if span not in other]
                for mine, other in ((there, {*found}), (found, {*there}))
            )
        yield (
            f"{sentence.source}: line {sentence.line}\n"
            f"  true:      {_marked(sentence.tokens, there)}\n"
            f"  predicted: {_marked(sentence.tokens, found)}"
        )


def _read(true: Tags, predicted: Tags, scheme: Scheme | None) -> tuple[Tags, Tags, Scheme]:
    """Both in the canonical spelling, and the scheme of the true ones."""
    _check(true, predicted)
    sides = []
    for name, tags in (("true", true), ("predicted", predicted)):
        reading = read_tags(
            tags,
            scheme if scheme in ("plain", "IO") else None,
            are_spans=scheme not in (None, "plain"),
            where=partial(_where, name),
        )
        for message in reading.messages:
            _logger.warning("%s", message)
        sides.append([reading.spelled(sentence) for sentence in tags])
        scheme = scheme or reading.scheme  # of the true ones: the predicted are of the same kind
    assert scheme is not None
    return sides[0], sides[1], scheme


def _where(side: str, sentence: int, token: int) -> str:
    return f"evaluate: {side}: sentence {sentence + 1}: token {token + 1}"


def _check(true: Tags, predicted: Tags) -> None:
    check_sentences(true, "evaluate: true")
    check_sentences(predicted, "evaluate: predicted")
    if len(true) != len(predicted):
        raise InputError(f"evaluate: expected {len(true)} sentences, got {len(predicted)}")
    for number, (one, other) in enumerate(zip(true, predicted, strict=True), start=1):
        if len(one) != len(other):
            raise InputError(
                f"evaluate: sentence {number}: expected {len(one)} tags, got {len(other)}"
            )


def percent(part: int, whole: int) -> float:
    """Of the whole; 0 where there is nothing."""
    return 100 * part / whole if whole else 0.0


def _labels(found: Sequence[Span], n: int) -> list[str]:
    """The label of each of `n` tokens."""
    labels = [_OUTSIDE] * n
    for span in found:
        labels[span.start : span.end] = [span.label] * (span.end - span.start)
    return labels


def confusion_of(pairs: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Numbers by the true and the predicted label, out of those of such pairs."""
    labels = sorted({*chain.from_iterable(pairs)})
    return {
        true: {found: pairs[true, found] for found in labels if pairs[true, found]}
        for true in labels
    }


def _marked(tokens: Sequence[str], found: Sequence[Span]) -> str:
    """A sentence with its spans in brackets and their labels behind them."""
    pieces: list[str] = []
    end = 0
    for span in found:
        pieces += tokens[end : span.start]
        pieces.append(f"[{' '.join(tokens[span.start : span.end])}]({span.label})")
        end = span.end
    return " ".join([*pieces, *tokens[end:]])


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, its first column of words and the others of numbers."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    escaped = ((cell.replace("|", "\\|") for cell in line) for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


@dataclass(frozen=True, kw_only=True)
class LabelScores:
    """The scores of all labels and of each."""

    n: int
    """Sentences or pairs."""
    n_right: int
    by_label: Mapping[str, Score]
    """By label, sorted: those that are true or predicted somewhere."""
    confusion: Mapping[str, Mapping[str, int]]
    """Numbers by the true and the predicted label."""

    @property
    def accuracy(self) -> float:
        """Percent of the labels that are right."""
        return percent(self.n_right, self.n)

    @property
    def macro_f1(self) -> float:
        """The mean of the labels' F1, in percent."""
        return mean(score.f1 for score in self.by_label.values()) if self.by_label else 0.0

    def to_dict(self) -> dict[str, Any]:
        """What a report in JSON holds; accuracy, precision, recall and F1 in percent."""
        return {
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "n": self.n,
            "n_right": self.n_right,
            "by_label": {label: score.to_dict() for label, score in self.by_label.items()},
            "confusion": {label: dict(row) for label, row in self.confusion.items()},
        }

    def to_markdown(self) -> str:
        """Tables of the scores by label and of the confusion, for a page."""
        head = ("label", "precision", "recall", "F1", "true", "predicted", "right")
        rows = [
            (label, *(f"{x:.2f}" for x in (score.precision, score.recall, score.f1)),
             *(f"{n:,}" for n in (score.n_true, score.n_predicted, score.n_right)))
            for label, score in self.by_label.items()
        ]  # fmt: skip
        labels = list(self.confusion)
        counts = [
            (label, *(f"{row.get(other, 0):,}" for other in labels))
            for label, row in self.confusion.items()
        ]
        return (
            f"Accuracy: {self.accuracy:.2f} % of {self.n:,}; macro-F1: {self.macro_f1:.2f}.\n\n"
            f"{markdown_table(head, rows)}\n"
            + markdown_table(("true \\ predicted", *labels), counts)
        )


def label_scores(true: Sequence[str], predicted: Sequence[str]) -> LabelScores:
    """The scores of predicted labels.

    Raises:
        InputError: there is not one for each true one, or either is one string.
    """
    check_strings(true, "label_scores: true")
    check_strings(predicted, "label_scores: predicted")
    if len(true) != len(predicted):
        raise InputError(f"label_scores: expected {len(true)} labels, got {len(predicted)}")
    pairs = Counter(zip(true, predicted, strict=True))
    counts = Counter(true), Counter(predicted)
    return LabelScores(
        n=len(true),
        n_right=sum(map(str.__eq__, true, predicted)),
        by_label={
            label: Score(
                n_true=counts[0][label], n_predicted=counts[1][label], n_right=pairs[label, label]
            )
            for label in sorted({*true, *predicted})
        },
        confusion=confusion_of(pairs),
    )
