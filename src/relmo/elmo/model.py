"""Elmo, the façade: sentences in, vectors out."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from relmo.config import BiLMConfig, LayerMix
from relmo.elmo.language_model import Context, NextWords, Substitutes, Surprisal
from relmo.elmo.token_cache import TokenTable, checked_capacity
from relmo.errors import ConfigError, FormatError, InputError
from relmo.formats import bilm_hdf5, detect, relmo_format
from relmo.formats.checkpoint import Checkpoint
from relmo.hub import BOX, Progress, fetch, resolve
from relmo.nn import packing
from relmo.nn.bilm import BiLM, unfilled
from relmo.nn.kernels import whole_rows
from relmo.nn.packing import packed_index
from relmo.nn.precision import exact
from relmo.text import batching
from relmo.text.lexicon import Lexicon
from relmo.text.tokenizers import Sentence, tokenised
from relmo.text.vocab import Vocabulary

__all__ = ["BOX", "CheckpointInfo", "Combine", "Elmo", "Layers", "are_all", "combination", "load"]


Layers = Literal["average", "all", "top", "token", "mix"] | int | Sequence[float] | LayerMix
Combine = Callable[[tuple[Tensor, ...]], Tensor]
"""From a tuple of layers (N, dim) to (N, dim), or to (n_layers, N, dim) for all of them."""


def are_all(layers: object) -> bool:
    """Whether the layers are wanted apart."""
    return isinstance(layers, str) and layers == "all"


def combination(layers: Any, n_layers: int, mixes: Sequence[LayerMix]) -> Combine:
    """The function that makes of the layers what the caller asked for; see `Elmo.embed`.

    Args:
        layers: what is asked for, `Layers` or a mistake.
        n_layers: how many there are, the token layer counted.
        mixes: learned mixes, of which "mix" is the first.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(layers, str) and layers == "mix":
        if not mixes:
            raise InputError('layers: "mix" is a learned mix that came with the model; it has none')
        layers = mixes[0]
    if isinstance(layers, str):
        return _named(layers, n_layers)
    if isinstance(layers, int | np.integer):
        number = int(layers)
        if not -n_layers <= number < n_layers:
            raise InputError(f"layers: expected a number below {n_layers}, got {number}")
        return lambda all_layers: all_layers[number]
    try:
        weights = [float(w) for w in (layers.shares() if isinstance(layers, LayerMix) else layers)]
    except (TypeError, ValueError):
        raise InputError(f"layers: expected numbers, got {layers!r}") from None
    if len(weights) != n_layers:
        raise InputError(f"layers: expected {n_layers} weights, got {len(weights)}")
    return lambda all_layers: _weighted_sum(weights, all_layers)


def _named(layers: str, n_layers: int) -> Combine:
    named: dict[str, Combine] = {
        "average": lambda all_layers: _weighted_sum([1.0] * n_layers, all_layers).div_(n_layers),
        "all": lambda all_layers: torch.stack(all_layers),
        "top": lambda all_layers: all_layers[-1],
        "token": lambda all_layers: all_layers[0],
    }
    if layers not in named:
        raise InputError(
            f"layers: expected 'average', 'all', 'top', 'token', 'mix', a number or a list of "
            f"{n_layers} weights, got {layers!r}"
        )
    return named[layers]


def _weighted_sum(weights: Sequence[float], layers: Sequence[Tensor]) -> Tensor:
    """(N, dim), without a copy of all layers."""
    total = weights[0] * layers[0]
    for weight, layer in zip(weights[1:], layers[1:], strict=True):
        total.add_(layer, alpha=weight)
    return total


Array = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class CheckpointInfo:
    """Where a model came from."""

    format: str
    """Name of its file format."""
    source: Path
    """Its folder or weights file."""
    card: str | None
    """Its model card, as Markdown."""


