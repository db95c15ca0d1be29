"""What the networks of tasks share: tokens -> vectors in their context -> pooled, where asked.

As in Peters et al. 2018, section 3.2: a learned mix of the biLM's layers beside features of the
token alone (a character CNN and word vectors), and residual biLSTMs above them. The head is the
task's own: see `relmo.tasks.tagger` and `relmo.tasks.classifier`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from relmo._typing import Float, Integer
from relmo.config import CharCNNConfig
from relmo.nn.lstm import LSTMLayer
from relmo.nn.mix import ScalarMix
from relmo.nn.packing import Packing
from relmo.nn.token_encoders import CharCNN, Projection
from relmo.tasks.config import TokenConfig

__all__ = [
    "CHARACTERS",
    "AttentionPooling",
    "BiLSTM",
    "MaxPooling",
    "MeanPooling",
    "TokenInputs",
    "TokenNetwork",
]


class BiLSTM(nn.Module):
    """A biLSTM layer over sentences; each sentence starts from a zero state.

    Args:
        n_in: width of the input.
        dim: width of each direction.
    """

    def __init__(self, n_in: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        # The forward and the backward direction, by the names that the files of taggers have.
        self.ahead, self.back = LSTMLayer(n_in, dim), LSTMLayer(n_in, dim)

    def forward(self, x: Float[Tensor, "N n_in"], index: Packing) -> Float[Tensor, "N both"]:
        """Return the outputs of both directions side by side.

        Args:
            x: (N, n_in), flat: sentence after sentence.
            index: the batch's layout.

        Returns:
            (N, 2 * dim), flat.
        """
        if not index.batch_sizes:
            return x.new_zeros(0, 2 * self.dim)
        zeros = x.new_zeros(index.batch_sizes[0], self.dim)
        outputs = []
        for order, layer in ((index.forward, self.ahead), (index.backward, self.back)):
            kernel, weights = layer.kernel(x)
            y, _, _ = kernel(x[order], index.batch_sizes, zeros, zeros, weights, index.carry_mask)
            outputs.append(y)
        forward, backward = outputs
        return torch.cat([forward[index.unpack_forward], backward[index.unpack_backward]], dim=1)


CHARACTERS = 32
"""Characters that a task's character CNN reads of a token, including BOS and EOS of the token."""


@dataclass(frozen=True)
class TokenInputs:
    """A batch of sentences of decreasing length, N tokens in all, sentence after sentence.

    Args:
        index: the layout; each row is one sentence.
        layers: the biLM's (N, n_layers, dim), or None.
        characters: ids of the batch's different tokens (n_types, CHARACTERS), or None.
        types: index of each token in `characters` (N,), or None.
        words: word ids (N,), or None.
        softmax: each word's output embedding in the biLM (N, dim // 2), or None.
    """

    index: Packing
    layers: Tensor | None = None
    characters: Tensor | None = None
    types: Tensor | None = None
    words: Tensor | None = None
    softmax: Tensor | None = None


