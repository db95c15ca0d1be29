"""Perplexity with the full softmax, never the sampled loss."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from relmo.elmo.language_model import Context, LanguageModel, Surprisal
from relmo.errors import InputError
from relmo.text import batching
from relmo.text.chars import UNK_TOKEN
from relmo.train.batches import Encoder, sentence_batch
from relmo.train.distributed import ALONE, Processes
from relmo.train.objective import Objective

__all__ = ["Bits", "Perplexity", "TextPerplexity", "perplexity", "text_perplexity", "thinned"]

_CLOSED_UNKNOWN = "<unk>"  # as PTB and WikiText-2 spell it


@dataclass(frozen=True, kw_only=True)
class Perplexity:
    """exp of the mean negative log-likelihood a prediction; sentence ends are predictions."""

    forward: float
    """Reading forwards, `</S>` predicted at each end."""
    backward: float
    """Reading backwards, `<S>` predicted at each start."""
    n_predictions: int
    """Predictions of one direction: tokens and one mark a sentence."""
    n_unknown: int
    """Of these, words outside the vocabulary, counted as `<UNK>`."""

    @property
    def mean(self) -> float:
        """The mean of the two, as published."""
        return (self.forward + self.backward) / 2


def perplexity(
    model: Objective,
    encoder: Encoder,
    sentences: Iterable[Sequence[str]],
    *,
    batch_tokens: int = 2048,
    max_tokens: int = 0,
    processes: Processes = ALONE,
) -> Perplexity:
    """Return the perplexity of both directions, each sentence from a zero state.

    Args:
        model: evaluated without dropout, then put back in the mode it was in.
        encoder: words to ids.
        sentences: tokenised.
        batch_tokens: computed together.
        max_tokens: so many of them at most, spread evenly (see `thinned`); 0: all.
        processes: who share the sentences out; all get the result.

    Raises:
        InputError: there is no sentence.
        ProcessError: another process is gone.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    totals = [0.0, 0.0]
    n = unknown = 0
    try:
        own = islice(thinned(sentences, max_tokens), processes.rank, None, processes.size)
        for group in batching.window(own, 8 * batch_tokens):
            for index in batching.length_batches([len(s) + 1 for s in group], batch_tokens):
                batch = sentence_batch([group[k] for k in index], encoder).to(device)
                for k, losses in enumerate(model.negative_log_likelihoods(batch)):
                    totals[k] += float(losses.double().sum())
                n += batch.n_predictions
                unknown += int((batch.forward_targets == encoder.vocab.unk).sum())
    finally:
        model.train(was_training)
    *totals, n_all, n_unknown = processes.sum([*totals, n, unknown])
    if not n_all:
        raise InputError("perplexity: no sentence given")
    forward, backward = (math.exp(min(total / n_all, 700.0)) for total in totals)
    return Perplexity(
        forward=forward, backward=backward, n_predictions=int(n_all), n_unknown=int(n_unknown)
    )


def thinned(sentences: Iterable[Sequence[str]], max_tokens: int) -> Iterable[Sequence[str]]:
    """Return every n-th sentence, n a power of two that leaves `max_tokens` at most; 0: all.

    Held-out files often go source by source: their beginning is not a fair sample. One pass, and
    no more than the sample is held.
    """
    if not max_tokens:
        return sentences
    kept: list[Sequence[str]] = []
    total, every = 0, 1
    for number, sentence in enumerate(sentences):
        if number % every:
            continue
        kept.append(sentence)
        total += len(sentence)
        while total > max_tokens and len(kept) > 1:
            kept, every = kept[::2], 2 * every
            total = sum(map(len, kept))
    return kept


@dataclass(frozen=True, kw_only=True)
class Bits:
    """Surprisal of a text read from one side, added up."""

    tokens: float
    """Of all its tokens."""
    ends: float
    """Of the sentences' ends."""
    unknown: float
    """Of the tokens that were predicted as the unknown word."""