def load(
    path: str | Path | None = None,
    *,
    options: str | Path | None = None,
    weights: str | Path | None = None,
    vocab: str | Path | None = None,
    token_embeddings: str | Path | None = None,
    device: str | torch.device = "cpu",
    offline: bool | None = None,
    progress: Progress | None = None,
) -> "Elmo":
    """Load an ELMo.

    Args:
        path: a model's folder or file; or, where there is none of that name, a name that `relmo
            models` lists, such as "original", or an address: https://..., hf://org/name, any that
            fsspec knows. None or "box": the model in the box.
        options: options.json of an AllenNLP or bilm-tf model, given together with `weights`.
        weights: its HDF5 file.
        vocab: the words of a model that reads words; None: vocab.txt beside `weights`.
        token_embeddings: HDF5 file of their vectors, where `weights` has none. Each of the four may
            be an address.
        device: where it shall compute, such as "cpu" or "cuda".
        offline: whether the network is out of bounds; None: as RELMO_OFFLINE says. It is touched
            only for what is not in the cache yet.
        progress: of a download: called with a file's name, its bytes so far, and its bytes or None.

    Raises:
        FormatError: not a model, or one whose files contradict each other or have changed.
        InputError: a path, name or address at which there is nothing.
        MissingExtraError: a library that downloads it is not installed.
    """
    if path is None and options is None and weights is None:
        path = BOX
    if path is not None:
        path = resolve(path, offline=offline, progress=progress)
    files = {"options": options, "weights": weights, "vocab": vocab,
             "token_embeddings": token_embeddings}  # fmt: skip
    for name, file in files.items():
        if isinstance(file, str) and "://" in file:
            files[name] = fetch(file, offline=offline, progress=progress)
    with torch.inference_mode(False):  # whose tensors would not tell when they change
        checkpoint = detect.read(path, **files)
        return Elmo.from_checkpoint(checkpoint).to(device)


