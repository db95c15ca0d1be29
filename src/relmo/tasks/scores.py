"""Predicted tags against true ones: precision, recall and F1 as the conlleval script counts them.

    >>> scores = evaluate([["B-LOC", "I-LOC", "O", "B-PER"]], [["B-LOC", "O", "O", "B-PER"]])
    >>> scores.precision, scores.recall, scores.f1, scores.accuracy
    (50.0, 50.0, 50.0, 75.0)
    >>> scores.by_type["PER"].f1
    100.0

A predicted span is right where a true one has the same first token, last token and label.
`spans.spans` says which spans tags stand for, invalid sequences too. Plain tags, such as parts of
speech, are spans of one token: precision, recall and F1 are then the accuracy.

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
from typing import Any, NamedTuple

from relmo.data.spans import OUTSIDE, Scheme, Span, spans
from relmo.data.tag_reading import kind_of, read_tags
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
    "span_scores",
]

_logger = logging.getLogger(__name__)
Tags = Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """Numbers of spans: true, predicted, and both."""

    n_true: int
    n_predicted: int
    n_right: int

    @property
    def precision(self) -> float:
        """Percent of the predicted spans that are right; 0 where none is predicted."""
        return percent(self.n_right, self.n_predicted)

    @property
    def recall(self) -> float:
        """Percent of the true spans that are predicted; 0 where no span is true."""
        return percent(self.n_right, self.n_true)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, in percent; 0 where both are 0."""
        return percent(2 * self.n_right, self.n_true + self.n_predicted)

    def to_dict(self) -> dict[str, Any]:
        """Return what a report in JSON holds."""
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
    """Numbers of tokens by their true and their predicted label, O for none."""
    n_tokens: int
    n_right_tokens: int
    """Tokens whose tag is right, letter and label."""

    @property
    def accuracy(self) -> float:
        """Percent of the tokens whose tag is right."""
        return percent(self.n_right_tokens, self.n_tokens)

    def to_dict(self) -> dict[str, Any]:
        """Return what a report in JSON holds; precision, recall, F1 and accuracy in percent."""
        return {
            **Score.to_dict(self),
            "accuracy": self.accuracy,
            "n_tokens": self.n_tokens,
            "by_type": {label: score.to_dict() for label, score in self.by_type.items()},
            "confusion": {label: dict(row) for label, row in self.confusion.items()},
        }

    def to_markdown(self) -> str:
        """Return tables of the scores by type and of the confusion, for a page."""
        scores = _score_table("type", {"all": self, **self.by_type})
        accuracy = f"Token accuracy: {self.accuracy:.2f} % of {self.n_tokens:,}."
        return f"{scores}\n{accuracy}\n\n{_confusion_table(self.confusion)}"


def evaluate(true: Tags, predicted: Tags, scheme: Scheme | None = None) -> Scores:
    """Score predicted tags.

    Args:
        true: the tags of each sentence.
        predicted: as many; those of spans may be in another scheme, which only the accuracy heeds.
        scheme: None: the one that the true tags fit. It matters only whether it is `plain`, tags of
            one token each, or `IO`, labels alone; spans may be in any other.

    Both are read by `tag_reading.read_tags`: in whichever spelling, and mistyped ones as what was
    meant, or as O. A predicted tag that is a label of the true ones alone is in a span of it. What
    is not read as it stands is a warning in the log.

    Raises:
        InputError: predicted tags differ in number from the true ones, a sentence is one string,
            the tags should be those of spans and too many are not, or there is no such scheme.
    """
    read = _read(true, predicted, scheme)
    for message in read.messages:
        _logger.warning("%s", message)
    return span_scores(read.true, read.predicted, read.scheme)


