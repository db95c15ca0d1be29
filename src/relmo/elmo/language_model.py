"""What the language model inside a biLM expects at each token, read from either side.

Forward, a token is predicted from those before it: the forward LSTM's top layer at the token
before, which is `<S>` at the start. Backward, from those after it, `</S>` at the end. One softmax
serves both directions (Peters et al. 2018, section 3.1).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from relmo.elmo.model import Elmo
from relmo.errors import InputError
from relmo.nn.lstm import LSTMState
from relmo.nn.precision import exact
from relmo.nn.softmax import stored
from relmo.nn.word_scores import Part, added, parts, top_words, word_scores
from relmo.text import batching
from relmo.text.chars import UNK_TOKEN
from relmo.text.tokenizers import Sentence, tokenised
from relmo.text.vocab import SPECIALS

__all__ = [
    "Context",
    "Expectation",
    "Expected",
    "LanguageModel",
    "Scores",
    "Substitutes",
    "Surprisal",
    "bracketed",
]

Context = Literal["fresh", "carried"]
Result = TypeVar("Result")

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
    """What was expected at each token of a sentence; the token itself was not seen."""

    forward: Expected
    """From the tokens before it."""
    backward: Expected
    """From the tokens after it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Scores:
    """How the words of a sentence were predicted from one side, each among all words."""

    surprisal: npt.NDArray[np.float32]
    """Negative log-probability of the word itself, in bits, (predictions,)."""
    entropy: npt.NDArray[np.float32]
    """Of the prediction: the surprisal that was to be expected, in bits, (predictions,)."""
    rank: npt.NDArray[np.int64]
    """1 where the word was the likeliest, else 1 and as many as were likelier, (predictions,)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Surprisal:
    """How a sentence was predicted: one prediction per token, in the order of the tokens."""

    forward: Scores
    """From the tokens before; with the ends, one more at the end: `</S>`."""
    backward: Scores
    """From the tokens after; with the ends, one more at the beginning: `<S>`."""
    unknown: npt.NDArray[np.bool_]
    """Whether the token is not in the vocabulary, `<UNK>` being predicted for it, (tokens,)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Substitutes:
    """The likeliest words in one position of a sentence, best first, read from both sides."""

    tokens: list[str]
    """The sentence, the brackets taken off."""
    place: int
    """Number of the token in brackets, from 0."""
    words: list[str]
    """(n,)."""
    log_probabilities: npt.NDArray[np.float32]
    """In nats, (n,); those of the whole vocabulary are a distribution."""


