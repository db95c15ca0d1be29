"""The networks of tasks: what is known of each token -> residual biLSTMs -> scores.

As in Peters et al. 2018, section 3.2: a learned mix of the biLM's layers beside the token's own
representation, a character CNN and word vectors. A tagger scores the tags of each token, where
asked with another mix at the output. A classifier scores the labels of one vector per sentence; a
pair's two sentences go through the same network, and what is scored are their vectors u and v side
by side with |u - v| and u * v.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from relmo._typing import Bool, Float, Integer
from relmo.config import CharCNNConfig
from relmo.nn.crf import CRF, best_paths
from relmo.nn.lstm import LSTMLayer
from relmo.nn.mix import ScalarMix
from relmo.nn.packing import Packing
from relmo.nn.token_encoders import CharCNN, Projection
from relmo.tasks.config import ClassifierConfig, TaggerConfig, TokenConfig

__all__ = [
    "CHARACTERS",
    "AttentionPooling",
    "BiLSTM",
    "ClassifierInputs",
    "ClassifierNetwork",
    "MaxPooling",
    "MeanPooling",
    "TaggerNetwork",
    "TokenInputs",
    "TokenNetwork",
    "matched",
]


class BiLSTM(nn.Module):
    """Each sentence read from both ends; every row starts from a zero state.

    Args:
        n_in: width of the input.
        dim: width of each direction.
    """

    def __init__(self, n_in: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.ahead, self.back = LSTMLayer(n_in, dim), LSTMLayer(n_in, dim)

    def forward(self, x: Float[Tensor, "N n_in"], index: Packing) -> Float[Tensor, "N both"]:
        """Outputs of both directions side by side.

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

    index: Packing
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


class MeanPooling(nn.Module):
    """The mean of a sentence's vectors."""

    def forward(
        self, x: Float[Tensor, "N dim"], owner: Integer[Tensor, " N"], n: int
    ) -> Float[Tensor, "n dim"]:
        """Vectors of sentences, (n, dim).

        Args:
            x: those of their tokens, (N, dim).
            owner: number of the sentence that each token is of, from 0, (N,).
            n: sentences, each of which has a token.
        """
        return _sums(x, owner, n) / _sums(x.new_ones(len(x), 1), owner, n)


class MaxPooling(nn.Module):
    """The largest of each number over a sentence's vectors."""

    def forward(
        self, x: Float[Tensor, "N dim"], owner: Integer[Tensor, " N"], n: int
    ) -> Float[Tensor, "n dim"]:
        """See `MeanPooling`."""
        return _largest(x, owner, n)


