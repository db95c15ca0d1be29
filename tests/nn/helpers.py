"""What the tests of the network share: small models, packed batches, sentences."""

from typing import Any

import torch
from torch import nn

from relmo.config import BiLMConfig, CharCNNConfig, LexiconConfig
from relmo.elmo.model import Elmo
from relmo.nn.bilm import BiLM
from relmo.text.lexicon import SPECIAL_CHARACTERS, Lexicon
from relmo.text.vocab import Vocabulary

SENTENCES = [
    ["The", "cat", "sat", "on", "the", "mat", "."],
    [],
    ["naïve", "œuvre"],
    ["x" * 70, "", "<UNK>", "\ud800", "语言", "cat"],
    ["."],
    ["On", "the", "mat", "sat", "the", "cat", "."],
]
"""Of many lengths: none, truncated, empty, without a byte, and the same words in two orders."""


def char_config(**changes: Any) -> CharCNNConfig:
    settings = {"filters": ((1, 3), (2, 4), (5, 5)), "embedding_dim": 4, "n_highway": 1}
    return CharCNNConfig(**{**settings, **changes})


def config(char_cnn: CharCNNConfig | None = None, **changes: Any) -> BiLMConfig:
    """A tiny model: lstm_dim 8, projection_dim 5, two layers."""
    if "n_words" not in changes:
        changes["char_cnn"] = char_cnn or char_config()
    return BiLMConfig(**{"lstm_dim": 8, "projection_dim": 5, **changes})


def randomise(module: nn.Module, seed: int = 0, scale: float = 1.0) -> None:
    """Normal numbers for every parameter, biases too; matrices by the root of their inputs."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            inputs = max(1, parameter.shape[:-1].numel())
            numbers = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(numbers * scale / inputs**0.5)


def tiny_bilm(seed: int = 0, scale: float = 1.0, **changes: Any) -> BiLM:
    bilm = BiLM(config(**changes))
    randomise(bilm, seed, scale)
    return bilm


def tiny_elmo(
    seed: int = 0, *, token_budget: int = 8192, cache_size: int = 32768, **changes: Any
) -> Elmo:
    """A model with random weights; `n_words` makes it read words w3, w4, ... after the marks."""
    n_words, vocab = changes.get("n_words"), None
    if n_words is not None:
        vocab = Vocabulary(["</S>", "<S>", "<UNK>", *(f"w{i}" for i in range(3, n_words))])
    return Elmo(
        tiny_bilm(seed, **changes), vocab=vocab, token_budget=token_budget, cache_size=cache_size
    )


LEXICON = Lexicon(
    ["<oov>", "<bos>", "<eos>", "<pad>", "abc", "abcd"], [*SPECIAL_CHARACTERS, *"abc"]
)


def lexicon_bilm(kind: str) -> BiLM:
    convolutions = {"filters": ((1, 3), (4, 2)), "n_highway": 1} if kind == "cnn" else {}
    shape = LexiconConfig(
        kind=kind, n_words=6, word_dim=3, n_characters=9, char_dim=2,
        max_characters_per_token=7, **convolutions,
    )  # fmt: skip
    bilm = BiLM(config(n_words=None, lexicon=shape))
    randomise(bilm)
    return bilm


def lexicon_elmo(kind: str) -> Elmo:
    """A model with random weights that looks up words and characters, as ELMoForManyLangs."""
    return Elmo(lexicon_bilm(kind), lexicon=LEXICON)
