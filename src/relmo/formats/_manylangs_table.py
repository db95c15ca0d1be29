"""Which tensor of ELMoForManyLangs holds which parameters of relmo, and how the numbers lie.

One table serves reading and the round-trip test. Matrices are (out, in), transposed here. A
highway's gate weights what is carried, so its sign is turned; the bias of the forget gate has the
1 in it that relmo adds, so it is taken off.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from relmo.config import BiLMConfig, CharCNNConfig
from relmo.formats._bilm_table import Layout, Row

__all__ = ["encoder_table", "token_embedder_table"]

# The four gates of an LSTM, blocks of the last axis: i, f, g, o in the file; i, f, o, g in relmo.
_GATES = [0, 1, 3, 2]  # its own inverse
_FORGET = 1


def _permuted(x: Tensor) -> Tensor:
    blocks = x.chunk(4, dim=-1)  # 4 times (..., D)
    return torch.cat([blocks[i] for i in _GATES], dim=-1)


def _shifted(bias: Tensor, by: float) -> Tensor:
    """The bias of the forget gate moved."""
    blocks = list(bias.chunk(4, dim=-1))
    blocks[_FORGET] = blocks[_FORGET] + by
    return torch.cat(blocks, dim=-1)


def _highway_split(x: Tensor) -> Sequence[Tensor]:
    """(2F, ...): the transform above the gate that weights what is carried."""
    transform, carry = x.chunk(2)
    return transform.t(), -carry.t()


def _highway_join(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([parts[0].t(), -parts[1].t()])


_AS_IS = Layout(lambda x: (x,), lambda parts: parts[0])
_TRANSPOSED = Layout(lambda x: (x.t(),), lambda parts: parts[0].t())
_CONVOLUTION = Layout(lambda x: (x.permute(2, 1, 0),), lambda parts: parts[0].permute(2, 1, 0))
_HIGHWAY = Layout(_highway_split, _highway_join)  # t() of a bias is the bias
_GATES_WEIGHT = Layout(lambda x: (_permuted(x.t()),), lambda parts: _permuted(parts[0]).t())
_GATES_BIAS = Layout(
    lambda x: (_permuted(_shifted(x, -1.0)),), lambda parts: _shifted(_permuted(parts[0]), 1.0)
)


def encoder_table(config: BiLMConfig) -> Iterator[Row]:
    """The tensors of encoder.pkl, lazily."""
    p, d = config.projection_dim, config.lstm_dim
    origin = "encoder.projection_dim and encoder.dim"
    for direction in ("forward", "backward"):
        for layer in range(config.n_layers):
            cell, to = f"{direction}_layer_{layer}", f"{direction}_lstm.layers.{layer}"
            for theirs, ours in (("input", "input"), ("state", "recurrent")):
                name = f"{cell}.{theirs}_linearity.weight"
                yield Row(name, (4 * d, p), origin, (f"{to}.{ours}_weight",), _GATES_WEIGHT)
            name = f"{cell}.state_linearity.bias"
            yield Row(name, (4 * d,), "encoder.dim", (f"{to}.bias",), _GATES_BIAS)
            name = f"{cell}.state_projection.weight"
            yield Row(name, (p, d), origin, (f"{to}.projection_weight",), _TRANSPOSED)


def token_embedder_table(config: BiLMConfig) -> Iterator[Row]:
    """The tensors of token_embedder.pkl, lazily; the model has to have a lexicon."""
    lexicon = config.lexicon
    assert lexicon is not None
    encoder, section = "token_encoder", "token_embedder"
    if lexicon.n_words is not None:
        shape = (lexicon.n_words, lexicon.word_dim or 0)
        origin = f"the {lexicon.n_words} words of word.dic and {section}.word_dim"
        to = f"{encoder}.words.embedding"
        yield Row("word_emb_layer.embedding.weight", shape, origin, (to,), _AS_IS)
    if lexicon.n_characters is not None:
        shape = (lexicon.n_characters, lexicon.char_dim or 0)
        origin = f"the {lexicon.n_characters} characters of char.dic and {section}.char_dim"
        to = f"{encoder}.characters.char_embedding"
        yield Row("char_emb_layer.embedding.weight", shape, origin, (to,), _AS_IS)
        if lexicon.char_cnn is not None:
            yield from _char_cnn_rows(lexicon.char_cnn, section, f"{encoder}.characters")
        else:
            yield from _char_lstm_rows(lexicon.char_dim or 0, section, f"{encoder}.characters")
    p, joined = config.projection_dim, lexicon.joined_dim
    origin, to = f"{section} and encoder.projection_dim", f"{encoder}.projection"
    yield Row("projection.weight", (p, joined), origin, (f"{to}.weight",), _TRANSPOSED)
    yield Row("projection.bias", (p,), origin, (f"{to}.bias",), _AS_IS)


def _char_cnn_rows(cnn: CharCNNConfig, section: str, encoder: str) -> Iterator[Row]:
    c, f = cnn.embedding_dim, cnn.n_filters
    for i, (width, number) in enumerate(cnn.filters):
        origin, to = f"{section}.filters[{i}] and char_dim", f"{encoder}.convolutions.{i}"
        name = f"convolutions.{i}"
        yield Row(f"{name}.weight", (number, c, width), origin, (f"{to}.weight",), _CONVOLUTION)
        yield Row(f"{name}.bias", (number,), origin, (f"{to}.bias",), _AS_IS)
    for k in range(cnn.n_highway):
        name, to = f"highways._layers.{k}", f"{encoder}.highways.{k}"
        for part, shape in (("weight", (2 * f, f)), ("bias", (2 * f,))):
            parameters = (f"{to}.transform_{part}", f"{to}.gate_{part}")
            origin = f"the sum of {section}.filters"
            yield Row(f"{name}.{part}", shape, origin, parameters, _HIGHWAY)


def _char_lstm_rows(c: int, section: str, encoder: str) -> Iterator[Row]:
    for direction in ("", "_reverse"):
        for part, shape in (("weight", (4 * c, c)), ("bias", (4 * c,))):
            for side in ("ih", "hh"):
                name = f"{part}_{side}_l0{direction}"
                to = (f"{encoder}.lstm.{name}",)
                yield Row(f"char_lstm.{name}", shape, f"{section}.char_dim", to, _AS_IS)
