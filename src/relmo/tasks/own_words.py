"""A network's own word vectors: the words that have one, and vectors that are given for them."""

import hashlib
import json
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from relmo.errors import ConfigError, InputError
from relmo.tasks.settings import TaskTraining, TokenConfig
from relmo.tasks.token_model import TokenNetwork
from relmo.text.chars import UNK_TOKEN
from relmo.text.corpora import PathLike
from relmo.text.sentences import check_strings
from relmo.text.vocab import Vocabulary
from relmo.text.word_vectors import read as read_vectors

__all__ = ["WordVectors", "fill", "known_words", "own_words", "vectors_sha256", "word_vectors"]

WordVectors = tuple[Vocabulary, Tensor]
"""Words and their vectors, (n_words, dim)."""


def word_vectors(
    path: PathLike, sentences: Iterable[Sequence[str]], dim: int | None = None
) -> WordVectors:
    """The vectors that a word2vec or GloVe file has of the words of sentences.

    A word is looked for as it is written and in lower case. Those of the development and test data
    belong among them: what is trained knows the vectors of no others.

    Args:
        path: see `relmo.text.word_vectors`.
        sentences: tokens of those to train on, and of others.
        dim: the width that the vectors have to have; None: whatever it is.

    Raises:
        InputError: the file cannot be read, has another width, or none of the words; or a sentence
            is one string.
        MissingExtraError: a .zst file and no zstandard.
    """
    tokens: set[str] = set()
    for number, sentence in enumerate(sentences, start=1):
        check_strings(sentence, f"word vectors: sentence {number}")
        tokens.update(sentence)
    words = sorted({*tokens, *(token.lower() for token in tokens)})
    found = read_vectors(path, words, dim)
    if not found.n_found:
        raise InputError(f"{path}: has none of the {len(words)} words of the data")
    kept = Vocabulary(word for word, has in zip(words, found.mask, strict=True) if has)
    return kept, torch.from_numpy(found.matrix[found.mask])


def own_words(
    sentences: Iterable[Sequence[str]],
    config: TokenConfig,
    training: TaskTraining,
    vectors: WordVectors | None = None,
) -> Vocabulary | None:
    """The words that have a vector: of those that are given, or of the training data in lower case.

    Raises:
        ConfigError: vectors are given of another width than the network has.
    """
    if vectors is not None:
        if vectors[1].shape[1] != config.word_dim:
            raise ConfigError(
                f"word vectors: expected {config.word_dim} numbers each, as --word-dim says, got "
                f"{vectors[1].shape[1]}"
            )
        words = vectors[0]
        return words if UNK_TOKEN in words else Vocabulary([UNK_TOKEN, *words.words])
    if not config.word_dim:
        return None
    lowered = ([token.lower() for token in sentence] for sentence in sentences)
    return Vocabulary.build(lowered, min_count=training.min_count)


def known_words(words: Vocabulary, tokens: Sequence[str]) -> npt.NDArray[np.int64]:
    """Ids of tokens, each as it is written, else in lower case, else that of `<UNK>`."""
    return words.ids([token if token in words else token.lower() for token in tokens])


@torch.no_grad()
def fill(network: TokenNetwork, words: Vocabulary | None, vectors: WordVectors | None) -> None:
    """Give a network the given vectors, which it then keeps; that of `<UNK>` may be their mean.

    Args:
        network: of the words that `own_words` gave.
        words: these words.
        vectors: None: nothing is done.
    """
    if vectors is None or words is None or network.words is None:
        return
    if UNK_TOKEN not in vectors[0]:
        network.words[words.unk] = vectors[1].mean(0)
    network.words[torch.from_numpy(words.ids(vectors[0].words))] = vectors[1].float()
    network.words.requires_grad_(False)


def vectors_sha256(vectors: WordVectors | None) -> str | None:
    """Of given words and vectors."""
    if vectors is None:
        return None
    digest = hashlib.sha256(json.dumps(vectors[0].words).encode())
    digest.update(vectors[1].float().cpu().numpy().tobytes())
    return digest.hexdigest()
