"""The training kernel of the projected LSTM: one autograd function, its gradient written out.

Autograd over the plain kernel records a dozen small operations a step and multiplies the weight
gradients once a step. Here the forward pass keeps what the gradient needs in a few large buffers,
and each weight's gradient is one large product at the end.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from relmo._typing import Float
from relmo.nn.kernels import (
    LSTMWeights,
    Product,
    doubled_candidate,
    gate_bias,
    product,
)

__all__ = ["training"]

_aten = torch.ops.aten


def training(
    x: Float[Tensor, "N n_in"],
    batch_sizes: Sequence[int],
    h: Float[Tensor, "rows n_out"],
    c: Float[Tensor, "rows dim"],
    weights: LSTMWeights,
    carry_mask: Float[Tensor, "N 1"] | None = None,
) -> tuple[Float[Tensor, "N n_out"], Float[Tensor, "rows n_out"], Float[Tensor, "rows dim"]]:
    """Compute what `kernels.plain` does, with gradients; see there for the arguments.

    Under autocast the matrix products, and only they, run in the autocast dtype. The gradient
    cannot itself be differentiated (use `plain` for that).
    """
    dtype = x.dtype
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
    options = _Options(
        tuple(batch_sizes), weights.cell_clip, weights.projection_clip, dtype, carry_mask
    )
    w = weights
    result: tuple[Tensor, Tensor, Tensor] = _Training.apply(  # type: ignore[no-untyped-call]
        x, h, c, w.input, w.recurrent, w.bias, w.projection, options
    )
    return result


class _Options:
    """What the passes need besides what is trained; `dtype` is that of the matrix products."""

    def __init__(
        self,
        sizes: tuple[int, ...],
        cell_clip: float | None,
        projection_clip: float | None,
        dtype: torch.dtype,
        carry_mask: Tensor | None,
    ) -> None:
        self.sizes, self.dtype, self.carry_mask = sizes, dtype, carry_mask
        self.cell_clip, self.projection_clip = cell_clip, projection_clip


class _Buffers:
    """What the forward pass leaves for the gradient, one row a packed position."""

    def __init__(self, x: Tensor, dim: int, n_out: int, dtype: torch.dtype) -> None:
        n, n_in = x.shape
        self.xh = torch.empty(n, n_in + n_out, dtype=dtype, device=x.device)  # input, last output
        self.xh[:, :n_in] = x
        self.gates = x.new_empty(n, 4 * dim)  # sigmoid(i), sigmoid(f), sigmoid(o), tanh(j)
        self.cells = x.new_empty(n, dim)  # clipped
        self.tanh_cells = x.new_empty(n, dim)
        self.mixed = torch.empty(n, dim, dtype=dtype, device=x.device)  # sigmoid(o) * tanh(c)
        self.outputs = x.new_empty(n, n_out)  # clipped


class _Training(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0913 - autograd wants each tensor as an argument
        ctx: Any,
        x: Tensor,
        h: Tensor,
        c: Tensor,
        w_in: Tensor,
        w_rec: Tensor,
        bias: Tensor,
        w_proj: Tensor | None,
        options: _Options,
    ) -> tuple[Tensor, Tensor, Tensor]:
        dim, n_out, n_in = bias.shape[0] // 4, w_rec.shape[0], x.shape[1]
        exact = options.dtype == x.dtype
        folded_bias = gate_bias(bias)
        matrix = doubled_candidate(torch.cat([w_in, w_rec])).to(options.dtype)
        gate_product = Product(matrix, folded_bias if exact else None)
        project = None if w_proj is None else Product(w_proj.to(options.dtype))
        buffers = _Buffers(x, dim, n_out, options.dtype)
        c_first = c
        h_last, c_last = h.clone(), c.clone()
        start = 0
        for rows in options.sizes:
            step = slice(start, start + rows)
            h, c = h[:rows], c[:rows]
            if options.carry_mask is not None:
                h, c = h * options.carry_mask[step], c * options.carry_mask[step]
            buffers.xh[step, n_in:] = h
            z, gates = gate_product(buffers.xh[step]), buffers.gates[step]
            if exact:
                torch.sigmoid(z, out=gates)
            else:
                gates.copy_(z).add_(folded_bias).sigmoid_()
            y = _cell(gates, c, buffers, step, options.cell_clip)
            h = buffers.outputs[step].copy_(y if project is None else project(y))
            if project is not None and options.projection_clip is not None:
                h.clamp_(-options.projection_clip, options.projection_clip)
            c = buffers.cells[step]
            h_last[:rows], c_last[:rows] = h, c
            start += rows
        ctx.save_for_backward(c_first, w_in, w_rec, w_proj)
        ctx.buffers, ctx.options = buffers, options
        # A copy: an output kept on ctx would be a cycle and never be freed.
        return buffers.outputs.clone(), h_last, c_last

    @staticmethod
    def backward(
        ctx: Any, d_outputs: Tensor, d_h: Tensor, d_c: Tensor
    ) -> tuple[Tensor | None, ...]:
        c_first, w_in, w_rec, w_proj = ctx.saved_tensors
        buffers, options = ctx.buffers, ctx.options
        n_in, dtype = w_in.shape[0], options.dtype
        recurrent_t = Product(w_rec.t().to(dtype))
        project_t = None if w_proj is None else Product(w_proj.t().to(dtype))
        d_z = torch.empty_like(buffers.gates, dtype=dtype)
        d_y = torch.empty_like(buffers.outputs, dtype=dtype)  # before clipping
        scratch = buffers.gates.new_empty(options.sizes[0], buffers.gates.shape[1])
        d_h, d_c, d_bias = d_h.clone(), d_c.clone(), d_c.new_zeros(buffers.gates.shape[1])
        stop = buffers.gates.shape[0]
        for number in range(len(options.sizes) - 1, -1, -1):
            rows = options.sizes[number]
            step = slice(stop - rows, stop)
            stop -= rows
            rows_before = options.sizes[number - 1]
            before = slice(stop - rows_before, stop - rows_before + rows)
            c_before = buffers.cells[before] if number else c_first[:rows]
            if options.carry_mask is not None:
                c_before = c_before * options.carry_mask[step]
            d_output = d_outputs[step] + d_h[:rows]
            if w_proj is not None and options.projection_clip is not None:
                clip = options.projection_clip
                d_output = _aten.hardtanh_backward(d_output, buffers.outputs[step], -clip, clip)
            d_mixed = d_output
            if project_t is not None:
                d_y[step] = d_output
                d_mixed = project_t(d_y[step]).to(d_c.dtype)
            gate_gradient = d_z[step] if dtype == d_c.dtype else scratch[:rows]
            _cell_gradient(
                d_mixed, d_c[:rows], c_before, buffers, step, options.cell_clip, gate_gradient
            )
            if dtype != d_c.dtype:
                d_z[step] = gate_gradient
            d_bias += gate_gradient.sum(0)
            d_h[:rows] = recurrent_t(d_z[step])
            if options.carry_mask is not None:
                d_h[:rows] *= options.carry_mask[step]
                d_c[:rows] *= options.carry_mask[step]
        d_matrix = product(buffers.xh.t(), d_z).to(w_in.dtype)
        d_x = product(d_z, w_in.t().to(dtype)).to(w_in.dtype)
        d_proj = None if w_proj is None else product(buffers.mixed.t(), d_y).to(w_in.dtype)
        return d_x, d_h, d_c, d_matrix[:n_in], d_matrix[n_in:], d_bias, d_proj, None


def _cell(
    gates: Tensor, c: Tensor, buffers: _Buffers, step: slice, cell_clip: float | None
) -> Tensor:
    """Compute cell state and unprojected output of one step, into the buffers.

    Args:
        gates: sigmoids (rows, 4 * dim), the candidate's of the doubled input; made tanh in place.
        c: last cell states (rows, dim).
        buffers: cells, tanh_cells and mixed are written.
        step: the step's rows in the buffers.
        cell_clip: bound of the cell state, or None.
    """
    i, f, o, j = gates.chunk(4, dim=1)
    j.mul_(2).sub_(1)
    cell = torch.mul(c, f, out=buffers.cells[step]).addcmul_(i, j)
    if cell_clip is not None:
        cell.clamp_(-cell_clip, cell_clip)
    tanh = torch.mul(cell, 2, out=buffers.tanh_cells[step]).sigmoid_().mul_(2).sub_(1)
    if buffers.mixed.dtype == tanh.dtype:
        return torch.mul(o, tanh, out=buffers.mixed[step])
    return buffers.mixed[step].copy_(o * tanh)


def _cell_gradient(
    d_mixed: Tensor,
    d_c: Tensor,
    c_before: Tensor,
    buffers: _Buffers,
    step: slice,
    cell_clip: float | None,
    out: Tensor,
) -> None:
    """Compute the gradient of one step's gates, before their nonlinearity, into `out`.

    Args:
        d_mixed: gradient of sigmoid(o) * tanh(c), (rows, dim).
        d_c: gradient of the cell state from the step after; becomes that for the step before.
        c_before: cell states of the step before, (rows, dim).
        buffers: of the forward pass.
        step: the step's rows in the buffers.
        cell_clip: bound of the cell state, or None.
        out: where the gradient goes, (rows, 4 * dim).
    """
    gates, tanh = buffers.gates[step], buffers.tanh_cells[step]
    i, f, o, j = gates.chunk(4, dim=1)
    d_i, d_f, d_o, d_j = out.chunk(4, dim=1)
    torch.mul(d_mixed, tanh, out=d_o)
    d_c.add_(_aten.tanh_backward(d_mixed * o, tanh))
    if cell_clip is not None:
        d_c.copy_(_aten.hardtanh_backward(d_c, buffers.cells[step], -cell_clip, cell_clip))
    torch.mul(d_c, j, out=d_i)
    torch.mul(d_c, c_before, out=d_f)
    torch.mul(d_c, i, out=d_j)
    d_c.mul_(f)
    dim = i.shape[1]
    sigmoids = out[:, : 3 * dim]
    torch.ops.aten.sigmoid_backward.grad_input(sigmoids, gates[:, : 3 * dim], grad_input=sigmoids)
    torch.ops.aten.tanh_backward.grad_input(d_j, j, grad_input=d_j)
