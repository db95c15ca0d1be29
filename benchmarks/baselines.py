"""The usual ways to compute a biLM in PyTorch, with the weights and the words of a relmo model.

`PaddedLoop` has the structure of AllenNLP's ELMo: batches as they come, padded to their longest
sentence, an `nn.Linear` for the input and one for the state at every step, clipping, the character
CNN run on every token. `TorchLSTM` is `nn.LSTM(proj_size=...)`: fast, but it cannot clip.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from relmo.elmo.model import Elmo
from relmo.nn.kernels import FORGET_BIAS, LSTMWeights
from relmo.nn.lstm import LSTMStack
from relmo.nn.token_encoders import CharCNN
from relmo.text.chars import BOS_TOKEN, EOS_TOKEN, CharSpace

__all__ = ["PaddedLoop", "PlainCharCNN", "TorchLSTM", "layer_weights", "quiet", "torch_lstm"]

Sentences = Sequence[Sequence[str]]
Encode = Callable[[Sequence[str]], Tensor]
Array = npt.NDArray[np.float32]


class PaddedLoop:
    """The padded step loop, sentences as they come.

    Args:
        elmo: whose weights are taken.
        batch_size: sentences of a batch.
        cached: take token vectors from the model's word cache instead of running the characters.
    """

    def __init__(self, elmo: Elmo, batch_size: int = 64, *, cached: bool) -> None:
        self.elmo, self.batch_size = elmo, batch_size
        self.encoder = None if cached else PlainCharCNN(elmo)
        self.stacks = [
            [_Cell(weights) for weights in layer_weights(stack)]
            for stack in (elmo.bilm.forward_lstm, elmo.bilm.backward_lstm)
        ]

    @torch.no_grad()
    def embed(self, sentences: Sentences) -> list[Array]:
        """The mean of the layers, (tokens, dim) for each sentence."""
        vectors: list[Array] = []
        for start in range(0, len(sentences), self.batch_size):
            vectors += self._embed_batch(sentences[start : start + self.batch_size])
        return vectors

    def _embed_batch(self, batch: Sentences) -> Iterable[Array]:
        encode = self.elmo.token_vectors if self.encoder is None else self.encoder
        tokens, lengths = _padded(batch, encode)  # (batch, time, P)
        return _average(tokens, lengths, self.elmo.config.skip_connections, self.stacks)


class TorchLSTM:
    """nn.LSTM over padded batches of sentences sorted by length; token vectors from the cache.

    Args:
        elmo: whose weights are taken; its clips are not applied.
        batch_size: sentences of a batch.
    """

    def __init__(self, elmo: Elmo, batch_size: int = 128) -> None:
        self.elmo, self.batch_size = elmo, batch_size
        self.stacks = [
            [torch_lstm(weights) for weights in layer_weights(stack)]
            for stack in (elmo.bilm.forward_lstm, elmo.bilm.backward_lstm)
        ]

    @torch.no_grad()
    def embed(self, sentences: Sentences) -> list[Array]:
        """The mean of the layers, (tokens, dim) for each sentence."""
        order = sorted(range(len(sentences)), key=lambda number: len(sentences[number]))
        vectors: dict[int, Array] = {}
        for start in range(0, len(order), self.batch_size):
            numbers = order[start : start + self.batch_size]
            tokens, lengths = _padded([sentences[n] for n in numbers], self.elmo.token_vectors)
            skip = self.elmo.config.skip_connections
            with quiet():
                averages = _average(tokens, lengths, skip, self.stacks)
            vectors |= zip(numbers, averages, strict=True)
        return [vectors[number] for number in range(len(sentences))]


class _Cell(nn.Module):
    """One projected LSTM layer as a loop over the steps of a padded batch."""

    def __init__(self, weights: LSTMWeights) -> None:
        super().__init__()
        self.input = _linear(weights.input, None)
        self.state = _linear(weights.recurrent, weights.bias)
        self.projection = None if weights.projection is None else _linear(weights.projection, None)
        self.cell_clip, self.projection_clip = weights.cell_clip, weights.projection_clip
        self.dim, self.output_dim = weights.dim, weights.output_dim

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, in) -> (batch, time, out), padding computed like the rest."""
        h, c = x.new_zeros(len(x), self.output_dim), x.new_zeros(len(x), self.dim)
        outputs = []
        for step in range(x.shape[1]):
            i, f, o, j = (self.input(x[:, step]) + self.state(h)).chunk(4, dim=1)
            c = torch.sigmoid(f + FORGET_BIAS) * c + torch.sigmoid(i) * torch.tanh(j)
            if self.cell_clip is not None:
                c = c.clamp(-self.cell_clip, self.cell_clip)
            h = torch.sigmoid(o) * torch.tanh(c)
            if self.projection is not None:
                h = self.projection(h)
                if self.projection_clip is not None:
                    h = h.clamp(-self.projection_clip, self.projection_clip)
            outputs.append(h)
        return torch.stack(outputs, dim=1)


