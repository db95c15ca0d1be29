"""Token -> character ids: the byte values of its UTF-8 between two ids that begin and end it.

    >>> CharSpace(8).encode(["cat", "<S>"])[:, :6].tolist()
    [[258, 99, 97, 116, 259, 260], [258, 256, 259, 260, 260, 260]]

Ids are unshifted, as the weights are stored: 261 characters, and none for the padding of a
batch, since no such padding is ever computed (Peters et al. 2018, section 3.4; bilm-tf's ids).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from relmo.errors import ConfigError

__all__ = [
    "BOS",
    "BOS_TOKEN",
    "BOW",
    "EOS",
    "EOS_TOKEN",
    "EOW",
    "N_CHARACTERS",
    "PAD",
    "UNK_TOKEN",
    "CharSpace",
]

BOS_TOKEN = "<S>"
EOS_TOKEN = "</S>"
UNK_TOKEN = "<UNK>"

# 0..255 are bytes.
BOS, EOS, BOW, EOW, PAD = 256, 257, 258, 259, 260
N_CHARACTERS = 261

_SPECIAL = {BOS_TOKEN: BOS, EOS_TOKEN: EOS}
_NOT_SPECIAL = "\ud800"  # A lone surrogate has no byte, so it makes "<S>" three bytes again.


class CharSpace:
    """Characters of tokens, at most `max_characters_per_token` ids each.

    A token is `BOW`, its UTF-8 bytes, `EOW`, then `PAD`. Bytes that do not fit are cut off, in the
    middle of a character if need be; lone surrogates have no bytes; the empty token is `BOW` and
    `EOW`. Exactly `<S>` and `</S>` are one id between the two.

    Args:
        max_characters_per_token: ids per token, `BOW` and `EOW` counted.
    """

    begin = BOS_TOKEN
    end = EOS_TOKEN

    def __init__(self, max_characters_per_token: int = 50) -> None:
        if max_characters_per_token < 3:
            raise ConfigError(
                "CharSpace: max_characters_per_token must be at least 3 (begin, end and one "
                f"byte), got {max_characters_per_token}"
            )
        self.max_characters_per_token = max_characters_per_token
        self._n_bytes = max_characters_per_token - 2
        self.limit = f"{self._n_bytes} bytes"

    def __repr__(self) -> str:
        return f"CharSpace({self.max_characters_per_token})"

    def inputs(self, tokens: Sequence[str]) -> tuple[npt.NDArray[Any], ...]:
        """Return what the token encoder takes; see `encode`."""
        return (self.encode(tokens),)

    def is_known(self, token: str) -> bool:
        """Whether the token has characters: True, any has."""
        return True

    def encode(self, tokens: Sequence[str]) -> npt.NDArray[np.uint16]:
        """Return the character ids of each token.

        Args:
            tokens: any strings.

        Returns:
            Ids 0..260, `(n_tokens, max_characters_per_token)`.
        """
        pieces = self._pieces(tokens)
        n_bytes = np.fromiter(map(len, pieces), np.intp, len(pieces))
        ids = np.full((len(pieces), self.max_characters_per_token), PAD, np.uint16)
        ids[:, 0] = BOW
        inside = np.arange(self._n_bytes) < n_bytes[:, None]  # (n_tokens, max - 2)
        ids[:, 1:-1][inside] = np.frombuffer(b"".join(pieces), np.uint8)
        ids[np.arange(len(pieces)), n_bytes + 1] = EOW
        for row, special in self._specials(tokens):
            ids[row, 1:] = PAD
            ids[row, 1:3] = special, EOW
        return ids

    def lengths(self, tokens: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return how many ids of each token are not `PAD`: its bytes and two, `(n_tokens,)`."""
        pieces = self._pieces(tokens)
        lengths = np.fromiter(map(len, pieces), np.int64, len(pieces)) + 2
        for row, _ in self._specials(tokens):
            lengths[row] = 3
        return lengths

    def key(self, token: str) -> str:
        """Return a string of bounded length with the same ids, to look a token up in a cache.

        Tokens with the same key have the same ids: `encode([key(t)])` equals `encode([t])`.
        """
        if len(token) <= self._n_bytes or token in _SPECIAL:
            return token
        # Each character that is left has a byte or more, so these hold every byte that counts.
        key = token.encode("utf-8", "ignore").decode("utf-8")[: self._n_bytes]
        return key + _NOT_SPECIAL if key in _SPECIAL else key

    def is_truncated(self, token: str) -> bool:
        """Whether some bytes of the token do not fit and are ignored."""
        if 4 * len(token) <= self._n_bytes or token in _SPECIAL:  # at most 4 bytes a character
            return False
        return len(token.encode("utf-8", "ignore")) > self._n_bytes

    def _pieces(self, tokens: Sequence[str]) -> list[bytes]:
        size = self._n_bytes
        return [token.encode("utf-8", "ignore")[:size] for token in tokens]

    def _specials(self, tokens: Sequence[str]) -> list[tuple[int, int]]:
        """Return (row, id) of each boundary token among the tokens."""
        present = {token: i for token, i in _SPECIAL.items() if token in tokens}
        if not present:
            return []
        return [(row, present[token]) for row, token in enumerate(tokens) if token in present]
