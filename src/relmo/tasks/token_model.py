"""The part of a network that all tasks have: what is known of each token -> residual biLSTMs.

As in Peters et al. 2018, section 3.2: a learned mix of the biLM's layers beside the token's own
representation, a character CNN and word vectors.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from relmo._typing import Float
from relmo.config import CharCNNConfig
from relmo.nn.bilm import PackedIndex
from relmo.nn.bilstm import BiLSTM
from relmo.nn.char_cnn import CharCNN
from relmo.nn.mix import ScalarMix
from relmo.tasks.settings import TokenConfig

__all__ = ["CHARACTERS", "TokenInputs", "TokenNetwork"]

CHARACTERS = 32
"""Characters that a task's own CNN reads of a token, its two marks counted."""


@dataclass(frozen=True)
class TokenInputs:
    """A batch of sentences of falling length, N tokens together, sentence after sentence.

    Args:
        index: the layout; each row is one sentence.
        layers: the biLM's (N, n_layers, dim), or None.
        characters: ids of the different tokens (n_kinds, CHARACTERS), or None.
        kinds: which of them each token is, (N,), or None.
        words: word ids (N,), or None.
        softmax: each word's row of the biLM's softmax (N, dim // 2), or None.
    """

    index: PackedIndex
    layers: Tensor | None = None
    characters: Tensor | None = None
    kinds: Tensor | None = None
    words: Tensor | None = None
    softmax: Tensor | None = None


class TokenNetwork(nn.Module):
    """Tokens to vectors in their context.

    Args:
        config: its shape.
        elmo: layers of the biLM and their width; not used without one.
        n_words: rows of its own word vectors, where it has such.
        n_mixtures: mixes of the layers; only the first is at the input.
    """

    def __init__(
        self, config: TokenConfig, elmo: tuple[int, int], n_words: int, n_mixtures: int = 1
    ) -> None:
        super().__init__()
        self._layers = config.mixed(elmo[0])
        elmo_dim = elmo[1] if config.elmo else 0
        self.mixes = nn.ModuleList(
            ScalarMix(self._layers.stop - self._layers.start)
            for _ in range(n_mixtures if config.elmo else 0)
        )
        self.chars = (
            CharCNN(_own_cnn(config.char_dim), config.char_dim) if config.char_dim else None
        )
        self.words = None
        if config.word_dim:
            self.words = nn.Parameter(torch.empty(n_words, config.word_dim))
            nn.init.normal_(self.words, std=config.word_dim**-0.5)
        row_dim = elmo_dim // 2 if config.softmax_words else 0  # as wide as one direction
        n_in = elmo_dim + config.char_dim + config.word_dim + row_dim
        self.width = 2 * config.lstm_dim if config.n_layers else n_in
        dims = [n_in, *[self.width] * (config.n_layers - 1)][: config.n_layers]
        self.lstms = nn.ModuleList(BiLSTM(dim, config.lstm_dim) for dim in dims)
        self.mix_dropout, self.dropout = nn.Dropout(config.mix_dropout), nn.Dropout(config.dropout)

    def encoded(
        self, inputs: TokenInputs
    ) -> tuple[Float[Tensor, "N width"], list[Float[Tensor, "N dim"]]]:
        """What the biLSTMs give, (N, width), and each mix of the biLM's layers, (N, dim)."""
        mixed = self._mixed(inputs.layers)
        x = torch.cat([*mixed[:1], *map(self.dropout, self._own(inputs))], dim=1)  # (N, n_in)
        for number, lstm in enumerate(self.lstms):
            y = lstm(self.dropout(x) if number else x, inputs.index)
            x = x + y if number else y  # (N, 2 * lstm_dim)
        return x, mixed

    def _mixed(self, layers: Tensor | None) -> list[Tensor]:
        """Each mix of the layers, (N, dim) each."""
        if not len(self.mixes):
            return []
        assert layers is not None  # who makes the inputs knows the config
        apart = layers[:, self._layers].unbind(1)
        return [self.mix_dropout(mix(apart)) for mix in self.mixes]

    def _own(self, inputs: TokenInputs) -> list[Tensor]:
        """The representations that do not depend on the context, (N, dim) each."""
        own = []
        if self.chars is not None:
            assert inputs.characters is not None
            own.append(self.chars(inputs.characters)[inputs.kinds])
        if self.words is not None:
            assert inputs.words is not None
            own.append(nn.functional.embedding(inputs.words, self.words))
        if inputs.softmax is not None:
            own.append(inputs.softmax)
        return own

    def penalty(self) -> Tensor:
        """The squared weights of the mixes."""
        sums = [mix.penalty() for mix in self.mixes if isinstance(mix, ScalarMix)]
        return torch.stack(sums).sum() if sums else torch.zeros(())


def _own_cnn(dim: int) -> CharCNNConfig:
    """Half the filters of width 3, a quarter each of 2 and 4."""
    return CharCNNConfig(
        filters=((2, dim // 4), (3, dim // 2), (4, dim // 4)),
        embedding_dim=16,
        n_highway=1,
        max_characters_per_token=CHARACTERS,
    )
