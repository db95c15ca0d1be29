"""What every format reads and writes: a configuration, its tensors, and what comes with them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from relmo._files import check_regular
from relmo.config import BiLMConfig, CharCNNConfig, LayerMix, LexiconConfig
from relmo.text.chars import N_CHARACTERS
from relmo.text.lexicon import Lexicon
from relmo.text.vocab import Vocabulary

__all__ = ["Checkpoint", "Shape", "parameter_shapes", "read_model_vocab"]

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A model as it lies in files; no network is built."""

    config: BiLMConfig
    """The shape of the biLM."""
    tensors: dict[str, Tensor]
    """Every parameter by its name in `relmo.nn`, float32 (float64 where it was stored so)."""
    vocab: Vocabulary | None = None
    """The words of a word-input model or of the softmax."""
    lexicon: Lexicon | None = None
    """The words and characters of a model whose token encoder looks them up."""
    softmax: dict[str, Tensor] | None = None
    """The language model's output layer: "weight" (V, P) and "bias" (V,), or the tensors of an
    adaptive one, as relmo_format describes them."""
    mixes: tuple[LayerMix, ...] = ()
    """Learned mixes of the layers that came with it, such as those of a TF-Hub module."""
    card: str | None = None
    """The model card, Markdown."""
    format: str
    """Name of the format it was read from."""
    source: Path
    """The folder or file it was read from."""


def parameter_shapes(config: BiLMConfig) -> Iterator[tuple[str, Shape]]:
    """Name and shape of each parameter of the biLM, as in the state_dict of `relmo.nn.bilm.BiLM`.

    Lazy, so that a file that asks for a billion layers costs nothing.
    """
    if config.char_cnn is not None:
        yield from _char_cnn_shapes(config, config.char_cnn)
    elif config.lexicon is not None:
        yield from _lexicon_shapes(config, config.lexicon)
    else:
        yield "token_encoder.embedding", (config.n_words or 0, config.projection_dim)
    p, d = config.projection_dim, config.lstm_dim
    for direction in ("forward_lstm", "backward_lstm"):
        for layer in range(config.n_layers):
            prefix = f"{direction}.layers.{layer}"
            yield f"{prefix}.input_weight", (p, 4 * d)
            yield f"{prefix}.recurrent_weight", (p, 4 * d)
            yield f"{prefix}.bias", (4 * d,)
            if config.has_lstm_projection:
                yield f"{prefix}.projection_weight", (d, p)


def _char_cnn_shapes(config: BiLMConfig, cnn: CharCNNConfig) -> Iterator[tuple[str, Shape]]:
    yield from _char_layers_shapes("token_encoder", cnn, N_CHARACTERS)
    if config.has_char_projection:
        yield "token_encoder.projection.weight", (cnn.n_filters, config.projection_dim)
        yield "token_encoder.projection.bias", (config.projection_dim,)


def _char_layers_shapes(
    prefix: str, cnn: CharCNNConfig, n_characters: int
) -> Iterator[tuple[str, Shape]]:
    c, f = cnn.embedding_dim, cnn.n_filters
    yield f"{prefix}.char_embedding", (n_characters, c)
    for i, (width, number) in enumerate(cnn.filters):
        yield f"{prefix}.convolutions.{i}.weight", (width, c, number)
        yield f"{prefix}.convolutions.{i}.bias", (number,)
    for k in range(cnn.n_highway):
        for part in ("transform", "gate"):
            yield f"{prefix}.highways.{k}.{part}_weight", (f, f)
            yield f"{prefix}.highways.{k}.{part}_bias", (f,)


def _lexicon_shapes(config: BiLMConfig, lexicon: LexiconConfig) -> Iterator[tuple[str, Shape]]:
    prefix = "token_encoder"
    if lexicon.n_words is not None:
        yield f"{prefix}.words.embedding", (lexicon.n_words, lexicon.word_dim or 0)
    if lexicon.n_characters is not None:
        if lexicon.char_cnn is not None:
            yield from _char_layers_shapes(
                f"{prefix}.characters", lexicon.char_cnn, lexicon.n_characters
            )
        else:
            c = lexicon.char_dim or 0
            yield f"{prefix}.characters.char_embedding", (lexicon.n_characters, c)
            for direction in ("", "_reverse"):  # torch's own names, and its layout (out, in)
                for part, shape in (("weight", (4 * c, c)), ("bias", (4 * c,))):
                    for side in ("ih", "hh"):
                        yield f"{prefix}.characters.lstm.{part}_{side}_l0{direction}", shape
    yield f"{prefix}.projection.weight", (lexicon.joined_dim, config.projection_dim)
    yield f"{prefix}.projection.bias", (config.projection_dim,)


def read_model_vocab(path: str | os.PathLike[str]) -> Vocabulary:
    """Read the vocabulary of a model, which unlike a text does not come through a pipe.

    Raises:
        InputError: there is no such file, it is not a regular one, or not UTF-8.
        FormatError: a word comes twice.
    """
    check_regular(Path(path))
    return Vocabulary.read(path)
