"""The format of bilm-tf and AllenNLP: options.json and one HDF5 file of weights.

A folder with both, or the two files given. A word-input model, and no other, needs the vocabulary:
vocab.txt (or .gz) beside the weights. The softmax has no place in this format.

Whatever else lies in the folder is passed over (README, LICENSE, meta.json of NLPL's zips), so a
TensorFlow checkpoint too: it holds the same weights and the softmax, and is read by its prefix.
"""

import io
import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import h5py
from torch import Tensor

from relmo._files import model_folder, read_json
from relmo.config import BiLMConfig
from relmo.errors import FormatError, InputError
from relmo.formats import _checks, _hdf5
from relmo.formats._bilm_table import Row, bilm_table
from relmo.formats._options import config_from_options, has_characters, options_from_config
from relmo.formats._tensors import read_rows
from relmo.formats.checkpoint import Checkpoint, read_model_vocab
from relmo.formats.token_embeddings import DATASET, VOCABS, read_vocab, vocab_beside
from relmo.formats.token_embeddings import read as read_token_embeddings
from relmo.text.chars import N_CHARACTERS
from relmo.text.vocab import Vocabulary

__all__ = ["NAME", "find", "mismatch", "read", "read_folder", "write"]

logger = logging.getLogger(__name__)

NAME = "bilm_hdf5"
OPTIONS, WEIGHTS, VOCAB = "options.json", "weights.hdf5", VOCABS[0]
_SUFFIXES = (".hdf5", ".h5")
_ENCODER = ("char_embed", "CNN")
"""How the datasets of the characters begin."""
_ONLY_CELL = re.compile(r"^(RNN_[01]/RNN/)(?=LSTMCell/)")


def find(path: Path) -> Callable[[], Checkpoint]:
    """Return the reader of the model in a folder.

    Raises:
        FormatError: it is not a folder of this format; the message says why.
    """
    options, weights = _pair(path)
    return partial(_read_pair, path, options, weights)


def mismatch(path: Path) -> str | None:
    """Return why a path is not a folder of this format, or None where it is one."""
    try:
        find(path)
    except FormatError as error:
        return str(error)
    return None


def read_folder(folder: str | os.PathLike[str]) -> Checkpoint:
    """Read a folder that holds one options file and one HDF5 file.

    Raises:
        FormatError: as `read`, or the folder has none or several of a kind.
    """
    try:
        read_found = find(Path(folder))
    except FormatError as error:
        raise FormatError(f"{NAME}: '{os.fspath(folder)}': {error}") from error
    return read_found()


def _read_pair(folder: Path, options: Path, weights: Path) -> Checkpoint:
    beside = sorted(folder.glob("*.index"))
    if beside:
        logger.info(
            "%s: %s is read, and not the TensorFlow checkpoint beside it with its softmax; give "
            "its prefix (%s) for that",
            NAME,
            weights.name,
            beside[0].stem,
        )
    return read(options, weights)


def _pair(folder: Path) -> tuple[Path, Path]:
    if not folder.is_dir():
        raise FormatError("it is not a folder")
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    options = [name for name in names if "options" in name and name.endswith(".json")]
    if OPTIONS in options:
        options = [OPTIONS]
    weights = [name for name in names if name.lower().endswith(_SUFFIXES)]
    for found, kind in ((options, "*options*.json"), (weights, "*.hdf5 or *.h5")):
        if not found:
            raise FormatError(f"it has no {kind}")
        if len(found) > 1:
            raise FormatError(
                f"it has {len(found)} files {kind} ({', '.join(found)}), expected one; give "
                "options= and weights="
            )
    return folder / options[0], folder / weights[0]


def read(
    options: str | os.PathLike[str],
    weights: str | os.PathLike[str],
    vocab: str | os.PathLike[str] | None = None,
    token_embeddings: str | os.PathLike[str] | None = None,
) -> Checkpoint:
    """Read an options file and a file of weights.

    Args:
        options: options.json.
        weights: the HDF5 file.
        vocab: the words, one a line; None: vocab.txt or vocab.txt.gz beside the weights, or beside
            the token vectors where they are given, if there.
        token_embeddings: token vectors of the words, for options without `char_cnn`; the token
            encoder of the weights is left then.

    Raises:
        InputError: a file is missing or cannot be opened, or token vectors are given to a model
            that reads characters.
        ConfigError: the options lack a key or contradict themselves.
        FormatError: a file is truncated, foreign, or not what the options say.
    """
    options, weights = Path(options), Path(weights)
    where = f"{NAME}: {weights}"
    settings = read_json(options, f"{NAME}: {options}")
    words = None
    if token_embeddings is not None:
        words = _given_words(settings, options, vocab, token_embeddings)
    with _hdf5.opened(weights, where) as file:
        found = _named_as_usual(_hdf5.datasets(file, where))
        if words is not None:
            found = {name: item for name, item in found.items() if not name.startswith(_ENCODER)}
        n_words = None
        if not has_characters(settings):
            n_words = len(words) if words else _n_words(found, where, options.name)
        config = config_from_options(settings, f"{NAME}: {options}", n_words)
        rows = _checked_rows(config, found, where, options.name, is_given=words is not None)
        _hdf5.check_storage(found, where, weights.stat().st_size)
        tensors = read_rows(rows, lambda row: _read_row(row, found[row.dataset], where))
    if token_embeddings is None or words is None:
        words = _read_vocab(config, vocab, weights)
    else:
        vectors = read_token_embeddings(token_embeddings, words, config.projection_dim)
        tensors["token_encoder.embedding"] = vectors
    return Checkpoint(config=config, tensors=tensors, vocab=words, format=NAME, source=weights)


