"""What can be told of a checkpoint without running it: its checksum, problems and oddities."""

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor

from relmo.config import CharCNNConfig
from relmo.formats.checkpoint import Checkpoint, parameter_shapes

__all__ = ["oddities", "parameters_sha256", "problems"]

_HUGE = 100.0
"""No trained weight is expected beyond it: cells and outputs are clipped at 3."""
_CLIP, _CHARACTERS, _LAYERS = 3.0, 50, 2
"""As in every model of the paper."""


def parameters_sha256(checkpoint: Checkpoint) -> str:
    """The sha256 of every parameter's float32 bytes, little-endian, in the order of the table.

    It is the same on every machine and in every format that keeps float32, and says nothing of
    vocabulary, softmax or card.
    """
    digest = hashlib.sha256()
    for name, _ in parameter_shapes(checkpoint.config):
        digest.update(_float32(checkpoint.tensors[name]).numpy().astype("<f4", copy=False).data)
    return digest.hexdigest()


def problems(checkpoint: Checkpoint) -> list[str]:
    """What cannot be so in a trained model; readers have refused what does not fit together."""
    found = []
    for name, tensor in checkpoint.tensors.items():
        n_bad = int((~torch.isfinite(tensor)).sum())
        if n_bad:
            found.append(f"{name!r} holds {n_bad} numbers that are NaN or infinite")
        elif (
            tensor.dim() > 1 and tensor.numel() > 1 and bool((tensor == tensor.flatten()[0]).all())
        ):
            found.append(f"{name!r} is {float(tensor.flatten()[0]):g} throughout")
    return found


def oddities(checkpoint: Checkpoint) -> list[str]:
    """What is unusual about it, and no fault."""
    return [*_of_shape(checkpoint), *_of_numbers(checkpoint), *_of_company(checkpoint)]


def _of_shape(checkpoint: Checkpoint) -> Iterator[str]:
    config = checkpoint.config
    for what, clip in (("cells", config.cell_clip), ("outputs", config.projection_clip)):
        if clip is None:
            yield f"{what} are not clipped"
        elif clip != _CLIP:
            yield f"{what} are clipped at {clip:g}, not {_CLIP:g}"
    if not config.skip_connections:
        yield "no skip connections"
    if config.n_layers != _LAYERS:
        yield f"{config.n_layers} LSTM layers, not {_LAYERS}"
    if not config.has_lstm_projection:
        yield "the LSTMs have no projection"
    if config.n_words is not None or (config.lexicon and config.lexicon.n_characters is None):
        yield "it reads whole words, no characters"
    cnn = config.lexicon.char_cnn if config.lexicon else config.char_cnn
    if cnn is not None:
        yield from _of_characters(cnn)
    elif config.lexicon and config.lexicon.n_characters is not None:
        yield "an LSTM reads its characters"


def _of_characters(cnn: CharCNNConfig) -> Iterator[str]:
    if cnn.max_characters_per_token != _CHARACTERS:
        yield f"it reads {cnn.max_characters_per_token} characters of a token, not {_CHARACTERS}"
    if cnn.activation != "relu":
        yield f"the convolutions end in {cnn.activation}, not relu"
    if cnn.n_highway == 0:
        yield "no highway layers"


def _of_numbers(checkpoint: Checkpoint) -> Iterator[str]:
    for name, tensor in checkpoint.tensors.items():
        if tensor.dtype == torch.float64:
            yield f"{name!r} is stored as float64"
        largest = float(tensor.abs().max())
        if largest > _HUGE:
            yield f"{name!r} holds numbers of up to {largest:.4g}"
        if tensor.dim() < 2:
            continue
        rows = tensor.flatten(1)
        n_constant = int((rows == rows[:, :1]).all(dim=1).sum()) if rows.shape[1] > 1 else 0
        if n_constant:
            yield f"{n_constant} of the {len(rows)} rows of {name!r} are constant"


def _of_company(checkpoint: Checkpoint) -> Iterator[str]:
    if checkpoint.vocab is None and checkpoint.lexicon is None:
        yield "no vocabulary"
    if checkpoint.softmax is None:
        yield "no softmax: it cannot be evaluated or trained further as a language model"


def _float32(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32).contiguous()
