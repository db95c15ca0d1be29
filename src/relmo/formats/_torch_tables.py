"""What AllenNLP and ELMoForManyLangs, which grew from it, name and lay out alike in their tensors.

Both keep matrices (out, in), so `W @ x`; the gates of an LSTM in the order input, forget,
candidate, output, the 1 of the forget gate added to its bias; and a highway layer as one matrix,
the transform above the gate, whose sign is turned, as it is the weight of what is carried, not of
what is transformed.

Everything is exact in both directions but that 1: it is taken off and added in the type of the
bias, rounded once, by at most half a unit in the last place of the larger of the two numbers (6e-8
for biases between -1 and 1 in float32).

Which tensor of AllenNLP's biLM holds which parameters of relmo; see above for how.

Names are those below the module `_ElmoBiLm`.

Which tensor of ELMoForManyLangs holds which parameters of relmo; see above for how.

One table serves reading and the round-trip test.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from relmo.config import BiLMConfig, CharCNNConfig
from relmo.formats._bilm_table import Layout, Row, Shape
from relmo.text.chars import N_CHARACTERS

__all__ = [
    "AS_IS",
    "TRANSPOSED",
    "allennlp_table",
    "char_cnn_rows",
    "encoder_table",
    "lstm_rows",
    "token_embedder_table",
]

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


def _reversed(shape: Shape) -> tuple[Shape]:
    """Return the shape of the one parameter whose axes are in the other order."""
    return (shape[::-1],)


AS_IS = Layout(lambda x: (x,), lambda parts: parts[0])
TRANSPOSED = Layout(lambda x: (x.t(),), lambda parts: parts[0].t(), _reversed)
_CONVOLUTION = Layout(
    lambda x: (x.permute(2, 1, 0),), lambda parts: parts[0].permute(2, 1, 0), _reversed
)
_HIGHWAY = Layout(
    _highway_split,
    lambda parts: torch.cat([parts[0].t(), -parts[1].t()]),
    lambda shape: 2 * _reversed((shape[0] // 2, *shape[1:])),
)
_GATES = Layout(lambda x: (_reordered(x).t(),), lambda parts: _reordered(parts[0].t()), _reversed)
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


_CHARACTERS = Layout(
    lambda x: (x[-N_CHARACTERS:],),
    lambda parts: torch.cat([parts[0].new_zeros(1, parts[0].shape[1]), parts[0]]),
    lambda shape: ((N_CHARACTERS, *shape[1:]),),
)  # less the row of the mask, which is zeros


def allennlp_table(config: BiLMConfig, *, mask_row: bool = True) -> Iterator[Row]:
    """The tensors of a biLM with characters, lazily; AllenNLP has no other.

    Args:
        config: the shape of the model.
        mask_row: whether the character vectors begin with the row of the mask (262 rows, not 261).
    """
    cnn = config.char_cnn
    assert cnn is not None
    theirs, ours = "_token_embedder", "token_encoder"
    yield Row(
        f"{theirs}._char_embedding_weights",
        (N_CHARACTERS + mask_row, cnn.embedding_dim),
        "char_cnn.embedding.dim",
        (f"{ours}.char_embedding",),
        _CHARACTERS,
    )
    names = (f"{theirs}.char_conv_{{}}", f"{theirs}._highways._layers.{{}}")
    yield from char_cnn_rows(cnn, *names, ours, "char_cnn")
    if config.has_char_projection:
        f, p = cnn.n_filters, config.projection_dim
        origin, name = "char_cnn.filters and lstm.projection_dim", f"{theirs}._projection"
        yield Row(f"{name}.weight", (p, f), origin, (f"{ours}.projection.weight",), TRANSPOSED)
        yield Row(f"{name}.bias", (p,), origin, (f"{ours}.projection.bias",), AS_IS)
    yield from lstm_rows(config, "_elmo_lstm.", "lstm")


def encoder_table(config: BiLMConfig) -> Iterator[Row]:
    """The tensors of encoder.pkl, lazily."""
    yield from lstm_rows(config, "", "encoder")


def token_embedder_table(config: BiLMConfig) -> Iterator[Row]:
    """The tensors of token_embedder.pkl, lazily; the model has to have a lexicon."""
    lexicon = config.lexicon
    assert lexicon is not None
    encoder, section = "token_encoder", "token_embedder"
    if lexicon.n_words is not None:
        shape = (lexicon.n_words, lexicon.word_dim or 0)
        origin = f"the {lexicon.n_words} words of word.dic and {section}.word_dim"
        to = f"{encoder}.words.embedding"
        yield Row("word_emb_layer.embedding.weight", shape, origin, (to,), AS_IS)
    if lexicon.n_characters is not None:
        shape = (lexicon.n_characters, lexicon.char_dim or 0)
        origin = f"the {lexicon.n_characters} characters of char.dic and {section}.char_dim"
        to = f"{encoder}.characters.char_embedding"
        yield Row("char_emb_layer.embedding.weight", shape, origin, (to,), AS_IS)
        if lexicon.char_cnn is not None:
            names = ("convolutions.{}", "highways._layers.{}")
            yield from char_cnn_rows(lexicon.char_cnn, *names, f"{encoder}.characters", section)
        else:
            yield from _char_lstm_rows(lexicon.char_dim or 0, section, f"{encoder}.characters")
    p, joined = config.projection_dim, lexicon.joined_dim
    origin, to = f"{section} and encoder.projection_dim", f"{encoder}.projection"
    yield Row("projection.weight", (p, joined), origin, (f"{to}.weight",), TRANSPOSED)
    yield Row("projection.bias", (p,), origin, (f"{to}.bias",), AS_IS)


def _char_lstm_rows(c: int, section: str, encoder: str) -> Iterator[Row]:
    for direction in ("", "_reverse"):
        for part, shape in (("weight", (4 * c, c)), ("bias", (4 * c,))):
            for side in ("ih", "hh"):
                name = f"{part}_{side}_l0{direction}"
                to = (f"{encoder}.lstm.{name}",)
                yield Row(f"char_lstm.{name}", shape, f"{section}.char_dim", to, AS_IS)
