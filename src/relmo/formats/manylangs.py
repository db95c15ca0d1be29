"""The format of ELMoForManyLangs: a folder, with lexicons and with tensors in pickles.

config.json          what the training was called with; its `config_path` names, as a path on the
                     machine of the training, the file with the shape of the model
*.json               that file; missing from most published models
word.dic, char.dic   a word or a Unicode character, a tab and its id a line
encoder.pkl, token_embedder.pkl   the tensors, by torch.save
classifier.pkl       the softmax; most models have none

The shape file is looked for by its path within the folder, then by its name there; where there is
none, the tensors' shapes tell all but what the published models have in common.
"""

import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import Any, Literal

import torch
from torch import Tensor

from relmo._files import lacks, read_json, readable
from relmo.config import MOST_CHARACTERS, BiLMConfig, LexiconConfig
from relmo.errors import FormatError, InputError
from relmo.formats import _checks, _options
from relmo.formats._tensors import taken
from relmo.formats._torch_file import check_numbers, load_tensors
from relmo.formats._torch_tables import encoder_table, token_embedder_table
from relmo.formats.checkpoint import Checkpoint
from relmo.text.lexicon import Lexicon, read_dic
from relmo.text.vocab import Vocabulary

__all__ = ["NAME", "find", "read"]

logger = logging.getLogger(__name__)

NAME = "manylangs"
CONFIG, WORDS, CHARACTERS = "config.json", "word.dic", "char.dic"
ENCODER, TOKENS, CLASSIFIER = "encoder.pkl", "token_embedder.pkl", "classifier.pkl"
_PUBLISHED: Mapping[str, Any] = {
    "cell_clip": 3,
    "proj_clip": 3,
    "activation": "relu",
    "max_characters_per_token": 50,
}
"""What shapes do not tell, as all published models have it."""
_INPUT = "forward_layer_0.input_linearity.weight"


def find(path: Path) -> Callable[[], Checkpoint]:
    """Return the reader of the model in a folder.

    Raises:
        FormatError, InputError: it is not a folder of this format; the message says why.
    """
    if not path.is_dir():
        raise FormatError("it is not a folder")
    for name in (CONFIG, ENCODER, TOKENS):
        reason = lacks(path, name)
        if reason is not None:
            raise FormatError(reason)
    config = read_json(path / CONFIG, CONFIG)
    if "config_path" not in config:
        raise FormatError(f"{CONFIG}: the key 'config_path' is missing")
    return partial(_read, path, config["config_path"])


def read(folder: str | os.PathLike[str]) -> Checkpoint:
    """Read a model folder.

    Raises:
        InputError: there is no such folder, or a file cannot be opened.
        ConfigError: the shape file lacks a key or contradicts itself.
        FormatError: a file is missing, truncated, foreign, or not what the shape file says.
    """
    folder = Path(folder)
    with readable(f"{NAME}: '{folder}'"):
        try:
            read_found = find(folder)
        except (FormatError, InputError) as error:
            raise FormatError(f"{NAME}: '{folder}': {error}") from error
        return read_found()


def _read(folder: Path, config_path: object) -> Checkpoint:
    found = {name: _tensors(folder / name) for name in (ENCODER, TOKENS)}
    settings, asked_by = _settings(folder, config_path, found)
    lexicon = _lexicon(folder, settings, asked_by)
    config = _config(settings, lexicon, asked_by)
    tensors: dict[str, Tensor] = {}
    for name, table in ((ENCODER, encoder_table), (TOKENS, token_embedder_table)):
        where = f"{NAME}: {folder / name}"
        shapes = {dataset: tuple(tensor.shape) for dataset, tensor in found[name].items()}
        rows = _checks.check_rows(partial(table, config), shapes, where, asked_by)
        tensors.update(taken(rows, found[name]))
    softmax, vocab = _softmax(folder, config)
    return Checkpoint(
        config=config,
        tensors=tensors,
        lexicon=lexicon,
        vocab=vocab,
        softmax=softmax,
        format=NAME,
        source=folder,
    )


