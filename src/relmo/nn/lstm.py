"""Projected LSTMs with cell and projection clipping; the state goes in and comes out.

Sak et al. 2014; Peters et al. 2018, section 3.1. A state is an argument and a result, never kept
in a module: the same input gives the same output, whatever came before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from relmo.config import BiLMConfig
from relmo.errors import ShapeError
from relmo.nn import kernels
from relmo.nn.lstm_autograd import training
from relmo.nn.weight_cache import WeightCache

__all__ = ["LSTMLayer", "LSTMStack", "LSTMState", "PackedDropout"]


class PackedDropout(nn.Module):
    """Dropout of packed numbers in training mode, the others scaled up.

    Args:
        rate: probability that a number is zeroed, in [0, 1).
        variational: one mask per row, the same at each of its steps; else each step has its own.
    """

    def __init__(self, rate: float, *, variational: bool = False) -> None:
        super().__init__()
        self.rate, self.variational = rate, variational

    def forward(self, x: Tensor, batch_sizes: Sequence[int]) -> Tensor:
        """Return numbers (N, dim), packed time-major, some of them zeroed.

        Args:
            x: (N, dim).
            batch_sizes: rows alive at each step, non-increasing, N together.
        """
        if not (self.variational and self.training and self.rate and len(x)):
            return F.dropout(x, self.rate, self.training)
        mask = F.dropout(x.new_ones(batch_sizes[0], x.shape[1]), self.rate)  # (rows, dim)
        return x * torch.cat([mask[:rows] for rows in batch_sizes])


@dataclass(frozen=True)
class LSTMState:
    """Last outputs and cell states of one direction's layers.

    Args:
        h: (n_layers, rows, projection_dim).
        c: (n_layers, rows, lstm_dim).
    """

    h: Tensor
    c: Tensor

    def detach(self) -> "LSTMState":
        """Return the same numbers, cut off from the graph that made them."""
        return LSTMState(self.h.detach(), self.c.detach())

    def rows(self, index: Tensor) -> "LSTMState":
        """Return the state of these rows in this order, for a batch in another order."""
        return LSTMState(self.h[:, index], self.c[:, index])


class LSTMLayer(nn.Module):
    """One LSTM layer; matrices (in, out), gates input, forget, output, candidate.

    Args:
        n_in: width of the input.
        dim: width of the cell.
        n_out: width that the output is projected to; None: no projection, the output is the cell's.
        cell_clip: bound of the cell state, or None.
        projection_clip: bound of the projected output, or None.
    """

    def __init__(
        self,
        n_in: int,
        dim: int,
        n_out: int | None = None,
        *,
        cell_clip: float | None = None,
        projection_clip: float | None = None,
    ) -> None:
        super().__init__()
        width = dim if n_out is None else n_out
        self.cell_clip, self.projection_clip = cell_clip, projection_clip
        self.input_weight = nn.Parameter(torch.empty(n_in, 4 * dim))
        self.recurrent_weight = nn.Parameter(torch.empty(width, 4 * dim))
        self.bias = nn.Parameter(torch.zeros(4 * dim))
        self.projection_weight = None if n_out is None else nn.Parameter(torch.empty(dim, n_out))
        # Glorot's bound over the joined matrix, as TensorFlow's default for the original.
        bound = (6 / (n_in + width + 4 * dim)) ** 0.5
        nn.init.uniform_(self.input_weight, -bound, bound)
        nn.init.uniform_(self.recurrent_weight, -bound, bound)
        if self.projection_weight is not None:
            nn.init.xavier_uniform_(self.projection_weight)
        self._packed: WeightCache[kernels.PackedLSTM] = WeightCache()

    @classmethod
    def of(cls, config: BiLMConfig) -> Self:
        """Build a layer of such a biLM."""
        return cls(
            config.projection_dim,
            config.lstm_dim,
            config.projection_dim if config.has_lstm_projection else None,
            cell_clip=config.cell_clip,
            projection_clip=config.projection_clip,
        )

    def weights(self) -> kernels.LSTMWeights:
        """Return the parameters as the kernels take them."""
        return kernels.LSTMWeights(
            self.input_weight,
            self.recurrent_weight,
            self.bias,
            self.projection_weight,
            self.cell_clip,
            self.projection_clip,
        )

    def packed(self) -> kernels.PackedLSTM:
        """Return the parameters repacked for inference, again after any of them has changed."""
        return self._packed.get(self.parameters(), lambda: kernels.PackedLSTM(self.weights()))

    def kernel(self, *inputs: Tensor) -> tuple[kernels.Kernel, Any]:
        """Return the kernel that fits, with gradients or without, and the weights as it takes them.

        Args:
            inputs: what the kernel will be given, which may require gradients.
        """
        if torch.is_grad_enabled() and any(
            tensor.requires_grad for tensor in (*inputs, *self.parameters())
        ):
            return training, self.weights()
        return kernels.inference, self.packed()

    def clear_cache(self) -> None:
        """Forget the repacked parameters."""
        self._packed.clear()


class LSTMStack(nn.Module):
    """The LSTM layers of one direction.

    Args:
        config: shape of the whole model.
        dropout: of each layer's inputs, in training mode; None: none.
    """

    def __init__(self, config: BiLMConfig, dropout: PackedDropout | None = None) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(LSTMLayer.of(config) for _ in range(config.n_layers))
        self.dropout = dropout or PackedDropout(0.0)

    def forward(
        self,
        x: Tensor,
        batch_sizes: Sequence[int],
        state: LSTMState | None = None,
        carry_mask: Tensor | None = None,
    ) -> tuple[list[Tensor], LSTMState]:
        """Return every layer's outputs.

        Args:
            x: token vectors (N, projection_dim), packed time-major in this direction's order.
            batch_sizes: rows alive at each step, non-increasing, N together.
            state: where each row starts, or None for zeros.
            carry_mask: (N, 1), 0 where a row starts anew from a zero state, else 1; None: nowhere.

        Returns:
            One (N, projection_dim) tensor per layer, and the state after each row's last step.

        Raises:
            ShapeError: x or the state does not fit batch_sizes and the model.
        """
        rows = batch_sizes[0] if batch_sizes else 0
        self._check(x, batch_sizes, rows, state)
        if state is None:
            state = self.zero_state(rows, x)
        if rows == 0:
            return [x] * len(self.layers), state
        outputs, h_last, c_last = [], [], []
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, LSTMLayer)
            x = self.dropout(x, batch_sizes)
            h, c = state.h[number], state.c[number]  # (rows, projection_dim), (rows, lstm_dim)
            kernel, weights = layer.kernel(x, h, c)
            y, h, c = kernel(x, batch_sizes, h, c, weights, carry_mask)
            x = y + x if self.config.skip_connections and number else y
            outputs.append(x)
            h_last.append(h)
            c_last.append(c)
        return outputs, LSTMState(torch.stack(h_last), torch.stack(c_last))

    def zero_state(self, rows: int, like: Tensor) -> LSTMState:
        """Return the state before anything was read, with the device and dtype of `like`."""
        n = self.config.n_layers
        return LSTMState(
            like.new_zeros(n, rows, self.config.projection_dim),
            like.new_zeros(n, rows, self.config.lstm_dim),
        )

    def _check(
        self, x: Tensor, batch_sizes: Sequence[int], rows: int, state: LSTMState | None
    ) -> None:
        expected = (sum(batch_sizes), self.config.projection_dim)
        if tuple(x.shape) != expected:
            raise ShapeError(
                f"LSTM input: expected (N, projection_dim) = {expected}, got {tuple(x.shape)}"
            )
        if state is None:
            return
        n = self.config.n_layers
        for name, tensor, dim in (
            ("h", state.h, self.config.projection_dim),
            ("c", state.c, self.config.lstm_dim),
        ):
            if tuple(tensor.shape) != (n, rows, dim):
                raise ShapeError(
                    f"LSTM state {name}: expected (layers, rows, dim) = {(n, rows, dim)}, "
                    f"got {tuple(tensor.shape)}"
                )