class LanguageModel:
    """The language model of an Elmo that has its softmax.

    Args:
        elmo: the model.

    Raises:
        InputError: the model has no softmax, or no vocabulary to name its words.
    """

    def __init__(self, elmo: Elmo) -> None:
        if elmo.softmax is None or elmo.vocab is None:
            raise InputError(
                f"{elmo!r} has no softmax, which predicting words takes; HDF5 weights come without "
                "one: load the model in the box, a training checkpoint, or a model that relmo "
                "trained"
            )
        self.elmo, self.vocab = elmo, elmo.vocab
        self._cast: tuple[tuple[torch.device, torch.dtype], dict[str, Tensor]] | None = None

    def top(
        self, sentences: Iterable[Sentence], n: int, *, without: Sequence[str] = ()
    ) -> Iterator[Expectation]:
        """Yield the n likeliest words at each token, from both sides; lazily and in order.

        Args:
            sentences: lists of tokens, or strings that are split on white space.
            n: words; all of them where the vocabulary has fewer.
            without: words that are not to be among them; the probabilities stay what they are.

        Raises:
            InputError: n is below 1, or `sentences` is a single string.
        """
        ids, budget = self._left_out(n, without)
        tokens = tokenised(sentences)
        return self._in_order(tokens, budget, self._top, n, ids)

    def surprisal(
        self, sentences: Iterable[Sentence], *, ends: bool = False, context: Context = "fresh"
    ) -> Iterator[Surprisal]:
        """Yield surprisal, entropy and rank of every token, from both sides; lazily and in order.

        Args:
            sentences: lists of tokens, or strings that are split on white space.
            ends: whether the ends are predicted too: `</S>` forward, `<S>` backward.
            context: "fresh": each sentence from a zero state, as it is embedded. "carried": the
                forward LSTMs go on from where the sentence before stopped, so that all that was
                before counts; they read `<S> a b <S> c d ...`, as the published models were
                trained. What comes after a sentence counts in neither: backward, each is fresh.

        Raises:
            InputError: `sentences` is a single string, or `context` is neither.
            FormatError: the vocabulary lacks a word that is needed: `<UNK>`, or an end.
        """
        tokens, budget = tokenised(sentences), self.elmo.token_budget
        if ends:
            _ = self.vocab.bos, self.vocab.eos  # raises at once if it has none
        if context == "fresh":
            return self._in_order(tokens, budget, self._surprisal, ends)
        if context != "carried":
            raise InputError(f"context: expected 'fresh' or 'carried', got {context!r}")
        return self._carried(tokens, ends, budget)

    def substitutes(
        self, sentences: Iterable[Sentence], n: int = 10, *, without: Sequence[str] = SPECIALS
    ) -> Iterator[Substitutes]:
        """Yield the n likeliest words in the position of the one in brackets; lazily and in order.

        Read from both sides: the log-probabilities of the two directions are added up and
        normalized over the vocabulary. The word in brackets itself is not looked at.

        Args:
            sentences: each with one token in brackets: "The [bank] was closed ."
            n: words; all of them where the vocabulary has fewer.
            without: words that are not to be among them; the probabilities stay what they are.

        Raises:
            InputError: n is below 1, or `sentences` is a single string; when its turn comes, a
                sentence in which not one token is in brackets.
        """
        ids, budget = self._left_out(n, without)
        tokens = (
            _checked(sentence, number) for number, sentence in enumerate(tokenised(sentences))
        )
        return self._in_order(tokens, budget, self._substitutes, n, ids)

    def _in_order(
        self,
        sentences: Iterable[list[str]],
        token_budget: int,
        compute: Callable[..., list[Result]],
        *arguments: object,
    ) -> Iterator[Result]:
        """Yield what a method of this class makes of each sentence, computed in batches."""
        for window, batches in batching.read_ahead(sentences, token_budget):
            results: dict[int, Result] = {}
            for positions in batches:
                with exact(self.elmo.device):
                    computed = compute([window[k] for k in positions], *arguments)
                results.update(zip(positions, computed, strict=True))
            yield from (results.pop(k) for k in range(len(window)))

    def _left_out(self, n: int, without: Sequence[str]) -> tuple[list[int], int]:
        """Return the ids of `without`, and a token budget for the n likeliest words."""
        if n < 1:
            raise InputError(f"the number of words must be at least 1, got {n}")
        ids = [self.vocab.index(word) for word in without if word in self.vocab]
        most = max(1, _MOST_NUMBERS // min(n, len(self.vocab)))
        return ids, min(self.elmo.token_budget, most)

    def _top(self, batch: list[list[str]], n: int, without: list[int]) -> list[Expectation]:
        """Return the likeliest words in sentences of decreasing length."""
        stops = np.cumsum([len(sentence) for sentence in batch])[:-1]
        sides = []
        for contexts in self._contexts(batch):
            ids, scores = _arrays(*top_words(self._parts(contexts), n, without))
            # Copies, or one sentence that the caller keeps would keep its whole batch.
            sides.append(
                [
                    Expected(ids=i.copy(), log_probabilities=s.copy())
                    for i, s in zip(np.split(ids, stops), np.split(scores, stops), strict=True)
                ]
            )
        return [Expectation(forward=f, backward=b) for f, b in zip(*sides, strict=True)]

    def _surprisal(self, batch: list[list[str]], ends: bool) -> list[Surprisal]:
        """Return how sentences of decreasing length are predicted, each from a zero state."""
        forward, backward = self._contexts(batch, ends)
        return [
            Surprisal(forward=f, backward=b, unknown=self._unknown(sentence))
            for f, b, sentence in zip(
                self._scores(forward, batch, [self.vocab.eos] if ends else [], first=False),
                self._scores(backward, batch, [self.vocab.bos] if ends else [], first=True),
                batch,
                strict=True,
            )
        ]

    def _carried(
        self, sentences: Iterable[list[str]], ends: bool, budget: int
    ) -> Iterator[Surprisal]:
        """Yield in order, the forward state carried on from one group of sentences to the next."""
        state: LSTMState | None = None
        boundary = [self.vocab.eos] if ends else []
        for group in batching.window(sentences, budget):
            with exact(self.elmo.device):
                contexts, state = self._carried_contexts(group, ends, state)
                forward = self._scores(contexts, group, boundary, first=False)
            fresh = self._in_order(group, budget, self._backward, ends)
            for f, b, sentence in zip(forward, fresh, group, strict=True):
                yield Surprisal(forward=f, backward=b, unknown=self._unknown(sentence))

    def _carried_contexts(
        self, group: list[list[str]], ends: bool, state: LSTMState | None
    ) -> tuple[Tensor, LSTMState]:
        """Return what predicts the tokens forward, read as one row, and the state after it."""
        begin = self.elmo.tokens.reader.begin
        flat = [token for sentence in group for token in (begin, *sentence)]
        x = self.elmo.token_vectors(flat)
        layers, state = self.elmo.bilm.forward_lstm(x, (1,) * len(flat), state)
        if ends:
            return layers[-1], state
        stops = np.cumsum([len(sentence) + 1 for sentence in group])
        rows = np.delete(np.arange(len(flat)), stops - 1)  # the last token predicts </S>
        return layers[-1][torch.from_numpy(rows).to(x.device)], state

    def _backward(self, batch: list[list[str]], ends: bool) -> list[Scores]:
        """Return how sentences of decreasing length are predicted backward."""
        _, contexts = self._contexts(batch, ends)
        return self._scores(contexts, batch, [self.vocab.bos] if ends else [], first=True)

    def _substitutes(self, batch: list[list[str]], n: int, without: list[int]) -> list[Substitutes]:
        """Return substitutes in sentences of decreasing length."""
        positions = [bracketed(sentence)[0] for sentence in batch]
        starts = np.cumsum([0, *(len(sentence) for sentence in batch[:-1])])
        rows = torch.from_numpy(starts + positions).to(self.elmo.device)
        sides = (self._parts(contexts[rows]) for contexts in self._contexts(batch))
        ids, scores = _arrays(*top_words(added(*sides), n, without))
        return [
            Substitutes(
                tokens=[*s[:place], s[place][1:-1], *s[place + 1 :]],
                place=place,
                words=[self.vocab.words[k] for k in row_ids],
                log_probabilities=row_scores.copy(),
            )
            for s, place, row_ids, row_scores in zip(batch, positions, ids, scores, strict=True)
        ]

    def _contexts(self, batch: list[list[str]], ends: bool = False) -> tuple[Tensor, Tensor]:
        """Return what the softmax is applied to per token, forward and backward: two of (N, P).

        With the ends, a sentence has one more: forward at the end, backward at the beginning.
        """
        layers, lengths = self.elmo.run(batch)
        stops = np.cumsum(lengths)
        rows = [
            np.arange(stop - length, stop - (1 if ends else 2))
            for stop, length in zip(stops, lengths, strict=True)
        ]
        before = torch.from_numpy(np.concatenate(rows)).to(self.elmo.device)
        p = self.elmo.bilm.config.projection_dim
        return layers[-1][before, :p], layers[-1][before + (1 if ends else 2), p:]

    def _scores(
        self, contexts: Tensor, batch: list[list[str]], boundary: list[int], *, first: bool
    ) -> list[Scores]:
        """Return how sentences' words are predicted, `boundary` as the first or last of them."""
        ids = [self.vocab.ids(sentence) for sentence in batch]
        end = np.array(boundary, np.int64)
        targets = np.concatenate([part for i in ids for part in ((end, i) if first else (i, end))])
        scores = word_scores(self._parts(contexts), torch.from_numpy(targets).to(contexts.device))
        stops = np.cumsum([len(i) + len(boundary) for i in ids])[:-1]
        surprisal, entropy, rank = (
            np.split(array.cpu().numpy(), stops)
            for array in (
                scores.surprisal.float() / math.log(2),
                scores.entropy.float() / math.log(2),
                scores.rank,
            )
        )
        return [
            # Copies, or one sentence that the caller keeps would keep its whole batch.
            Scores(surprisal=s.copy(), entropy=e.copy(), rank=r.copy())
            for s, e, r in zip(surprisal, entropy, rank, strict=True)
        ]

    def _parts(self, contexts: Tensor) -> tuple[Part, ...]:
        """Return all words' scores, the softmax being where and as the network computes."""
        wanted = contexts.device, contexts.dtype
        cast = self._cast  # read once: another thread may replace it at any time
        if cast is None or cast[0] != wanted:
            # From the model's own: what was once rounded to half precision would stay rounded.
            assert self.elmo.softmax is not None
            tensors = stored(self.elmo.softmax)
            cast = wanted, {name: tensor.to(*wanted) for name, tensor in tensors.items()}
            self._cast = cast
        return parts(contexts, cast[1])

    def _unknown(self, sentence: list[str]) -> npt.NDArray[np.bool_]:
        return np.array([t not in self.vocab or t == UNK_TOKEN for t in sentence], np.bool_)


def _arrays(ids: Tensor, scores: Tensor) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return word ids and log-probabilities, of a model of any precision, as arrays."""
    return ids.cpu().numpy(), scores.float().cpu().numpy()  # numpy has no bfloat16


def bracketed(sentence: Sequence[str]) -> list[int]:
    """Return the positions of tokens in brackets."""
    return [
        place
        for place, token in enumerate(sentence)
        if len(token) > 2 and token.startswith("[") and token.endswith("]")
    ]


def _checked(sentence: list[str], number: int) -> list[str]:
    if len(bracketed(sentence)) != 1:
        raise InputError(
            f"sentence {number}: expected one word in brackets, such as [bank], with spaces around "
            f"it, got {len(bracketed(sentence))} in {' '.join(sentence)!r:.200}"
        )
    return sentence
