"""The tagger's network: what is known of each token -> residual biLSTMs -> scores of the tags.

As in Peters et al. 2018, section 3.2: a learned mix of the biLM's layers beside the token's own
representation at the input and, where asked, another mix at the output.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from relmo._typing import Bool, Float, Integer
from relmo.config import CharCNNConfig
from relmo.nn.bilm import PackedIndex
from relmo.nn.bilstm import BiLSTM
from relmo.nn.char_cnn import CharCNN, Projection
from relmo.nn.crf import CRF, best_paths
from relmo.nn.mix import ScalarMix
from relmo.tasks.tagger_config import TaggerConfig

__all__ = ["CHARACTERS", "TaggerInputs", "TaggerNetwork"]

CHARACTERS = 32
"""Characters that the tagger's own CNN reads of a token, its two marks counted."""


@dataclass(frozen=True)
class TaggerInputs:
    """A batch of sentences of falling length, N tokens together, sentence after sentence.

    Args:
        index: the layout; each row is one sentence.
        layers: the biLM's (N, n_layers, dim), or None.
        characters: ids of the different tokens (n_kinds, CHARACTERS), or None.
        kinds: which of them each token is, (N,), or None.
        words: word ids (N,), or None.
    """

    index: PackedIndex
    layers: Tensor | None = None
    characters: Tensor | None = None
    kinds: Tensor | None = None
    words: Tensor | None = None


class TaggerNetwork(nn.Module):
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
        super().__init__()
        self.config = config
        n_layers, elmo_dim = elmo if config.elmo else (0, 0)
        self.mixes = nn.ModuleList(
            ScalarMix(n_layers) for _ in range(config.n_mixtures if config.elmo else 0)
        )
        self.chars = (
            CharCNN(_own_cnn(config.char_dim), config.char_dim) if config.char_dim else None
        )
        self.words = None
        if config.word_dim:
            self.words = nn.Parameter(torch.empty(n_words, config.word_dim))
            nn.init.normal_(self.words, std=config.word_dim**-0.5)
        n_in = elmo_dim + config.char_dim + config.word_dim
        dims = [n_in, *[2 * config.lstm_dim] * (config.n_layers - 1)]
        self.lstms = nn.ModuleList(BiLSTM(dim, config.lstm_dim) for dim in dims)
        top = elmo_dim if len(self.mixes) == 2 else 0
        self.scores = Projection(2 * config.lstm_dim + top, n_tags)
        self.crf = CRF(n_tags) if config.output == "crf" else None
        self.mix_dropout, self.dropout = nn.Dropout(config.mix_dropout), nn.Dropout(config.dropout)

    def forward(self, inputs: TaggerInputs) -> Float[Tensor, "N tags"]:
        """Scores of each tag for each token, (N, n_tags), sentence after sentence."""
        mixed = self._mixed(inputs.layers)
        x = torch.cat([*mixed[:1], *map(self.dropout, self._own(inputs))], dim=1)  # (N, n_in)
        for number, lstm in enumerate(self.lstms):
            y = lstm(self.dropout(x) if number else x, inputs.index)
            x = x + y if number else y  # (N, 2 * lstm_dim)
        result: Tensor = self.scores(torch.cat([self.dropout(x), *mixed[1:]], dim=1))
        return result

    def _mixed(self, layers: Tensor | None) -> list[Tensor]:
        """Each mix of the layers, (N, dim) each."""
        if not len(self.mixes):
            return []
        assert layers is not None  # who makes the inputs knows the config
        apart = layers.unbind(1)
        return [self.mix_dropout(mix(apart)) for mix in self.mixes]

    def _own(self, inputs: TaggerInputs) -> list[Tensor]:
        """The representations that do not depend on the context, (N, dim) each."""
        own = []
        if self.chars is not None:
            assert inputs.characters is not None
            own.append(self.chars(inputs.characters)[inputs.kinds])
        if self.words is not None:
            assert inputs.words is not None
            own.append(nn.functional.embedding(inputs.words, self.words))
        return own

    def penalty(self) -> Tensor:
        """The squared weights of the mixes."""
        sums = [mix.penalty() for mix in self.mixes if isinstance(mix, ScalarMix)]
        return torch.stack(sums).sum() if sums else self.scores.bias.new_zeros(())

    def loss(self, inputs: TaggerInputs, tags: Integer[Tensor, " N"]) -> Float[Tensor, ""]:
        """Negative log-likelihood of the tags, in nats a token."""
        scores, index = self(inputs), inputs.index
        if self.crf is None:
            return nn.functional.cross_entropy(scores, tags)
        packed = scores[index.forward], tags[index.forward]
        return -self.crf.log_likelihood(*packed, index.batch_sizes).sum() / len(tags)

    def decode(
        self, inputs: TaggerInputs, allowed: Bool[Tensor, "tags1 tags1"] | None
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


def _own_cnn(dim: int) -> CharCNNConfig:
    """Half the filters of width 3, a quarter each of 2 and 4."""
    return CharCNNConfig(
        filters=((2, dim // 4), (3, dim // 2), (4, dim // 4)),
        embedding_dim=16,
        n_highway=1,
        max_characters_per_token=CHARACTERS,
    )
