"""Words to token vectors: each distinct word is encoded once and kept while it is in use."""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from relmo.config import BiLMConfig
from relmo.errors import ConfigError
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
            found = self._lookup(words)
            return found[torch.tensor(index, dtype=torch.int64, device=found.device)]

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
