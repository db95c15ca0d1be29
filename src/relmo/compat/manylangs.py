"""ELMoForManyLangs's `Embedder`, without its state, its noise and its graph.

from relmo.compat.manylangs import Embedder  # was: from elmoformanylangs import Embedder

e = Embedder("/path/to/model/")
e.sents2elmo([["今天", "天气", "真", "好"], ["潮水", "退", "了"]])  # arrays (tokens, 1024)
"""

import os
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from relmo.elmo.model import Layers, load
from relmo.errors import InputError

__all__ = ["Embedder"]


class Embedder:
    """An ELMo under the name and the arguments of ELMoForManyLangs.

    Different on purpose. Each sentence starts from a zero state: the original carries the LSTMs'
    state from batch to batch and shuffles the batches, so that a sentence gets other vectors each
    time. No graph is kept. It computes on the CPU unless told otherwise. No sentences give no
    vectors, which was a ZeroDivisionError.

    Args:
        model_dir: a model's folder, of this format or any other that relmo reads.
        batch_size: sentences computed together at most.
        device: where it computes, such as "cpu" or "cuda".

    Raises:
        FormatError: not a model, or one whose files contradict each other.
        InputError: a path that does not exist, or a batch_size below 1.
    """

    def __init__(
        self,
        model_dir: str | os.PathLike[str],
        batch_size: int = 64,
        *,
        device: str | torch.device = "cpu",
    ) -> None:
        if batch_size < 1:
            raise InputError(f"Embedder: batch_size must be at least 1, got {batch_size}")
        self.elmo = load(os.fspath(model_dir), device=device)
        self.batch_size = batch_size

    def sents2elmo(
        self, sents: Iterable[Sequence[str]], output_layer: int = -1
    ) -> list[npt.NDArray[np.float32]]:
        """Vectors for every token.

        Args:
            sents: lists of tokens; a string is the list of its characters, as in the original.
            output_layer: -1: the mean of the layers; -2: all of them; 0: the token layer; 1, 2,
                ...: an LSTM layer.

        Returns:
            for each sentence, in order, float32 (tokens, dim), or (n_layers, tokens, dim) for -2.

        Raises:
            InputError: there is no such layer, `sents` is a single string, or a token is not one.
        """
        if isinstance(sents, str):
            raise InputError("sents is one string; give a list of sentences, each a list of tokens")
        if not -2 <= output_layer < self.elmo.n_layers:
            raise InputError(
                f"output_layer: expected -2, -1 or a number below {self.elmo.n_layers}, got "
                f"{output_layer}"
            )
        named: dict[int, Layers] = {-1: "average", -2: "all"}
        layers = named.get(output_layer, output_layer)
        tokens = [list(sentence) for sentence in sents]
        order = sorted(range(len(tokens)), key=lambda number: -len(tokens[number]))
        vectors: dict[int, npt.NDArray[np.float32]] = {}
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            embedded = self.elmo.embed([tokens[number] for number in batch], layers)
            vectors.update(zip(batch, embedded, strict=True))
        return [vectors[number] for number in range(len(tokens))]
