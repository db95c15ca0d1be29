"""Synthetic sentences that load a model as news does; no data is needed."""

import numpy as np

__all__ = ["news_like"]

_LETTERS = np.array(list("etaoinshrdlcumwfgypbvkjxqz"))
_N_WORDS = 50_000
_LONGEST = 120  # tokens


def news_like(n_sentences: int, seed: int = 1, mean: float = 22.0) -> list[list[str]]:
    """Sentences of log-normal length and Zipf-distributed made-up words.

    Args:
        n_sentences: how many.
        seed: decides words and lengths.
        mean: tokens of a sentence, before very long ones are cut at 120.
    """
    random = np.random.default_rng(seed)
    words = np.array(_vocabulary(random), dtype=object)
    spread = 0.55
    lengths = random.lognormal(np.log(mean) - spread**2 / 2, spread, n_sentences)
    lengths = np.clip(np.rint(lengths), 1, _LONGEST).astype(int)
    share = 1 / np.arange(1, _N_WORDS + 1)  # Zipf: the k-th word is k times rarer than the first
    ranks = random.choice(_N_WORDS, lengths.sum(), p=share / share.sum())
    tokens = words[ranks].tolist()
    ends = np.cumsum(lengths)
    return [tokens[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def _vocabulary(random: np.random.Generator) -> list[str]:
    """Distinct words, the frequent ones short: 2 to some 15 letters."""
    rank = np.arange(1, _N_WORDS + 1)
    sizes = 1 + random.poisson(1 + 0.6 * np.log(rank))
    letters = "".join(random.choice(_LETTERS, sizes.sum()))
    words: dict[str, None] = {}
    for end, size in zip(np.cumsum(sizes).tolist(), sizes.tolist(), strict=True):
        word = letters[end - size : end]
        while word in words:
            word += str(random.choice(_LETTERS))
        words[word] = None
    return list(words)
