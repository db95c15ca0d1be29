"""Which dataset of bilm-tf holds which parameters of relmo, and how the numbers lie in each.

One table serves reading, writing and the round-trip test: renames, slices and permutations of
blocks, no arithmetic, so both directions are exact to the bit.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby

import torch
from torch import Tensor

from relmo.config import BiLMConfig, CharCNNConfig
from relmo.text.chars import N_CHARACTERS

__all__ = ["Layout", "Row", "Shape", "bilm_table", "table_shapes"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Stacked:
    """A dataset that is its parameters' rows, one parameter's above the next one's.

    In each row the same blocks lie in another order: a reader may put them straight in place.
    """

    counts: tuple[int, ...]
    """Rows of each parameter."""
    order: tuple[int, ...]
    """Which block of the dataset is the parameters' first, which the second, ..."""


@dataclass(frozen=True)
class Layout:
    """A dataset -> its parameters, and back."""

    split: Callable[[Tensor], Sequence[Tensor]]
    join: Callable[[Sequence[Tensor]], Tensor]
    shapes: Callable[[Shape], Sequence[Shape]] = lambda shape: (shape,)
    """From the dataset's shape to those of what `split` gives."""
    stacked: Stacked | None = None
    """What `split` does, where it is that simple."""


@dataclass(frozen=True)
class Row:
    """One dataset."""

    dataset: str
    """Its name in the file."""
    shape: Shape
    """Its shape in the file."""
    origin: str
    """The options that its shape comes from."""
    parameters: tuple[str, ...]
    """The names in relmo of what it holds."""
    layout: Layout
    """How to get from the one to the others."""


def table_shapes(rows: Iterable[Row]) -> Iterator[tuple[str, Shape]]:
    """Yield name and shape of each parameter that the rows hold, lazily."""
    pairs = chain.from_iterable(
        zip(row.parameters, row.layout.shapes(row.shape), strict=True) for row in rows
    )
    for _, module in groupby(pairs, key=lambda pair: pair[0].rpartition(".")[0]):
        # checksums are taken in this order: in a highway layer all of the transform comes first
        yield from sorted(module, key=lambda pair: ".gate_" in pair[0])


# The four gates of an LSTM, blocks of the last axis: i, j, f, o in the file; i, f, o, j in relmo.
_TO_RELMO = (0, 2, 3, 1)
_TO_FILE = (0, 3, 1, 2)


def _permuted(x: Tensor, order: tuple[int, ...]) -> Tensor:
    blocks = x.chunk(len(order), dim=-1)
    return torch.cat([blocks[i] for i in order], dim=-1)


def _lstm_weight(n_inputs: int) -> Layout:
    """(in + out, 4D): the input's rows above the recurrent ones, as many."""
    stacked = Stacked((n_inputs, n_inputs), _TO_RELMO)
    return Layout(
        lambda x: (_permuted(x[:n_inputs], _TO_RELMO), _permuted(x[n_inputs:], _TO_RELMO)),
        lambda parts: _permuted(torch.cat(list(parts)), _TO_FILE),
        lambda shape: ((n_inputs, shape[1]), (n_inputs, shape[1])),
        stacked,
    )


_AS_IS = Layout(lambda x: (x,), lambda parts: parts[0])
_CHARACTERS = Layout(  # less a mask row
    lambda x: (x[-N_CHARACTERS:],),
    lambda parts: parts[0],
    lambda shape: ((N_CHARACTERS, *shape[1:]),),
)
_CONVOLUTION = Layout(  # (1, width, C, number)
    lambda x: (x[0],), lambda parts: parts[0][None], lambda shape: (shape[1:],)
)
_BIAS = Layout(lambda x: (_permuted(x, _TO_RELMO),), lambda parts: _permuted(parts[0], _TO_FILE))


def bilm_table(config: BiLMConfig, *, mask_row: bool = False) -> Iterator[Row]:
    """The datasets of a model, lazily.

    Args:
        config: the shape of the model.
        mask_row: whether `char_embed` begins with the row of the mask (262 rows, not 261).
    """
    p = config.projection_dim
    if config.char_cnn is None:
        shape = (config.n_words or 0, p)
        origin = "lstm.projection_dim"
        yield Row("embedding", shape, origin, ("token_encoder.embedding",), _AS_IS)
    else:
        yield from _char_cnn_rows(config, config.char_cnn, N_CHARACTERS + mask_row)
    is_projected = config.has_lstm_projection
    for number, direction in enumerate(("forward_lstm", "backward_lstm")):
        for layer in range(config.n_layers):
            cell = f"RNN_{number}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
            to = f"{direction}.layers.{layer}"
            yield from _lstm_rows(config, cell, to, is_projected=is_projected)


def _char_cnn_rows(config: BiLMConfig, cnn: CharCNNConfig, n_characters: int) -> Iterator[Row]:
    encoder = "token_encoder"
    c, f, p = cnn.embedding_dim, cnn.n_filters, config.projection_dim
    yield Row(
        "char_embed",
        (n_characters, c),
        "char_cnn.embedding.dim",
        (f"{encoder}.char_embedding",),
        _CHARACTERS,
    )
    for i, (width, number) in enumerate(cnn.filters):
        origin, to = f"char_cnn.filters[{i}]", f"{encoder}.convolutions.{i}"
        yield Row(f"CNN/W_cnn_{i}", (1, width, c, number), origin, (f"{to}.weight",), _CONVOLUTION)
        yield Row(f"CNN/b_cnn_{i}", (number,), origin, (f"{to}.bias",), _AS_IS)
    for k in range(cnn.n_highway):
        for theirs, ours in (("transform", "transform"), ("carry", "gate")):
            high, to = f"CNN_high_{k}", f"{encoder}.highways.{k}.{ours}"
            origin = "the sum of char_cnn.filters"
            yield Row(f"{high}/W_{theirs}", (f, f), origin, (f"{to}_weight",), _AS_IS)
            yield Row(f"{high}/b_{theirs}", (f,), origin, (f"{to}_bias",), _AS_IS)
    if config.has_char_projection:
        origin, to = "char_cnn.filters and lstm.projection_dim", f"{encoder}.projection"
        yield Row("CNN_proj/W_proj", (f, p), origin, (f"{to}.weight",), _AS_IS)
        yield Row("CNN_proj/b_proj", (p,), origin, (f"{to}.bias",), _AS_IS)


def _lstm_rows(config: BiLMConfig, cell: str, to: str, *, is_projected: bool) -> Iterator[Row]:
    p, d = config.projection_dim, config.lstm_dim
    origin = "lstm.projection_dim and lstm.dim"
    weights = (f"{to}.input_weight", f"{to}.recurrent_weight")
    yield Row(f"{cell}/W_0", (2 * p, 4 * d), origin, weights, _lstm_weight(p))
    yield Row(f"{cell}/B", (4 * d,), "lstm.dim", (f"{to}.bias",), _BIAS)
    if is_projected:
        yield Row(f"{cell}/W_P_0", (d, p), origin, (f"{to}.projection_weight",), _AS_IS)
