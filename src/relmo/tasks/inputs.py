"""From sentences to what a task's network reads, in batches of like length.

Beside the biLM's layers a network may read vectors of words: its own, given ones (`word_vectors`),
or the output embeddings of the biLM's softmax (Press and Wolf 2017). Those have been learned from
all of the text that the biLM was trained on, as the token layer has, but from the company that
words keep alone, not from their spelling.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from relmo._read import PathLike
from relmo._typing import Float
from relmo.data.word_vectors import read as read_vectors
from relmo.elmo.model import Elmo
from relmo.errors import ConfigError, InputError
from relmo.formats.verify import parameters_sha256
from relmo.nn.packing import pack
from relmo.nn.softmax import Softmax
from relmo.tasks.config import TaskTraining, TokenConfig
from relmo.tasks.layer_cache import LayerSource
from relmo.tasks.network import CHARACTERS, TokenInputs, TokenNetwork
from relmo.text import batching
from relmo.text.chars import UNK_TOKEN, CharSpace
from relmo.text.tokenizers import check_strings
from relmo.text.vocab import Vocabulary

__all__ = [
    "InputSource",
    "SentenceSource",
    "WordVectors",
    "elmo_sha256",
    "epoch_batches",
    "fill",
    "known_words",
    "own_words",
    "softmax_rows",
    "vectors_sha256",
    "word_vectors",
]

_BUCKET = 64  # batches' worth of sentences that are sorted by length together
Inputs = TypeVar("Inputs", covariant=True)
WordVectors = tuple[Vocabulary, Tensor]
"""Words and their vectors, (n_words, dim)."""


def word_vectors(
    path: PathLike, sentences: Iterable[Sequence[str]], dim: int | None = None
) -> WordVectors:
    """Read the vectors that a word2vec or GloVe file has of the words of sentences.

    A word is looked up as it is written and in lower case. Include the development and test data:
    the trained network knows the vectors of no other words.

    Args:
        path: see `relmo.data.word_vectors`.
        sentences: tokens of the data to train on, and of others.
        dim: the width that the vectors must have; None: any.

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
    matches = read_vectors(path, words, dim)
    if not matches.n_found:
        raise InputError(f"{path}: has none of the {len(words)} words of the data")
    known = Vocabulary(word for word, has in zip(words, matches.mask, strict=True) if has)
    return known, torch.from_numpy(matches.matrix[matches.mask])


def own_words(
    sentences: Iterable[Sequence[str]],
    config: TokenConfig,
    training: TaskTraining,
    vectors: WordVectors | None = None,
) -> Vocabulary | None:
    """Return the words to have a vector: those of `vectors`, else the sentences' in lower case.

    Raises:
        ConfigError: the given vectors have another width than the network's.
    """
    if vectors is not None:
        if vectors[1].shape[1] != config.word_dim:
            raise ConfigError(
                f"word vectors: expected {config.word_dim} numbers each, as word_dim says, got "
                f"{vectors[1].shape[1]}"
            )
        words = vectors[0]
        return words if UNK_TOKEN in words else Vocabulary([UNK_TOKEN, *words.words])
    if not config.word_dim:
        return None
    lowered = ([token.lower() for token in sentence] for sentence in sentences)
    return Vocabulary.build(lowered, min_count=training.min_count)