class TokenNetwork(nn.Module):
    """From tokens to vectors in their context; a task's network adds its head.

    Args:
        config: its shape.
        elmo: number of the biLM's layers and their width; not used without a biLM.
        n_words: rows of its word vectors, where it has any.
        n_mixtures: number of mixes of the biLM's layers; only the first is at the input.
    """

    def __init__(
        self, config: TokenConfig, elmo: tuple[int, int], n_words: int, n_mixtures: int = 1
    ) -> None:
        super().__init__()
        self.config = config
        self._layers = config.mixed(elmo[0])
        elmo_dim = elmo[1] if config.elmo else 0
        self.mixes = nn.ModuleList(
            ScalarMix(self._layers.stop - self._layers.start)
            for _ in range(n_mixtures if config.elmo else 0)
        )
        self.chars = (
            CharCNN(_char_cnn(config.char_dim), config.char_dim) if config.char_dim else None
        )
        self.words = None
        if config.word_dim:
            self.words = nn.Parameter(torch.empty(n_words, config.word_dim))
            nn.init.normal_(self.words, std=config.word_dim**-0.5)
        softmax_dim = elmo_dim // 2 if config.softmax_words else 0  # as wide as one direction
        n_in = elmo_dim + config.char_dim + config.word_dim + softmax_dim
        self.width = 2 * config.lstm_dim if config.n_layers else n_in
        dims = [n_in, *[self.width] * (config.n_layers - 1)][: config.n_layers]
        self.lstms = nn.ModuleList(BiLSTM(dim, config.lstm_dim) for dim in dims)
        self.mix_dropout, self.dropout = nn.Dropout(config.mix_dropout), nn.Dropout(config.dropout)

    def encode(
        self, inputs: TokenInputs
    ) -> tuple[Float[Tensor, "N width"], list[Float[Tensor, "N dim"]]]:
        """Return the biLSTMs' output (N, width), and each mix of the biLM's layers (N, dim)."""
        mixed = self._mix(inputs.layers)
        features = map(self.dropout, self._features(inputs))
        x = torch.cat([*mixed[:1], *features], dim=1)  # (N, n_in)
        for number, lstm in enumerate(self.lstms):
            y = lstm(self.dropout(x) if number else x, inputs.index)
            x = x + y if number else y  # (N, 2 * lstm_dim)
        return x, mixed

    def _mix(self, layers: Tensor | None) -> list[Tensor]:
        """Return each mix of the layers, (N, dim) each."""
        if not len(self.mixes):
            return []
        assert layers is not None  # the encoder of the inputs knows the config
        unbound = layers[:, self._layers].unbind(1)
        return [self.mix_dropout(mix(unbound)) for mix in self.mixes]

    def _features(self, inputs: TokenInputs) -> list[Tensor]:
        """Return the features of the tokens alone, without their context, (N, dim) each."""
        features = []
        if self.chars is not None:
            assert inputs.characters is not None
            features.append(self.chars(inputs.characters)[inputs.types])
        if self.words is not None:
            assert inputs.words is not None
            features.append(nn.functional.embedding(inputs.words, self.words))
        if inputs.softmax is not None:
            features.append(inputs.softmax)
        return features

    def penalty(self) -> Tensor:
        """Return the sum of the squared weights of the mixes."""
        sums = [mix.penalty() for mix in self.mixes if isinstance(mix, ScalarMix)]
        return torch.stack(sums).sum() if sums else torch.zeros(())


def _char_cnn(dim: int) -> CharCNNConfig:
    """Return half the filters of width 3, a quarter each of 2 and 4."""
    return CharCNNConfig(
        filters=((2, dim // 4), (3, dim // 2), (4, dim // 4)),
        embedding_dim=16,
        n_highway=1,
        max_characters_per_token=CHARACTERS,
    )


class MeanPooling(nn.Module):
    """The mean of a sentence's vectors."""

    def forward(
        self, x: Float[Tensor, "N dim"], owner: Integer[Tensor, " N"], n: int
    ) -> Float[Tensor, "n dim"]:
        """Return the vectors of sentences, (n, dim).

        Args:
            x: vectors of their tokens, (N, dim).
            owner: index of the sentence of each token, (N,).
            n: number of sentences; each has a token.
        """
        return _sums(x, owner, n) / _sums(x.new_ones(len(x), 1), owner, n)


class MaxPooling(nn.Module):
    """The maximum of each dimension over a sentence's vectors."""

    def forward(
        self, x: Float[Tensor, "N dim"], owner: Integer[Tensor, " N"], n: int
    ) -> Float[Tensor, "n dim"]:
        """Return the vectors of sentences; see `MeanPooling`."""
        return _maxima(x, owner, n)


class AttentionPooling(nn.Module):
    """The mean weighted by a softmax over the sentence of a learned score of each vector.

    Args:
        dim: width of the vectors.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hidden, self.query = Projection(dim, dim), Projection(dim, 1)

    def forward(
        self, x: Float[Tensor, "N dim"], owner: Integer[Tensor, " N"], n: int
    ) -> Float[Tensor, "n dim"]:
        """Return the vectors of sentences; see `MeanPooling`."""
        scores = self.query(torch.tanh(self.hidden(x)))  # (N, 1)
        # The maximum of its sentence is subtracted, so that no exponential overflows.
        weights = (scores - _maxima(scores.detach(), owner, n)[owner]).exp()
        return _sums(weights * x, owner, n) / _sums(weights, owner, n)


def _sums(x: Tensor, owner: Tensor, n: int) -> Tensor:
    return x.new_zeros(n, x.shape[1]).index_add(0, owner, x)


def _maxima(x: Tensor, owner: Tensor, n: int) -> Tensor:
    lowest = x.new_full((n, x.shape[1]), -torch.inf)
    return lowest.scatter_reduce(0, owner[:, None].expand_as(x), x, "amax")
