"""The ELMo inside a trained AllenNLP model: the biLM, fine-tuned or not, and its learned mixes.

A file of weights (weights.th, best.th), or the folder (as model.tar.gz unpacks) that holds one. The
task's own tensors are left; within ELMo every tensor is used but a cache of a vocabulary, whose
vectors come from the characters anyway. The shape is inferred from the tensors. What no tensor
shows (clips, activation, characters a token, skip connections) is in options.json: AllenNLP
archives it as fta/....options_file; else it may lie beside the weights; else it is as in every
published model.
"""

import itertools
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from relmo._files import lacks, read_json
from relmo.config import BiLMConfig, CharCNNConfig, LayerMix
from relmo.errors import ConfigError, FormatError
from relmo.formats import _checks
from relmo.formats._options import config_from_options, has_characters
from relmo.formats._tensors import taken
from relmo.formats._torch_file import check_numbers, is_torch_file, load_tensors
from relmo.formats._torch_tables import allennlp_table
from relmo.formats.checkpoint import Checkpoint, Shape
from relmo.text.chars import N_CHARACTERS

__all__ = ["NAME", "find", "read"]

logger = logging.getLogger(__name__)

NAME = "allennlp"
_WEIGHTS = ("weights.th", "best.th")
_CHARACTERS = "_token_embedder._char_embedding_weights"
"""The name that tells where a biLM begins."""
_CACHE = "_word_embedding.weight"
"""Token vectors of a vocabulary, computed from the tensors that are read (`vocab_to_cache`)."""
_CONSTANTS = "cells and outputs clipped at 3, relu, 50 characters a token, skip connections"


def find(path: Path) -> Callable[[], Checkpoint]:
    """Return the reader of the model in a file or folder.

    Raises:
        FormatError: it is not of this format; the message says why.
    """
    weights = _weights(path)
    return partial(_read, path, weights)


def _weights(path: Path) -> Path:
    """The file of weights of a folder, or the file itself."""
    if path.is_dir():
        names = sorted(entry.name for entry in path.iterdir() if entry.suffix == ".th")
        names = [name for name in _WEIGHTS if name in names][:1] or names
        if not names:
            raise FormatError("it has no *.th")
        if len(names) > 1:
            raise FormatError(f"it has {len(names)} files *.th ({', '.join(names)}); give one")
        reason = lacks(path, names[0])
        if reason is not None:
            raise FormatError(reason)
        path = path / names[0]
    if not is_torch_file(path):
        raise FormatError(f"{path.name} is no PyTorch file")
    return path


def read(path: Path) -> Checkpoint:
    """Read the ELMo of a model.

    Args:
        path: a file of weights, or a folder with one.

    Raises:
        InputError: a file cannot be opened.
        ConfigError: its options lack a key or contradict themselves.
        FormatError: the file is damaged, holds more than tensors, or no ELMo or several; or the
            ELMo is not whole.
    """
    try:
        read_found = find(path)
    except FormatError as error:
        raise FormatError(f"{NAME}: '{path}': {error}") from error
    return read_found()


def _read(path: Path, weights: Path) -> Checkpoint:
    where = f"{NAME}: {weights}"
    found = load_tensors(weights, where)
    bilm, elmo = _prefixes(found, where)
    inside = {name: found.pop(name) for name in list(found) if name.startswith(elmo)}
    if found:
        logger.info("%s: %d tensors of the task's model are left", NAME, len(found))
    check_numbers(inside, where)
    mixes = _mixes(inside, elmo, where) if elmo != bilm else ()
    tensors = {name.removeprefix(bilm): tensor for name, tensor in inside.items()}
    if tensors.pop(_CACHE, None) is not None:
        logger.info("%s: the token vectors of a cached vocabulary are left", NAME)
    config, asked_by = _config(weights, tensors, where)
    checked = _checked(config, tensors, where, asked_by)
    _checks.check_mixes(config, mixes, where)
    return Checkpoint(config=config, tensors=checked, mixes=mixes, format=NAME, source=path)


def _prefixes(found: Mapping[str, Tensor], where: str) -> tuple[str, str]:
    """What the names of the biLM begin with, and those of the ELMo around it."""
    prefixes = [name.removesuffix(_CHARACTERS) for name in found if name.endswith(_CHARACTERS)]
    if not prefixes:
        raise FormatError(
            f"{where}: holds no ELMo: expected a tensor '..._elmo_lstm.{_CHARACTERS}', got "
            f"{', '.join(map(repr, list(found)[:4])) or 'none'}"
        )
    if len(prefixes) > 1:
        raise FormatError(
            f"{where}: holds {len(prefixes)} ELMos, expected one: {', '.join(map(repr, prefixes))}"
        )
    return prefixes[0], prefixes[0].removesuffix("_elmo_lstm.")


