"""A bidirectional LSTM layer for the networks of tasks, on the biLM's own kernels."""

import torch
from torch import Tensor, nn

from relmo._typing import Float
from relmo.nn.bilm import PackedIndex
from relmo.nn.lstm import LSTMLayer, run

__all__ = ["BiLSTM"]


class BiLSTM(nn.Module):
    """Each sentence read from both ends; every row starts from a zero state.

    Args:
        n_in: width of the input.
        dim: width of each direction.
    """

    def __init__(self, n_in: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.ahead, self.back = LSTMLayer(n_in, dim), LSTMLayer(n_in, dim)

    def forward(self, x: Float[Tensor, "N n_in"], index: PackedIndex) -> Float[Tensor, "N both"]:
        """Outputs of both directions side by side.

        Args:
            x: (N, n_in), flat: sentence after sentence.
            index: the batch's layout.

        Returns:
            (N, 2 * dim), flat.
        """
        if not index.batch_sizes:
            return x.new_zeros(0, 2 * self.dim)
        zeros = x.new_zeros(index.batch_sizes[0], self.dim)
        ahead, back = (
            run(x[order], index.batch_sizes, zeros, zeros, layer, index.keep)[0]
            for order, layer in ((index.forward, self.ahead), (index.backward, self.back))
        )
        return torch.cat([ahead[index.unpack_forward], back[index.unpack_backward]], dim=1)
