"""The language-model objective: forward and backward next-word losses (section 3.1)."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from relmo.config import BiLMConfig
from relmo.data import word_vectors
from relmo.errors import ConfigError, InputError
from relmo.formats.checkpoint import Checkpoint
from relmo.nn.bilm import BiLM, BiLMState
from relmo.nn.lstm import LSTMStack, LSTMState, PackedDropout
from relmo.nn.softmax import (
    AdaptiveSoftmax,
    Candidates,
    Softmax,
    cutoffs_of,
    log_uniform_candidates,
    restore,
)
from relmo.nn.token_encoders import WordEmbedding
from relmo.text.vocab import Vocabulary
from relmo.train.batches import LMBatch

__all__ = ["Objective", "fill", "fill_words", "is_tied"]


class Objective(nn.Module):
    """A biLM and the softmax that both its directions share.

    Args:
        config: the biLM's shape.
        n_words: vocabulary of the softmax.
        dropout: dropout rate of each LSTM layer's input and of the output.
        variational: whether a row's dropout is the same at each step.
        cutoffs: of an adaptive softmax; None: a plain one.
        tied: whether the softmax's weight is the word embedding, of a model that reads words.
    """

    def __init__(
        self,
        config: BiLMConfig,
        n_words: int,
        dropout: float = 0.0,
        *,
        variational: bool = False,
        cutoffs: Sequence[int] | None = None,
        tied: bool = False,
    ) -> None:
        super().__init__()
        self.dropout = PackedDropout(dropout, variational=variational)
        self.bilm = BiLM(config, self.dropout)
        self.is_tied = tied
        self.softmax: Softmax | AdaptiveSoftmax
        if cutoffs is not None:
            self.softmax = AdaptiveSoftmax(n_words, config.projection_dim, cutoffs)
            return
        self.softmax = Softmax(n_words, config.projection_dim)
        if tied:
            assert isinstance(self.bilm.token_encoder, WordEmbedding)  # TrainConfig sees to it
            with torch.no_grad():  # of the size of a softmax's weight, whose logits start small
                self.bilm.token_encoder.embedding.copy_(self.softmax.weight)
            self.softmax.weight = self.bilm.token_encoder.embedding

    def parameters_by_depth(self) -> list[list[nn.Parameter]]:
        """Return the parameters from the top: softmax, each LSTM layer, token encoder."""
        lstms = (self.bilm.forward_lstm, self.bilm.backward_lstm)
        layers = zip(*(stack.layers for stack in lstms), strict=True)
        by_layer = [[p for layer in both for p in layer.parameters()] for both in layers]
        return [
            list(self.softmax.parameters()),
            *by_layer[::-1],
            list(self.bilm.token_encoder.parameters()),
        ]

    def loss(
        self,
        batch: LMBatch,
        state: BiLMState | None,
        candidates: tuple[Candidates, Candidates] | None,
    ) -> tuple[Tensor, Tensor, BiLMState]:
        """Return mean losses in nats, forward and backward, and the detached state.

        Args:
            batch: inputs and targets.
            state: where its rows start, or None for zeros.
            candidates: of the sampled softmax, one set a direction; None: all words.
        """
        # On CPU the convolutions' gradient is slower in bfloat16 than in float32.
        device = batch.words.device.type
        with torch.autocast(device, enabled=torch.is_autocast_enabled(device) and device != "cpu"):
            vectors = self.bilm.token_encoder(batch.words)  # (words, projection_dim)
        forward, forward_state = self._top(
            self.bilm.forward_lstm,
            _rows(vectors, batch.forward_inputs),
            batch,
            None if state is None else state.forward,
            batch.forward_keep,
        )
        backward, backward_state = self._top(
            self.bilm.backward_lstm,
            _rows(vectors, batch.backward_inputs),
            batch,
            None if state is None else state.backward,
            batch.backward_keep,
        )
        losses = []
        for number, (top, targets) in enumerate(
            ((forward, batch.forward_targets), (backward, batch.backward_targets))
        ):
            if candidates is None:
                losses.append(self.softmax.full_loss(top, targets))
            else:
                assert isinstance(self.softmax, Softmax)
                losses.append(self.softmax.sampled_loss(top, targets, candidates[number]))
        return losses[0], losses[1], BiLMState(forward_state.detach(), backward_state.detach())

    def _top(
        self,
        stack: LSTMStack,
        x: Tensor,
        batch: LMBatch,
        state: LSTMState | None = None,
        keep: Tensor | None = None,
    ) -> tuple[Tensor, LSTMState]:
        layers, last = stack(x, batch.batch_sizes, state, keep)
        return self.dropout(layers[-1], batch.batch_sizes), last

    @torch.no_grad()
    def negative_log_likelihoods(self, batch: LMBatch) -> tuple[Tensor, Tensor]:
        """Return those of each target, full softmax, packed order: two of (N,), in nats."""
        vectors = self.bilm.token_encoder(batch.words)
        forward, _ = self._top(self.bilm.forward_lstm, vectors[batch.forward_inputs], batch)
        backward, _ = self._top(self.bilm.backward_lstm, vectors[batch.backward_inputs], batch)
        return (
            self.softmax.negative_log_likelihood(forward, batch.forward_targets),
            self.softmax.negative_log_likelihood(backward, batch.backward_targets),
        )


def _rows(vectors: Tensor, index: Tensor) -> Tensor:
    """Return `vectors[index]`, whose gradient has the same bits each time.

    That of indexing adds up a repeated row's parts in the order in which threads come.
    """
    return F.embedding(index, vectors)


class CandidateSampler:
    """Draws candidates for both directions; its random state can be saved and set.

    Args:
        n_words: vocabulary, sorted by decreasing frequency.
        n_candidates: at most half of it is taken.
        seed: of the draws.
    """

    def __init__(self, n_words: int, n_candidates: int, seed: int) -> None:
        self._n_words, self._n_candidates = n_words, min(n_candidates, n_words // 2)
        self._generator = np.random.default_rng([seed, 2])

    def draw(self) -> tuple[Candidates, Candidates]:
        """Draw two independent sets of candidates."""
        return (
            log_uniform_candidates(self._n_words, self._n_candidates, self._generator),
            log_uniform_candidates(self._n_words, self._n_candidates, self._generator),
        )

    def state(self) -> dict[str, Any]:
        """Return the generator's state, plain numbers and strings."""
        return dict(self._generator.bit_generator.state)

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self._generator.bit_generator.state = state


