"""The format of bilm-tf's training: a checkpoint of TensorFlow, options.json and the vocabulary.

    checkpoint                                names the prefix of the last one saved
    model.ckpt-935588.index, .data-*-of-*     the variables: lm/..., Adagrad's, counters
    options.json                              as for the HDF5 format, with keys of the training
    vocab.txt                                 or another *vocab*.txt or .txt.gz: one word a row

A folder with these (or with them in `saves/`, options.json and vocabulary above, as DeepPavlov
lays them), or the prefix or PREFIX.index itself, which picks one of several. It is the only
published format with the softmax: what came of a training as a language model, which can be
evaluated and trained on.
"""

import logging
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from relmo._files import read_json, read_regular, readable
from relmo.config import BiLMConfig
from relmo.errors import ConfigError, FormatError
from relmo.formats import _checks
from relmo.formats._options import config_from_options, has_characters
from relmo.formats._tensorflow import Bundle, is_table, read_parameters, variable_names
from relmo.formats.checkpoint import Checkpoint, read_model_vocab
from relmo.text.vocab import Vocabulary

__all__ = ["NAME", "find", "index_of", "read"]

logger = logging.getLogger(__name__)

NAME = "bilm_tf"
SCOPE, OPTIONS, VOCAB, LATEST = "lm/", "options.json", "vocab.txt", "checkpoint"
SOFTMAX = {"weight": f"{SCOPE}softmax/W", "bias": f"{SCOPE}softmax/b"}

_CELL = "RNN_{direction}/rnn/multi_rnn_cell/cell_{layer}/lstm_cell"
_ONLY_CELL = "RNN_{direction}/rnn/lstm_cell"
_MAX_LATEST_BYTES = 2**20
_PREFIX = re.compile(r'^model_checkpoint_path:\s*"([^"]*)"', re.MULTILINE)
_SLOT = re.compile(
    r"(.+)/(?:Adagrad|Adadelta(?:_1)?|Adam(?:_1)?|Ftrl(?:_1)?|Momentum|RMSProp(?:_[12])?)"
)
_COUNTER = re.compile(r"(?:lm/)?(?:global_step|train_perplexity|beta[12]_power)")


def find(path: Path) -> Callable[[], Checkpoint]:
    """Return the reader of the checkpoint at a path.

    Raises:
        FormatError: it is not a checkpoint of bilm-tf's training; the message says why.
        InputError: a file cannot be opened.
    """
    index = index_of(path)
    bundle = Bundle(index, NAME)
    if not any(name.startswith(SCOPE) for name in bundle.variables):
        some = ", ".join(map(repr, sorted(bundle.variables)[:3])) or "none"
        raise FormatError(f"{index.name}: no variable begins with '{SCOPE}'; it has {some}")
    return partial(_read, path, index, bundle)


def index_of(path: Path) -> Path:
    """The index file that a path stands for: a folder, a prefix, or the file itself.

    Raises:
        FormatError: there is none, or there are several to choose from.
    """
    if not path.is_dir():
        for index in (path, path.with_name(path.name + ".index")):
            if index.is_file() and is_table(index):
                return index
        raise FormatError("it is neither a folder nor an index of TensorFlow's")
    found = _index_in(path)
    if found is None and (path / "saves").is_dir():
        found = _index_in(path / "saves")
    if found is None:
        raise FormatError("it has no *.index")
    return found


def _index_in(folder: Path) -> Path | None:
    latest = folder / LATEST
    if latest.is_file():
        text = read_regular(latest, _MAX_LATEST_BYTES).decode("utf-8", "replace")
        match = _PREFIX.search(text)
        # Often an absolute path on the machine of the training: the file lies here all the same.
        name = re.split(r"[/\\]", match[1])[-1] if match else ""
        if name and (folder / f"{name}.index").is_file():
            return folder / f"{name}.index"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".index"))
    if len(names) > 1:
        raise FormatError(
            f"it has {len(names)} files *.index ({', '.join(names[:4])}) and no '{LATEST}' that "
            "names one of them; give one"
        )
    return folder / names[0] if names else None


