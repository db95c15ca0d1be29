"""Tokens to what a token encoder takes: the one way in, whatever a model reads."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy.typing as npt

from relmo.text.chars import BOS_TOKEN, EOS_TOKEN, UNK_TOKEN
from relmo.text.vocab import Vocabulary

__all__ = ["TokenReader", "VocabularyReader"]


@runtime_checkable
class TokenReader(Protocol):
    """How a model reads tokens: `CharSpace`, `VocabularyReader` or `LexiconReader`."""

    begin: str
    """The token that stands before a sentence; as a user's token it is read as that mark."""
    end: str
    """The token that stands behind a sentence."""

    @property
    def limit(self) -> str | None:
        """What is read of a token at most, such as "48 bytes"; None: the whole of it."""

    def inputs(self, tokens: Sequence[str]) -> tuple[npt.NDArray[Any] | None, ...]:
        """The arguments of the model's token encoder, a row for each token."""

    def key(self, token: str) -> str:
        """A string with the same inputs, of bounded length where there is a limit."""

    def is_truncated(self, token: str) -> bool:
        """Whether some of the token is beyond the limit and ignored."""

    def is_known(self, token: str) -> bool:
        """Whether the token's inputs say anything; if not, its vector shall be zeros."""


class VocabularyReader:
    """The ids of whole words, for a word-input model.

    A word that is not in the vocabulary is `<UNK>`, or not known where the vocabulary has none.

    Args:
        vocab: the words.
    """

    begin = BOS_TOKEN
    end = EOS_TOKEN
    limit = None

    def __init__(self, vocab: Vocabulary) -> None:
        self.vocab = vocab

    def inputs(self, tokens: Sequence[str]) -> tuple[npt.NDArray[Any], ...]:
        """Word ids (n_tokens,); that of a word that is not known means nothing."""
        first = self.vocab.words[0]
        return (self.vocab.ids([token if self.is_known(token) else first for token in tokens]),)

    def key(self, token: str) -> str:
        """The token."""
        return token

    def is_truncated(self, token: str) -> bool:
        """False."""
        return False

    def is_known(self, token: str) -> bool:
        """Whether there is an id for it."""
        return token in self.vocab or UNK_TOKEN in self.vocab
