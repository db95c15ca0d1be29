"""The bidirectional language model, whole (Peters et al. 2018, section 3.1)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from relmo.config import BiLMConfig
from relmo.errors import ShapeError
from relmo.nn.lstm import LSTMLayer, LSTMStack, LSTMState, PackedDropout
from relmo.nn.packing import Packing
from relmo.nn.precision import check_dtype
from relmo.nn.token_encoders import token_encoder

__all__ = ["BiLM", "BiLMOutput", "BiLMState", "build_on_meta", "no_init"]


@dataclass(frozen=True)
class BiLMState:
    """State of both directions after the last batch; row r is the r-th longest."""

    forward: LSTMState
    backward: LSTMState

    def rows(self, index: Tensor) -> "BiLMState":
        """Return the state of these rows in this order, for a batch in another order."""
        return BiLMState(self.forward.rows(index), self.backward.rows(index))


@dataclass(frozen=True)
class BiLMOutput:
    """What the biLM computes for a batch.

    Args:
        layers: n_layers + 1 tensors (N, 2 * projection_dim) in flat order: the token layer twice
            side by side, then each LSTM layer, forward and backward side by side.
        state: where each row's LSTMs stopped.
    """

    layers: tuple[Tensor, ...]
    state: BiLMState

    def layer(self, number: int) -> Tensor:
        """Return layer `number`, 0 the token layer; negative numbers count from the top.

        Raises:
            ShapeError: there is no such layer.
        """
        if not -len(self.layers) <= number < len(self.layers):
            raise ShapeError(f"layer {number} of a model with {len(self.layers)} layers")
        return self.layers[number]


class BiLM(nn.Module):
    """Token encoder, forward LSTMs, backward LSTMs.

    Args:
        config: the model's shape.
        dropout: of each LSTM layer's inputs, in training mode; None: none.
    """

    def __init__(self, config: BiLMConfig, dropout: PackedDropout | None = None) -> None:
        super().__init__()
        self.config = config
        self.token_encoder = token_encoder(config)
        self.forward_lstm = LSTMStack(config, dropout)
        self.backward_lstm = LSTMStack(config, dropout)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return next(self.parameters()).dtype

    def clear_cache(self) -> None:
        """Forget what was computed from the weights alone: the LSTMs' repacked matrices."""
        for module in self.modules():
            if isinstance(module, LSTMLayer):
                module.clear_cache()

    def forward(
        self, tokens: Tensor, packing: Packing, state: BiLMState | None = None
    ) -> BiLMOutput:
        """Return every layer's vectors for every token.

        Args:
            tokens: token vectors (N, projection_dim) in flat order, as `token_encoder` gives them
                for each word; the same word's vector may simply be repeated.
            packing: the batch's layout.
            state: where each row's LSTMs start, or None for zeros.

        Raises:
            ShapeError: the tokens or the state do not fit the layout and the model.
            ConfigError: the weights are of a type in which the network cannot compute.
        """
        check_dtype(self.dtype)
        if len(tokens) != len(packing.forward):
            raise ShapeError(f"tokens: expected {len(packing.forward)} rows, got {len(tokens)}")
        first = (None, None) if state is None else (state.forward, state.backward)
        sizes, mask = packing.batch_sizes, packing.carry_mask
        forward, forward_state = self.forward_lstm(tokens[packing.forward], sizes, first[0], mask)
        backward, backward_state = self.backward_lstm(
            tokens[packing.backward], sizes, first[1], mask
        )
        # The token layer has one half only: twice, so that all layers are (N, 2 * projection_dim).
        layers = [torch.cat([tokens, tokens], dim=1)]
        for f, b in zip(forward, backward, strict=True):  # from packed to flat order
            layers.append(torch.cat([f[packing.unpack_forward], b[packing.unpack_backward]], dim=1))
        return BiLMOutput(tuple(layers), BiLMState(forward_state, backward_state))


def build_on_meta(config: BiLMConfig) -> BiLM:
    """Return a network whose parameters have shapes but no memory yet, to be read from a file."""
    with no_init():
        return BiLM(config)


@contextmanager
def no_init() -> Iterator[None]:
    """Build networks in the block on the meta device: parameters of a shape and without numbers.

    They are not initialized either: on that device torch would import its compiler for it, which
    takes a second.
    """
    with torch.device("meta"), _NoInit():
        yield


class _NoInit(TorchFunctionMode):
    """Leaves the functions of torch.nn.init undone."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return (kwargs or {}).get("tensor", args[0] if args else None)
        return func(*args, **(kwargs or {}))
