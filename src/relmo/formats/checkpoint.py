"""What every format reads and writes: a configuration, its tensors, and what comes with them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from torch import Tensor

from relmo._files import check_regular
from relmo.config import BiLMConfig, LayerMix
from relmo.formats._bilm_table import Shape, bilm_table, table_shapes
from relmo.formats._torch_tables import encoder_table, token_embedder_table
from relmo.text.lexicon import Lexicon
from relmo.text.vocab import Vocabulary

__all__ = ["Checkpoint", "Shape", "parameter_shapes", "read_model_vocab"]


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
    """Yield name and shape of each parameter, as in the state_dict of `relmo.nn.bilm.BiLM`.

    They follow from the tables of the formats. Lazy, so that a file that asks for a billion layers
    costs nothing.
    """
    if config.lexicon is None:
        return table_shapes(bilm_table(config))
    return table_shapes(chain(token_embedder_table(config), encoder_table(config)))


def read_model_vocab(path: str | os.PathLike[str]) -> Vocabulary:
    """Read the vocabulary of a model, which unlike a text does not come through a pipe.

    Raises:
        InputError: there is no such file, it is not a regular one, or not UTF-8.
        FormatError: a word comes twice.
    """
    check_regular(Path(path))
    return Vocabulary.read(path)
