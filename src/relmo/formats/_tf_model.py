"""What bilm-tf's checkpoint and the TF-Hub module share: variables that are a biLM's parameters."""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

from torch import Tensor

from relmo.config import BiLMConfig
from relmo.formats import _checks
from relmo.formats._bilm_table import Row, bilm_table
from relmo.formats._tf_bundle import Bundle
from relmo.text.chars import N_CHARACTERS

__all__ = ["read_parameters", "variable_names"]

_IN_TABLE = re.compile(r"RNN_(\d)/RNN/MultiRNNCell/Cell(\d+)/LSTMCell/(\w+)")
_IN_CELL = {"W_0": "kernel", "B": "bias", "W_P_0": "projection/kernel"}


def variable_names(scope: str, cell: str) -> Callable[[str], str]:
    """The function from a dataset of `bilm_table` to the variable that holds the same.

    Args:
        scope: what every name begins with, such as "lm/".
        cell: the name of an LSTM cell, with {direction} and {layer} in it.
    """

    def named(dataset: str) -> str:
        match = _IN_TABLE.fullmatch(dataset)
        if match is None:
            return scope + dataset
        direction, layer, part = match.groups()
        return f"{scope}{cell.format(direction=direction, layer=layer)}/{_IN_CELL[part]}"

    return named


def read_parameters(
    bundle: Bundle,
    config: BiLMConfig,
    named: Callable[[str], str],
    others: Collection[str],
    asked_by: str,
) -> dict[str, Tensor]:
    """Every parameter of the biLM; every variable is one of its own or among `others`.

    Args:
        bundle: the checkpoint.
        config: the shape of the model.
        named: from a dataset of `bilm_table` to its variable.
        others: names of variables that are none of the biLM's.
        asked_by: what settles the shapes, for messages.

    Raises:
        FormatError: a variable is missing, superfluous, of another shape or type, or not finite.
    """
    shapes = {name: shape for name, shape in bundle.shapes.items() if name not in others}
    characters = shapes.get(named("char_embed"), ())
    mask_row = characters[:1] == (N_CHARACTERS + 1,)

    def table() -> Iterator[Row]:
        rows = bilm_table(config, mask_row=mask_row)
        return (replace(row, dataset=named(row.dataset)) for row in rows)

    tensors: dict[str, Tensor] = {}
    for row in _checks.check_rows(table, shapes, bundle.where, asked_by):
        parts = row.layout.split(bundle.read(row.dataset))
        tensors.update(zip(row.parameters, parts, strict=True))
    return tensors
