"""Words to token vectors: each distinct word is encoded once and remembered while in use."""

import copy
import threading
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from relmo.config import BiLMConfig
from relmo.errors import ConfigError
from relmo.nn.bilm import BiLM
from relmo.nn.precision import exact
from relmo.nn.weight_cache import weights_version
from relmo.text.chars import CharSpace
from relmo.text.lexicon import Lexicon, LexiconReader
from relmo.text.vocab import TokenReader, Vocabulary, VocabularyReader

__all__ = ["TokenCache", "checked_capacity"]

_ENCODED_TOGETHER = 4096  # words; bounds the memory of a call with many new words


class TokenCache:
    """The token encoder of a biLM behind a bounded cache, the least recently used word out first.

    A token's vector does not depend on its sentence, so a cache changes no number. Any number of
    threads may ask at once. They wait for each other while rows are looked up and copied, not while
    words are encoded: two that meet the same new word both encode it. A copied or pickled cache
    is empty.

    Args:
        bilm: the model; when its token encoder's weights change, the cache empties itself.
        vocab: the words of a word-input model, else not used.
        capacity: words remembered, each projection_dim numbers of the weights' type.
        lexicon: the words and characters of a model that has such, else not used.
    """

    def __init__(
        self, bilm: BiLM, vocab: Vocabulary | None, capacity: int, lexicon: Lexicon | None = None
    ) -> None:
        self.reader = _reader(bilm.config, vocab, lexicon)
        self._encoder = bilm.token_encoder
        self._dim = bilm.config.projection_dim
        self._capacity = checked_capacity(capacity, "capacity")
        self._lock = threading.Lock()  # for the three that follow, which belong together
        self._slots: dict[str, int] = {}  # of each word its row, in order of last use
        self._rows = torch.empty(0, self._dim)
        self._version: tuple[object, ...] = ()  # of the weights and the precision of the rows

    def __len__(self) -> int:
        return len(self._slots)

    def __getstate__(self) -> dict[str, Any]:
        empty: dict[str, Any] = {
            "_lock": None,
            "_slots": {},
            "_rows": torch.empty(0, self._dim),
            "_version": (),
        }
        return {**self.__dict__, **empty}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    @property
    def capacity(self) -> int:
        """Number of words that fit; when it is set the cache forgets those that it has."""
        return self._capacity

    @capacity.setter
    def capacity(self, capacity: int) -> None:
        with self._lock:
            self._capacity = checked_capacity(capacity, "capacity")
            self._clear()

    def clear(self) -> None:
        """Forget every word."""
        with self._lock:
            self._clear()

    def vectors(self, tokens: Sequence[str], *, trains: bool = False) -> Tensor:
        """Return token vectors (n_tokens, projection_dim) in the weights' type.

        Args:
            tokens: a word any number of times.
            trains: whether to encode every word anew, with a graph where gradients are enabled.

        Raises:
            ConfigError: the weights are of a type in which the network cannot compute.
        """
        index: dict[str, int] = {}
        rows = [index.setdefault(token, len(index)) for token in tokens]
        vectors = self.encode(list(index)) if trains else self._lookup(list(index))
        return vectors[_index(rows, vectors.device)]

    def over(self, bilm: BiLM) -> Self:
        """Return an empty cache of the same capacity over a converted network."""
        cache = copy.copy(self)
        cache._encoder = bilm.token_encoder
        return cache

    def encode(self, words: Sequence[str]) -> Tensor:
        """Return the encoder's vectors (n_words, projection_dim), with a graph if it trains.

        A word of a word-input model that is not in its vocabulary has the vector of `<UNK>`, or
        zeros where the vocabulary has none (as in the original, where its id is the padding's).

        Raises:
            ConfigError: the weights are of a type in which the network cannot compute.
        """
        weight = next(self._encoder.parameters())
        device = weight.device
        inputs = [
            None if ids is None else torch.from_numpy(ids).to(device, torch.int64)
            for ids in self.reader.inputs(words)
        ]
        vectors: Tensor = self._encoder(*inputs)
        known = [self.reader.is_known(word) for word in words]
        if all(known):
            return vectors
        return vectors * torch.tensor(known, device=device)[:, None]

    def _lookup(self, words: list[str]) -> Tensor:
        """Return the vectors of distinct words, (n_words, projection_dim)."""
        keys = [self.reader.key(word) for word in words]
        version = weights_version(self._encoder.parameters())
        with self._lock:
            if version != self._version:
                self._clear()
                self._version = version
            slots = [self._slots.get(key, -1) for key in keys]
            hits = [position for position, slot in enumerate(slots) if slot >= 0]
            for position in hits:
                self._slots[keys[position]] = self._slots.pop(keys[position])  # now the last used
            # Copied before the lock is given back, and another thread may reuse a row.
            cached = self._rows[_index([slots[k] for k in hits], self._rows.device)]
        if len(hits) == len(words):
            return cached
        misses = [position for position, slot in enumerate(slots) if slot < 0]
        # Not under the lock: two threads that meet the same new word both encode it.
        with exact(cached.device):
            pieces = [
                self.encode([words[k] for k in misses[start : start + _ENCODED_TOGETHER]])
                for start in range(0, len(misses), _ENCODED_TOGETHER)
            ]
            new = torch.cat(pieces)  # (misses, projection_dim)
        vectors = new.new_empty(len(words), self._dim)
        vectors[_index(misses, new.device)] = new
        if hits:
            vectors[_index(hits, new.device)] = cached
        with self._lock:
            if version == self._version:  # else they are of other weights than the rows
                self._store([keys[position] for position in misses], new)
        return vectors

    def _store(self, keys: list[str], vectors: Tensor) -> None:
        """Put vectors into rows, the lock being held."""
        if self._capacity == 0:
            return
        if not len(self._rows):
            with torch.inference_mode(False):  # made in that mode, they could not be written later
                self._rows = vectors.new_empty(self._capacity, self._dim)
        # Of more new words than fit the last ones stay.
        keys, vectors = keys[-self._capacity :], vectors[-self._capacity :]
        slots = []
        for key in keys:
            if key in self._slots:  # another thread's, or another word's of the same characters
                slot = self._slots.pop(key)
            elif len(self._slots) < self._capacity:
                slot = len(self._slots)
            else:
                slot = self._slots.pop(next(iter(self._slots)))
            self._slots[key] = slot
            slots.append(slot)
        self._rows[_index(slots, vectors.device)] = vectors

    def _clear(self) -> None:
        """Forget every word, the lock being held."""
        self._slots = {}
        self._rows = next(self._encoder.parameters()).new_empty(0, self._dim)


