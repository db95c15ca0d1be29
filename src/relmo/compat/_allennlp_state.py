"""A `state_dict` that AllenNLP's modules saved, under the names of ours, so that they load it."""

from typing import Any

import torch

from relmo.config import BiLMConfig
from relmo.formats._torch_tables import allennlp_table
from relmo.text.chars import N_CHARACTERS

__all__ = ["join_mixes", "rename_bilm"]

# What is missing or of another shape is left as it is, for torch to complain of.


def rename_bilm(state: dict[str, Any], prefix: str, config: BiLMConfig) -> None:
    """Put the tensors of AllenNLP's `_ElmoBiLm` in `state` below `bilm`, in place.

    Args:
        state: tensors by name.
        prefix: what the names of the module's tensors begin with.
        config: shape of the biLM.
    """
    characters = state.get(f"{prefix}_token_embedder._char_embedding_weights")
    if characters is None:
        return
    mask_row = characters.shape[:1] != (N_CHARACTERS,)
    for row in allennlp_table(config, mask_row=mask_row):
        tensor = state.get(prefix + row.dataset)
        if tensor is not None and tuple(tensor.shape) == row.shape:
            del state[prefix + row.dataset]
            parts = zip(row.parameters, row.layout.split(tensor), strict=True)
            state.update({f"{prefix}bilm.{name}": part for name, part in parts})


def join_mixes(state: dict[str, Any], prefix: str, n_mixes: int, n_layers: int) -> None:
    """Make one tensor of the weights of each mix in `state`, in place; AllenNLP has one a layer."""
    for number in range(n_mixes):
        mix = f"{prefix}scalar_mix_{number}"
        names = [f"{mix}.scalar_parameters.{layer}" for layer in range(n_layers)]
        if all(name in state and state[name].shape == (1,) for name in names):
            state[f"{mix}.weights"] = torch.cat([state.pop(name) for name in names])