class Elmo:
    """A biLM with everything around it: characters, batches, layers.

    A sentence is a list of tokens, or a string that is split on white space. Each starts from a
    zero state: its vectors are the same alone, in any batch, in any order, in any thread, and twice
    in a row (to float rounding). One model may embed in any number of threads at once, as long as
    none of them changes or moves it. It computes in the precision of its weights, autocast or not.

    Args:
        bilm: the network.
        vocab: words of its softmax; the words it knows where it is a word-input model.
        lexicon: the words and characters of a model that looks up both.
        softmax: `weight` (n_words, projection_dim) and `bias` (n_words,) of the language model, or
            the tensors of an adaptive one (see `Checkpoint`).
        mixes: learned mixes of the layers that came with it.
        info: where it came from.
        token_budget: tokens computed together, marks counted; bounds memory.
        cache_size: distinct words whose token vectors are kept from call to call.
    """

    def __init__(
        self,
        bilm: BiLM,
        *,
        vocab: Vocabulary | None = None,
        lexicon: Lexicon | None = None,
        softmax: dict[str, Tensor] | None = None,
        mixes: tuple[LayerMix, ...] = (),
        info: CheckpointInfo | None = None,
        token_budget: int = 8192,
        cache_size: int = 32768,
    ) -> None:
        if bilm.config.n_words is not None and (vocab is None or len(vocab) != bilm.config.n_words):
            raise ConfigError(
                f"a word-input model of {bilm.config.n_words} words needs a vocabulary of as many, "
                f"got {'none' if vocab is None else len(vocab)}; put its vocab.txt beside it"
            )
        self.bilm = bilm.eval().requires_grad_(False)
        self.vocab = vocab
        self.lexicon = lexicon
        self.softmax = softmax
        self.mixes = mixes
        self.checkpoint_info = info
        self.token_budget = token_budget
        size = checked_capacity(cache_size, "cache_size")
        self.tokens = TokenTable(bilm, vocab, size, lexicon)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> Self:
        """The network of a file's contents.

        Raises:
            FormatError: a tensor too many or too few for the configuration.
        """
        bilm = unfilled(checkpoint.config)
        try:
            bilm.load_state_dict(checkpoint.tensors, strict=True, assign=True)
        except RuntimeError as error:
            raise FormatError(f"{checkpoint.format}: {checkpoint.source}: {error}") from error
        info = CheckpointInfo(
            format=checkpoint.format, source=checkpoint.source, card=checkpoint.card
        )
        return cls(
            bilm, vocab=checkpoint.vocab, lexicon=checkpoint.lexicon, softmax=checkpoint.softmax,
            mixes=checkpoint.mixes, info=info,
        )  # fmt: skip

    @property
    def config(self) -> BiLMConfig:
        """The model's shape."""
        return self.bilm.config

    @property
    def n_layers(self) -> int:
        """Layers of vectors: the token layer and each LSTM layer."""
        return self.config.n_layers + 1

    @property
    def dim(self) -> int:
        """Width of a vector: twice the projection, one half a direction."""
        return self.config.dim

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.bilm.parameters()).device

    def to(self, device: str | torch.device) -> Self:
        """Move the network; returns self."""
        self.bilm.to(device)
        self.tokens.clear()
        return self

    def clear_cache(self) -> None:
        """Forget what was computed from the weights: token vectors and repacked matrices.

        Only needed where frozen weights were written through `.data`, which nothing else can tell.
        Any other change is noticed, and so is one through `.data` where the weights are trained.
        """
        self.tokens.clear()
        self.bilm.clear_cache()

    def converted(self, fn: Callable[[Tensor], Tensor]) -> "Elmo":
        """Return this model moved or cast by a function of tensors; itself stays as it is.

        Args:
            fn: what torch.nn.Module._apply takes; a tensor that it leaves alone is shared.

        Returns:
            self, where it changes nothing.
        """
        # Parameters of the copy start as the same numbers in memory, not as copies of them.
        shared = {id(p): nn.Parameter(p.detach(), p.requires_grad) for p in self.bilm.parameters()}
        bilm = copy.deepcopy(self.bilm, dict[int, object](shared))
        bilm._apply(fn)  # type: ignore[no-untyped-call]
        if _memory(bilm) == _memory(self.bilm):
            return self
        elmo = copy.copy(self)
        elmo.bilm, elmo.tokens = bilm, self.tokens.over(bilm)
        return elmo

    def __repr__(self) -> str:
        source = self.checkpoint_info.source if self.checkpoint_info else "new"
        return f"Elmo(n_layers={self.n_layers}, dim={self.dim}, source={str(source)!r})"

    def embed(
        self, sentences: Iterable[Sentence], layers: Layers = "average", *,
        token_budget: int | None = None,
    ) -> list[Array]:  # fmt: skip
        """Vectors for every token.

        Args:
            sentences: lists of tokens, or strings that are split on white space.
            layers: "average" of the layers; "all"; "top"; "token"; a layer's number, 0 the token
                layer; one weight a layer: the sum of the layers so weighted (equation 1, the
                softmax and gamma being the caller's); or a learned mix, a `LayerMix`: "mix" is
                the first of those that came with the model.
            token_budget: tokens computed together; None: the model's.

        Returns:
            For each sentence a float32 array (tokens, dim), or (n_layers, tokens, dim) for "all".

        Raises:
            InputError: `layers` is none of these, or `sentences` is a single string.
        """
        return list(self.embed_stream(sentences, layers, token_budget=token_budget))

    def embed_stream(
        self, sentences: Iterable[Sentence], layers: Layers = "average", *,
        token_budget: int | None = None,
    ) -> Iterator[Array]:  # fmt: skip
        """`embed`, lazily: arrays in order, a few batches' worth of sentences in memory.

        Args, Raises: see `embed`; errors of arguments are raised at the call.
        """
        tokens = tokenised(sentences)
        combine = combination(layers, self.n_layers, self.mixes)
        budget = self.token_budget if token_budget is None else token_budget
        if budget < 1:
            raise InputError(f"token_budget must be at least 1, got {budget}")
        return batching.in_order(tokens, lambda batch: self._embed_batch(batch, combine), budget)

    def encode(
        self, sentences: Iterable[Sentence], layers: Layers = "average", *,
        token_budget: int | None = None,
    ) -> Array:  # fmt: skip
        """One vector a sentence: the mean over its tokens; zeros for a sentence without tokens.

        Args, Raises: see `embed`.

        Returns:
            float32 (n_sentences, dim), or (n_sentences, n_layers, dim) for "all".
        """
        shape = (self.n_layers, self.dim) if are_all(layers) else (self.dim,)
        means = [
            vectors.mean(axis=-2) if vectors.shape[-2] else np.zeros(shape, np.float32)
            for vectors in self.embed_stream(sentences, layers, token_budget=token_budget)
        ]
        return np.stack(means) if means else np.zeros((0, *shape), np.float32)

    def surprisal(
        self, sentences: Iterable[Sentence], *, ends: bool = False, context: Context = "fresh"
    ) -> list[Surprisal]:
        """How every token was predicted from either side; see `NextWords.surprisal`.

        Raises:
            InputError: as there, or the model has no softmax.
        """
        return list(NextWords(self).surprisal(sentences, ends=ends, context=context))

    def substitutes(self, sentences: Iterable[Sentence], n: int = 10) -> list[Substitutes]:
        """The likeliest words in the place of the one in brackets; see `NextWords.substitutes`.

        Raises:
            InputError: as there, or the model has no softmax.
        """
        return list(NextWords(self).substitutes(sentences, n))

    def checkpoint(self) -> Checkpoint:
        """The model as the formats write it."""
        info = self.checkpoint_info
        return Checkpoint(
            config=self.config,
            tensors={name: t.detach().cpu() for name, t in self.bilm.state_dict().items()},
            vocab=self.vocab,
            lexicon=self.lexicon,
            softmax=self.softmax,
            mixes=self.mixes,
            card=info.card if info else None,
            format=info.format if info else "relmo",
            source=info.source if info else Path(),
        )

    def save(
        self,
        folder: str | Path,
        *,
        format: Literal["relmo", "bilm_hdf5"] = "relmo",
        overwrite: bool = False,
    ) -> None:
        """Write the model; the folder appears whole or not at all.

        Args:
            folder: where; nothing, an empty folder or an earlier model of the format may be there.
            format: "relmo", or "bilm_hdf5": options.json and weights.hdf5 as AllenNLP reads them,
                without the softmax and the card, for which it has no place.
            overwrite: replace any other folder too, with everything in it.

        Raises:
            InputError: another folder is there and `overwrite` is not given, or it cannot be
                written.
        """
        writers = {relmo_format.NAME: relmo_format.write, bilm_hdf5.NAME: bilm_hdf5.write}
        if format not in writers:
            raise InputError(f"format: expected one of {', '.join(writers)}, got {format!r}")
        writers[format](self.checkpoint(), Path(folder), overwrite=overwrite)

    def _embed_batch(self, batch: list[list[str]], combine: Combine) -> Iterator[Array]:
        """Arrays (..., tokens, dim) of sentences of falling length."""
        with exact(self.device):
            layers, lengths = self.run(batch)
            combined = combine(layers).float().cpu().numpy()  # (..., N, dim)
        stop = 0
        for length in lengths:
            start, stop = stop, stop + int(length)
            # A copy without the marks, so that one sentence kept does not keep its whole batch.
            yield combined[..., start + 1 : stop - 1, :].copy()

    def run(self, batch: Sequence[Sequence[str]]) -> tuple[tuple[Tensor, ...], list[int]]:
        """The layers of a batch, the sentence marks included.

        Args:
            batch: sentences of falling length.

        Returns:
            n_layers tensors (N, dim), sentence after sentence, and each sentence's tokens with
            its two marks. There is a graph where the network's parameters require gradients;
            without one autocast is not heeded.

        Raises:
            ConfigError: the weights are of a type in which the network cannot compute.
        """
        flat: list[str] = []
        for sentence in batch:
            self.tokens.tell_of_marks(sentence)
            flat += [self.tokens.reader.begin, *sentence, self.tokens.reader.end]
        lengths = [len(sentence) + 2 for sentence in batch]
        index = packed_index(packing.pack_rows(lengths, whole_rows), self.device)
        if torch.is_grad_enabled() and any(p.requires_grad for p in self.bilm.parameters()):
            places: dict[str, int] = {}
            rows = [places.setdefault(token, len(places)) for token in flat]
            encoded = self.tokens.encode(list(places))
            return self.bilm(encoded[torch.tensor(rows, device=self.device)], index).layers, lengths
        with exact(self.device):
            return self.bilm(self.tokens.vectors(flat), index).layers, lengths


def _memory(module: nn.Module) -> list[tuple[int, torch.dtype, torch.device]]:
    """Where each parameter lies, and as what."""
    return [(p.data_ptr(), p.dtype, p.device) for p in module.parameters()]
