"""The layers of a frozen biLM over a data set, computed once and kept on disk.

An epoch then costs what the task's own network costs. A file of the cache is a `.npy` array
(tokens, n_layers, dim) of float16, sentence after sentence: all that a sentence needs lies
together, and a batch reads a few slices of it. Its name is a checksum of the model's parameters
and of the tokens, so the same model over the same data finds it again, whatever the run; nothing
else is in the folder, and any file of it may be deleted. Behind the array stands its CRC-32, four
bytes: a file whose numbers have changed is written again.

It is written aside and renamed when it is complete. A killed run leaves a part of it under a hidden
name, which the next run over the same data removes.
"""

import hashlib
import json
import logging
import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from relmo._files import open_regular, remove_leftovers, replacing_file
from relmo.elmo.embedding import padded_batch
from relmo.elmo.model import Elmo
from relmo.errors import InputError
from relmo.formats.verify import parameters_sha256
from relmo.hub import home

__all__ = [
    "CacheProgress",
    "ComputedLayers",
    "LayerSource",
    "StoredLayers",
    "default_folder",
    "stored",
]

_logger = logging.getLogger(__name__)

_VERSION = 1  # of what is stored for a model and its data; part of a file's name
_BYTES_PER_NUMBER = 2
_BYTES_OF_CHECKSUM = 4

Sentences = Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class CacheProgress:
    """Progress of writing a file; the first one comes before anything is written."""

    path: Path
    """The file."""
    n_bytes: int
    """Its size when it is complete."""
    n_done: int
    """Tokens written so far."""
    n_tokens: int
    """Tokens of the data."""


@runtime_checkable
class LayerSource(Protocol):
    """The layers of some sentences of a data set."""

    def __call__(self, numbers: Sequence[int]) -> Tensor:
        """Return layers (N, n_layers, dim), float32, of sentences one after another.

        Args:
            numbers: of sentences that have tokens, in decreasing length, at least one.
        """


class ComputedLayers:
    """Layers computed at each call.

    Those of a frozen biLM are rounded to half precision, as a cache stores them: what is trained
    with a cache is used on the same numbers.

    Args:
        elmo: the model.
        sentences: tokens.
        trains: whether the biLM is fine-tuned: with a graph, and not rounded.
    """

    def __init__(self, elmo: Elmo, sentences: Sentences, *, trains: bool = False) -> None:
        self.elmo, self.sentences, self.trains = elmo, sentences, trains

    def __call__(self, numbers: Sequence[int]) -> Tensor:
        """Return layers; see `LayerSource`."""
        batch = [self.sentences[number] for number in numbers]
        by_layer = padded_batch(self.elmo, batch, trains=self.trains).layers
        layers = torch.stack(by_layer, dim=1)  # (N, n_layers, dim)
        return layers if self.trains else layers.half().float()


class StoredLayers:
    """Layers from a file of the cache, which stays on disk.

    Args:
        path: the file.
        array: its content, (tokens, n_layers, dim).
        lengths: tokens of each sentence.
        device: where to put the layers.
    """

    def __init__(
        self,
        path: Path,
        array: npt.NDArray[np.float16],
        lengths: Sequence[int],
        device: torch.device,
    ) -> None:
        self.path, self._array, self._device = path, array, device
        self._stops = np.cumsum(lengths).tolist()
        self._lengths = list(lengths)

    def __call__(self, numbers: Sequence[int]) -> Tensor:
        """Return layers; see `LayerSource`."""
        pieces = [
            self._array[self._stops[number] - self._lengths[number] : self._stops[number]]
            for number in numbers
        ]
        return torch.from_numpy(np.concatenate(pieces)).to(self._device).float()


def default_folder() -> Path:
    """Return the folder where layers are kept by default: `layers` in relmo's cache folder."""
    return home() / "layers"


