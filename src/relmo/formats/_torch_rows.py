"""What AllenNLP and ELMoForManyLangs, which grew from it, name and lay out alike in their tensors.

Both keep matrices (out, in), so `W @ x`; the gates of an LSTM in the order input, forget,
candidate, output, the 1 of the forget gate added to its bias; and a highway layer as one matrix,
the transform above the gate, whose sign is turned, as it is the weight of what is carried, not of
what is transformed.

Everything is exact in both directions but that 1: it is taken off and added in the type of the
bias, rounded once, by at most half a unit in the last place of the larger of the two numbers (6e-8
for biases between -1 and 1 in float32).
"""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from relmo.config import BiLMConfig, CharCNNConfig
from relmo.formats import _checks
from relmo.formats._bilm_table import Layout, Row
from relmo.formats.checkpoint import Shape

__all__ = ["AS_IS", "TRANSPOSED", "char_cnn_rows", "lstm_rows", "taken"]

# The four gates, blocks of the first axis: i, f, j, o in the file; i, f, o, j in relmo.
_ORDER = [0, 1, 3, 2]
"""From either to the other."""
_FORGET = 1


def _reordered(x: Tensor) -> Tensor:
    """(4D, ...) -> (4D, ...)."""
    blocks = x.chunk(4)
    return torch.cat([blocks[number] for number in _ORDER])


def _shifted(bias: Tensor, by: float) -> Tensor:
    """A copy with `by` added to the forget gate's block."""
    blocks = list(bias.chunk(4))
    blocks[_FORGET] = blocks[_FORGET] + by
    return torch.cat(blocks)


def _highway_split(x: Tensor) -> Sequence[Tensor]:
    """(2F, ...): the transform above the carry gate, which is ours with its sign turned."""
    transform, carry = x.chunk(2)
    return transform.t(), -carry.t()  # t() of a bias is the bias


AS_IS = Layout(lambda x: (x,), lambda parts: parts[0])
TRANSPOSED = Layout(lambda x: (x.t(),), lambda parts: parts[0].t())
_CONVOLUTION = Layout(lambda x: (x.permute(2, 1, 0),), lambda parts: parts[0].permute(2, 1, 0))
_HIGHWAY = Layout(_highway_split, lambda parts: torch.cat([parts[0].t(), -parts[1].t()]))
_GATES = Layout(lambda x: (_reordered(x).t(),), lambda parts: _reordered(parts[0].t()))
_BIAS = Layout(
    lambda x: (_shifted(_reordered(x), -1.0),), lambda parts: _reordered(_shifted(parts[0], 1.0))
)


def char_cnn_rows(
    cnn: CharCNNConfig, convolution: str, highway: str, encoder: str, section: str
) -> Iterator[Row]:
    """The tensors of convolutions and highway layers.

    Args:
        cnn: their shape.
        convolution: the name of one in the file, with {} for its number.
        highway: the name of a highway layer, the same.
        encoder: what their names in relmo begin with.
        section: the section of the options that they come from.
    """
    c, f = cnn.embedding_dim, cnn.n_filters
    for i, (width, number) in enumerate(cnn.filters):
        origin, name = f"{section}.filters[{i}]", convolution.format(i)
        to = f"{encoder}.convolutions.{i}"
        yield Row(f"{name}.weight", (number, c, width), origin, (f"{to}.weight",), _CONVOLUTION)
        yield Row(f"{name}.bias", (number,), origin, (f"{to}.bias",), AS_IS)
    for k in range(cnn.n_highway):
        origin, name = f"the sum of {section}.filters", highway.format(k)
        to = f"{encoder}.highways.{k}"
        shapes: dict[str, Shape] = {"weight": (2 * f, f), "bias": (2 * f,)}
        for part, shape in shapes.items():
            parameters = (f"{to}.transform_{part}", f"{to}.gate_{part}")
            yield Row(f"{name}.{part}", shape, origin, parameters, _HIGHWAY)


def lstm_rows(config: BiLMConfig, prefix: str, section: str) -> Iterator[Row]:
    """The tensors of the LSTMs of both directions.

    Args:
        config: the shape of the model.
        prefix: what their names in the file begin with.
        section: the section of the options that they come from.
    """
    p, d = config.projection_dim, config.lstm_dim
    origin = f"{section}.projection_dim and {section}.dim"
    for direction in ("forward", "backward"):
        for layer in range(config.n_layers):
            name, to = f"{prefix}{direction}_layer_{layer}", f"{direction}_lstm.layers.{layer}"
            for theirs, ours in (("input", "input"), ("state", "recurrent")):
                weight = f"{name}.{theirs}_linearity.weight"
                yield Row(weight, (4 * d, p), origin, (f"{to}.{ours}_weight",), _GATES)
            bias = f"{name}.state_linearity.bias"
            yield Row(bias, (4 * d,), f"{section}.dim", (f"{to}.bias",), _BIAS)
            if config.has_lstm_projection:
                projection = f"{name}.state_projection.weight"
                yield Row(projection, (p, d), origin, (f"{to}.projection_weight",), TRANSPOSED)


def taken(rows: Iterable[Row], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The parameters of the rows, each tensor let go of once it is used.

    They are copies: a tensor may be a part of a file's storage, which would be held whole.
    """
    parameters = {}
    for row in rows:
        tensor = tensors.pop(row.dataset).detach()
        tensor = tensor.to(_checks.kept(tensor.dtype))  # before the 1 is taken off
        for name, part in zip(row.parameters, row.layout.split(tensor), strict=True):
            parameters[name] = part.clone(memory_format=torch.contiguous_format)
    return parameters