def _mixes(tensors: dict[str, Tensor], elmo: str, where: str) -> tuple[LayerMix, ...]:
    """The mixes scalar_mix_0, scalar_mix_1, ..., taken out of the tensors."""
    mixes: list[LayerMix] = []
    while (name := f"{elmo}scalar_mix_{len(mixes)}") + ".gamma" in tensors:
        weights: list[float] = []
        while (weight := f"{name}.scalar_parameters.{len(weights)}") in tensors:
            weights.append(_scalar(tensors, weight, where))
        if not weights:
            raise FormatError(f"{where}: '{name}.scalar_parameters.0' missing, beside its gamma")
        gamma = _scalar(tensors, f"{name}.gamma", where)
        mixes.append(LayerMix(weights=tuple(weights), gamma=gamma))
    return tuple(mixes)


def _scalar(tensors: dict[str, Tensor], name: str, where: str) -> float:
    tensor = tensors.pop(name)
    if tensor.numel() != 1:
        raise FormatError(f"{where}: {name!r} has shape {tuple(tensor.shape)}, expected (1,)")
    return float(tensor)


def _checked(
    config: BiLMConfig, tensors: dict[str, Tensor], where: str, asked_by: str
) -> dict[str, Tensor]:
    """Every parameter, each tensor let go of once it is used."""
    mask_row = tensors[_CHARACTERS].shape[:1] != (N_CHARACTERS,)
    table = partial(allennlp_table, config, mask_row=mask_row)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return taken(_checks.check_rows(table, shapes, where, asked_by), tensors)


def _config(weights: Path, tensors: Mapping[str, Tensor], where: str) -> tuple[BiLMConfig, str]:
    """The configuration, and what it was taken from."""
    options = _options(weights.parent)
    if options is not None:
        path, settings = options
        file = f"{NAME}: {path}"
        if not has_characters(settings):
            raise FormatError(f"{file}: 'char_cnn' missing, which {_CHARACTERS!r} asks for")
        return config_from_options(settings, file), path.name
    logger.info("%s: no options file: taken as in the published models: %s", NAME, _CONSTANTS)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    try:
        return _inferred(_Shapes(shapes, where)), "the shapes of the others"
    except ConfigError as error:
        raise FormatError(f"{where}: the shapes of its tensors are impossible: {error}") from error


def _options(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The options file of an archive, or the one beside the weights, and what it holds."""
    archived = sorted((folder / "fta").glob("*options_file"))
    beside = folder / "options.json"
    paths = archived or ([beside] if beside.exists() else [])
    if not paths:
        return None
    first = read_json(paths[0], f"{NAME}: {paths[0]}")
    for path in paths[1:]:
        if read_json(path, f"{NAME}: {path}") != first:
            raise FormatError(
                f"{NAME}: '{folder / 'fta'}': {paths[0].name} and {path.name} hold different "
                "options, expected those of one model; leave the file of the ELMo to be read alone"
            )
    return paths[0], first


class _Shapes:
    """The shapes by name, of which a missing one or one of another rank is a FormatError."""

    def __init__(self, shapes: Mapping[str, Shape], where: str) -> None:
        self._shapes = shapes
        self._where = where

    def get(self, name: str, n_axes: int) -> Shape:
        """The shape of a tensor that has so many axes."""
        if name not in self._shapes:
            raise FormatError(f"{self._where}: {name!r} missing")
        shape = self._shapes[name]
        if len(shape) != n_axes:
            raise FormatError(f"{self._where}: {name!r} has shape {shape}, expected {n_axes} axes")
        return shape

    def count(self, pattern: str) -> int:
        """How many of the names with 0, 1, 2, ... for {} there are."""
        return next(n for n in itertools.count() if pattern.format(n) not in self._shapes)


def _inferred(shapes: _Shapes) -> BiLMConfig:
    """The configuration that the shapes speak of, the rest as published."""
    encoder = "_token_embedder."
    convolutions = shapes.count(encoder + "char_conv_{}.weight")
    kernels = [shapes.get(f"{encoder}char_conv_{i}.weight", 3) for i in range(convolutions)]
    gates, projection = shapes.get("_elmo_lstm.forward_layer_0.input_linearity.weight", 2)
    return BiLMConfig(
        lstm_dim=gates // 4,
        projection_dim=projection,
        n_layers=shapes.count("_elmo_lstm.forward_layer_{}.input_linearity.weight"),
        char_cnn=CharCNNConfig(
            filters=tuple((width, number) for number, _, width in kernels),
            embedding_dim=shapes.get(_CHARACTERS, 2)[1],
            n_highway=shapes.count(encoder + "_highways._layers.{}.weight"),
        ),
    )
