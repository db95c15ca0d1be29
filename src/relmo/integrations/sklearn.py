"""ElmoVectorizer: texts to vectors in a scikit-learn pipeline. scikit-learn is imported here alone.

from relmo.integrations.sklearn import ElmoVectorizer

classifier = make_pipeline(ElmoVectorizer(layers="top"), LogisticRegression())
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from relmo.elmo.model import Elmo
from relmo.errors import InputError, MissingExtraError
from relmo.integrations._models import embed_rows, shared, width

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
except ImportError as error:
    raise MissingExtraError("scikit-learn", "sklearn") from error

__all__ = ["ElmoVectorizer"]


class ElmoVectorizer(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """One vector a text: its tokens' vectors pooled. Nothing is learned; `fit` checks and loads.

    The parameters are kept as given; the model is loaded when it is first needed, once for all
    estimators that name it, and neither copied nor pickled along. An `Elmo` given as the model is.

    Args:
        model: what `relmo.load` takes, or an `Elmo`; None: the model in the box.
        layers: as in `Elmo.embed`; "all" puts the layers side by side, n_layers * dim numbers.
        pooling: "mean" or "max" over the tokens of a text; a text without tokens is zeros.
        tokenizer: from a string to its tokens; None: split on white space.
        device: where a model that is loaded computes.
        token_budget: tokens computed together; None: the model's.
    """

    def __init__(
        self,
        model: Any = None,
        *,
        layers: Any = "average",
        pooling: Any = "mean",
        tokenizer: Any = None,
        device: Any = "cpu",
        token_budget: Any = None,
    ) -> None:  # anything: scikit-learn sets what it likes and expects to hear of it in `fit`
        self.model = model
        self.layers = layers
        self.pooling = pooling
        self.tokenizer = tokenizer
        self.device = device
        self.token_budget = token_budget

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: N803 - scikit-learn's name
        """Check the parameters and load the model; the texts are not looked at.

        Raises:
            InputError: a parameter is impossible, or X is a string or not one text a sample.
            FormatError: the model cannot be read.
        """
        _documents(X)
        self._check()
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float32]:  # noqa: N803
        """Vectors of texts, (n_samples, n_features), float32.

        Args:
            X: one text a sample: strings, or lists of tokens.

        Raises:
            InputError: as `fit`, or a sample is neither.
        """
        texts = _documents(X)
        elmo = self._check()
        vectors = np.zeros((len(texts), self._n_features_out), np.float32)
        stream = elmo.embed_stream(self._tokens(texts), self.layers, token_budget=self.token_budget)
        for row, array in zip(vectors, stream, strict=True):
            if array.shape[-2]:
                pooled = array.mean(-2) if self.pooling == "mean" else array.max(-2)
                row[:] = pooled.reshape(-1)
        return vectors

    @property
    def _n_features_out(self) -> int:
        """Width of a text's vector; scikit-learn asks for it under this name."""
        return width(self._elmo(), self.layers)

    def _elmo(self) -> Elmo:
        if not (self.model is None or isinstance(self.model, str | Path | Elmo)):
            raise InputError(f"model: expected a path, a name or an Elmo, got {self.model!r:.60}")
        return shared(self.model, self.device)

    def _check(self) -> Elmo:
        if self.pooling not in ("mean", "max"):
            raise InputError(f"pooling: expected 'mean' or 'max', got {self.pooling!r}")
        elmo = self._elmo()
        embed_rows(elmo, [], self.layers, token_budget=self.token_budget)
        return elmo

    def _tokens(self, texts: Iterable[Any]) -> Iterator[str | Sequence[str]]:
        for number, text in enumerate(texts):
            if isinstance(text, str):
                yield text if self.tokenizer is None else self.tokenizer(text)
            elif isinstance(text, list | tuple | np.ndarray):
                yield list(text)
            else:
                raise InputError(
                    f"sample {number}: expected a string or a list of tokens, got "
                    f"{type(text).__name__}"
                )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        tags.requires_fit = False
        return tags


def _documents(X: Any) -> Any:  # noqa: N803
    """X, if it can be one text a sample.

    Raises:
        InputError: it is a string, a table or a sparse matrix, or has no length.
    """
    if isinstance(X, str):
        raise InputError("X is one string; give a list of texts, such as [text]")
    if hasattr(X, "__array__"):
        X = np.asarray(X)  # noqa: N806 - a table's column, such as pandas'
    shape = getattr(X, "shape", None)
    if shape is not None and len(shape) != 1:
        raise InputError(
            f"X: expected one text a sample, got a {type(X).__name__} of shape {shape} (dense or "
            "sparse tables hold no texts); of a table give one column, such as table['text']"
        )
    return X if hasattr(X, "__len__") else list(X)
