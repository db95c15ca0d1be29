"""ElmoEmbedder, the class behind AllenNLP's command `elmo`: sentences in, arrays or a file out."""

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from relmo._files import SteadyFile, replacing_file
from relmo.compat._allennlp_bilm import _ElmoBiLm, batch_to_ids
from relmo.errors import InputError

__all__ = ["ElmoEmbedder"]

logger = logging.getLogger(__name__)

Array = npt.NDArray[np.float32]

_FORMATS = ("all", "top", "average")


class ElmoEmbedder:
    """Every layer of the biLM for sentences of tokens.

    Args:
        options_file: options.json; None: `weight_file` is anything that `relmo.load` takes.
        weight_file: its HDF5 file; None too: "original", downloaded once, as in AllenNLP.
        cuda_device: number of the GPU, -1 for the processor.
        stateful: start each row of a batch where the same row of the last batch stopped, as
            AllenNLP does: the same sentence then has other vectors each time.
    """

    def __init__(
        self,
        options_file: str | None = None,
        weight_file: str | None = None,
        cuda_device: int = -1,
        *,
        stateful: bool = False,
    ) -> None:
        if options_file is None and weight_file is None:
            weight_file = "original"
        self.elmo_bilm = _ElmoBiLm(options_file, weight_file, stateful=stateful)
        self.cuda_device = cuda_device
        if cuda_device >= 0:
            self.elmo_bilm.to(f"cuda:{cuda_device}")

    def batch_to_embeddings(self, batch: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
        """Layers of a batch of tokenised sentences, padded.

        Returns:
            float32 (batch, n_layers, time, dim), 0 behind a sentence's end, and the mask, int64
            (batch, time).
        """
        with torch.no_grad():
            packed = self.elmo_bilm.packed(batch_to_ids(batch))
            layers = [packed.padded(layer, boundaries=False) for layer in packed.layers]
            return torch.stack(layers, dim=1), packed.mask(boundaries=False)

    def embed_sentence(self, sentence: Sequence[str]) -> Array:
        """Layers of one sentence, (n_layers, tokens, dim)."""
        return self.embed_batch([sentence])[0]

    def embed_batch(self, batch: Sequence[Sequence[str]]) -> list[Array]:
        """Layers of each sentence, (n_layers, tokens, dim)."""
        if not self.elmo_bilm.stateful:
            return self.elmo_bilm.elmo.embed(batch, layers="all")
        embeddings, mask = self.batch_to_embeddings(batch)
        lengths = mask.sum(dim=1).tolist()
        arrays = embeddings.cpu().numpy()
        return [array[:, :length].copy() for array, length in zip(arrays, lengths, strict=True)]

    def embed_sentences(
        self, sentences: Iterable[Sequence[str]], batch_size: int = 64
    ) -> Iterator[Array]:
        """`embed_batch` over a stream, lazily.

        Args:
            sentences: tokenised.
            batch_size: sentences computed together where the model is stateful; otherwise it
                changes nothing, and sentences of like length are computed together.
        """
        if not self.elmo_bilm.stateful:
            yield from self.elmo_bilm.elmo.embed_stream(sentences, layers="all")
            return
        stream = iter(sentences)
        while batch := list(islice(stream, batch_size)):
            yield from self.embed_batch(batch)

    def embed_file(
        self,
        input_file: IO[str] | Iterable[str],
        output_file_path: str | Path,
        output_format: str = "all",
        batch_size: int = 64,
        forget_sentences: bool = False,
        use_sentence_keys: bool = False,
    ) -> None:
        """Write the vectors of a text to an HDF5 file, which appears at a good end only.

        Args:
            input_file: lines, each a sentence split on white space.
            output_file_path: the file; one dataset a sentence, float32.
            output_format: "all" for (n_layers, tokens, dim), "top" or "average" for (tokens, dim).
            batch_size: see `embed_sentences`.
            forget_sentences: leave out `sentence_to_index`, a JSON object of sentences and keys.
            use_sentence_keys: name a dataset by its sentence, not by its number from 0.

        Raises:
            InputError: a blank line, a sentence that comes twice or cannot be a key, another
                output format, or the file cannot be written.
        """
        if output_format not in _FORMATS:
            expected = ", ".join(_FORMATS)
            raise InputError(f"output_format: expected one of {expected}, got {output_format!r}")
        lines: list[str] = []
        embedded = self.embed_sentences(_sentences(input_file, lines), batch_size)
        with _hdf5(output_file_path) as (file, check):
            for number, layers in enumerate(embedded):
                key = lines[number] if use_sentence_keys else str(number)
                with _saying(f"{output_file_path}: line {number + 1}: {key!r:.80}"):
                    file.create_dataset(key, data=_chosen(layers, output_format))
                check()
            if not forget_sentences and not use_sentence_keys:
                table = {line: str(number) for number, line in enumerate(lines)}
                data = file.create_dataset("sentence_to_index", (1,), dtype=h5py.string_dtype())
                data[0] = json.dumps(table)


def _sentences(source: Iterable[str], lines: list[str]) -> Iterator[list[str]]:
    """The tokens of each line, which is also appended to `lines`."""
    for number, line in enumerate(source, start=1):
        lines.append(line.strip())
        if not lines[-1]:
            raise InputError(f"line {number} of the input is blank; remove it")
        yield lines[-1].split()


def _chosen(layers: Array, output_format: str) -> Array:
    if output_format == "all":
        return layers
    chosen: Array = layers[-1] if output_format == "top" else layers.mean(axis=0)
    return chosen


@contextmanager
def _hdf5(path: str | Path) -> Iterator[Any]:
    """A new HDF5 file, and a function that raises where the disk has failed."""
    with replacing_file(path) as aside, SteadyFile(aside, "w+") as disk:
        with h5py.File(disk, "w") as file:
            yield file, disk.check
        disk.check()


@contextmanager
def _saying(what: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, RuntimeError) as error:  # a name that is taken, or that cannot be one
        raise InputError(f"{what}: cannot be a dataset's name: {error}") from error
