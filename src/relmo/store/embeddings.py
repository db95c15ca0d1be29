"""Embeddings on disk, written sentence by sentence: .h5/.hdf5 as AllenNLP's `elmo`, or .npz.

Both hold one array for each sentence under its number from 0, as a string: "0", "1", ... Each has
the shape it is given: (n_layers, tokens, dim) for all layers, else (tokens, dim); an empty sentence
has 0 tokens. What belongs to which sentence:

- .h5/.hdf5: the dataset `sentence_to_index`, shape (1,), one string: a JSON object
  `{sentence: number as a string}`. Of equal sentences each is written, and a JSON reader keeps
  the last, as AllenNLP did.
- .npz: the array `sentences`, shape (n_sentences,), of strings; `numpy.load` needs no pickle.

Nothing is kept in memory from one sentence to the next but the container's own table of contents
(.npz: about 1 KB a sentence; HDF5: bounded). The sentences wait in a temporary file beside the
output; at the end HDF5 needs `sentence_to_index` whole, about three times the length of its JSON.
A table beyond `MAX_TABLE_BYTES` is left out with a warning in the log: the numbers still tell.
"""

import json
import logging
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
import numpy.typing as npt

from relmo._files import SteadyFile, replacing_file
from relmo.errors import ConfigError, InputError

__all__ = ["MAX_TABLE_BYTES", "SUFFIXES", "EmbeddingWriter", "check_path", "open_writer"]

logger = logging.getLogger(__name__)

Vectors = npt.NDArray[np.floating[Any]]

MAX_TABLE_BYTES = 2**30
"""A larger table of sentences is not written: JSON bytes in HDF5, array bytes in .npz."""
_SPILL_BYTES = 2**20


class EmbeddingWriter(Protocol):
    """What `open_writer` gives."""

    def write(self, sentence: str, vectors: Vectors) -> None:
        """Append one sentence.

        Args:
            sentence: the text that the table of sentences names.
            vectors: (tokens, dim) or (n_layers, tokens, dim).

        Raises:
            InputError: the file cannot be written (disk full), or a number is too large for the
                dtype.
        """
        ...


def check_path(path: str | os.PathLike[str]) -> Path:
    """The path, if its name says a format that can be written.

    Raises:
        InputError: it does not.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: the name must end in {', '.join(SUFFIXES)}")
    return path


@contextmanager
def open_writer(
    path: str | os.PathLike[str], *, dtype: str = "float32", keep_sentences: bool = True
) -> Iterator[EmbeddingWriter]:
    """A writer of embeddings to `path`; the file appears, or is replaced, at a good end only.

    Args:
        path: .h5, .hdf5 or .npz.
        dtype: of the numbers on disk, "float32" or "float16".
        keep_sentences: also write which sentence is which.

    Raises:
        InputError: another suffix, or the file cannot be written.
        ConfigError: another dtype.
    """
    path = check_path(path)
    if dtype not in ("float32", "float16"):
        raise ConfigError(f"dtype must be 'float32' or 'float16', got {dtype!r}")
    with replacing_file(path) as aside:
        with _saying(path):
            writer = SUFFIXES[path.suffix.lower()](aside, path, dtype, keep_sentences)
        try:
            yield writer
            with _saying(path):
                writer.finish()
        except BaseException:
            writer.abandon()
            raise


@contextmanager
def _saying(path: Path) -> Iterator[None]:
    """Failures to write, as an InputError that names the file the user asked for."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # h5py: RuntimeError where closing cannot write
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number else error
        raise InputError(f"{path}: cannot be written: {reason}") from error