def read(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint.

    Args:
        path: its folder, its prefix, or PREFIX.index.

    Raises:
        InputError: a file cannot be opened.
        ConfigError: the options lack a key, contradict themselves, or ask for what relmo does not
            compute: one direction only, or a softmax that shares the word embedding.
        FormatError: a file is missing, truncated, foreign, or not what the options say.
    """
    path = Path(path)
    with readable(f"{NAME}: '{path}'"):
        try:
            index = index_of(path)
        except FormatError as error:
            raise FormatError(f"{NAME}: '{path}': {error}") from error
        return _read(path, index, Bundle(index, NAME))


def _read(path: Path, index: Path, bundle: Bundle) -> Checkpoint:
    options = _options_of(index)
    vocab = _read_vocab(index, options)
    settings = read_json(options, f"{NAME}: {options}")
    config = _config(settings, bundle, options)
    _checks.check_vocab(config, vocab, f"{NAME}: the vocabulary of {index}")
    cell = _CELL if config.n_layers > 1 else _ONLY_CELL
    others = {name for name in bundle.variables if _is_left(name, bundle) or _is_softmax(name)}
    tensors = read_parameters(bundle, config, variable_names(SCOPE, cell), others, options.name)
    return Checkpoint(
        config=config,
        tensors=tensors,
        vocab=vocab,
        softmax=_read_softmax(bundle, config, vocab),
        format=NAME,
        source=path if path.is_dir() else index,
    )


def _options_of(index: Path) -> Path:
    """options.json beside the index, or in the folder above."""
    for folder in (index.parent, index.parent.parent):
        if (folder / OPTIONS).exists():
            return folder / OPTIONS
    names = sorted(entry.name for entry in index.parent.glob("*options*.json"))
    if len(names) == 1:
        return index.parent / names[0]
    raise FormatError(
        f"{NAME}: {index}: expected {OPTIONS} beside it, found {', '.join(names) or 'none'}; it "
        "tells what the variables do not, such as the clipping"
    )


def _read_vocab(index: Path, options: Path) -> Vocabulary | None:
    """vocab.txt or the only file of such a name, beside the index or the options."""
    for folder in dict.fromkeys((index.parent, options.parent)):
        names = sorted(
            entry.name
            for entry in folder.iterdir()
            if "vocab" in entry.name.lower() and entry.name.lower().endswith((".txt", ".txt.gz"))
        )
        if VOCAB in names:
            names = [VOCAB]
        if len(names) > 1:
            raise FormatError(
                f"{NAME}: {folder}: has {len(names)} vocabularies ({', '.join(names[:4])}), "
                f"expected one; name it {VOCAB}"
            )
        if names:
            return read_model_vocab(folder / names[0])
    return None


def _config(settings: dict[str, Any], bundle: Bundle, options: Path) -> BiLMConfig:
    where = f"{NAME}: {options}"
    if settings.get("share_embedding_softmax", False):
        raise ConfigError(
            f"{where}: share_embedding_softmax is true, relmo's softmax has weights of its own"
        )
    n_words = None
    if not has_characters(settings):
        shape = bundle.shapes.get(f"{SCOPE}embedding", ())
        if len(shape) != 2 or not shape[0]:
            raise FormatError(
                f"{bundle.where}: expected '{SCOPE}embedding' of shape (words, dim), as "
                f"{options.name} has no 'char_cnn', got {shape or 'none'}"
            )
        n_words = shape[0]
    return config_from_options(settings, where, n_words)


def _is_left(name: str, bundle: Bundle) -> bool:
    """Whether a variable is one of the training's, which a model has no use for."""
    slot = _SLOT.fullmatch(name)
    if slot is not None:
        return slot[1] in bundle.variables or _is_softmax(slot[1])
    return _COUNTER.fullmatch(name) is not None


def _is_softmax(name: str) -> bool:
    return name in SOFTMAX.values()


def _read_softmax(
    bundle: Bundle, config: BiLMConfig, vocab: Vocabulary | None
) -> dict[str, Tensor] | None:
    found = {key: bundle.shapes[name] for key, name in SOFTMAX.items() if name in bundle.shapes}
    if not found:
        return None
    if vocab is None:
        logger.warning(
            "%s: the softmax is left out, as there is no vocabulary for its rows; put %s beside it "
            "to have it",
            bundle.where,
            VOCAB,
        )
        return None
    expected = dict(_checks.softmax_shapes(config, len(vocab)))
    asked_by = f"{OPTIONS} and a vocabulary of {len(vocab)} words"
    _checks.check_names(SOFTMAX.values(), {SOFTMAX[key] for key in found}, bundle.where, asked_by)
    _checks.check_shapes(
        ((SOFTMAX[key], shape, asked_by) for key, shape in expected.items()),
        {SOFTMAX[key]: shape for key, shape in found.items()},
        bundle.where,
    )
    return {key: bundle.read(name) for key, name in SOFTMAX.items()}