def known_words(words: Vocabulary, tokens: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return ids of tokens: each as it is written, else in lower case, else that of `<UNK>`."""
    return words.ids([token if token in words else token.lower() for token in tokens])


@torch.no_grad()
def fill(network: TokenNetwork, words: Vocabulary | None, vectors: WordVectors | None) -> None:
    """Set a network's word vectors to given ones and freeze them; `<UNK>` may get their mean.

    Args:
        network: with a row for each of the words.
        words: what `own_words` returned.
        vectors: None: nothing is done.
    """
    if vectors is None or words is None or network.words is None:
        return
    if UNK_TOKEN not in vectors[0]:
        network.words[words.unk] = vectors[1].mean(0)
    network.words[torch.from_numpy(words.ids(vectors[0].words))] = vectors[1].float()
    network.words.requires_grad_(False)


def vectors_sha256(vectors: WordVectors | None) -> str | None:
    """Return the checksum of given words and vectors."""
    if vectors is None:
        return None
    digest = hashlib.sha256(json.dumps(vectors[0].words).encode())
    digest.update(vectors[1].float().cpu().numpy().tobytes())
    return digest.hexdigest()


def softmax_rows(elmo: Elmo, tokens: Sequence[str]) -> Float[Tensor, "n dim"]:
    """Return output embeddings of tokens, (n, dim // 2), each scaled to mean square 1.

    A token has the row of the word as it is written, else in lower case, else that of `<UNK>`.

    Raises:
        ConfigError: the biLM has no softmax with a row for each word.
    """
    weight, words = _output_embeddings(elmo)
    rows = weight[torch.from_numpy(known_words(words, tokens)).to(weight.device)].float()
    return nn.functional.normalize(rows, dim=1).mul(rows.shape[1] ** 0.5)


def elmo_sha256(elmo: Elmo, *, softmax: bool) -> str:
    """Return the checksum of a biLM's parameters, where asked with its output embeddings.

    Raises:
        ConfigError: it has none.
    """
    parameters = parameters_sha256(elmo.checkpoint())
    if not softmax:
        return parameters
    weight, words = _output_embeddings(elmo)
    digest = hashlib.sha256(f"{parameters} {words.sha256()}".encode())
    digest.update(weight.detach().float().cpu().numpy().astype("<f4", copy=False).data)
    return digest.hexdigest()


def _output_embeddings(elmo: Elmo) -> tuple[Tensor, Vocabulary]:
    weight = elmo.softmax.weight if isinstance(elmo.softmax, Softmax) else None
    if weight is None or elmo.vocab is None or weight.shape != (len(elmo.vocab), elmo.dim // 2):
        raise ConfigError(
            f"softmax_words: {elmo!r} has no softmax with a row for each word; expected a model "
            "that kept it, such as the bundled one"
        )
    return weight, elmo.vocab


@runtime_checkable
class InputSource(Protocol[Inputs]):
    """The inputs of a network for the examples of a data set, batch by batch."""

    lengths: npt.NDArray[np.int64]
    """Tokens of each example."""

    def __call__(self, numbers: Sequence[int]) -> Inputs:
        """Return the inputs for the examples of these numbers."""

    def batches(self, token_budget: int) -> Iterator[list[int]]:
        """Yield the numbers of examples to compute together."""


class SentenceSource:
    """The sentences of a data set as inputs of a network.

    Args:
        config: what the network reads.
        words: words of its word vectors, or None.
        sentences: tokens.
        layers: the biLM's layers of the sentences, or None without one.
        device: where to put the inputs.
        elmo: the biLM, where the network reads its output embeddings.

    Raises:
        ConfigError: the biLM has no softmax with a row for each word.
    """

    def __init__(
        self,
        config: TokenConfig,
        words: Vocabulary | None,
        sentences: Sequence[Sequence[str]],
        layers: LayerSource | None,
        device: torch.device,
        elmo: Elmo | None = None,
    ) -> None:
        self.lengths = np.array([len(sentence) for sentence in sentences], dtype=np.int64)
        self._layers, self.device = layers, device
        ids: dict[str, int] = {}  # each different token is spelled and looked up once
        self._types = [
            np.array([ids.setdefault(token, len(ids)) for token in sentence], dtype=np.int64)
            for sentence in sentences
        ]
        types = list(ids)
        self._characters = CharSpace(CHARACTERS).encode(types) if config.char_dim else None
        self._words = None if words is None else known_words(words, types)
        self._softmax = None
        if config.softmax_words and elmo is not None:
            self._softmax = softmax_rows(elmo, types)

    def __call__(self, numbers: Sequence[int]) -> TokenInputs:
        """Return the inputs of a batch.

        Args:
            numbers: of sentences that have tokens, in decreasing length, at least one.
        """
        index = pack(self.lengths[list(numbers)], device=self.device)
        types = np.concatenate([self._types[number] for number in numbers])
        characters = inverse = None
        if self._characters is not None:
            in_batch, inverse = np.unique(types, return_inverse=True)
            characters = self._tensor(self._characters[in_batch].astype(np.int64))
        return TokenInputs(
            index=index,
            layers=None if self._layers is None else self._layers(numbers),
            characters=characters,
            types=None if inverse is None else self._tensor(inverse),
            words=None if self._words is None else self._tensor(self._words[types]),
            softmax=None if self._softmax is None else self._softmax[types].to(self.device),
        )

    def _tensor(self, array: npt.NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def batches(self, token_budget: int) -> Iterator[list[int]]:
        """Yield the number of every sentence that has tokens once, in decreasing length."""
        for batch in batching.length_batches(self.lengths, token_budget):
            numbers = [number for number in batch.tolist() if self.lengths[number]]
            if numbers:
                yield numbers


def epoch_batches(
    lengths: Sequence[int] | npt.NDArray[np.int64], batch_size: int, seed: int, epoch: int
) -> list[list[int]]:
    """Return the batches of an epoch, of like length and in random order.

    They depend on nothing but the arguments, so that a resumed run has the same.

    Args:
        lengths: tokens of each sentence; those without any are left out.
        batch_size: sentences of a batch.
        seed: the run's.
        epoch: from 0.
    """
    sizes = np.asarray(lengths)
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(np.flatnonzero(sizes))
    batches: list[list[int]] = []
    for start in range(0, len(order), _BUCKET * batch_size):
        bucket = order[start : start + _BUCKET * batch_size]
        bucket = bucket[np.argsort(-sizes[bucket], kind="stable")]
        batches += [
            bucket[first : first + batch_size].tolist()
            for first in range(0, len(bucket), batch_size)
        ]
    return [batches[number] for number in random.permutation(len(batches))]