@dataclass(frozen=True, kw_only=True)
class TextPerplexity:
    """What a text's perplexity is, by each way in which such numbers are given."""

    forward: Bits
    """Each token from those before it."""
    backward: Bits
    """Each token from those after it."""
    n_sentences: int
    """Sentences; as many ends are predicted."""
    n_tokens: int
    """Tokens."""
    n_unknown: int
    """Tokens predicted as the unknown word."""
    n_unmarked: int
    """Of these, those that the text itself does not hold as the unknown word."""

    @property
    def with_ends(self) -> tuple[float, float]:
        """Perplexity per prediction, tokens and ends, as PTB and WikiText-2 are reported."""
        n = self.n_tokens + self.n_sentences
        return self._pair(lambda bits: bits.tokens + bits.ends, n)

    @property
    def without_ends(self) -> tuple[float, float]:
        """Perplexity per token, the ends left out."""
        return self._pair(lambda bits: bits.tokens, self.n_tokens)

    @property
    def per_word(self) -> tuple[float, float]:
        """Perplexity per token, the ends' bits spread over the tokens."""
        return self._pair(lambda bits: bits.tokens + bits.ends, self.n_tokens)

    @property
    def of_known(self) -> tuple[float, float]:
        """Perplexity per token, unknown words and ends left out; NaN where all are unknown."""
        n = self.n_tokens - self.n_unknown
        return self._pair(lambda bits: bits.tokens - bits.unknown, n)

    def _pair(self, total: Callable[[Bits], float], n: int) -> tuple[float, float]:
        if not n:
            return math.nan, math.nan
        forward, backward = (2 ** min(total(b) / n, 1000.0) for b in (self.forward, self.backward))
        return forward, backward


def text_perplexity(
    model: LanguageModel,
    sentences: Iterable[list[str]],
    *,
    context: Context = "fresh",
    closed: bool = False,
) -> TextPerplexity:
    """Return the perplexity of both directions with the full softmax, in one pass.

    Args:
        model: the language model.
        sentences: tokenised; one without tokens has its end predicted too.
        context: see `LanguageModel.surprisal`.
        closed: whether "<unk>" in the text is the unknown word, as in PTB and WikiText-2: the
            model's "<unk>" where its vocabulary has such a word, else its "<UNK>".

    Raises:
        InputError: there is no token.
        FormatError: the vocabulary lacks an end, or `<UNK>` where that is needed.
    """
    name = _CLOSED_UNKNOWN if closed and _CLOSED_UNKNOWN in model.vocab else UNK_TOKEN
    marks = {UNK_TOKEN, _CLOSED_UNKNOWN} if closed else {UNK_TOKEN}
    waiting: deque[npt.NDArray[np.bool_]] = deque()  # whether each token is the unknown word

    def read() -> Iterator[list[str]]:
        for sentence in sentences:
            waiting.append(np.array([token in marks for token in sentence], np.bool_))
            yield [name if token in marks else token for token in sentence]

    sums = np.zeros((2, 3))
    n_sentences = n_tokens = n_unknown = n_unmarked = 0
    for found in model.surprisal(read(), ends=True, context=context):
        marked = waiting.popleft()
        unknown = found.unknown | marked
        sums += _sums(found, unknown)
        n_sentences += 1
        n_tokens += len(marked)
        n_unknown += int(unknown.sum())
        n_unmarked += int((unknown & ~marked).sum())
    if not n_tokens:
        raise InputError("perplexity: no token in the text; expected one sentence a line")
    forward, backward = (Bits(tokens=t, ends=e, unknown=u) for t, e, u in sums.tolist())
    return TextPerplexity(
        forward=forward, backward=backward, n_sentences=n_sentences, n_tokens=n_tokens,
        n_unknown=n_unknown, n_unmarked=n_unmarked,
    )  # fmt: skip


def _sums(found: Surprisal, unknown: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return bits of tokens, ends and unknown words, forward and backward: (2, 3)."""
    forward = found.forward.surprisal.astype(np.float64)
    backward = found.backward.surprisal.astype(np.float64)
    return np.array(
        [
            [tokens.sum(), end, tokens[unknown].sum()]
            for tokens, end in ((forward[:-1], forward[-1]), (backward[1:], backward[0]))
        ]
    )
