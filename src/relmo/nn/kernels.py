"""The projected LSTM over packed sequences: one plain kernel and two fast ones, same signature.

Sequences are packed time-major: the rows still alive at step t are the first ``batch_sizes[t]``
sequences, so no padding is ever computed. All kernels compute (Peters et al. 2018; Sak et al.
2014; formats of the original code):

    i, f, o, j = split([x, h] @ [W_in; W_rec] + b)
    c = clip(sigmoid(f + 1) * c + sigmoid(i) * tanh(j))
    h = clip((sigmoid(o) * tanh(c)) @ W_proj)

`plain` is the definition and differentiable by autograd. `inference` works in place on repacked
weights. `relmo.nn.lstm_autograd.training` is one autograd function, its backward pass written out.

The fast kernels take tanh(x) as 2 sigmoid(2x) - 1: torch's float32 sigmoid runs several times
faster than its tanh on some processors, and doubling is exact, so it is folded into the weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from relmo._typing import Float
from relmo.nn.precision import exact

__all__ = [
    "FORGET_BIAS",
    "Kernel",
    "LSTMWeights",
    "PackedLSTM",
    "Product",
    "inference",
    "plain",
    "product",
]

FORGET_BIAS = 1.0
"""Added to the forget gate in the computation, not in the stored bias (as TensorFlow does)."""

_CHUNK_ROWS = 1024  # rows whose input products are computed together
_FEW_ROWS = 8
_CHUNK_NUMBERS = 7_000_000  # keeps a buffer below 32 MiB, where malloc maps fresh pages every time


@dataclass(frozen=True)
class LSTMWeights:
    """One layer's weights, matrices (in, out), gates in the order input, forget, output, candidate.

    Args:
        input: (input_dim, 4 * dim).
        recurrent: (projection_dim, 4 * dim).
        bias: (4 * dim,).
        projection: (dim, projection_dim), or None where the output is the cell's.
        cell_clip: bound of the cell state, or None.
        projection_clip: bound of the output, or None.
    """

    input: Tensor
    recurrent: Tensor
    bias: Tensor
    projection: Tensor | None
    cell_clip: float | None
    projection_clip: float | None

    @property
    def dim(self) -> int:
        """Width of the cell."""
        return self.bias.shape[0] // 4

    @property
    def output_dim(self) -> int:
        """Width of the output."""
        return self.recurrent.shape[0]


@runtime_checkable
class Kernel(Protocol):
    """What every kernel takes and gives.

    Args:
        x: inputs (N, input_dim), packed time-major.
        batch_sizes: rows alive at each step, non-increasing, N together.
        h: first outputs (rows, output_dim), rows = batch_sizes[0].
        c: first cell states (rows, dim).
        weights: the layer's.
        carry_mask: (N, 1), 0 where a row starts anew from a zero state, else 1; None: nowhere.

    Returns:
        Outputs (N, output_dim), last output of each row, last cell state of each row.
    """

    def __call__(  # noqa: D102
        self,
        x: Tensor,
        batch_sizes: Sequence[int],
        h: Tensor,
        c: Tensor,
        weights: Any,
        carry_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]: ...


def plain(
    x: Float[Tensor, "N n_in"],
    batch_sizes: Sequence[int],
    h: Float[Tensor, "rows n_out"],
    c: Float[Tensor, "rows dim"],
    weights: LSTMWeights,
    carry_mask: Float[Tensor, "N 1"] | None = None,
) -> tuple[Float[Tensor, "N n_out"], Float[Tensor, "rows n_out"], Float[Tensor, "rows dim"]]:
    """Compute the definition, step by step; see `Kernel` for the arguments."""
    outputs: list[Tensor] = []
    start = 0
    for rows in batch_sizes:
        if carry_mask is not None:
            h = torch.cat([h[:rows] * carry_mask[start : start + rows], h[rows:]])
            c = torch.cat([c[:rows] * carry_mask[start : start + rows], c[rows:]])
        z = x[start : start + rows] @ weights.input + h[:rows] @ weights.recurrent + weights.bias
        i, f, o, j = z.chunk(4, dim=1)
        cell = torch.sigmoid(f + FORGET_BIAS) * c[:rows] + torch.sigmoid(i) * torch.tanh(j)
        if weights.cell_clip is not None:
            cell = cell.clamp(-weights.cell_clip, weights.cell_clip)
        y = torch.sigmoid(o) * torch.tanh(cell)
        if weights.projection is not None:
            y = y @ weights.projection
        if weights.projection is not None and weights.projection_clip is not None:
            y = y.clamp(-weights.projection_clip, weights.projection_clip)
        h, c = torch.cat([y, h[rows:]]), torch.cat([cell, c[rows:]])
        outputs.append(y)
        start += rows
    return torch.cat(outputs), h, c


def padded_rows(rows: int) -> int:
    """Return the next round number of rows: a multiple of 16, from 64 on of 32, from 256 of 64.

    `inference` computes so many rows where fewer are alive; what the others hold is not used.
    """
    unit = 16 if rows <= 64 else 32 if rows <= 256 else 64
    return -(-rows // unit) * unit


class Product:
    """``x @ weight (+ bias)`` for a weight used many times, repacked once where that is faster.

    On CPU in float32 the weight goes into oneDNN's blocked layout, which on the machines measured
    (docs/makers/log.md) is 1.1 to 1.9 times as fast as a plain product and never slower. For each
    number of rows that it meets oneDNN keeps code of up to 5 MB, so it is only asked for
    `padded_rows`.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.weight, self.bias = weight, bias
        self.packed: Tensor | None = None
        if weight.device.type == "cpu" and weight.dtype == torch.float32 and _has_onednn():
            self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.t().contiguous(), 256)

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply rows (rows, in) to (rows, out)."""
        if self.packed is not None and x.shape[0] == padded_rows(x.shape[0]):
            return _onednn_linear(x, self.packed, self.bias)
        if self.bias is None:
            return x @ self.weight
        return torch.addmm(self.bias, x, self.weight)


def _onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return ``x @ weight.t() + bias`` by oneDNN: the operator that torch's compiler emits."""
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return y


