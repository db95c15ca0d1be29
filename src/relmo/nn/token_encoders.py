"""Token encoders: characters -> convolutions -> highway -> projection, a word embedding, or both.

Jozefowicz et al. 2016 ("CNN inputs"), Kim et al. 2016, as used by Peters et al. 2018, section 3.4;
and beside word vectors by Che et al. 2018 (ELMoForManyLangs).
Matrices are stored (in, out) and multiplied as ``x @ W``, the layout of the released files.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from relmo._typing import Float, Integer
from relmo.config import BiLMConfig, CharCNNConfig, LexiconConfig
from relmo.nn.precision import check_dtype

__all__ = ["N_CHARACTERS", "PAD", "CharCNN", "LexiconEncoder", "WordEmbedding", "token_encoder"]

N_CHARACTERS = 261
"""256 byte values, then begin and end of sentence, begin and end of word, padding in a word."""
PAD = 260
"""The id that fills a word's row behind its end-of-word id."""

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
        """Return the largest response over the positions of each token.

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
        """Transform and carry on vectors (tokens, dim)."""
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
        """Project vectors (tokens, in) to (tokens, out)."""
        return torch.addmm(self.bias, x, self.weight)


class CharLayers(nn.Module):
    """Characters -> convolutions -> highway: what two token encoders share.

    Args:
        config: filters, highway layers and activation.
        n_characters: rows of the character embedding.
    """

    def __init__(self, config: CharCNNConfig, n_characters: int) -> None:
        super().__init__()
        self.config = config
        self.char_embedding = nn.Parameter(torch.empty(n_characters, config.embedding_dim))
        nn.init.uniform_(self.char_embedding, -1.0, 1.0)
        self.convolutions = nn.ModuleList(
            Convolution(width, config.embedding_dim, number, config.activation)
            for width, number in config.filters
        )
        self.highways = nn.ModuleList(Highway(config.n_filters) for _ in range(config.n_highway))

    def features(
        self, characters: Integer[Tensor, "tokens characters"], lengths: Integer[Tensor, " tokens"]
    ) -> tuple[Float[Tensor, "tokens n_filters"], Integer[Tensor, " tokens"]]:
        """Return what the convolutions and the highway layers make of each token's characters.

        Args:
            characters: ids (tokens, max_characters_per_token), at least one token.
            lengths: ids of each token up to its end; all behind it are that of the padding.

        Returns:
            (tokens, n_filters) by rising length, and the position of each token of the input in it.
        """
        order = torch.argsort(lengths, stable=True)
        responses = [
            self._convolve(characters[order[start:stop], :time])
            for start, stop, time in self._spans(lengths[order].tolist())
        ]
        # Back to the order of the input, when the rows have become narrow.
        inverse = torch.empty_like(order)
        inverse[order] = torch.arange(len(order), device=order.device)
        return self._through_highways(torch.cat(responses)), inverse

    def _through_highways(self, responses: Tensor) -> Tensor:
        """Return what the highway layers make of the convolutions' responses, (n, n_filters)."""
        x = torch.relu(responses) if self.config.activation == "relu" else responses.tanh()
        for highway in self.highways:
            x = highway(x)
        return x

    def _spans(self, lengths: list[int]) -> list[tuple[int, int, int]]:
        """Return the rows that are convolved together: (first, last + 1, characters looked at).

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
        return torch.cat([convolution(vectors) for convolution in self.convolutions], dim=1)


class CharCNN(CharLayers):
    """The character-aware token encoder.

    Args:
        config: filters, highway layers and activation.
        projection_dim: width of a token vector.
    """

    def __init__(self, config: CharCNNConfig, projection_dim: int) -> None:
        super().__init__(config, N_CHARACTERS)
        self.projection_dim = projection_dim
        self.projection = (
            Projection(config.n_filters, projection_dim)
            if config.n_filters != projection_dim
            else None
        )

    def forward(
        self, characters: Integer[Tensor, "tokens characters"]
    ) -> Float[Tensor, "tokens projection_dim"]:
        """Return token vectors, each from its own characters alone.

        Args:
            characters: ids (tokens, max_characters_per_token), `PAD` behind each token's end.

        Returns:
            (tokens, projection_dim) in the type of the weights, under autocast too.

        Raises:
            ConfigError: the weights are of a type in which the network cannot compute.
        """
        check_dtype(self.char_embedding.dtype)
        if characters.shape[0] == 0:
            return self.char_embedding.new_zeros(0, self.projection_dim)
        filled = characters != PAD
        lengths = (filled * torch.arange(1, filled.shape[1] + 1, device=filled.device)).amax(1)
        x, inverse = self.features(characters, lengths)
        return self._projected(x)[inverse]

    def without_characters(self) -> Float[Tensor, "1 projection_dim"]:
        """Return the vector that character vectors of zeros would give: what the biases make.

        It is what the original TensorFlow module has at a padded position.
        """
        responses: list[Tensor] = [c.bias for c in self.convolutions if isinstance(c, Convolution)]
        return self._projected(self._through_highways(torch.cat(responses)[None]))

    def _projected(self, x: Tensor) -> Tensor:
        if self.projection is not None:
            x = self.projection(x)
        return _in_type_of(self.char_embedding, x)


class WordEmbedding(nn.Module):
    """The token encoder of a word-input model: one vector per word of the vocabulary."""

    def __init__(self, n_words: int, projection_dim: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(n_words, projection_dim))
        nn.init.uniform_(self.embedding, -1.0, 1.0)

    def forward(self, words: Integer[Tensor, " tokens"]) -> Float[Tensor, "tokens projection_dim"]:
        """Look up word ids (tokens,): (tokens, projection_dim).

        Raises:
            ConfigError: the weights are of a type in which the network cannot compute.
        """
        check_dtype(self.embedding.dtype)
        return F.embedding(words.long(), self.embedding)


class CharFeatures(CharLayers):
    """Characters -> convolutions -> highway, for characters of any lexicon."""

    def forward(
        self, characters: Integer[Tensor, "tokens characters"], lengths: Integer[Tensor, " tokens"]
    ) -> Float[Tensor, "tokens n_filters"]:
        """Return (tokens, n_filters), see `features`."""
        if characters.shape[0] == 0:
            return self.char_embedding.new_zeros(0, self.config.n_filters)
        x, inverse = self.features(characters, lengths)
        return x[inverse]


class CharLSTM(nn.Module):
    """A bidirectional LSTM over a token's characters: where each direction ends, side by side.

    Args:
        n_characters: rows of the character embedding.
        dim: width of a character vector and of each direction.
    """

    def __init__(self, n_characters: int, dim: int) -> None:
        super().__init__()
        self.char_embedding = nn.Parameter(torch.empty(n_characters, dim))
        nn.init.uniform_(self.char_embedding, -1.0, 1.0)
        self.lstm = nn.LSTM(dim, dim, bidirectional=True, batch_first=True)

    def forward(
        self, characters: Integer[Tensor, "tokens characters"], lengths: Integer[Tensor, " tokens"]
    ) -> Float[Tensor, "tokens both"]:
        """Return (tokens, 2 * dim) of character ids and how many of each row are read."""
        if characters.shape[0] == 0:
            return self.char_embedding.new_zeros(0, 2 * self.char_embedding.shape[1])
        last = []
        numbers = 8 * self.char_embedding.shape[1] * int(lengths.max())  # of one token's gates
        rows = max(1, _CHUNK_NUMBERS // numbers)
        for start in range(0, len(characters), rows):
            size = lengths[start : start + rows].cpu()
            ids = characters[start : start + rows, : int(size.max())]
            packed = nn.utils.rnn.pack_padded_sequence(
                F.embedding(ids, self.char_embedding), size, batch_first=True, enforce_sorted=False
            )
            _, (hidden, _) = self.lstm(packed)  # (2, rows, dim)
            last.append(torch.cat([hidden[0], hidden[1]], dim=1))
        return torch.cat(last)


class LexiconEncoder(nn.Module):
    """The token encoder of ELMoForManyLangs: word vector and characters, joined and projected.

    Characters go through convolutions and highway layers, `<pad>` behind the end being read like
    any other, or through an LSTM. The original's LSTM never ran as written: it joins tensors of
    different rank, and before that mixes the rows of the two directions and reads on through the
    padding of the longest word beside it. Here a token's two last states are its own.

    Args:
        config: which lexicons there are and what reads the characters.
        projection_dim: width of a token vector.
    """

    def __init__(self, config: LexiconConfig, projection_dim: int) -> None:
        super().__init__()
        self.words = self.characters = None
        if config.n_words is not None and config.word_dim is not None:
            self.words = WordEmbedding(config.n_words, config.word_dim)
        if config.n_characters is not None and config.char_dim is not None:
            self.characters = (
                CharLSTM(config.n_characters, config.char_dim)
                if config.char_cnn is None
                else CharFeatures(config.char_cnn, config.n_characters)
            )
        self.projection = Projection(config.joined_dim, projection_dim)

    def forward(
        self,
        words: Integer[Tensor, " tokens"] | None,
        characters: Integer[Tensor, "tokens characters"] | None,
        lengths: Integer[Tensor, " tokens"] | None,
    ) -> Float[Tensor, "tokens projection_dim"]:
        """Return token vectors, each from its own word and characters alone.

        Args:
            words: word ids (tokens,), or None where the model has no word vectors.
            characters: ids (tokens, max_characters_per_token), `<pad>` behind each token's end
                id, or None where it does not read them.
            lengths: ids of each token up to its end (tokens,), or None with characters.

        Returns:
            (tokens, projection_dim) in the type of the weights, under autocast too.

        Raises:
            ConfigError: the weights are of a type in which the network cannot compute.
        """
        check_dtype(self.projection.weight.dtype)
        parts = []
        if self.words is not None and words is not None:
            parts.append(self.words(words))
        if self.characters is not None and characters is not None and lengths is not None:
            parts.append(self.characters(characters, lengths))
        x: Tensor = self.projection(torch.cat(parts, dim=1))
        return _in_type_of(self.projection.weight, x)


def _in_type_of(weight: Tensor, vectors: Tensor) -> Tensor:
    """Return vectors in the weights' type: autocast leaves them in half precision."""
    return vectors.to(weight.dtype)


def token_encoder(config: BiLMConfig) -> CharCNN | WordEmbedding | LexiconEncoder:
    """Build the token encoder that the configuration asks for."""
    if config.char_cnn is not None:
        return CharCNN(config.char_cnn, config.projection_dim)
    if config.lexicon is not None:
        return LexiconEncoder(config.lexicon, config.projection_dim)
    assert config.n_words is not None  # BiLMConfig holds exactly one of the three
    return WordEmbedding(config.n_words, config.projection_dim)
