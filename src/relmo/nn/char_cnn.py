"""Token encoders: characters -> convolutions -> highway -> projection, or a word embedding.

Jozefowicz et al. 2016 ("CNN inputs"), Kim et al. 2016, as used by Peters et al. 2018, section 3.4.
Matrices are stored (in, out) and multiplied as ``x @ W``, the layout of the released files.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from relmo._typing import Float, Integer
from relmo.config import BiLMConfig, CharCNNConfig

__all__ = ["N_CHARACTERS", "PAD", "CharCNN", "WordEmbedding", "token_encoder"]

N_CHARACTERS = 261
"""256 byte values, then begin and end of sentence, begin and end of word, padding in a word."""
PAD = 260
"""The id that fills a word's row behind its end-of-word mark."""

# Rows encoded together are chosen so that the widest convolution output stays about this large:
# small enough to stay in cache and below the size at which malloc maps fresh pages every time.
_CHUNK_NUMBERS = 4_000_000


class Convolution(nn.Module):
    """One filter width: weight (width, embedding_dim, number), bias (number,)."""

    def __init__(self, width: int, embedding_dim: int, number: int, activation: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, embedding_dim, number))
        self.bias = nn.Parameter(torch.zeros(number))
        if activation == "relu":
            nn.init.uniform_(self.weight, -0.05, 0.05)
        else:
            nn.init.normal_(self.weight, std=(width * embedding_dim) ** -0.5)

    def forward(
        self, vectors: Float[Tensor, "tokens time embedding_dim"]
    ) -> Float[Tensor, "tokens number"]:
        """The largest response over the positions of each token.

        Args:
            vectors: character vectors (tokens, time, embedding_dim), time >= width.

        Returns:
            (tokens, number), before the activation.
        """
        n, _, dim = vectors.shape
        width, _, number = self.weight.shape
        windows = vectors.reshape(n, -1).unfold(1, width * dim, dim)  # (n, positions, width * dim)
        # Joined to two dimensions by a copy: as they overlap, matmul would take them one by one.
        responses = windows.reshape(-1, width * dim) @ self.weight.view(width * dim, number)
        responses = responses.view(n, -1, number)  # (n, positions, number)
        # max remembers where the maximum is, which makes its gradient cheaper; amax is faster.
        highest = responses.max(dim=1)[0] if responses.requires_grad else responses.amax(dim=1)
        return highest + self.bias  # the bias is the same at every position


class Highway(nn.Module):
    """``g * relu(x @ transform) + (1 - g) * x`` with ``g = sigmoid(x @ gate)`` (Srivastava 2015).

    The released files call the gate "carry" although it weights the transformed value.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.transform_weight = nn.Parameter(torch.empty(dim, dim))
        self.transform_bias = nn.Parameter(torch.zeros(dim))
        self.gate_weight = nn.Parameter(torch.empty(dim, dim))
        self.gate_bias = nn.Parameter(torch.full((dim,), -2.0))
        nn.init.normal_(self.transform_weight, std=dim**-0.5)
        nn.init.normal_(self.gate_weight, std=dim**-0.5)

    def forward(self, x: Float[Tensor, "tokens dim"]) -> Float[Tensor, "tokens dim"]:
        """(tokens, dim) -> (tokens, dim)."""
        carry = torch.sigmoid(-torch.addmm(self.gate_bias, x, self.gate_weight))  # 1 - g
        transformed = torch.relu(torch.addmm(self.transform_bias, x, self.transform_weight))
        # From 1 - g, as AllenNLP computes it: half as far from its vectors as from g.
        return carry * x + (1 - carry) * transformed


class Projection(nn.Module):
    """``x @ weight + bias``: weight (in, out), bias (out,)."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_in, n_out))
        self.bias = nn.Parameter(torch.zeros(n_out))
        nn.init.normal_(self.weight, std=n_in**-0.5)

    def forward(self, x: Float[Tensor, "tokens n_in"]) -> Float[Tensor, "tokens n_out"]:
        """(tokens, in) -> (tokens, out)."""
        return torch.addmm(self.bias, x, self.weight)


