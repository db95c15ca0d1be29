"""Which tensor of AllenNLP's biLM holds which parameters of relmo, and how the numbers lie in each.

Names are those below the module `_ElmoBiLm`. AllenNLP keeps matrices (out, in), so `W @ x`; the
gates of an LSTM in the order input, forget, candidate, output, the 1 of the forget gate added to
its bias; and a highway layer as one matrix, the transform above the gate, whose sign is turned,
as it is the weight of what is carried, not of what is transformed.

Everything is exact in both directions but that 1: it is taken off and added in the type of the
bias, rounded once, by at most half a unit in the last place of the larger of the two numbers (6e-8
for biases between -1 and 1 in float32).
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from relmo.config import BiLMConfig, CharCNNConfig
from relmo.formats._bilm_table import Layout, Row
from relmo.formats.checkpoint import Shape
from relmo.text.chars import N_CHARACTERS

__all__ = ["allennlp_table"]

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


def _highway(turn: Callable[[Tensor], Tensor]) -> Layout:
    """(2F, ...): the transform above the carry gate, which is ours with its sign turned."""

    def split(x: Tensor) -> Sequence[Tensor]:
        transform, carry = x.chunk(2)
        return turn(transform), -turn(carry)

    return Layout(split, lambda parts: torch.cat([turn(parts[0]), -turn(parts[1])]))


_AS_IS = Layout(lambda x: (x,), lambda parts: parts[0])
_CHARACTERS = Layout(
    lambda x: (x[-N_CHARACTERS:],),
    lambda parts: torch.cat([parts[0].new_zeros(1, parts[0].shape[1]), parts[0]]),
)  # less the row of the mask, which is zeros
_CONVOLUTION = Layout(lambda x: (x.permute(2, 1, 0),), lambda parts: parts[0].permute(2, 1, 0))
_LINEAR = Layout(lambda x: (x.T,), lambda parts: parts[0].T)
_HIGHWAY = {"weight": _highway(lambda x: x.T), "bias": _highway(lambda x: x)}
_GATES = Layout(lambda x: (_reordered(x).T,), lambda parts: _reordered(parts[0].T))
_BIAS = Layout(
    lambda x: (_shifted(_reordered(x), -1.0),), lambda parts: _reordered(_shifted(parts[0], 1.0))
)


def allennlp_table(config: BiLMConfig, *, mask_row: bool = True) -> Iterator[Row]:
    """The tensors of a biLM with characters, lazily; AllenNLP has no other.

    Args:
        config: the shape of the model.
        mask_row: whether the character vectors begin with the row of the mask (262 rows, not 261).
    """
    assert config.char_cnn is not None
    yield from _char_cnn_rows(config, config.char_cnn, N_CHARACTERS + mask_row)
    for direction in ("forward", "backward"):
        for layer in range(config.n_layers):
            theirs, ours = f"{direction}_layer_{layer}", f"{direction}_lstm.layers.{layer}"
            yield from _lstm_rows(config, f"_elmo_lstm.{theirs}", ours)


def _char_cnn_rows(config: BiLMConfig, cnn: CharCNNConfig, n_characters: int) -> Iterator[Row]:
    encoder, to = "_token_embedder", "token_encoder"
    c, f, p = cnn.embedding_dim, cnn.n_filters, config.projection_dim
    yield Row(
        f"{encoder}._char_embedding_weights",
        (n_characters, c),
        "char_cnn.embedding.dim",
        (f"{to}.char_embedding",),
        _CHARACTERS,
    )
    for i, (width, number) in enumerate(cnn.filters):
        origin, theirs = f"char_cnn.filters[{i}]", f"{encoder}.char_conv_{i}"
        ours = f"{to}.convolutions.{i}"
        yield Row(f"{theirs}.weight", (number, c, width), origin, (f"{ours}.weight",), _CONVOLUTION)
        yield Row(f"{theirs}.bias", (number,), origin, (f"{ours}.bias",), _AS_IS)
    for k in range(cnn.n_highway):
        origin, theirs = "the sum of char_cnn.filters", f"{encoder}._highways._layers.{k}"
        shapes: dict[str, Shape] = {"weight": (2 * f, f), "bias": (2 * f,)}
        for kind, shape in shapes.items():
            parts = (f"{to}.highways.{k}.transform_{kind}", f"{to}.highways.{k}.gate_{kind}")
            yield Row(f"{theirs}.{kind}", shape, origin, parts, _HIGHWAY[kind])
    if config.has_char_projection:
        origin, theirs = "char_cnn.filters and lstm.projection_dim", f"{encoder}._projection"
        yield Row(f"{theirs}.weight", (p, f), origin, (f"{to}.projection.weight",), _LINEAR)
        yield Row(f"{theirs}.bias", (p,), origin, (f"{to}.projection.bias",), _AS_IS)


def _lstm_rows(config: BiLMConfig, theirs: str, ours: str) -> Iterator[Row]:
    p, d = config.projection_dim, config.lstm_dim
    origin = "lstm.projection_dim and lstm.dim"
    for kind, name in (("input_linearity", "input"), ("state_linearity", "recurrent")):
        parameters = (f"{ours}.{name}_weight",)
        yield Row(f"{theirs}.{kind}.weight", (4 * d, p), origin, parameters, _GATES)
    yield Row(f"{theirs}.state_linearity.bias", (4 * d,), "lstm.dim", (f"{ours}.bias",), _BIAS)
    if config.has_lstm_projection:
        parameters = (f"{ours}.projection_weight",)
        yield Row(f"{theirs}.state_projection.weight", (p, d), origin, parameters, _LINEAR)