class PlainCharCNN:
    """Character ids to token vectors, every token of a batch anew, `F.conv1d` a filter."""

    def __init__(self, elmo: Elmo) -> None:
        encoder = elmo.bilm.token_encoder
        assert isinstance(encoder, CharCNN)
        self.cnn = encoder
        self.chars = CharSpace(encoder.config.max_characters_per_token)
        # (number, embedding_dim, width), as F.conv1d takes them
        self.kernels = [c.weight.permute(2, 1, 0).contiguous() for c in encoder.convolutions]

    def __call__(self, tokens: Sequence[str]) -> Tensor:
        """(tokens, projection_dim)."""
        ids = torch.from_numpy(self.chars.encode(tokens).astype(np.int64))
        characters = F.embedding(ids, self.cnn.char_embedding).transpose(1, 2)
        activation = torch.relu if self.cnn.config.activation == "relu" else torch.tanh
        x = torch.cat(
            [activation(F.conv1d(characters, kernel, convolution.bias).amax(2))
             for kernel, convolution in zip(self.kernels, self.cnn.convolutions, strict=True)],
            dim=1,
        )  # fmt: skip
        for highway in self.cnn.highways:
            x = highway(x)
        return x if self.cnn.projection is None else self.cnn.projection(x)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what nn.LSTM says at its first use: that oneDNN does not do projections."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "LSTM with projections", UserWarning)
        yield


def layer_weights(stack: LSTMStack) -> list[LSTMWeights]:
    """The weights of one direction's layers."""
    return [layer.weights() for layer in stack.layers]


def torch_lstm(weights: LSTMWeights) -> nn.LSTM:
    """The nn.LSTM that computes the same where nothing clips; its gates go i, f, j, o."""
    n_in = weights.input.shape[0]
    proj_size = 0 if weights.projection is None else weights.output_dim
    lstm = nn.LSTM(n_in, weights.dim, proj_size=proj_size, batch_first=True)

    def reordered(gates: Tensor) -> Tensor:
        i, f, o, j = gates.chunk(4, dim=-1)
        return torch.cat([i, f, j, o], dim=-1)

    with torch.no_grad():
        lstm.weight_ih_l0.copy_(reordered(weights.input).t())
        lstm.weight_hh_l0.copy_(reordered(weights.recurrent).t())
        lstm.bias_ih_l0.copy_(reordered(weights.bias))
        lstm.bias_hh_l0.zero_()[weights.dim : 2 * weights.dim] = FORGET_BIAS
        if weights.projection is not None:
            lstm.weight_hr_l0.copy_(weights.projection.t())
    return lstm


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    linear = nn.Linear(*weight.shape, bias=bias is not None)
    with torch.no_grad():
        linear.weight.copy_(weight.t())
        if bias is not None:
            linear.bias.copy_(bias)
    return linear


def _padded(batch: Sentences, encode: Encode) -> tuple[Tensor, Tensor]:
    """Token vectors (batch, time, P) with zeros behind each end, and lengths, marks counted."""
    marked = [[BOS_TOKEN, *sentence, EOS_TOKEN] for sentence in batch]
    flat = encode([token for sentence in marked for token in sentence])  # (N, P)
    lengths = [len(sentence) for sentence in marked]
    tokens = nn.utils.rnn.pad_sequence(list(flat.split(lengths)), batch_first=True)
    return tokens, torch.tensor(lengths)


def _average(
    tokens: Tensor, lengths: Tensor, skip: bool, stacks: Sequence[Sequence[nn.Module]]
) -> Iterable[Array]:
    """Mean of the layers of each sentence without its marks.

    Args:
        tokens: (batch, time, P).
        lengths: (batch,), marks counted.
        skip: add a layer's input to its output, from the second layer on.
        stacks: the layers of both directions.
    """
    steps = torch.arange(tokens.shape[1])
    ends = lengths[:, None]
    reverse = torch.where(steps < ends, ends - 1 - steps, steps)  # (batch, time), its own inverse
    halves = []
    for number, stack in enumerate(stacks):
        index = reverse[:, :, None].expand_as(tokens)
        x = tokens if number == 0 else tokens.gather(1, index)
        total = x
        for depth, layer in enumerate(stack):
            y = layer(x)
            y = y[0] if isinstance(y, tuple) else y
            x = y + x if skip and depth else y
            total = total + x
        halves.append(total if number == 0 else total.gather(1, index))
    mean = (torch.cat(halves, dim=2) / (1 + len(stacks[0]))).numpy()
    return [row[1 : length - 1] for row, length in zip(mean, lengths.tolist(), strict=True)]
