"""Which format a path is in: each is asked in turn, and an error lists what each one said."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from relmo._files import readable
from relmo.errors import FormatError, InputError
from relmo.formats import (
    allennlp_model,
    archives,
    bilm_hdf5,
    bilm_tf,
    manylangs,
    relmo_format,
    tfhub_module,
)
from relmo.formats.checkpoint import Checkpoint

__all__ = ["FORMATS", "Format", "read"]


@dataclass(frozen=True)
class Format:
    """One format that relmo reads."""

    name: str
    find: Callable[[Path], Callable[[], Checkpoint]]
    """Returns the reader of what is at a path; FormatError or InputError says why there is none."""
    title: str = ""
    """What it is, for the README's table."""
    writes: bool = False
    """Whether `Elmo.save` writes it."""
    has_mix: bool = False
    """Whether it has a place for learned mixes of the layers."""
    has_softmax: bool = False
    """Whether it has a place for the language model's softmax."""


FORMATS = (
    Format(
        relmo_format.NAME,
        relmo_format.find,
        title="relmo: a folder with `config.json`, `model.safetensors`, `vocab.txt`, `README.md`",
        writes=True,
        has_mix=True,
        has_softmax=True,
    ),
    Format(
        bilm_hdf5.NAME,
        bilm_hdf5.find,
        title="AllenNLP and bilm-tf: `options.json` and HDF5 weights, a folder or two files",
        writes=True,
    ),
    Format(
        bilm_tf.NAME,
        bilm_tf.find,
        title="bilm-tf: a TensorFlow training checkpoint with `options.json` and its vocabulary",
        has_softmax=True,
    ),
    Format(
        tfhub_module.NAME,
        tfhub_module.find,
        title="TF-Hub: a module's folder (google/elmo/1-3, DeepPavlov's)",
        has_mix=True,
    ),
    Format(
        manylangs.NAME,
        manylangs.find,
        title="ELMoForManyLangs: a folder with `encoder.pkl`, `token_embedder.pkl` and lexicons",
        has_softmax=True,
    ),
    Format(
        allennlp_model.NAME,
        allennlp_model.find,
        title="AllenNLP: the ELMo in a trained model, `weights.th` or `model.tar.gz`",
        has_mix=True,
    ),
    Format(
        archives.NAME,
        lambda path: archives.find(path, _read_path),
        title="zip or tar of any of these, NLPL's and simple_elmo's zips",
        has_mix=True,
        has_softmax=True,
    ),
)


def read(
    path: str | os.PathLike[str] | None = None,
    *,
    options: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    vocab: str | os.PathLike[str] | None = None,
    token_embeddings: str | os.PathLike[str] | None = None,
) -> Checkpoint:
    """Read a model in any format.

    Args:
        path: a model's folder, a folder with exactly one in it, an archive, a file, or the prefix
            of a TensorFlow checkpoint; or
        options: options.json, and
        weights: the HDF5 file that goes with it, and for a model of words
        vocab: its words, and
        token_embeddings: their vectors, where they are not in the weights.

    Raises:
        InputError: there is nothing at a path, or the arguments do not go together.
        ConfigError: the model's configuration is impossible.
        FormatError: no format fits, or the files are not what they say.
    """
    if path is not None:
        if options is not None or weights is not None:
            raise InputError("give either a model folder or options= and weights=, not both")
        if vocab is not None or token_embeddings is not None:
            raise InputError("vocab= and token_embeddings= go with options= and weights=")
        with readable(f"'{os.fspath(path)}'"):
            return _read_path(Path(path))
    if options is None or weights is None:
        raise InputError("give a model folder, or both options= and weights=")
    return bilm_hdf5.read(options, weights, vocab, token_embeddings)


def _read_path(path: Path) -> Checkpoint:
    if not path.exists() and not path.with_name(f"{path.name}.index").is_file():
        raise InputError(f"'{path}': there is no such model folder")
    read_model, reasons = _fitting(path)
    if read_model is not None:
        return read_model()
    if (path / "best" / "config.json").is_file():
        raise FormatError(f"'{path}' is a training run, not a model; give '{path / 'best'}'")
    inside = {folder: reader for folder in _folders(path) if (reader := _fitting(folder)[0])}
    if len(inside) == 1:
        return next(iter(inside.values()))()
    if inside:
        names = ", ".join(folder.name for folder in inside)
        raise FormatError(f"'{path}' holds {len(inside)} models ({names}); give one of them")
    only = _only_folder(path)
    if only is not None:  # as archives are packed: what is wrong is wrong in there
        path, (_, reasons) = only, _fitting(only)
    raise FormatError(f"'{path}' is no model that relmo reads: {'; '.join(reasons)}")


def _fitting(path: Path) -> tuple[Callable[[], Checkpoint] | None, list[str]]:
    """Return the reader of the first format that fits, or None and why each does not."""
    reasons = []
    for candidate in FORMATS:
        try:
            return candidate.find(path), []
        except (FormatError, InputError) as error:
            reason = str(error).removeprefix(f"{candidate.name}: ")
            reasons.append(f"{candidate.name}: {reason}")
    return None, reasons


def _only_folder(path: Path) -> Path | None:
    """The folder in a folder that holds nothing else, hidden files and macOS's own left aside."""
    if not path.is_dir():
        return None
    entries = [
        entry for entry in path.iterdir() if entry.name[0] != "." and entry.name != "__MACOSX"
    ]
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else None


def _folders(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted(entry for entry in path.iterdir() if entry.is_dir())