def stored(
    elmo: Elmo,
    sentences: Sentences,
    folder: Path,
    *,
    on_progress: Callable[[CacheProgress], None] = lambda _: None,
) -> StoredLayers:
    """Return the layers of all sentences from the cache, and write them to it where missing.

    Args:
        elmo: the model.
        sentences: tokens.
        folder: folder of the cache, created if missing.
        on_progress: told before anything is written, and then now and then; not at all where the
            layers are cached already.

    Raises:
        InputError: the folder cannot be written, the disk has not enough room, or a number is too
            large for half precision.
    """
    lengths = [len(sentence) for sentence in sentences]
    shape = (sum(lengths), elmo.n_layers, elmo.dim)
    path = folder / f"{_key(elmo, sentences)}.npy"
    array = _open(path, shape)
    if array is None:
        _write(path, elmo, sentences, shape, on_progress)
        array = _open(path, shape)
        if array is None:
            raise InputError(f"{path}: was written and cannot be read; is the disk full?")
    return StoredLayers(path, array, lengths, elmo.device)


def _key(elmo: Elmo, sentences: Sentences) -> str:
    """Return a checksum of model and data, in hexadecimal digits."""
    words = elmo.vocab.words if elmo.config.n_words is not None and elmo.vocab is not None else ()
    lexicon = elmo.lexicon and (elmo.lexicon.words, elmo.lexicon.characters)
    facts = [_VERSION, parameters_sha256(elmo.checkpoint()), elmo.config.to_dict(), words, lexicon]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for sentence in sentences:
        digest.update(json.dumps(list(sentence)).encode())
    return digest.hexdigest()[:32]


def _open(path: Path, shape: tuple[int, int, int]) -> npt.NDArray[np.float16] | None:
    """Map the array of that shape in the file; None where there is none."""
    try:
        open_regular(path).close()  # at a named pipe numpy would wait
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        _logger.warning("%s: damaged (%s); it is written again", path, error)
        return None
    if array.shape != shape or array.dtype != np.float16 or not _is_whole(path, array):
        _logger.warning("%s: not the array that was stored; it is written again", path)
        return None
    layers: npt.NDArray[np.float16] = array
    return layers


def _is_whole(path: Path, array: npt.NDArray[np.float16]) -> bool:
    """Whether the array's checksum is behind it in the file."""
    checksum = 0
    for start in range(0, len(array), 1000):
        checksum = zlib.crc32(array[start : start + 1000].data, checksum)
    with path.open("rb") as file:
        file.seek(path.stat().st_size - _BYTES_OF_CHECKSUM)
        return file.read() == checksum.to_bytes(_BYTES_OF_CHECKSUM, "little")


def _write(
    path: Path,
    elmo: Elmo,
    sentences: Sentences,
    shape: tuple[int, int, int],
    on_progress: Callable[[CacheProgress], None],
) -> None:
    n_bytes = shape[0] * shape[1] * shape[2] * _BYTES_PER_NUMBER
    _make_room(path.parent, n_bytes)
    header = {"descr": "<f2", "fortran_order": False, "shape": shape}

    def tell(n_done: int) -> None:
        on_progress(CacheProgress(path=path, n_bytes=n_bytes, n_done=n_done, n_tokens=shape[0]))

    tell(0)
    with replacing_file(path) as aside, aside.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        done = told = checksum = 0
        for layers in elmo.embed_stream(sentences, "all"):
            with np.errstate(over="ignore"):
                rows = layers.swapaxes(0, 1).astype("<f2")  # (tokens, n_layers, dim)
            if not np.isfinite(rows).all():
                raise InputError(
                    f"{path}: a number of the layers is too large for half precision; train "
                    "without a cache"
                )
            data = rows.tobytes()
            file.write(data)
            checksum = zlib.crc32(data, checksum)
            done += len(rows)
            if done - told > 5000:
                tell(done)
                told = done
        file.write(checksum.to_bytes(_BYTES_OF_CHECKSUM, "little"))
    tell(done)
    remove_leftovers(path)


def _make_room(folder: Path, n_bytes: int) -> None:
    """Create the folder, and check that its disk has the room."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise InputError(f"cannot write '{folder}': {error.strerror or error}") from error
    if free < n_bytes:
        raise InputError(
            f"{folder}: the layers take {n_bytes / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; "
            "give another folder for the cache, or train without one"
        )