def checked_capacity(capacity: object, name: str) -> int:
    """Return the number of words that a cache may hold.

    Raises:
        ConfigError: it is not an integer of at least 0; the message calls it by `name`.
    """
    if isinstance(capacity, int | np.integer) and not isinstance(capacity, bool) and capacity >= 0:
        return int(capacity)
    raise ConfigError(f"{name}: expected an integer of at least 0 (words), got {capacity!r}")


def _index(rows: list[int], device: torch.device) -> Tensor:
    return torch.tensor(rows, dtype=torch.int64, device=device)


def _reader(config: BiLMConfig, vocab: Vocabulary | None, lexicon: Lexicon | None) -> TokenReader:
    """Return what reads the tokens of such a model."""
    if config.char_cnn is not None:
        return CharSpace(config.char_cnn.max_characters_per_token)
    if config.lexicon is not None:
        wanted = (config.lexicon.n_words, config.lexicon.n_characters)
        if lexicon is None or (lexicon.n_words, lexicon.n_characters) != wanted:
            raise ConfigError(
                f"a model of {wanted[0] or 'no'} words and {wanted[1] or 'no'} characters needs a "
                f"lexicon of as many, got {lexicon or 'none'}"
            )
        return LexiconReader(lexicon, config.lexicon.max_characters_per_token)
    assert vocab is not None  # Elmo sees to it
    return VocabularyReader(vocab)
