"""Words to token vectors: each distinct word is encoded once and kept while it is in use."""

import copy
import logging
import os
import threading
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from relmo.config import BiLMConfig
from relmo.errors import ConfigError, InputError
from relmo.formats import token_embeddings
from relmo.nn.bilm import BiLM
from relmo.nn.precision import exact, matmul_precision
from relmo.nn.weight_cache import weights_version
from relmo.text.chars import CharSpace
from relmo.text.lexicon import Lexicon, LexiconReader
from relmo.text.vocab import TokenReader, Vocabulary, VocabularyReader

__all__ = ["TokenTable", "checked_capacity"]

_logger = logging.getLogger(__name__)

_ENCODED_TOGETHER = 4096  # words; bounds the memory of a call with many new words


class TokenTable:
    """The token encoder of a biLM with a bounded cache in front, the least recently used out first.

    A token's vector does not depend on its sentence, so a cache changes no number. Any number of
    threads may ask at once. They wait for each other while rows are looked up and copied, not while
    words are encoded: two that meet the same new word both encode it. A copied or pickled table is
    empty.

    Args:
        bilm: the model; when its token encoder's weights change, the cache empties itself.
        vocab: the words of a word-input model, else not used.
        capacity: words kept, each projection_dim numbers of the weights' type.
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
        self._said: set[str] = set()
        self._fixed: tuple[Vocabulary, Tensor] | None = None

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
        """Words kept; when it is set the table forgets those that it has."""
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

    def vectors(self, tokens: Sequence[str]) -> Tensor:
        """Return token vectors (n_tokens, projection_dim) in the weights' type, without a graph.

        Raises:
            ConfigError: the weights are of a type in which the network cannot compute.
        """
        places: dict[str, int] = {}
        index = [places.setdefault(token, len(places)) for token in tokens]
        words = list(places)
        weight = next(self._encoder.parameters())
        with exact(weight.device):
            found = self._lookup(words) if self._fixed is None else self._fixed_or_lookup(words)
            return found[torch.tensor(index, dtype=torch.int64, device=found.device)]

    def use(
        self,
        path: str | os.PathLike[str],
        vocab: Vocabulary | str | os.PathLike[str] | None = None,
    ) -> None:
        """Take the vectors of some words from a file, such as elmo_token_embeddings.hdf5.

        They stay as they are, whatever becomes of the encoder; other words are encoded. A model
        that is being trained encodes them all.

        Args:
            path: an HDF5 file as `save` writes it.
            vocab: its words, or a file of them; None: vocab.txt or vocab.txt.gz beside it.

        Raises:
            InputError: a file is not there.
            FormatError: it is damaged, or not of these words and this model's width.
        """
        words = token_embeddings.read_vocab(vocab, path)
        self._fixed = words, token_embeddings.read(path, words, self._dim).float()

    def over(self, bilm: BiLM) -> Self:
        """Return an empty table of the same words, files and capacity over a converted network."""
        table = copy.copy(self)
        table._encoder = bilm.token_encoder
        return table

    def save(self, path: str | os.PathLike[str], words: Sequence[str] | Vocabulary) -> None:
        """Write the vectors of words to an HDF5 file, in their order; see `use`.

        Args:
            path: the file, written whole or not at all.
            words: such as a vocabulary with `<S>` and `</S>` in it.

        Raises:
            InputError: there are no words, or the file cannot be written.
        """
        if isinstance(words, str) or not len(words):
            raise InputError(f"{os.fspath(path)}: expected a list of words, got {words!r:.60}")
        listed = words.words if isinstance(words, Vocabulary) else words
        starts = range(0, len(listed), _ENCODED_TOGETHER)
        pieces = (self.vectors(listed[start : start + _ENCODED_TOGETHER]) for start in starts)
        token_embeddings.write(path, pieces, (len(listed), self._dim))

    def _fixed_or_lookup(self, words: list[str]) -> Tensor:
        assert self._fixed is not None
        vocab, rows = self._fixed
        weight = next(self._encoder.parameters())
        is_fixed = torch.tensor([word in vocab for word in words], dtype=torch.bool)
        is_fixed = is_fixed.to(weight.device)
        found = weight.new_empty(len(words), self._dim)
        ids = vocab.ids([word for word in words if word in vocab])
        # Only these rows are moved and cast: what was read from the file stays as it was read.
        found[is_fixed] = rows[torch.from_numpy(ids)].to(weight)
        others = [word for word in words if word not in vocab]
        if others:
            found[~is_fixed] = self._lookup(others)
        return found

    def encode(self, words: Sequence[str]) -> Tensor:
        """Vectors (n_words, projection_dim) straight from the encoder, with a graph if it trains.

        A word of a word-input model that is not in its vocabulary has the vector of `<UNK>`, or
        zeros where the vocabulary has none (as in the original, where its id is the padding's).

        Raises:
            ConfigError: the weights are of a type in which the network cannot compute.
        """
        weight = next(self._encoder.parameters())
        device = weight.device
        self._tell(words)
        inputs = [
            None if ids is None else torch.from_numpy(ids).to(device, torch.int64)
            for ids in self.reader.inputs(words)
        ]
        vectors: Tensor = self._encoder(*inputs)
        known = [self.reader.is_known(word) for word in words]
        if all(known):
            return vectors
        self._say("unknown", "words that are not in the vocabulary have zero vectors, e.g. %r",
                  words[known.index(False)])  # fmt: skip
        return vectors * torch.tensor(known, device=device)[:, None]

    def _lookup(self, words: list[str]) -> Tensor:
        keys = [self.reader.key(word) for word in words]
        self._tell(words)  # those too whose key is known: it may be that of a shorter word
        version = (*weights_version(self._encoder.parameters()), *matmul_precision())
        with self._lock:
            if version != self._version:
                self._clear()
                self._version = version
            slots = [self._slots.get(key, -1) for key in keys]
            hits = [place for place, slot in enumerate(slots) if slot >= 0]
            for place in hits:
                self._slots[keys[place]] = self._slots.pop(keys[place])  # now the last used
            # Copied before the lock is given back, and another thread may reuse a row.
            known = self._rows[_index([slots[place] for place in hits], self._rows.device)]
        if len(hits) == len(words):
            return known
        missing = [place for place, slot in enumerate(slots) if slot < 0]
        pieces = [
            self.encode([words[place] for place in missing[start : start + _ENCODED_TOGETHER]])
            for start in range(0, len(missing), _ENCODED_TOGETHER)
        ]
        new = torch.cat(pieces)  # (missing, projection_dim)
        found = new.new_empty(len(words), self._dim)
        found[_index(missing, new.device)] = new
        if hits:
            found[_index(hits, new.device)] = known
        with self._lock:
            if version == self._version:  # else they are of other weights than the rows
                self._keep([keys[place] for place in missing], new)
        return found

    def _keep(self, keys: list[str], vectors: Tensor) -> None:
        """Put vectors into rows, the lock being held."""
        if self._capacity == 0:
            return
        if not len(self._rows):
            with torch.inference_mode(False):  # made in that mode, they could not be written later
                self._rows = vectors.new_empty(self._capacity, self._dim)
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

    def _tell(self, words: Sequence[str]) -> None:
        if self.reader.limit is None or "truncated" in self._said:
            return
        for word in words:
            if self.reader.is_truncated(word):
                self._say("truncated", "tokens longer than %s are cut to them, e.g. %.60r",
                          self.reader.limit, word)  # fmt: skip
                return

    def tell_of_marks(self, sentence: Sequence[str]) -> None:
        """Say once that a sentence holds a literal sentence mark, which the model reads as one."""
        if "mark" not in self._said:
            for mark in (self.reader.begin, self.reader.end):
                if mark in sentence:
                    self._say("mark", "the token %r is read as the sentence mark", mark)

    def _say(self, kind: str, message: str, *arguments: object) -> None:
        if kind not in self._said:
            self._said.add(kind)
            _logger.warning(message + " (said once)", *arguments)


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
    """What reads the tokens of such a model."""
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
