"""Words to token vectors: each distinct word is encoded once and kept while it is in use."""

import logging
import os
from collections.abc import Sequence

import torch
from torch import Tensor

from relmo.config import BiLMConfig
from relmo.errors import ConfigError, InputError
from relmo.formats import token_embeddings
from relmo.nn.bilm import BiLM
from relmo.text.chars import CharSpace
from relmo.text.lexicon import Lexicon, LexiconReader
from relmo.text.reader import TokenReader, VocabularyReader
from relmo.text.vocab import Vocabulary

__all__ = ["TokenTable"]

_logger = logging.getLogger(__name__)

_ENCODED_TOGETHER = 4096  # words; bounds the memory of a call with many new words


class TokenTable:
    """The token encoder of a biLM with a bounded cache in front, the least recently used out first.

    A token's vector does not depend on its sentence, so a cache changes no number.

    Args:
        bilm: the model; when its token encoder's weights change, the cache empties itself.
        vocab: the words of a word-input model, else not used.
        capacity: words kept, each projection_dim float32 numbers.
        lexicon: the words and characters of a model that has such, else not used.
    """

    def __init__(
        self, bilm: BiLM, vocab: Vocabulary | None, capacity: int, lexicon: Lexicon | None = None
    ) -> None:
        self.reader = _reader(bilm.config, vocab, lexicon)
        self._encoder = bilm.token_encoder
        self._dim = bilm.config.projection_dim
        self.capacity = capacity
        self._slots: dict[str, int] = {}  # in order of last use
        self._rows = torch.empty(0, self._dim)
        self._versions: list[tuple[int, int]] = []
        self._said: set[str] = set()
        self._fixed: tuple[Vocabulary, Tensor] | None = None

    def __len__(self) -> int:
        return len(self._slots)

    def clear(self) -> None:
        """Forget every word."""
        self._slots.clear()
        self._rows = torch.empty(0, self._dim)

    def vectors(self, tokens: Sequence[str]) -> Tensor:
        """Token vectors (n_tokens, projection_dim), float32, without a graph."""
        places: dict[str, int] = {}
        index = [places.setdefault(token, len(places)) for token in tokens]
        words = list(places)
        with torch.no_grad():
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
        rows = rows.to(next(self._encoder.parameters()))
        self._fixed = vocab, rows
        is_fixed = torch.tensor([word in vocab for word in words], dtype=torch.bool)
        is_fixed = is_fixed.to(rows.device)
        found = rows.new_empty(len(words), self._dim)
        ids = vocab.ids([word for word in words if word in vocab])
        found[is_fixed] = rows[torch.from_numpy(ids).to(rows.device)]
        others = [word for word in words if word not in vocab]
        if others:
            found[~is_fixed] = self._lookup(others)
        return found

    def encode(self, words: Sequence[str]) -> Tensor:
        """Vectors (n_words, projection_dim) straight from the encoder, with a graph if it trains.

        A word of a word-input model that is not in its vocabulary has the vector of `<UNK>`, or
        zeros where the vocabulary has none (as in the original, where its id is the padding's).
        """
        device = next(self._encoder.parameters()).device
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
        self._forget_if_changed()
        keys = [self.reader.key(word) for word in words]
        self._tell(words)  # those too whose key is known: it may be that of a shorter word
        slots = [self._slots.get(key, -1) for key in keys]
        missing = [place for place, slot in enumerate(slots) if slot < 0]
        if not missing:
            self._use(keys, slots)
            return self._rows[torch.tensor(slots, dtype=torch.int64, device=self._rows.device)]
        pieces = [
            self.encode([words[place] for place in missing[start : start + _ENCODED_TOGETHER]])
            for start in range(0, len(missing), _ENCODED_TOGETHER)
        ]
        new = torch.cat(pieces)  # (missing, projection_dim)
        found = new.new_empty(len(words), self._dim)
        found[torch.tensor(missing, device=new.device)] = new
        hits = [place for place, slot in enumerate(slots) if slot >= 0]
        if hits:
            hit_slots = [slots[place] for place in hits]
            index = torch.tensor([hits, hit_slots], device=new.device)
            found[index[0]] = self._rows[index[1]]
            self._use([keys[place] for place in hits], hit_slots)
        self._keep([keys[place] for place in missing], new)
        return found

    def _use(self, keys: list[str], slots: list[int]) -> None:
        for key, slot in zip(keys, slots, strict=True):
            if self._slots.pop(key, None) is not None:
                self._slots[key] = slot

    def _keep(self, keys: list[str], vectors: Tensor) -> None:
        if self.capacity == 0:
            return
        if not len(self._rows):
            with torch.inference_mode(False):  # made in that mode, they could not be written later
                self._rows = vectors.new_empty(self.capacity, self._dim)
        keys, vectors = keys[-self.capacity :], vectors[-self.capacity :]
        slots = []
        for key in keys:
            if key in self._slots:  # two words of this call, cut to the same characters
                slot = self._slots.pop(key)
            elif len(self._slots) < self.capacity:
                slot = len(self._slots)
            else:
                slot = self._slots.pop(next(iter(self._slots)))
            self._slots[key] = slot
            slots.append(slot)
        self._rows[torch.tensor(slots, device=vectors.device)] = vectors

    def _forget_if_changed(self) -> None:
        versions = [(p.data_ptr(), p._version) for p in self._encoder.parameters()]
        if versions != self._versions:
            self.clear()
            self._versions = versions

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