class CharCNN(nn.Module):
    """The character-aware token encoder.

    Args:
        config: filters, highway layers and activation.
        projection_dim: width of a token vector.
    """

    def __init__(self, config: CharCNNConfig, projection_dim: int) -> None:
        super().__init__()
        self.config = config
        self.projection_dim = projection_dim
        self.char_embedding = nn.Parameter(torch.empty(N_CHARACTERS, config.embedding_dim))
        nn.init.uniform_(self.char_embedding, -1.0, 1.0)
        self.convolutions = nn.ModuleList(
            Convolution(width, config.embedding_dim, number, config.activation)
            for width, number in config.filters
        )
        self.highways = nn.ModuleList(Highway(config.n_filters) for _ in range(config.n_highway))
        self.projection = (
            Projection(config.n_filters, projection_dim)
            if config.n_filters != projection_dim
            else None
        )

    def forward(
        self, characters: Integer[Tensor, "tokens characters"]
    ) -> Float[Tensor, "tokens projection_dim"]:
        """Token vectors, each from its own characters alone.

        Args:
            characters: ids (tokens, max_characters_per_token), `PAD` behind each token's end.

        Returns:
            (tokens, projection_dim), float32.
        """
        if characters.shape[0] == 0:
            return self.char_embedding.new_zeros(0, self.projection_dim)
        filled = characters != PAD
        lengths = (filled * torch.arange(1, filled.shape[1] + 1, device=filled.device)).amax(1)
        order = torch.argsort(lengths, stable=True)
        spans = self._spans(lengths[order].tolist())
        features = [self._convolve(characters[order[start:stop], :time])
                    for start, stop, time in spans]  # fmt: skip
        x = torch.cat(features)  # (tokens, n_filters), by rising length
        for highway in self.highways:
            x = highway(x)
        if self.projection is not None:
            x = self.projection(x)
        inverse = torch.empty_like(order)
        inverse[order] = torch.arange(len(order), device=order.device)
        return x.float()[inverse] if x.dtype == torch.bfloat16 else x[inverse]

    def _spans(self, lengths: list[int]) -> list[tuple[int, int, int]]:
        """Rows that are convolved together: (first, last + 1, characters looked at).

        Behind a token's end all windows are equal, and one of them is enough for the maximum: a
        row is cut to the longest token's length plus the widest filter, which leaves every filter
        one window of padding only. The result is the same number, not an approximation.
        """
        widest = max(width for width, _ in self.config.filters)
        most = max(number for _, number in self.config.filters)
        spans, start = [], 0
        while start < len(lengths):
            stop, time = start, 0
            while stop < len(lengths):
                longer = min(lengths[stop] + widest, self.config.max_characters_per_token)
                # Sorted by length: a row may be at most a few characters longer than the first.
                too_long = time and longer > (lengths[start] + widest) + 2
                if too_long or (stop - start + 1) * longer * most > max(
                    _CHUNK_NUMBERS, longer * most
                ):
                    break
                stop, time = stop + 1, longer
            spans.append((start, stop, time))
            start = stop
        return spans

    def _convolve(self, characters: Tensor) -> Tensor:
        vectors = F.embedding(characters.long(), self.char_embedding)  # (n, time, embedding_dim)
        responses = torch.cat([convolution(vectors) for convolution in self.convolutions], dim=1)
        return torch.relu(responses) if self.config.activation == "relu" else responses.tanh()


class WordEmbedding(nn.Module):
    """The token encoder of a word-input model: one vector a vocabulary word."""

    def __init__(self, n_words: int, projection_dim: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(n_words, projection_dim))
        nn.init.uniform_(self.embedding, -1.0, 1.0)

    def forward(self, words: Integer[Tensor, " tokens"]) -> Float[Tensor, "tokens projection_dim"]:
        """Word ids (tokens,) -> (tokens, projection_dim)."""
        return F.embedding(words.long(), self.embedding)


def token_encoder(config: BiLMConfig) -> CharCNN | WordEmbedding:
    """The token encoder that the configuration asks for."""
    if config.char_cnn is not None:
        return CharCNN(config.char_cnn, config.projection_dim)
    assert config.n_words is not None  # BiLMConfig holds exactly one of the two
    return WordEmbedding(config.n_words, config.projection_dim)
