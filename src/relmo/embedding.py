"""ElmoEmbedding: ELMo as a layer of a task's network (Peters et al. 2018, section 3.2)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from relmo.errors import ConfigError
from relmo.model import Elmo, Sentence, tokenised
from relmo.nn.mix import ScalarMix

__all__ = ["ElmoEmbedding", "ElmoEmbeddingOutput"]


@dataclass(frozen=True)
class ElmoEmbeddingOutput:
    """Vectors of a batch, padded to its longest sentence.

    Args:
        mixtures: n_mixtures tensors (batch, time, dim), zeros behind a sentence's end.
        mask: (batch, time), True where there is a token.
    """

    mixtures: tuple[Tensor, ...]
    mask: Tensor


class ElmoEmbedding(nn.Module):
    """Sentences to learned mixes of a biLM's layers, equation 1.

    The biLM is frozen unless `fine_tune`; frozen it is neither among `parameters()` nor in the
    `state_dict()`, so that a task's checkpoint holds the mix alone.

    Args:
        elmo: the model.
        n_mixtures: separately learned mixes, such as one for a network's input and one for its
            output.
        dropout: share of each mix's numbers zeroed in training mode, after the mix.
        layer_norm: bring each layer to mean 0 and variance 1 over the batch before the mix.
        fine_tune: train the biLM too.
    """

    def __init__(
        self,
        elmo: Elmo,
        n_mixtures: int = 1,
        dropout: float = 0.5,
        *,
        layer_norm: bool = False,
        fine_tune: bool = False,
    ) -> None:
        super().__init__()
        if n_mixtures < 1:
            raise ConfigError(f"ElmoEmbedding: n_mixtures must be at least 1, got {n_mixtures}")
        self.mixtures = nn.ModuleList(
            ScalarMix(elmo.n_layers, layer_norm=layer_norm) for _ in range(n_mixtures)
        )
        self.dropout = nn.Dropout(dropout)
        self.to(elmo.device)
        self._frozen = [elmo]  # in a list: not a submodule
        self.bilm = elmo.bilm.requires_grad_(True) if fine_tune else None

    @property
    def elmo(self) -> Elmo:
        """The model underneath."""
        return self._frozen[0]

    @property
    def dim(self) -> int:
        """Width of a mix."""
        return self.elmo.dim

    def penalty(self) -> Tensor:
        """Sum of the squared mix weights, to be scaled by the paper's lambda."""
        return torch.stack([m.penalty() for m in self.mixtures if isinstance(m, ScalarMix)]).sum()

    def forward(self, sentences: Sequence[Sentence]) -> ElmoEmbeddingOutput:
        """Embed a batch.

        Args:
            sentences: lists of tokens, or strings that are split on white space.

        Raises:
            InputError: `sentences` is a single string, or a token is not a string.
        """
        tokens = list(tokenised(sentences))
        order = sorted(range(len(tokens)), key=lambda number: -len(tokens[number]))
        longest = len(tokens[order[0]]) if order else 0
        device = self.elmo.device
        lengths = torch.tensor([len(s) for s in tokens], dtype=torch.int64, device=device)
        mask = torch.arange(longest, device=device) < lengths[:, None]  # (batch, time)
        if not longest:
            empty = torch.zeros(len(tokens), 0, self.dim, device=device)
            return ElmoEmbeddingOutput((empty,) * len(self.mixtures), mask)
        trains = torch.is_grad_enabled() and self.bilm is not None
        with torch.set_grad_enabled(trains):
            layers, marked = self.elmo.run([tokens[number] for number in order])
        kept, places = self._places(order, marked, longest, device)
        real = [layer[kept] for layer in layers]  # (tokens, dim) each
        padded = []
        for mix in self.mixtures:
            mixed = self.dropout(mix(real))
            flat = mixed.new_zeros(len(tokens) * longest, self.dim)
            padded.append(flat.index_copy(0, places, mixed).view(len(tokens), longest, self.dim))
        return ElmoEmbeddingOutput(tuple(padded), mask)

    @staticmethod
    def _places(
        order: list[int], marked: list[int], longest: int, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Rows of the real tokens in the biLM's output, and their places in (batch * time)."""
        kept: list[Tensor] = []
        places: list[Tensor] = []
        start = 0
        for number, length in zip(order, marked, strict=True):
            kept.append(torch.arange(start + 1, start + length - 1))
            places.append(torch.arange(length - 2) + number * longest)
            start += length
        return torch.cat(kept).to(device), torch.cat(places).to(device)

    def _apply(self, fn, recurse=True):  # type: ignore[no-untyped-def]
        """Move the frozen biLM along with the mixes."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if getattr(self, "bilm", None) is None and hasattr(self, "_frozen"):
            self.elmo.bilm._apply(fn)  # type: ignore[no-untyped-call]
            self.elmo.tokens.clear()
        return self