def span_scores(true: Tags, predicted: Tags, scheme: Scheme) -> Scores:
    """Score predicted tags in the canonical spelling; else as `evaluate`.

    Args:
        true: the tags of each sentence.
        predicted: as many.
        scheme: only whether it is `plain` matters.

    Raises:
        InputError: predicted tags differ in number from the true ones, or a tag is not canonical.
    """
    _check_lengths(true, predicted)
    n_true, n_predicted, n_right = Counter[str](), Counter[str](), Counter[str]()
    pairs: Counter[tuple[str, str]] = Counter()
    n_right_tokens = 0
    for true_tags, predicted_tags in zip(true, predicted, strict=True):
        true_spans, predicted_spans = spans(true_tags, scheme), spans(predicted_tags, scheme)
        n_true.update(span.label for span in true_spans)
        n_predicted.update(span.label for span in predicted_spans)
        n_right.update(span.label for span in {*true_spans} & {*predicted_spans})
        n = len(true_tags)
        pairs.update(zip(_labels(true_spans, n), _labels(predicted_spans, n), strict=True))
        n_right_tokens += sum(map(str.__eq__, true_tags, predicted_tags))
    return Scores(
        n_true=n_true.total(),
        n_predicted=n_predicted.total(),
        n_right=n_right.total(),
        by_type=_by_label(n_true, n_predicted, n_right),
        confusion=confusion_of(pairs),
        n_tokens=pairs.total(),
        n_right_tokens=n_right_tokens,
    )


def errors(
    sentences: Sequence[TaggedSentence], predicted: Tags, scheme: Scheme | None = None
) -> Iterator[str]:
    """Yield the sentences with a span that is not right, each in three lines with its spans marked.

        wnut16/dev: line 42
          true:      in [New York](LOC) with Ann
          predicted: in New York with [Ann](PER)

    Of plain tags those that are wrong are marked. Tags are read as `evaluate` reads them, which
    logs a warning of those not read as they stand; this does not.

    Args:
        sentences: with their true tags.
        predicted: the tags of each.
        scheme: as for `evaluate`.

    Raises:
        InputError: as `evaluate` does.
    """
    read = _read([sentence.tags for sentence in sentences], predicted, scheme)
    for sentence, true_tags, predicted_tags in zip(
        sentences, read.true, read.predicted, strict=True
    ):
        true_spans = spans(true_tags, read.scheme)
        predicted_spans = spans(predicted_tags, read.scheme)
        if true_spans == predicted_spans:
            continue
        if read.scheme == "plain":
            right = {*true_spans} & {*predicted_spans}
            true_spans = [span for span in true_spans if span not in right]
            predicted_spans = [span for span in predicted_spans if span not in right]
        yield (
            f"{sentence.source}: line {sentence.line}\n"
            f"  true:      {_marked(sentence.tokens, true_spans)}\n"
            f"  predicted: {_marked(sentence.tokens, predicted_spans)}"
        )


class _Sides(NamedTuple):
    """True and predicted tags in the canonical spelling."""

    true: Tags
    predicted: Tags
    scheme: Scheme
    messages: tuple[str, ...]
    """What is not read as it stands."""


def _read(true: Tags, predicted: Tags, scheme: Scheme | None) -> _Sides:
    """Read both sides, the predicted tags as ones of the kind and the labels of the true ones."""
    check_sentences(true, "evaluate: true")
    check_sentences(predicted, "evaluate: predicted")
    _check_lengths(true, predicted)
    reading = read_tags(true, kind=kind_of(scheme), where=partial(_where, "true"))
    scheme = scheme or reading.scheme
    predicted_reading = read_tags(
        predicted,
        kind=kind_of(scheme),
        labels=reading.labels,
        where=partial(_where, "predicted"),
    )
    return _Sides(
        [reading.spelled(tags) for tags in true],
        [predicted_reading.spelled(tags) for tags in predicted],
        scheme,
        reading.messages + predicted_reading.messages,
    )


def _where(side: str, sentence: int, token: int) -> str:
    return f"evaluate: {side}: sentence {sentence + 1}: token {token + 1}"


def _check_lengths(true: Tags, predicted: Tags) -> None:
    """Refuse other numbers of sentences or tags than the true ones."""
    if len(true) != len(predicted):
        raise InputError(f"evaluate: expected {len(true)} sentences, got {len(predicted)}")
    for number, (one, other) in enumerate(zip(true, predicted, strict=True), start=1):
        if len(one) != len(other):
            raise InputError(
                f"evaluate: sentence {number}: expected {len(one)} tags, got {len(other)}"
            )


def percent(part: int, whole: int) -> float:
    """Return the percentage of the whole that a part is; 0 where the whole is 0."""
    return 100 * part / whole if whole else 0.0


