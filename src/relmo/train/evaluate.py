"""Perplexity with the full softmax, never the sampled loss."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from relmo.errors import InputError
from relmo.text import batching
from relmo.train.batches import Encoder, sentence_batch
from relmo.train.objective import LanguageModel

__all__ = ["Perplexity", "perplexity", "thinned"]


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
    model: LanguageModel,
    encoder: Encoder,
    sentences: Iterable[Sequence[str]],
    *,
    batch_tokens: int = 2048,
    max_tokens: int = 0,
) -> Perplexity:
    """Both directions, each sentence from a zero state.

    Args:
        model: evaluated without dropout, then put back in the mode it was in.
        encoder: words to ids.
        sentences: tokenised.
        batch_tokens: computed together.
        max_tokens: so many of them at most, spread evenly (see `thinned`); 0: all.

    Raises:
        InputError: there is no sentence.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    totals = [0.0, 0.0]
    n = unknown = 0
    try:
        for group in batching.window(thinned(sentences, max_tokens), 8 * batch_tokens):
            for index in batching.length_batches([len(s) + 1 for s in group], batch_tokens):
                batch = sentence_batch([group[k] for k in index], encoder).to(device)
                for k, losses in enumerate(model.negative_log_likelihoods(batch)):
                    totals[k] += float(losses.double().sum())
                n += batch.n_predictions
                unknown += int((batch.forward_targets == encoder.vocab.unk).sum())
    finally:
        model.train(was_training)
    if not n:
        raise InputError("perplexity: no sentence given")
    forward, backward = (math.exp(min(total / n, 700.0)) for total in totals)
    return Perplexity(forward=forward, backward=backward, n_predictions=n, n_unknown=unknown)


def thinned(sentences: Iterable[Sequence[str]], max_tokens: int) -> Iterable[Sequence[str]]:
    """Every n-th sentence, n the power of two that leaves at most `max_tokens` tokens; 0: all.

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