def _named_as_usual(found: dict[str, h5py.Dataset]) -> dict[str, h5py.Dataset]:
    """The datasets of a model of one layer, which bilm-tf names otherwise, as those of several."""
    return {_ONLY_CELL.sub(r"\1MultiRNNCell/Cell0/", name): item for name, item in found.items()}


def _read_spare_vocab(path: Path) -> Vocabulary | None:
    """The words beside a model that reads characters, which does without them if need be."""
    try:
        return read_model_vocab(path)
    except (FormatError, InputError) as error:
        logger.warning("%s: the vocabulary is left, the model needs none: %s", NAME, error)
        return None


def _given_words(
    settings: Mapping[str, Any],
    options: Path,
    vocab: str | os.PathLike[str] | None,
    path: str | os.PathLike[str],
) -> Vocabulary:
    """The words of the token vectors that are given to a model, which reads no characters."""
    if has_characters(settings):
        raise InputError(
            f"{NAME}: {options}: token_embeddings are for a model without characters, and it has "
            "'char_cnn'; for this one: relmo.load(...).load_token_vectors(token_embeddings, vocab)"
        )
    return read_vocab(vocab, path)


def _read_vocab(
    config: BiLMConfig, path: str | os.PathLike[str] | None, weights: Path
) -> Vocabulary | None:
    beside = vocab_beside(weights) if path is None else None
    if path is None and beside is None:
        return None
    if beside is not None and config.n_words is None:
        return _read_spare_vocab(beside)
    path = beside if path is None else path
    assert path is not None  # one of the two
    vocab = read_model_vocab(path)
    _checks.check_vocab(config, vocab, f"{NAME}: {os.fspath(path)}")
    return vocab


def _n_words(found: Mapping[str, h5py.Dataset], where: str, options: str) -> int:
    """Rows of the embedding of a word-input model: the options do not say it."""
    if "embedding" not in found:
        raise FormatError(
            f"{where}: 'embedding' missing, which {options} asks for, as it has no 'char_cnn'; "
            f"the file has {', '.join(map(repr, list(found)[:4])) or 'no dataset'}"
        )
    shape = found["embedding"].shape
    if shape is None or len(shape) != 2 or not shape[0]:
        raise FormatError(f"{where}: 'embedding' has shape {shape}, expected (words, dim)")
    return int(shape[0])


def _checked_rows(
    config: BiLMConfig,
    found: Mapping[str, h5py.Dataset],
    where: str,
    options: str,
    *,
    is_given: bool = False,
) -> list[Row]:
    """The rows of the table, each known to have its dataset, in its shape.

    Where the word embedding is given, its row is left out.
    """
    characters = found["char_embed"].shape if "char_embed" in found else None
    mask_row = characters is not None and characters[:1] == (N_CHARACTERS + 1,)

    def table() -> Iterator[Row]:
        for row in bilm_table(config, mask_row=mask_row):
            if not (is_given and row.dataset == DATASET):
                yield row

    shapes = {name: item.shape for name, item in found.items()}
    return _checks.check_rows(table, shapes, where, options)


def _read_row(row: Row, dataset: h5py.Dataset, where: str) -> Sequence[Tensor]:
    """The parameters that a dataset holds."""
    stacked = row.layout.stacked
    if stacked is None:
        return row.layout.split(_hdf5.read_tensor(dataset, row.dataset, where))
    return _hdf5.read_parts(dataset, stacked.counts, stacked.order, row.dataset, where)


def write(
    checkpoint: Checkpoint, folder: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write options.json and weights.hdf5, and vocab.txt where there is one: all of it or nothing.

    Args:
        checkpoint: the model; its softmax and card have no place in this format.
        folder: where; nothing, an empty folder or an earlier export may be there.
        overwrite: replace any other folder too, with everything in it.

    Raises:
        FormatError: the checkpoint is not whole (see `Checkpoint`).
        InputError: the model looks up words and characters in a lexicon, for which the format has
            no place, something else stands there, or the folder cannot be written (disk full).
    """
    if checkpoint.config.lexicon is not None:
        raise InputError(
            f"cannot write '{os.fspath(folder)}' as {NAME}: the model looks up words and "
            f"characters in a lexicon, for which that format has no place; write it as relmo"
        )
    _checks.check_checkpoint(checkpoint, f"{NAME}: checkpoint for '{os.fspath(folder)}'")
    if checkpoint.softmax is not None:
        logger.info("%s: the softmax is left out, the format has no place for it", NAME)
    own = frozenset({OPTIONS, WEIGHTS, VOCAB})
    with model_folder(folder, own=own, why_not=mismatch, overwrite=overwrite) as aside:
        text = json.dumps(options_from_config(checkpoint.config), indent=2) + "\n"
        (aside / OPTIONS).write_text(text, encoding="utf-8")
        # Built in memory: HDF5 left with a full disk cannot be closed, and crashes the process.
        (aside / WEIGHTS).write_bytes(_hdf5_image(checkpoint))
        if checkpoint.vocab is not None:
            checkpoint.vocab.write(aside / VOCAB)


def _hdf5_image(checkpoint: Checkpoint) -> memoryview:
    """The bytes of the HDF5 file."""
    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        for row in bilm_table(checkpoint.config):
            parts = [checkpoint.tensors[name].detach().cpu() for name in row.parameters]
            tensor = row.layout.join(parts)
            tensor = tensor.to(_checks.kept(tensor.dtype))
            file.create_dataset(row.dataset, data=tensor.numpy())
    return image.getbuffer()
