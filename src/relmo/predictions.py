"""What the language model inside a biLM expects at each token, read from either side.

Forward, a token is predicted from those before it: the forward LSTM's top layer at the token
before, which is `<S>` at the start. Backward, from those after it, `</S>` at the end. One softmax
serves both directions (Peters et al. 2018, section 3.1).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from relmo.errors import InputError
from relmo.model import Elmo, Sentence, tokenised
from relmo.nn.softmax import top_words
from relmo.text import batching

__all__ = ["Expectation", "Expected", "NextWords"]

_MOST_NUMBERS = 4_000_000  # log-probabilities of a batch, for who asks for whole vocabularies


@dataclass(frozen=True, eq=False, kw_only=True)
class Expected:
    """The likeliest words at each token of a sentence, best first, read from one side."""

    ids: npt.NDArray[np.int64]
    """Words of the vocabulary, (tokens, n)."""
    log_probabilities: npt.NDArray[np.float32]
    """Their log-probabilities among all words, in nats, (tokens, n)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Expectation:
    """What was expected at each token of a sentence; what stands there was not seen."""

    forward: Expected
    """From the tokens before it."""
    backward: Expected
    """From the tokens after it."""


class NextWords:
    """The language model of an Elmo that has kept its softmax.

    Args:
        elmo: the model.

    Raises:
        InputError: the model has no softmax, or no vocabulary to name its words.
    """

    def __init__(self, elmo: Elmo) -> None:
        if elmo.softmax is None or elmo.vocab is None:
            raise InputError(
                f"{elmo!r} has no softmax, which predicting words takes; HDF5 weights come without "
                "one, and so does the model in the box: load a training checkpoint, or a model "
                "that relmo trained"
            )
        self.elmo, self.vocab = elmo, elmo.vocab
        self._softmax = elmo.softmax

    def top(
        self, sentences: Iterable[Sentence], n: int, *, without: Sequence[str] = ()
    ) -> Iterator[Expectation]:
        """The n likeliest words at each token, from both sides; lazily and in order.

        Args:
            sentences: lists of tokens, or strings that are split on white space.
            n: words; all of them where the vocabulary has fewer.
            without: words that are not to be among them; the probabilities stay what they are.

        Raises:
            InputError: n is below 1, or `sentences` is a single string.
        """
        if n < 1:
            raise InputError(f"the number of words must be at least 1, got {n}")
        ids = [self.vocab.index(word) for word in without if word in self.vocab]
        n = min(n, len(self.vocab))
        budget = min(self.elmo.token_budget, max(1, _MOST_NUMBERS // n))
        tokens = tokenised(sentences)
        return batching.in_order(tokens, lambda batch: self._top(batch, n, ids), budget)

    @torch.no_grad()
    def _top(self, batch: list[list[str]], n: int, without: list[int]) -> list[Expectation]:
        """Of sentences of falling length."""
        forward, backward = self._contexts(batch)
        lengths = [len(sentence) for sentence in batch]
        found = [self._expected(side, n, without, lengths) for side in (forward, backward)]
        return [Expectation(forward=f, backward=b) for f, b in zip(*found, strict=True)]

    def _contexts(self, batch: list[list[str]]) -> tuple[Tensor, Tensor]:
        """What the softmax is applied to for each token, forward and backward: two of (N, P)."""
        layers, lengths = self.elmo.run(batch)
        stops = np.cumsum(lengths)
        places = [
            np.arange(stop - length + 1, stop - 1)
            for stop, length in zip(stops, lengths, strict=True)
        ]
        real = torch.from_numpy(np.concatenate(places)).to(self.elmo.device)  # without the marks
        p = self.elmo.config.projection_dim
        return layers[-1][real - 1, :p], layers[-1][real + 1, p:]

    def _expected(
        self, contexts: Tensor, n: int, without: list[int], lengths: list[int]
    ) -> list[Expected]:
        weight, bias = (
            self._softmax[name].to(contexts.device, contexts.dtype) for name in ("weight", "bias")
        )
        ids, scores = (
            array.cpu().numpy() for array in top_words(contexts, weight, bias, n, without)
        )
        stops = np.cumsum(lengths)[:-1]
        return [
            # Copies, so that one sentence kept does not keep its whole batch.
            Expected(ids=i.copy(), log_probabilities=s.copy())
            for i, s in zip(np.split(ids, stops), np.split(scores, stops), strict=True)
        ]