def _tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, which are to be copied."""
    where = f"{NAME}: {path}"
    found = load_tensors(path, where)
    check_numbers(found, where)
    return {name: tensor.detach() for name, tensor in found.items()}


def _kept(tensor: Tensor) -> Tensor:
    """A copy in memory, float32 (float64 where it was stored so)."""
    return tensor.to(_checks.kept(tensor.dtype)).clone(memory_format=torch.contiguous_format)


def _settings(
    folder: Path, config_path: object, found: Mapping[str, Mapping[str, Tensor]]
) -> tuple[Mapping[str, Any], str]:
    """What the shape file holds, and the name of who says so: that file, or the tensors."""
    if not isinstance(config_path, str):
        raise FormatError(
            f"{NAME}: {folder / CONFIG}: 'config_path' is {config_path!r:.60}, expected a path"
        )
    path = PureWindowsPath(config_path)  # which takes / and \ alike
    inside = [] if path.anchor or ".." in path.parts else [folder.joinpath(*path.parts)]
    for candidate in (*inside, folder / path.name):
        if candidate.exists() and not candidate.is_dir() and candidate != folder / CONFIG:
            return read_json(candidate, f"{NAME}: {candidate}"), f"{candidate}"
    logger.warning(
        "%s: '%s' has no %r: its shape is inferred from its tensors, and what they do not tell "
        "is taken as in the published models: %s",
        NAME,
        folder,
        path.name,
        ", ".join(f"{key} {value}" for key, value in _PUBLISHED.items()),
    )
    inferred = _inferred(found[ENCODER], found[TOKENS], f"{NAME}: {folder}")
    return inferred, f"the tensors of '{folder}'"


def _inferred(
    encoder: Mapping[str, Tensor], tokens: Mapping[str, Tensor], where: str
) -> Mapping[str, Any]:
    """A shape file to which the tensors fit, if any does."""
    if _INPUT not in encoder or encoder[_INPUT].ndim != 2:
        raise FormatError(f"{where}/{ENCODER}: {_INPUT!r} missing, expected it with two axes")
    kernels: list[Tensor] = []
    while (kernel := tokens.get(f"convolutions.{len(kernels)}.weight")) is not None:
        kernels.append(kernel)
    return {
        "encoder": {
            **_PUBLISHED,
            "name": "elmo",
            "dim": encoder[_INPUT].shape[0] // 4,
            "projection_dim": encoder[_INPUT].shape[1],
            "n_layers": _count(encoder, "forward_layer_{}.input_linearity.weight"),
        },
        "token_embedder": {
            **_PUBLISHED,
            "name": "lstm" if "char_lstm.weight_ih_l0" in tokens else "cnn",
            "filters": [[kernel.shape[-1], kernel.shape[0]] for kernel in kernels if kernel.ndim],
            "n_highway": _count(tokens, "highways._layers.{}.weight"),
            **{
                f"{kind}_dim": tokens[name].shape[-1] if name in tokens and tokens[name].ndim else 0
                for kind in ("word", "char")
                for name in [f"{kind}_emb_layer.embedding.weight"]
            },
        },
    }


def _count(tensors: Mapping[str, Tensor], name: str) -> int:
    number = 0
    while name.format(number) in tensors:
        number += 1
    return number


def _lexicon(folder: Path, settings: Mapping[str, Any], asked_by: str) -> Lexicon:
    """The words and the characters, as far as the model has vectors for them."""
    tokens = _options.section(settings, "token_embedder", f"{NAME}: {asked_by}")
    names: list[list[str] | None] = []
    for key, file in (("word_dim", WORDS), ("char_dim", CHARACTERS)):
        dim = _options.whole(tokens, f"token_embedder.{key}", f"{NAME}: {asked_by}", least=0)
        reason = lacks(folder, file)
        if dim and reason is not None:
            raise FormatError(f"{NAME}: '{folder}': {reason}, {key} being {dim}")
        names.append(read_dic(folder / file) if dim else None)
    try:
        return Lexicon(*names)
    except FormatError as error:
        raise FormatError(f"{NAME}: '{folder}': {error}") from error


def _config(settings: Mapping[str, Any], lexicon: Lexicon, asked_by: str) -> BiLMConfig:
    where = f"{NAME}: {asked_by}"
    encoder = _options.section(settings, "encoder", where)
    name = encoder.get("name")
    if not isinstance(name, str) or name.lower() != "elmo":
        raise FormatError(
            f"{where}: encoder.name: expected 'elmo', the projected LSTMs of ELMo, "
            f"{_options.got(encoder, 'name')}"
        )
    lstm_dim = _options.whole(encoder, "encoder.dim", where)
    projection_dim = _options.whole(encoder, "encoder.projection_dim", where)
    if projection_dim == lstm_dim:
        raise FormatError(
            f"{where}: encoder.projection_dim and encoder.dim are both {lstm_dim}; relmo computes "
            "no LSTM projection there, and the original does"
        )
    with _checks.located(where):
        return BiLMConfig(
            lstm_dim=lstm_dim,
            projection_dim=projection_dim,
            n_layers=_options.whole(encoder, "encoder.n_layers", where),
            cell_clip=_options.clip(encoder, "encoder.cell_clip", where),
            projection_clip=_options.clip(encoder, "encoder.proj_clip", where),
            skip_connections=True,  # whatever the file says, there is no other way
            lexicon=_lexicon_config(settings, lexicon, where),
        )


def _lexicon_config(settings: Mapping[str, Any], lexicon: Lexicon, where: str) -> LexiconConfig:
    section = "token_embedder"
    tokens = _options.section(settings, section, where)
    kind = _kind(tokens, where)
    default = None if kind == "cnn" else MOST_CHARACTERS  # the original's LSTM has no limit
    longest = _options.whole(tokens, f"{section}.max_characters_per_token", where, default=default)
    cnn: dict[str, Any] = {}
    if kind == "cnn" and lexicon.characters is not None:
        cnn = {
            "filters": _options.filters(tokens, f"{section}.filters", where),
            "n_highway": _options.whole(tokens, f"{section}.n_highway", where, least=0),
            "activation": _options.activation(tokens, f"{section}.activation", where),
        }
    return LexiconConfig(
        kind=kind,
        n_words=lexicon.n_words,
        word_dim=_options.whole(tokens, f"{section}.word_dim", where, least=0) or None,
        n_characters=lexicon.n_characters,
        char_dim=_options.whole(tokens, f"{section}.char_dim", where, least=0) or None,
        max_characters_per_token=longest,
        **cnn,
    )


def _kind(tokens: Mapping[str, Any], where: str) -> Literal["cnn", "lstm"]:
    match str(tokens.get("name")).lower():
        case "cnn":
            return "cnn"
        case "lstm":
            return "lstm"
    raise FormatError(
        f"{where}: token_embedder.name: expected 'cnn' or 'lstm', {_options.got(tokens, 'name')}"
    )


def _softmax(
    folder: Path, config: BiLMConfig
) -> tuple[dict[str, Tensor] | None, Vocabulary | None]:
    """The output layer over word.dic, where there is one of a kind that has such."""
    path = folder / CLASSIFIER
    if not path.exists():
        return None, None
    where = f"{NAME}: {path}"
    found = _tensors(path)
    words = read_dic(folder / WORDS) if (folder / WORDS).is_file() else []
    shape = (len(words), config.projection_dim)
    for weight, bias, rest in (
        ("hidden2tag.weight", "hidden2tag.bias", set()),
        ("column_emb.weight", "column_bias.weight", {"oov_column"}),  # which it never reads
    ):
        fits = found.keys() == {weight, bias, *rest} and (
            tuple(found[weight].shape),
            found[bias].numel(),
        ) == (shape, len(words))
        if fits:
            softmax = {"weight": _kept(found[weight]), "bias": _kept(found[bias].flatten())}
            for name, tensor in softmax.items():
                _checks.check_finite(name, tensor, where)
            return softmax, Vocabulary(words)
    logger.warning(
        "%s: left aside, as it is no softmax over the %d words of %s", where, len(words), WORDS
    )
    return None, None