class AttentionPooling(nn.Module):
    """A mean weighted by a softmax over the sentence of a learned score of each vector.

    Args:
        dim: width of the vectors.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hidden, self.query = Projection(dim, dim), Projection(dim, 1)

    def forward(
        self, x: Float[Tensor, "N dim"], owner: Integer[Tensor, " N"], n: int
    ) -> Float[Tensor, "n dim"]:
        """See `MeanPooling`."""
        scores = self.query(torch.tanh(self.hidden(x)))  # (N, 1)
        shares = (scores - _largest(scores.detach(), owner, n)[owner]).exp()
        return _sums(shares * x, owner, n) / _sums(shares, owner, n)


def _sums(x: Tensor, owner: Tensor, n: int) -> Tensor:
    return x.new_zeros(n, x.shape[1]).index_add(0, owner, x)


def _largest(x: Tensor, owner: Tensor, n: int) -> Tensor:
    lowest = x.new_full((n, x.shape[1]), -torch.inf)
    return lowest.scatter_reduce(0, owner[:, None].expand_as(x), x, "amax")


@dataclass(frozen=True)
class ClassifierInputs:
    """A batch of B sentences or pairs.

    Args:
        tokens: those of the sentences that have any, longest first; None: none has.
        owner: number of the sentence that each token is of, (N,).
        n_sentences: that have tokens.
        rows: which of them is the one sentence or are the two of each pair, (B, 1 or 2);
            n_sentences: it has no tokens.
    """

    tokens: TokenInputs | None
    owner: Tensor
    n_sentences: int
    rows: Tensor


class ClassifierNetwork(TokenNetwork):
    """The whole network but for the biLM.

    Args:
        config: its shape.
        n_labels: different labels.
        elmo: layers and width of the biLM, the token layer counted; not used without one.
        n_words: rows of its own word vectors, where it has such.
    """

    def __init__(
        self, config: ClassifierConfig, n_labels: int, elmo: tuple[int, int], n_words: int
    ) -> None:
        super().__init__(config, elmo, n_words)
        self.config = config
        self.pooling: nn.Module
        if config.pooling == "attention":
            self.pooling = AttentionPooling(self.width)
        else:
            self.pooling = MaxPooling() if config.pooling == "max" else MeanPooling()
        self.scores = Projection((4 if config.pairs else 1) * self.width, n_labels)

    def sentence_vectors(self, inputs: ClassifierInputs) -> Float[Tensor, "n1 width"]:
        """Those of the sentences, and last of one without tokens: zeros."""
        empty = self.scores.bias.new_zeros(1, self.width)
        if inputs.tokens is None:
            return empty
        x, _ = self.encoded(inputs.tokens)
        return torch.cat([self.pooling(x, inputs.owner, inputs.n_sentences), empty])

    def forward(self, inputs: ClassifierInputs) -> Float[Tensor, "B labels"]:
        """Scores of each label for each sentence or pair, (B, n_labels)."""
        found = self.sentence_vectors(inputs)[inputs.rows].unbind(1)  # 1 or 2 of (B, width)
        result: Tensor = self.scores(self.dropout(matched(*found) if len(found) == 2 else found[0]))
        return result


def matched(u: Float[Tensor, "B width"], v: Float[Tensor, "B width"]) -> Float[Tensor, "B wide"]:
    """``[u; v; |u - v|; u * v]``, (B, 4 * width): the last two are the same of v and u."""
    return torch.cat([u, v, (u - v).abs(), u * v], dim=1)


class TaggerNetwork(TokenNetwork):
    """The whole network but for the biLM.

    Args:
        config: its shape.
        n_tags: different tags.
        elmo: layers and width of the biLM, the token layer counted; not used without one.
        n_words: rows of its own word vectors, where it has such.
    """

    def __init__(
        self, config: TaggerConfig, n_tags: int, elmo: tuple[int, int], n_words: int
    ) -> None:
        super().__init__(config, elmo, n_words, config.n_mixtures)
        self.config = config
        top = elmo[1] if len(self.mixes) == 2 else 0
        self.scores = Projection(self.width + top, n_tags)
        self.crf = CRF(n_tags) if config.output == "crf" else None

    def forward(self, inputs: TokenInputs) -> Float[Tensor, "N tags"]:
        """Scores of each tag for each token, (N, n_tags), sentence after sentence."""
        x, mixed = self.encoded(inputs)
        result: Tensor = self.scores(torch.cat([self.dropout(x), *mixed[1:]], dim=1))
        return result

    def loss(self, inputs: TokenInputs, tags: Integer[Tensor, " N"]) -> Float[Tensor, ""]:
        """Negative log-likelihood of the tags, in nats a token."""
        scores, index = self(inputs), inputs.index
        if self.crf is None:
            return nn.functional.cross_entropy(scores, tags)
        packed = scores[index.forward], tags[index.forward]
        return -self.crf.log_likelihood(*packed, index.batch_sizes).sum() / len(tags)

    def decode(
        self, inputs: TokenInputs, allowed: Bool[Tensor, "tags1 tags1"] | None
    ) -> tuple[Integer[Tensor, " N"], Float[Tensor, " N"]]:
        """The best tags, (N,), and the probability of each of them by itself, (N,).

        Args:
            inputs: the batch.
            allowed: steps that a path may take, see `relmo.nn.crf.best_paths`.
        """
        order, sizes = inputs.index.forward, inputs.index.batch_sizes
        scores: Tensor = self(inputs)[order]  # packed
        if self.crf is None:
            shares, zeros = scores.softmax(1), scores.new_zeros(scores.shape[1])
            steps = zeros.expand(len(zeros), -1)
            tags = best_paths(scores, sizes, steps, zeros, zeros, allowed=allowed)
        else:
            shares = self.crf.marginals(scores, sizes)
            tags = self.crf.best_paths(scores, sizes, allowed)
        flat = inputs.index.unpack_forward
        return tags[flat], shares.gather(1, tags[:, None])[flat, 0]