_EMBEDDING = "token_encoder.embedding"
_logger = logging.getLogger(__name__)


def is_tied(checkpoint: Checkpoint) -> bool:
    """Whether the softmax's weight and the word embedding are the same parameter."""
    embedding, weight = checkpoint.tensors.get(_EMBEDDING), (checkpoint.softmax or {}).get("weight")
    return embedding is not None and weight is not None and torch.equal(embedding, weight)


@torch.no_grad()
def fill(model: Objective, checkpoint: Checkpoint) -> None:
    """Take a checkpoint's parameters, and those of its softmax where it has one.

    Raises:
        ConfigError: its softmax is of another kind, or not tied where the model's is.
    """
    model.bilm.load_state_dict(checkpoint.tensors)
    if checkpoint.softmax is None:
        return
    softmax, found = model.softmax, cutoffs_of(checkpoint.softmax)
    expected = softmax.cutoffs if isinstance(softmax, AdaptiveSoftmax) else None
    if found != expected:
        raise ConfigError(
            f"'{checkpoint.source}': has {_named(found)}, expected {_named(expected)} as --softmax "
            "and --cutoffs say"
        )
    if model.is_tied and not is_tied(checkpoint):
        raise ConfigError(
            f"--tied: the softmax of '{checkpoint.source}' and its word embedding differ"
        )
    restore(softmax, checkpoint.softmax)


def _named(cutoffs: tuple[int, ...] | None) -> str:
    if cutoffs is None:
        return "a softmax over all words"
    return f"an adaptive softmax with cutoffs {','.join(map(str, cutoffs))}"


@torch.no_grad()
def fill_words(model: Objective, path: str, vocab: Vocabulary) -> dict[str, Any]:
    """Start the word embedding from a file; words that are not in it keep their random vectors.

    All vectors of the file are multiplied by one number, so that theirs and the random ones are
    of one size on average (root mean square): their directions and relative lengths stay.

    Returns:
        The file, how many of how many words were found, and the factor.

    Raises:
        InputError: the file cannot be read, has vectors of another width, or none of the words.
    """
    encoder = model.bilm.token_encoder
    assert isinstance(encoder, WordEmbedding)  # TrainConfig sees to it
    embedding = encoder.embedding
    found = word_vectors.read(path, vocab.words, dim=embedding.shape[1])
    if not found.n_found:
        raise InputError(f"{path}: none of the {len(vocab)} words of the vocabulary is in it")
    rows = torch.from_numpy(found.matrix[found.mask]).to(embedding.device)
    size = float(rows.square().mean().sqrt())
    factor = float(embedding.square().mean().sqrt()) / size if size else 1.0
    embedding[torch.from_numpy(found.mask).to(embedding.device)] = rows * factor
    _logger.info("%s: %d of %d words found", path, found.n_found, len(vocab))
    return {"file": path, "found": found.n_found, "words": len(vocab), "factor": factor}
