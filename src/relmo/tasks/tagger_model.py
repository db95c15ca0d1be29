"""The tagger's network: what is known of each token -> residual biLSTMs -> scores of the tags.

As in Peters et al. 2018, section 3.2: a learned mix of the biLM's layers beside the token's own
representation at the input and, where asked, another mix at the output.
"""

import torch
from torch import Tensor, nn

from relmo._typing import Bool, Float, Integer
from relmo.nn.char_cnn import Projection
from relmo.nn.crf import CRF, best_paths
from relmo.tasks.tagger_config import TaggerConfig
from relmo.tasks.token_model import TokenInputs, TokenNetwork

__all__ = ["TaggerNetwork"]


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