def _by_label(
    n_true: Counter[str], n_predicted: Counter[str], n_right: Counter[str]
) -> dict[str, Score]:
    """Return the score of each label, sorted, from numbers by label."""
    return {
        label: Score(n_true=n_true[label], n_predicted=n_predicted[label], n_right=n_right[label])
        for label in sorted({*n_true, *n_predicted})
    }


def _labels(spans: Sequence[Span], n: int) -> list[str]:
    """Return the label of each of `n` tokens."""
    labels = [OUTSIDE] * n
    for span in spans:
        labels[span.start : span.end] = [span.label] * (span.end - span.start)
    return labels


def confusion_of(pairs: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Return numbers by the true and by the predicted label, from numbers by pairs of them."""
    labels = sorted({*chain.from_iterable(pairs)})
    return {
        true: {other: pairs[true, other] for other in labels if pairs[true, other]}
        for true in labels
    }


def _marked(tokens: Sequence[str], spans: Sequence[Span]) -> str:
    """Return a sentence with its spans in brackets and their labels behind them."""
    pieces: list[str] = []
    end = 0
    for span in spans:
        pieces += tokens[end : span.start]
        pieces.append(f"[{' '.join(tokens[span.start : span.end])}]({span.label})")
        end = span.end
    return " ".join([*pieces, *tokens[end:]])


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, its first column of words and the others of numbers."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    escaped = ((cell.replace("|", "\\|") for cell in line) for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


def _score_table(name: str, scores: Mapping[str, Score]) -> str:
    """Return a table of scores, a row for each, whose first column has this name."""
    head = (name, "precision", "recall", "F1", "true", "predicted", "right")
    rows = []
    for label, score in scores.items():
        percents = (score.precision, score.recall, score.f1)
        numbers = (score.n_true, score.n_predicted, score.n_right)
        rows.append((label, *(f"{x:.2f}" for x in percents), *(f"{n:,}" for n in numbers)))
    return markdown_table(head, rows)


def _confusion_table(confusion: Mapping[str, Mapping[str, int]]) -> str:
    """Return a table of numbers by true label, down, and predicted label, across."""
    rows = [
        (label, *(f"{row.get(other, 0):,}" for other in confusion))
        for label, row in confusion.items()
    ]
    return markdown_table(("true \\ predicted", *confusion), rows)


@dataclass(frozen=True, kw_only=True)
class LabelScores:
    """The scores of all labels and of each."""

    n: int
    """Sentences or pairs."""
    n_right: int
    by_label: Mapping[str, Score]
    """By label, sorted: the labels that are true or predicted of any."""
    confusion: Mapping[str, Mapping[str, int]]
    """Numbers of sentences by their true and their predicted label."""

    @property
    def accuracy(self) -> float:
        """Percent of the labels that are right."""
        return percent(self.n_right, self.n)

    @property
    def macro_f1(self) -> float:
        """Mean of the labels' F1, in percent."""
        return mean(score.f1 for score in self.by_label.values()) if self.by_label else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return what a report in JSON holds; accuracy, precision, recall and F1 in percent."""
        return {
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "n": self.n,
            "n_right": self.n_right,
            "by_label": {label: score.to_dict() for label, score in self.by_label.items()},
            "confusion": {label: dict(row) for label, row in self.confusion.items()},
        }

    def to_markdown(self) -> str:
        """Return tables of the scores by label and of the confusion, for a page."""
        accuracy = f"Accuracy: {self.accuracy:.2f} % of {self.n:,}; macro-F1: {self.macro_f1:.2f}."
        scores = _score_table("label", self.by_label)
        return f"{accuracy}\n\n{scores}\n{_confusion_table(self.confusion)}"


def label_scores(true: Sequence[str], predicted: Sequence[str]) -> LabelScores:
    """Score predicted labels.

    Raises:
        InputError: predicted labels differ in number from the true ones, or either is one string.
    """
    check_strings(true, "label_scores: true")
    check_strings(predicted, "label_scores: predicted")
    if len(true) != len(predicted):
        raise InputError(f"label_scores: expected {len(true)} labels, got {len(predicted)}")
    pairs = Counter(zip(true, predicted, strict=True))
    n_right = Counter({label: pairs[label, label] for label in true})
    return LabelScores(
        n=len(true),
        n_right=n_right.total(),
        by_label=_by_label(Counter(true), Counter(predicted), n_right),
        confusion=confusion_of(pairs),
    )
