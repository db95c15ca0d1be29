"""Predicted labels against true ones: accuracy, and precision, recall and F1 of each label.

>>> scores = label_scores(["a", "a", "b"], ["a", "b", "b"])
>>> round(scores.accuracy, 2), round(scores.macro_f1, 2)
(66.67, 66.67)
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from relmo.errors import InputError
from relmo.tasks.evaluation import Score, confusion_of, markdown_table, percent
from relmo.text.sentences import check_strings

__all__ = ["LabelScores", "label_scores"]


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