def _has_onednn() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(  # type: ignore[no-untyped-call]
        torch.ops.mkldnn, "_linear_pointwise"
    )


def product(a: Tensor, b: Tensor) -> Tensor:
    """Return ``a @ b``, (n, k) by (k, m), by the faster library for the device, dtype and sizes."""
    is_exact = a.device.type == "cpu" and a.dtype == torch.float32
    if is_exact and all(size == padded_rows(size) for size in a.shape) and _has_onednn():
        return _onednn_linear(a, b.t(), None)
    return a @ b


def doubled_candidate(tensor: Tensor) -> Tensor:
    """Return a copy with the last quarter of the gates doubled, so that tanh becomes a sigmoid."""
    result = tensor.clone()
    result[..., 3 * (tensor.shape[-1] // 4) :] *= 2
    return result


def gate_bias(bias: Tensor) -> Tensor:
    """Return the bias (4 * dim,), the forget gate's constant added and the candidate doubled."""
    result = doubled_candidate(bias)
    dim = bias.shape[0] // 4
    result[dim : 2 * dim] += FORGET_BIAS
    return result


class PackedLSTM:
    """Weights made ready for `inference`: gates folded, matrices repacked."""

    def __init__(self, weights: LSTMWeights) -> None:
        with torch.no_grad():
            # Folded once: per step that would be three more passes over the gates.
            self.input = Product(doubled_candidate(weights.input), gate_bias(weights.bias))
            self.recurrent = Product(doubled_candidate(weights.recurrent))
            # sigmoid(o) * (sigmoid(2c) - 1/2) @ 2W = sigmoid(o) * tanh(c) @ W
            self.projection = (
                None if weights.projection is None else Product(2 * weights.projection)
            )
        self.dim, self.output_dim = weights.dim, weights.output_dim
        self.cell_clip = weights.cell_clip
        self.projection_clip = weights.projection_clip if self.projection else None


def inference(
    x: Float[Tensor, "N n_in"],
    batch_sizes: Sequence[int],
    h: Float[Tensor, "rows n_out"],
    c: Float[Tensor, "rows dim"],
    weights: PackedLSTM,
    carry_mask: Float[Tensor, "N 1"] | None = None,
) -> tuple[Float[Tensor, "N n_out"], Float[Tensor, "rows n_out"], Float[Tensor, "rows dim"]]:
    """Compute the same without a graph, in the weights' precision; see `Kernel` for the arguments.

    Inputs of another type are cast to that of the weights, and autocast is not heeded.
    """
    dtype = weights.input.weight.dtype
    with exact(x.device):
        return _inference(x.to(dtype), batch_sizes, h.to(dtype), c.to(dtype), weights, carry_mask)


def _inference(
    x: Tensor,
    batch_sizes: Sequence[int],
    h: Tensor,
    c: Tensor,
    weights: PackedLSTM,
    carry_mask: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute what `inference` returns, step by step and in place."""
    n, n_rows = x.shape[0], h.shape[0]
    outputs = x.new_empty(n, weights.output_dim)
    # Rows are padded once here, so that each step can multiply a round number of them in place.
    room = padded_rows(n_rows) - n_rows
    h_last = F.pad(h, (0, 0, 0, room))
    cell = F.pad(2 * c, (0, 0, 0, room))  # doubled throughout: sigmoid(2c) is then one call
    x = F.pad(x, (0, 0, 0, padded_rows(n) - n))
    limit = max(1, min(_CHUNK_ROWS, _CHUNK_NUMBERS // (4 * weights.dim)))
    step = start = 0
    while step < len(batch_sizes):
        # Inputs do not wait for each other: those of many steps are multiplied at once.
        last, rows = step, 0
        while last < len(batch_sizes) and (rows == 0 or rows + batch_sizes[last] <= limit):
            rows += batch_sizes[last]
            last += 1
        gates = weights.input(x[start : start + _computed_rows(rows)])  # (rows or more, 4 * dim)
        offset = 0
        for alive in batch_sizes[step:last]:
            if carry_mask is not None:
                mask = carry_mask[start + offset : start + offset + alive]
                # A new sentence of the row starts from a zero state.
                h_last[:alive].mul_(mask)
                cell[:alive].mul_(mask)
            y = _inference_step(gates[offset : offset + alive], h_last, cell, weights)
            outputs[start + offset : start + offset + alive] = y
            h_last[:alive] = y
            offset += alive
        start, step = start + rows, last
    return outputs, h_last[:n_rows], cell[:n_rows].mul_(0.5)


def _inference_step(gates: Tensor, h: Tensor, cell: Tensor, weights: PackedLSTM) -> Tensor:
    """Compute one step of the rows alive, in place.

    Args:
        gates: products of their inputs (alive, 4 * dim), overwritten.
        h: last outputs of all rows and some more (rows, output_dim).
        cell: their doubled cell states (rows, dim); those alive are brought up to date.
        weights: the layer.

    Returns:
        Outputs (alive, output_dim).
    """
    alive = gates.shape[0]
    computed = _computed_rows(alive)
    gates.add_(weights.recurrent(h[:computed])[:alive]).sigmoid_()
    i, f, o, j = gates.chunk(4, dim=1)
    c = cell[:alive]  # doubled, so the clip is too
    c.mul_(f).addcmul_(i, j.sub_(0.5), value=4)  # f * 2c + i * 2 (2 sigmoid(2j) - 1)
    if weights.cell_clip is not None:
        c.clamp_(-2 * weights.cell_clip, 2 * weights.cell_clip)
    y = torch.sigmoid(cell[:computed]).sub_(0.5)
    y[:alive].mul_(o)
    if weights.projection is None:
        return y[:alive].mul_(2)
    y = weights.projection(y)[:alive]
    if weights.projection_clip is not None:
        y.clamp_(-weights.projection_clip, weights.projection_clip)
    return y


def _computed_rows(alive: int) -> int:
    """Return the rows to multiply: a few alone wait for memory and are better off unpadded."""
    return alive if alive < _FEW_ROWS else padded_rows(alive)
