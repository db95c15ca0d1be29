"""The classifier's network: tokens -> biLSTMs -> one vector a sentence -> scores of the labels.

A pair's two sentences go through the same network; what is scored are their vectors u and v side by
side with |u - v| and u * v.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from relmo._typing import Float
from relmo.nn.char_cnn import Projection
from relmo.nn.pooling import AttentionPooling, MaxPooling, MeanPooling
from relmo.tasks.classifier_config import ClassifierConfig
from relmo.tasks.token_model import TokenInputs, TokenNetwork

__all__ = ["ClassifierInputs", "ClassifierNetwork", "matched"]


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
