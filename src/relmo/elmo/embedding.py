"""ElmoEmbedding: ELMo as a layer of a task's network (Peters et al. 2018, section 3.2)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from relmo.elmo.model import Elmo
from relmo.errors import ConfigError
from relmo.nn.mix import ScalarMix
from relmo.nn.precision import exact
from relmo.text import batching
from relmo.text.tokenizers import Sentence, tokenised

__all__ = ["ElmoEmbedding", "ElmoEmbeddingOutput", "PaddedBatch", "padded_batch"]


@dataclass(frozen=True)
class ElmoEmbeddingOutput:
    """Vectors of a batch, padded to its longest sentence.

    Args:
        mixtures: n_mixtures tensors (batch, time, dim), zeros behind a sentence's end.
        mask: (batch, time), True where there is a token.
    """

    mixtures: tuple[Tensor, ...]
    mask: Tensor


@dataclass(frozen=True)
class PaddedBatch:
    """The layers of a batch's tokens, and the position of each token in the padded batch.

    Args:
        layers: n_layers tensors (n_tokens, dim), boundary tokens left out.
        positions: of each token in the padded batch laid out flat, (n_tokens,).
        mask: (batch, time), True where there is a token.
    """

    layers: tuple[Tensor, ...]
    positions: Tensor
    mask: Tensor

    def to(self, like: Tensor) -> "PaddedBatch":
        """Return the batch on the device of a tensor, the layers in its type too."""
        return PaddedBatch(
            tuple(layer.to(like) for layer in self.layers),
            self.positions.to(like.device),
            self.mask.to(like.device),
        )

    def padded(self, rows: Tensor) -> Tensor:
        """Return rows (n_tokens, dim) as (batch, time, dim), zeros behind a sentence's end."""
        flat = rows.new_zeros(self.mask.numel(), rows.shape[-1])
        return flat.index_copy(0, self.positions, rows).view(*self.mask.shape, rows.shape[-1])


def padded_batch(
    elmo: Elmo, sentences: Sequence[Sequence[str]], *, time: int = 0, trains: bool = False
) -> PaddedBatch:
    """Run the biLM over a batch, `elmo.token_budget` tokens at once.

    Args:
        elmo: the model.
        sentences: tokens.
        time: positions to pad to at least; more where a sentence is longer.
        trains: whether the biLM is fine-tuned: with a graph, where gradients are enabled.
    """
    device = elmo.device
    lengths = [len(sentence) for sentence in sentences]
    time = max([time, *lengths])
    pieces: list[list[Tensor]] = [[] for _ in range(elmo.n_layers)]
    positions = [torch.zeros(0, dtype=torch.int64)]
    with exact(device, trains=trains):
        budget = elmo.token_budget
        for batch in batching.length_batches([length + 2 for length in lengths], budget):
            layers, with_boundaries = elmo.run([sentences[number] for number in batch])
            tokens = _token_rows(with_boundaries).to(device)
            for layer, layer_pieces in zip(layers, pieces, strict=True):
                layer_pieces.append(layer[tokens])
            positions += [torch.arange(lengths[number]) + int(number) * time for number in batch]
    mask = torch.arange(time) < torch.tensor(lengths, dtype=torch.int64)[:, None]  # (batch, time)
    none = torch.zeros(0, elmo.dim, device=device)
    return PaddedBatch(
        tuple(torch.cat(layer_pieces) if layer_pieces else none for layer_pieces in pieces),
        torch.cat(positions).to(device),
        mask.to(device),
    )


def _token_rows(lengths: Sequence[int]) -> Tensor:
    """Return the rows of the real tokens in the biLM's output (n_tokens,).

    Args:
        lengths: of the sentences, their boundary tokens counted.
    """
    rows, start = [], 0
    for length in lengths:
        rows.append(torch.arange(start + 1, start + length - 1))
        start += length
    return torch.cat(rows)


class ElmoEmbedding(nn.Module):
    """Learned mixes of a biLM's layers for the tokens of sentences, equation 1.

    The biLM is frozen unless `fine_tune`; frozen it is neither among `parameters()` nor in the
    `state_dict()`, so that a task's checkpoint holds the mix alone. Several of them may stand over
    one model and share its memory. A frozen one that is moved or cast (`.to("cuda")`, `.half()`)
    takes a converted copy of the biLM, see `elmo`: the model that was passed in, and whoever else
    stands over it, stay as they are. With `fine_tune` the biLM is a submodule like any other, and
    shared: trained, moved and cast for all at once. While it is so trained (a parameter of it
    requires a gradient) frozen layers over it follow it and take no copy.

    Args:
        elmo: the model.
        n_mixtures: separately learned mixes, such as one for a network's input and one for its
            output.
        dropout: probability that a number of a mix is zeroed in training mode.
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
        """The model underneath: the one that was passed in until this layer is moved or cast."""
        return self._frozen[0]

    @property
    def dim(self) -> int:
        """Width of a mix."""
        return self.elmo.dim

    def penalty(self) -> Tensor:
        """Return the sum of the squared mix weights, to be scaled by the paper's lambda."""
        return torch.stack([m.penalty() for m in self.mixtures if isinstance(m, ScalarMix)]).sum()

    def forward(self, sentences: Sequence[Sentence]) -> ElmoEmbeddingOutput:
        """Embed a batch.

        Args:
            sentences: lists of tokens, or strings that are split on white space.

        Raises:
            InputError: `sentences` is a single string, or a token is not a string.
            ConfigError: the biLM's weights are of a type in which it cannot compute.
        """
        trains = self.bilm is not None
        batch = padded_batch(self.elmo, list(tokenised(sentences)), trains=trains)
        # Another layer over the same model, or the model's owner, may have moved or cast it.
        batch = batch.to(next(self.mixtures.parameters()))
        mixtures = tuple(batch.padded(self.dropout(mix(batch.layers))) for mix in self.mixtures)
        return ElmoEmbeddingOutput(mixtures, batch.mask)

    def _apply(self, fn, recurse=True):  # type: ignore[no-untyped-def]
        """Move or cast the frozen biLM along with the mixes, apart from the one passed in."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if getattr(self, "bilm", None) is not None or not hasattr(self, "_frozen"):
            return self
        # A biLM that another layer fine-tunes is followed: it is moved and cast for all.
        if not any(p.requires_grad for p in self.elmo.bilm.parameters()):
            self._frozen = [self.elmo.converted(fn)]
        return self
