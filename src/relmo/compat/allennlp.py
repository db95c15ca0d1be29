"""AllenNLP's names for ELMo: change one import and keep the script.

    from relmo.compat.allennlp import Elmo, batch_to_ids  # was: from allennlp.modules.elmo import
    elmo = Elmo("options.json", "weights.hdf5", num_output_representations=2, dropout=0)
    elmo(batch_to_ids([["First", "sentence", "."]]))["elmo_representations"]

Arguments, shapes, masks and keys are those of AllenNLP 0.9. What is different on purpose:

- Each sentence starts from a zero state, so that a vector does not depend on what was embedded
  before. `stateful=True` carries the state from batch to batch by row, as AllenNLP does.
- Behind a sentence's end everything is 0, with layer normalisation too.
- `options_file=None`: `weight_file` is then whatever `relmo.load` takes, a model of any format.
- A model that reads fewer or more than 50 characters a token works.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from relmo.compat._allennlp_bilm import PackedLayers, _ElmoBiLm, batch_to_ids
from relmo.compat._allennlp_embedder import ElmoEmbedder
from relmo.errors import ConfigError
from relmo.nn.mix import ScalarMix

__all__ = ["Elmo", "ElmoEmbedder", "ElmoTokenEmbedder", "batch_to_ids"]


class Elmo(nn.Module):
    """Learned mixes of a biLM's layers, from character ids.

    Args:
        options_file: options.json; None: `weight_file` is anything that `relmo.load` takes.
        weight_file: its HDF5 file.
        num_output_representations: how many separately learned mixes.
        requires_grad: train the biLM too.
        do_layer_norm: bring each layer to mean 0 and variance 1 over the tokens of the batch, its
            sentence marks counted, before the mix.
        dropout: share of each mix's numbers zeroed in training mode.
        vocab_to_cache: words whose token vectors are computed at once, looked up by word id; the
            first stands for padding.
        keep_sentence_boundaries: give the vectors of the sentence marks too.
        scalar_mix_parameters: weights of the layers before the softmax, which are then not
            trained, nor is gamma.
        module: another biLM, with `num_layers`, `get_output_dim()` and a `forward` that gives
            "activations" and "mask" as `_ElmoBiLm` does.
        stateful: see above.

    Raises:
        ConfigError: the arguments do not go together.
    """

    _elmo_lstm: Any

    def __init__(  # noqa: PLR0913 - AllenNLP's
        self,
        options_file: str | None = None,
        weight_file: str | None = None,
        num_output_representations: int = 1,
        requires_grad: bool = False,
        do_layer_norm: bool = False,
        dropout: float = 0.5,
        vocab_to_cache: list[str] | None = None,
        keep_sentence_boundaries: bool = False,
        scalar_mix_parameters: Sequence[float] | None = None,
        module: nn.Module | None = None,
        *,
        stateful: bool = False,
    ) -> None:
        super().__init__()
        if module is not None and (options_file is not None or weight_file is not None):
            raise ConfigError("compat.allennlp: give module or options_file and weight_file")
        self._elmo_lstm = (
            _ElmoBiLm(options_file, weight_file, requires_grad, vocab_to_cache, stateful)
            if module is None
            else module
        )
        self._keep_sentence_boundaries = keep_sentence_boundaries
        self._dropout = nn.Dropout(dropout)
        self._n_mixes = num_output_representations
        for number in range(num_output_representations):
            mix = _mix(self._elmo_lstm.num_layers, do_layer_norm, scalar_mix_parameters)
            self.add_module(f"scalar_mix_{number}", mix)

    def get_output_dim(self) -> int:
        """Width of a representation."""
        return int(self._elmo_lstm.get_output_dim())

    def reset_states(self) -> None:
        """Start the next batch anew, where the biLM is stateful."""
        if isinstance(self._elmo_lstm, _ElmoBiLm):
            self._elmo_lstm.reset_states()

    def forward(
        self, inputs: Tensor | None, word_inputs: Tensor | None = None
    ) -> dict[str, Tensor | list[Tensor]]:
        """Embed a batch.

        Args:
            inputs: character ids as `batch_to_ids` gives them, (batch, time, 50), or with more
                axes before time.
            word_inputs: ids of cached words, (batch, time) or more axes, 0 padding; used instead
                where a vocabulary was cached and has them all.

        Returns:
            "elmo_representations": num_output_representations tensors (batch, time, dim), 0 where
            there is no token; "mask": int64 (batch, time), 1 where there is one. With
            `keep_sentence_boundaries` time is two more.

        Raises:
            ShapeError: the ids have another shape, or padding between tokens.
            InputError: an id is out of range, or there is nothing to encode.
        """
        axes = _outer_axes(inputs, word_inputs)
        if inputs is not None and inputs.dim() > 3:
            inputs = inputs.reshape(-1, *inputs.shape[-2:])
        if word_inputs is not None and word_inputs.dim() > 2:
            word_inputs = word_inputs.reshape(-1, word_inputs.shape[-1])
        if isinstance(self._elmo_lstm, _ElmoBiLm):
            packed = self._elmo_lstm.packed(inputs, word_inputs)
        else:
            packed = _packed(self._elmo_lstm(inputs, word_inputs))
        kept = self._keep_sentence_boundaries
        representations = []
        for number in range(self._n_mixes):
            mixed = self.get_submodule(f"scalar_mix_{number}")(packed.layers)  # (N, dim)
            padded = self._dropout(packed.padded(mixed, boundaries=kept))
            representations.append(padded.view(*axes, *padded.shape[1:]))
        mask = packed.mask(boundaries=kept)
        return {
            "elmo_representations": representations,
            "mask": mask.view(*axes, mask.shape[1]),
        }


class ElmoTokenEmbedder(nn.Module):
    """`Elmo` with one representation, and a projection of it where `projection_dim` is given.

    Args:
        projection_dim: width of the vectors; None or 0: the biLM's, not projected.

    The other arguments are those of `Elmo`.
    """

    def __init__(  # noqa: PLR0913 - AllenNLP's
        self,
        options_file: str | None = None,
        weight_file: str | None = None,
        do_layer_norm: bool = False,
        dropout: float = 0.5,
        requires_grad: bool = False,
        projection_dim: int | None = None,
        vocab_to_cache: list[str] | None = None,
        scalar_mix_parameters: Sequence[float] | None = None,
        *,
        stateful: bool = False,
    ) -> None:
        super().__init__()
        self._elmo = Elmo(
            options_file,
            weight_file,
            requires_grad=requires_grad,
            do_layer_norm=do_layer_norm,
            dropout=dropout,
            vocab_to_cache=vocab_to_cache,
            scalar_mix_parameters=scalar_mix_parameters,
            stateful=stateful,
        )
        dim = self._elmo.get_output_dim()
        self._projection = nn.Linear(dim, projection_dim) if projection_dim else None
        self.output_dim = projection_dim or dim

    def get_output_dim(self) -> int:
        """Width of a vector."""
        return self.output_dim

    def forward(self, inputs: Tensor | None, word_inputs: Tensor | None = None) -> Tensor:
        """Vectors (batch, time, output_dim) of ids as `Elmo` takes them."""
        (vectors,) = self._elmo(inputs, word_inputs)["elmo_representations"]
        projected: Tensor = vectors if self._projection is None else self._projection(vectors)
        return projected


def _mix(n_layers: int, layer_norm: bool, weights: Sequence[float] | None) -> ScalarMix:
    mix = ScalarMix(n_layers, layer_norm=layer_norm)
    if weights is None:
        return mix
    if len(weights) != n_layers:
        raise ConfigError(
            f"compat.allennlp: scalar_mix_parameters: expected {n_layers} numbers, one a layer, "
            f"got {len(weights)}"
        )
    with torch.no_grad():
        mix.weights.copy_(torch.tensor(list(weights)))
    return mix.requires_grad_(False)


def _outer_axes(inputs: Tensor | None, word_inputs: Tensor | None) -> tuple[int, ...]:
    """The axes before time."""
    if word_inputs is not None:
        return tuple(word_inputs.shape[:-1])
    return () if inputs is None else tuple(inputs.shape[:-2])


def _packed(output: Mapping[str, Any]) -> PackedLayers:
    """What another biLM's forward gives, padded and with marks, as ours is."""
    mask = output["mask"] > 0  # (batch, time + 2)
    sentence, step = mask.nonzero(as_tuple=True)
    return PackedLayers(
        layers=tuple(layer[mask] for layer in output["activations"]),
        sentence=sentence,
        step=step,
        lengths=mask.sum(dim=1) - 2,
        time=mask.shape[1] - 2,
    )
