"""Token vectors of a fixed vocabulary: one HDF5 dataset `embedding` (words, dim), in its order.

bilm-tf calls the file elmo_token_embeddings.hdf5. With it a model need not compute characters, or
need not have any: the words are in a file of their own, one a line, `<S>` and `</S>` among them.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import h5py
import torch
from torch import Tensor

from relmo._files import SteadyFile, replacing_file
from relmo.errors import FormatError, InputError
from relmo.formats import _hdf5
from relmo.formats.checkpoint import read_model_vocab
from relmo.text.vocab import Vocabulary

__all__ = ["DATASET", "NAME", "VOCABS", "read", "read_vocab", "vocab_beside", "write"]

NAME = "token_embeddings"
DATASET = "embedding"
VOCABS = ("vocab.txt", "vocab.txt.gz")


def read(path: str | os.PathLike[str], vocab: Vocabulary, dim: int) -> Tensor:
    """Read the vectors of a vocabulary.

    Args:
        path: the HDF5 file.
        vocab: the words of its rows.
        dim: width of a token vector of the model they are for, its projection_dim.

    Returns:
        (len(vocab), dim), float32 (float64 where it was stored so).

    Raises:
        InputError: the file is missing or cannot be opened.
        FormatError: it is truncated, foreign, or not of these words and this width.
    """
    path = Path(path)
    where = f"{NAME}: {path}"
    with _hdf5.opened(path, where) as file:
        found = _hdf5.datasets(file, where)
        if set(found) != {DATASET}:
            names = ", ".join(map(repr, list(found)[:4])) or "none"
            raise FormatError(
                f"{where}: expected the dataset {DATASET!r} and no other, got {names}"
            )
        if found[DATASET].shape != (len(vocab), dim):
            raise FormatError(
                f"{where}: {DATASET!r} has shape {found[DATASET].shape}, expected "
                f"{(len(vocab), dim)}: a row a word of the vocabulary, as wide as the model's "
                "token vectors"
            )
        _hdf5.check_storage(found, where, path.stat().st_size)
        return _hdf5.read_tensor(found[DATASET], DATASET, where)


def read_vocab(
    vocab: Vocabulary | str | os.PathLike[str] | None, path: str | os.PathLike[str]
) -> Vocabulary:
    """The words of a file of vectors.

    Args:
        vocab: the words or their file; None: vocab.txt or vocab.txt.gz beside the vectors.
        path: the file of the vectors.

    Raises:
        InputError: there is no such file.
        FormatError: a word comes twice.
    """
    if isinstance(vocab, Vocabulary):
        return vocab
    found = vocab_beside(Path(path)) if vocab is None else vocab
    if found is None:
        raise InputError(
            f"{NAME}: {os.fspath(path)}: expected {VOCABS[0]} beside it, found none; give vocab="
        )
    return read_model_vocab(found)


def vocab_beside(path: Path) -> Path | None:
    """The file of words in the folder of a file, if there is one."""
    beside = (path.parent / name for name in VOCABS)
    return next((vocab for vocab in beside if vocab.exists()), None)


def write(path: str | os.PathLike[str], pieces: Iterable[Tensor], shape: tuple[int, int]) -> None:
    """Write vectors, aside and renamed: the file is there whole or not at all.

    Args:
        path: the HDF5 file.
        pieces: the rows of the vectors, some at a time, in the order of the words.
        shape: words and width.

    Raises:
        InputError: the file cannot be written (disk full).
        FormatError: a number is not finite, or the pieces are not of this shape together.
    """
    where = f"{NAME}: {os.fspath(path)}"
    with replacing_file(path) as aside, SteadyFile(aside, "w+") as disk:
        with h5py.File(disk, "w") as file:
            dataset = file.create_dataset(DATASET, shape, "f4")
            start = 0
            for piece in pieces:
                if not bool(torch.isfinite(piece).all()):
                    raise FormatError(f"{where}: a vector holds a number that is not finite")
                dataset[start : start + len(piece)] = piece.float().cpu().numpy()
                start += len(piece)
                disk.check()
            if start != shape[0]:
                raise FormatError(f"{where}: {start} vectors, expected {shape[0]}")
        disk.check()
