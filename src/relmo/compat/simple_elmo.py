"""`simple_elmo` 0.9.2's `ElmoModel` on relmo: one import to change.

    from relmo.compat.simple_elmo import ElmoModel

    model = ElmoModel()
    model.load(folder)
    vectors = model.get_elmo_vectors([["The", "cat", "sat"]])  # (1, 3, dim)

Names, arguments and shapes are the original's. What it did by mistake is not done here:

- `get_elmo_vector_average` is the mean over a text's own tokens. The original counted the padding
  in, whose token layer is not zero, so that a vector depended on the longest text of its batch.
- with `layers="all"` that mean is taken layer by layer. The original reshaped (layers, tokens) to
  (tokens, layers) where it should have transposed.
- `get_elmo_substitutes` reads each sentence from its start, LSTM state handed from token to token.
  The original started anew at every token and so saw one word of context. `logp` are
  log-probabilities in nats and not logits; the marks are left out of the candidates and not given
  the logit 0; candidates come best first; any number of sentences will do.
- the same text has the same vectors, whatever was computed before: `warmup` has nothing to do, and
  is accepted. So are `session`, `limit` (relmo keeps the words that it meets) and `max_batch_size`
  (it batches by tokens, which bounds memory).
- a text without tokens has zeros, and an empty list of texts an empty array, where it failed.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch

from relmo.elmo.language_model import Expected, LanguageModel
from relmo.elmo.model import Elmo, load
from relmo.errors import InputError
from relmo.text.chars import BOS_TOKEN, EOS_TOKEN, UNK_TOKEN
from relmo.text.tokenizers import Sentence
from relmo.text.vocab import Vocabulary

__all__ = ["ElmoModel"]

Array = npt.NDArray[np.float64]
_Layers = Literal["average", "top", "all"]


class ElmoModel:
    """An ELMo behind the names of simple_elmo; `load` comes first."""

    def __init__(self) -> None:
        self._elmo: Elmo | None = None
        self._next_words: LanguageModel | None = None
        self.batch_size: int | None = None

    def load(
        self,
        directory: str | os.PathLike[str],
        max_batch_size: int = 32,
        limit: int = 100,
        full: bool = False,
        *,
        device: str | torch.device = "cpu",
    ) -> str:
        """Load a model: anything that `relmo.load` takes.

        Args:
            directory: the model's folder, archive or name.
            max_batch_size: accepted and not needed.
            limit: accepted and not needed.
            full: with its softmax, for `get_elmo_substitutes`; of a folder that holds HDF5 weights
                and a TensorFlow checkpoint too, the checkpoint is read, which has it.
            device: where it computes, such as "cpu" or "cuda".

        Raises:
            FormatError: not a model, or one whose files contradict each other.
            InputError: there is no such model, or `full` and it has no softmax.
        """
        elmo = load(_with_softmax(directory) if full else os.fspath(directory), device=device)
        self._next_words = LanguageModel(elmo) if full else None
        self._elmo, self.batch_size = elmo, max_batch_size
        return "The model is now loaded."

    @property
    def elmo(self) -> Elmo:
        """The model underneath.

        Raises:
            InputError: `load` was not called.
        """
        if self._elmo is None:
            raise InputError("ElmoModel: no model yet; call load(directory) first")
        return self._elmo

    @property
    def vector_size(self) -> int:
        """Width of a vector."""
        return self.elmo.dim

    @property
    def n_layers(self) -> int:
        """Layers of vectors, the token layer counted."""
        return self.elmo.n_layers

    @property
    def vocab(self) -> Vocabulary | None:
        """The words that the softmax predicts, if there is a vocabulary."""
        return self.elmo.vocab

    def get_elmo_vectors(
        self,
        texts: Sequence[Sentence],
        warmup: bool = True,
        layers: str = "average",
        session: Any = None,
    ) -> Array:
        """Vectors of every token, padded with zeros to the longest text.

        Args:
            texts: lists of tokens, or strings that are split on white space.
            warmup: accepted and not needed.
            layers: "average", "top" or "all".
            session: accepted and not needed.

        Returns:
            (texts, time, dim), or (texts, n_layers, time, dim) for "all".

        Raises:
            InputError: `layers` is none of these, or `texts` is a single string.
        """
        vectors = self.elmo.embed(texts, _checked(layers))
        longest = max((array.shape[-2] for array in vectors), default=0)
        inner = (self.n_layers,) if layers == "all" else ()
        padded = np.zeros((len(vectors), *inner, longest, self.vector_size))
        for row, array in zip(padded, vectors, strict=True):
            row[..., : array.shape[-2], :] = array
        return padded

    def get_elmo_vector_average(
        self,
        texts: Sequence[Sentence],
        warmup: bool = True,
        layers: str = "average",
        session: Any = None,
    ) -> Array:
        """The mean over a text's tokens, brought to length 1.

        Args, Raises: see `get_elmo_vectors`.

        Returns:
            (texts, dim), each of length 1; or (texts, n_layers, dim) for "all", the layers of a
            text together of length 1.
        """
        means = self.elmo.encode(texts, _checked(layers)).astype(np.float64)
        lengths = np.sqrt((means**2).sum(axis=tuple(range(1, means.ndim)), keepdims=True))
        normal: Array = means / np.where(lengths > 0, lengths, 1.0)
        return normal

    def get_elmo_substitutes(
        self, data: Sequence[Sentence], topn: int = 3, nodelimiters: bool = True
    ) -> list[list[dict[str, Any]]]:
        """The words that the language model expects at each token, from before and from after.

        Args:
            data: sentences, strings that are split on white space or lists of tokens.
            topn: words a token and direction.
            nodelimiters: leave `<S>` and `</S>` out of the candidates.

        Returns:
            For each sentence a list with, for each token, `{"word": ..., "forward": {...},
            "backward": {...}}`: "word" is the token, or `<UNK>` where the vocabulary does not have
            it; each direction has "candidates" (ids), "candidate_words" and "logp", best first.

        Raises:
            InputError: the model was not loaded with `full=True`, or topn is below 1.
        """
        if self._next_words is None:
            raise InputError("get_elmo_substitutes: load the model with full=True")
        sentences = [text.split() if isinstance(text, str) else list(text) for text in data]
        marks = (BOS_TOKEN, EOS_TOKEN) if nodelimiters else ()
        vocab = self._next_words.vocab
        return [
            [
                {
                    "word": token if token in vocab else UNK_TOKEN,
                    "forward": _candidates(expectation.forward, place, vocab),
                    "backward": _candidates(expectation.backward, place, vocab),
                }
                for place, token in enumerate(sentence)
            ]
            for sentence, expectation in zip(
                sentences, self._next_words.top(sentences, topn, without=marks), strict=True
            )
        ]


def _candidates(expected: Expected, place: int, vocab: Vocabulary) -> dict[str, list[Any]]:
    ids = expected.ids[place].tolist()
    return {
        "candidates": ids,
        "candidate_words": [vocab.words[number] for number in ids],
        "logp": expected.log_probabilities[place].tolist(),
    }


def _checked(layers: str) -> _Layers:
    if layers not in ("average", "top", "all"):
        raise InputError(f"layers: expected 'average', 'top' or 'all', got {layers!r}")
    return cast(_Layers, layers)


def _with_softmax(directory: str | os.PathLike[str]) -> str:
    """The prefix of the TensorFlow checkpoint in a folder, where there is one, else the folder."""
    folder = Path(directory)
    found = sorted(folder.glob("*.index")) if folder.is_dir() else []
    return str(found[0].with_suffix("")) if len(found) == 1 else os.fspath(directory)