class _Writer:
    """What both formats share: numbering, the dtype, the sentences set aside."""

    def __init__(self, aside: Path, path: Path, dtype: str, keep_sentences: bool) -> None:
        self._aside = aside
        self._path = path
        self._dtype = np.dtype(dtype)
        self._n_sentences = 0
        self._open()
        self._table = _Table(aside.parent) if keep_sentences else None

    def write(self, sentence: str, vectors: Vectors) -> None:
        name = str(self._n_sentences)
        try:
            with np.errstate(over="raise"):
                array = np.ascontiguousarray(vectors, dtype=self._dtype)
        except FloatingPointError as error:
            raise InputError(
                f"{self._path}: sentence {name} holds a number beyond {self._dtype}; use float32"
            ) from error
        with _saying(self._path):
            self._put(name, array)
            if self._table is not None:
                self._table.add(sentence, name)
        self._n_sentences += 1

    def finish(self) -> None:
        if self._table is not None:
            n_bytes = self._table_bytes(self._table)
            if n_bytes <= MAX_TABLE_BYTES:
                self._put_table(self._table)
            else:
                logger.warning(
                    "%s: the sentences are left out: their table would take %d MB in memory, "
                    "more than %d MB; the numbers are those of the lines",
                    self._path,
                    n_bytes // 2**20,
                    MAX_TABLE_BYTES // 2**20,
                )
            self._table.close()
        self._close()

    def abandon(self) -> None:
        """Lets go of everything; the file aside is of no use any more."""
        if self._table is not None:
            self._table.close()
        try:
            self._close()
        except (OSError, RuntimeError):
            logger.debug("%s: closing the unfinished file failed too", self._path)

    def _open(self) -> None:
        raise NotImplementedError

    def _put(self, name: str, array: Vectors) -> None:
        raise NotImplementedError

    def _table_bytes(self, table: "_Table") -> int:
        raise NotImplementedError

    def _put_table(self, table: "_Table") -> None:
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError


class _HDF5Writer(_Writer):
    def _open(self) -> None:
        self._disk = SteadyFile(self._aside, "w+")
        self._file = h5py.File(self._disk, "w")

    def _put(self, name: str, array: Vectors) -> None:
        self._file.create_dataset(name, data=array)
        self._disk.check()

    def _table_bytes(self, table: "_Table") -> int:
        return table.json_bytes

    def _put_table(self, table: "_Table") -> None:
        pairs = ", ".join(f"{sentence}: {name}" for sentence, name in table.json_pairs())
        data = self._file.create_dataset("sentence_to_index", (1,), dtype=h5py.string_dtype())
        data[0] = "{" + pairs + "}"

    def _close(self) -> None:
        self._file.close()
        self._disk.close()
        self._disk.check()


class _NpzWriter(_Writer):
    def _open(self) -> None:
        self._zip = zipfile.ZipFile(self._aside, "w")

    def _put(self, name: str, array: Vectors) -> None:
        # A ZipInfo of ours has a fixed date: the same vectors give the same bytes.
        with self._zip.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
            np.lib.format.write_array(entry, array, allow_pickle=False)

    def _table_bytes(self, table: "_Table") -> int:
        return self._n_sentences * table.longest * 4  # numpy: 4 bytes a character, one width

    def _put_table(self, table: "_Table") -> None:
        width = max(table.longest, 1)
        header = {"descr": f"<U{width}", "fortran_order": False, "shape": (self._n_sentences,)}
        info = zipfile.ZipInfo("sentences.npy")
        info.compress_type = zipfile.ZIP_DEFLATED  # the rows are filled up with zeros
        with self._zip.open(info, "w", force_zip64=True) as entry:
            np.lib.format.write_array_header_2_0(entry, header)
            for sentence, _ in table.json_pairs():
                text: str = json.loads(sentence)
                entry.write(text.encode("utf-32-le", "surrogatepass").ljust(4 * width, b"\0"))

    def _close(self) -> None:
        self._zip.close()


SUFFIXES: dict[str, type[_Writer]] = {".h5": _HDF5Writer, ".hdf5": _HDF5Writer, ".npz": _NpzWriter}
"""The formats by the end of the file's name."""


class _Table:
    """Sentences and their numbers, in a temporary file once they are many.

    Args:
        folder: where the file goes: the output's own, as /tmp may be memory.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.SpooledTemporaryFile(_SPILL_BYTES, dir=str(folder))  # noqa: SIM115
        self.json_bytes = 2  # the braces
        self.longest = 0

    def add(self, sentence: str, name: str) -> None:
        line = f"{json.dumps(sentence)}\t{json.dumps(name)}\n"  # ASCII; holds no tab of its own
        self._file.write(line.encode("ascii"))
        self.json_bytes += len(line) + 2
        self.longest = max(self.longest, len(sentence))

    def json_pairs(self) -> Iterator[tuple[str, str]]:
        """(sentence, number), both as JSON, in the order they came."""
        self._file.seek(0)
        for line in self._file:
            sentence, _, name = line.decode("ascii").rstrip("\n").partition("\t")
            yield sentence, name

    def close(self) -> None:
        self._file.close()
