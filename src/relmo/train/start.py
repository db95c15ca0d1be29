"""What a language model starts from: a checkpoint's parameters, or a file of word vectors."""

import logging
from typing import Any

import torch

from relmo.errors import ConfigError, InputError
from relmo.formats.checkpoint import Checkpoint
from relmo.nn.adaptive import AdaptiveSoftmax, cutoffs_of
from relmo.nn.char_cnn import WordEmbedding
from relmo.nn.softmax import restore
from relmo.text import word_vectors
from relmo.text.vocab import Vocabulary
from relmo.train.objective import LanguageModel

__all__ = ["fill", "fill_words", "is_tied"]

_EMBEDDING = "token_encoder.embedding"
_logger = logging.getLogger(__name__)


def is_tied(checkpoint: Checkpoint) -> bool:
    """Whether its softmax's weight and its word embedding are the same numbers."""
    embedding, weight = checkpoint.tensors.get(_EMBEDDING), (checkpoint.softmax or {}).get("weight")
    return embedding is not None and weight is not None and torch.equal(embedding, weight)


@torch.no_grad()
def fill(model: LanguageModel, checkpoint: Checkpoint) -> None:
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
def fill_words(model: LanguageModel, path: str, vocab: Vocabulary) -> dict[str, Any]:
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
