"""ElmoClassifier: relmo's own classifier as a scikit-learn estimator.

from relmo.integrations.sklearn_classifier import ElmoClassifier

classifier = ElmoClassifier(epochs=10).fit(texts, labels)
classifier.predict_proba(["a gorgeous , witty film ."])
"""

import tempfile
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from relmo.data.labelled import LabelledSentence, split
from relmo.errors import InputError, MissingExtraError
from relmo.integrations._models import shared
from relmo.tasks.classifier import Classifier
from relmo.tasks.config import ClassifierConfig, ClassifierTraining
from relmo.text.tokenizers import tokenised

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import assert_all_finite, check_is_fitted, column_or_1d
except ImportError as error:
    raise MissingExtraError("scikit-learn", "sklearn") from error

__all__ = ["ElmoClassifier"]


class ElmoClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Learns labels of texts, or of pairs of texts, over a frozen biLM.

    A part of what `fit` is given is held out, and the epoch that is best on it is kept. Labels may
    be anything that numpy can sort. A fitted estimator can be pickled; the biLM goes along.

    Args:
        model: what `relmo.load` takes, or an `Elmo`; None: the model in the box.
        config: the network's shape; None: the default one. Whether it classifies pairs is seen.
        epochs: times through the texts at most.
        batch_size: texts of a step.
        learning_rate: the highest one.
        held_out: share of the texts that are held out; 0: all are learned from, and it is the epoch
            best on them that is kept.
        seed: decides what is held out, initial weights, order and dropout.
        device: where a model that is loaded computes.
    """

    def __init__(
        self,
        model: Any = None,
        *,
        config: Any = None,
        epochs: Any = 20,
        batch_size: Any = 32,
        learning_rate: Any = 2e-3,
        held_out: Any = 0.1,
        seed: Any = 1,
        device: Any = "cpu",
    ) -> None:  # anything: scikit-learn sets what it likes and expects to hear of it in `fit`
        self.model = model
        self.config = config
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.held_out = held_out
        self.seed = seed
        self.device = device

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803 - scikit-learn's name
        """Learn the labels `y` of the texts `X`.

        Args:
            X: strings that are split on white space, or lists of tokens; of pairs tuples of two
                strings, or a table of two columns.
            y: as many labels.

        Raises:
            InputError, ConfigError, FormatError: a parameter, a text or a label cannot be used.
            ValueError: `y` are no labels, says scikit-learn, such as numbers that are not whole; or
                there is only one class, where its own estimators raise this too.
        """
        firsts, seconds = _texts(X)
        labels = column_or_1d(y, warn=True)
        assert_all_finite(labels, input_name="y")
        check_classification_targets(labels)
        if len(labels) != len(firsts):
            raise InputError(f"y: expected {len(firsts)} labels, got {len(labels)}")
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        if len(self.classes_) == 1:
            raise ValueError(f"y: one class alone, {self.classes_[0]}; expected two at least")
        width = len(str(len(self.classes_)))  # so that sorted names are sorted numbers
        examples = [
            LabelledSentence(
                tokens=tuple(tokens),
                label=f"{numbers[i]:0{width}}",
                source="X",
                line=i + 1,
                second=None if seconds is None else tuple(seconds[i]),
            )
            for i, tokens in enumerate(firsts)
        ]
        shape = ClassifierConfig() if self.config is None else self.config
        shape = ClassifierConfig.from_dict({**shape.to_dict(), "pairs": seconds is not None})
        training = ClassifierTraining(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            seed=self.seed,
        )
        train, dev = self._parts(examples)
        elmo = shared(self.model, self.device) if shape.elmo else None
        with tempfile.TemporaryDirectory(prefix="relmo-") as folder:
            cache = Path(folder) / "layers"
            self.classifier_ = Classifier.train(
                train,
                dev,
                Path(folder) / "run",
                elmo=elmo,
                config=shape,
                training=training,
                cache=cache,
            )
        return self

    def _parts(
        self, examples: list[LabelledSentence]
    ) -> tuple[list[LabelledSentence], list[LabelledSentence]]:
        """What is learned from, and what is held out of it: no label that is nowhere else."""
        if not self.held_out:
            return examples, examples
        train, dev = split(examples, [1 - self.held_out, self.held_out], self.seed)
        known = {example.label for example in train}
        return (
            train + [example for example in dev if example.label not in known],
            [example for example in dev if example.label in known] or train,
        )

    def predict_proba(self, X: Any) -> npt.NDArray[np.float32]:  # noqa: N803
        """Probabilities of each of `classes_`, (n, n_classes).

        Raises:
            InputError: a text cannot be used, or is a pair where none was learned from.
        """
        check_is_fitted(self)
        return self.classifier_.predict_proba(*_texts(X))

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """The label of each text or pair; see `predict_proba`."""
        best = self.predict_proba(X).argmax(1)  # before classes_, which is not there before fit
        labels: npt.NDArray[Any] = self.classes_[best]
        return labels

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags


def _texts(X: Any) -> tuple[list[list[str]], list[list[str]] | None]:  # noqa: N803
    """The tokens of texts, or of the first and the second ones of pairs.

    Raises:
        InputError: X is a string, or neither texts nor pairs.
    """
    if isinstance(X, str):
        raise InputError("X is one string; give a list of texts, such as [text]")
    given = _pairs(X) if len(getattr(X, "shape", (0,))) != 1 else list(X)
    pairs = [isinstance(text, tuple) for text in given]
    if not any(pairs):
        return list(tokenised(given)), None
    for number, (text, pair) in enumerate(zip(given, pairs, strict=True)):
        if not pair or len(text) != 2:
            raise InputError(
                f"sample {number}: expected a pair of texts, as others are, got {text!r:.60}"
            )
    first, second = zip(*given, strict=True)
    return list(tokenised(first)), list(tokenised(second))


def _pairs(table: Any) -> list[tuple[str, str]]:
    """The rows of an array or of a data frame of texts.

    Raises:
        InputError: it has not two columns, or is sparse.
    """
    rows = np.asarray(table, dtype=object)  # of a sparse one, a single object
    if rows.ndim != 2 or rows.shape[1] != 2:
        raise InputError(
            f"X: expected a text a sample, or a table of two columns of texts, got a "
            f"{type(table).__name__} of shape {table.shape}"
        )
    return [(first, second) for first, second in rows]
