"""Elmo: sentences in, vectors out.

The way of a batch: `embed` -> `run` -> `BiLM.forward` -> `LSTMStack.forward` -> the kernel.
"""

import copy
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from relmo.config import BiLMConfig, LayerMix
from relmo.elmo.token_cache import TokenCache, checked_capacity
from relmo.errors import ConfigError, FormatError, InputError
from relmo.formats import bilm_hdf5, detect, relmo_format
from relmo.formats import token_embeddings as token_files
from relmo.formats.checkpoint import Checkpoint
from relmo.hub import BOX, Progress, fetch, resolve
from relmo.nn.bilm import BiLM, build_on_meta
from relmo.nn.kernels import padded_rows
from relmo.nn.packing import pack_rows
from relmo.nn.precision import exact
from relmo.nn.softmax import from_tensors, stored
from relmo.text import batching
from relmo.text.lexicon import Lexicon
from relmo.text.tokenizers import Sentence, tokenised
from relmo.text.vocab import Vocabulary

if TYPE_CHECKING:  # it stands above this module
    from relmo.elmo.language_model import Context, Substitutes, Surprisal

__all__ = ["BOX", "CheckpointInfo", "Elmo", "Layers", "load"]

_logger = logging.getLogger(__name__)

_WORDS_TOGETHER = 4096  # words whose vectors are written to a file at a time

Layers = Literal["average", "all", "top", "token", "mix"] | int | Sequence[float] | LayerMix


def _checked_layers(layers: Any, n_layers: int, mixes: Sequence[LayerMix]) -> Any:
    """Return what was asked for as "average", "all", a layer's number or the layers' weights.

    Args:
        layers: what was asked for, `Layers` or a mistake; see `Elmo.embed`.
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
        names = {"average": "average", "all": "all", "top": n_layers - 1, "token": 0}
        if layers not in names:
            raise InputError(
                "layers: expected 'average', 'all', 'top', 'token', 'mix', a number or a list of "
                f"{n_layers} weights, got {layers!r}"
            )
        return names[layers]
    if isinstance(layers, int | np.integer):
        if not -n_layers <= int(layers) < n_layers:
            raise InputError(f"layers: expected a number below {n_layers}, got {int(layers)}")
        return int(layers)
    try:
        weights = [float(w) for w in (layers.shares() if isinstance(layers, LayerMix) else layers)]
    except (TypeError, ValueError):
        raise InputError(f"layers: expected numbers, got {layers!r}") from None
    if len(weights) != n_layers:
        raise InputError(f"layers: expected {n_layers} weights, got {len(weights)}")
    return weights


def _combine(all_layers: tuple[Tensor, ...], layers: Any) -> Tensor:
    """Return (N, dim) of n_layers tensors (N, dim), or (n_layers, N, dim) for all of them."""
    if layers == "all":
        return torch.stack(all_layers)
    if isinstance(layers, int):
        return all_layers[layers]
    weights = [1.0] * len(all_layers) if layers == "average" else layers
    total = weights[0] * all_layers[0]  # then in place: a stack would copy all layers
    for weight, layer in zip(weights[1:], all_layers[1:], strict=True):
        total.add_(layer, alpha=weight)
    return total.div_(len(all_layers)) if layers == "average" else total


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
        offline: whether nothing may be downloaded; None: as RELMO_OFFLINE says. The
            network is used only for what is not in the cache yet.
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
    files = {
        "options": options,
        "weights": weights,
        "vocab": vocab,
        "token_embeddings": token_embeddings,
    }
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
        token_budget: tokens computed together, boundary tokens counted; bounds memory.
        cache_size: distinct words whose token vectors are remembered from call to call.
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
        self.softmax = None if softmax is None else from_tensors(softmax)
        self.mixes = mixes
        self.checkpoint_info = info
        self.token_budget = token_budget
        size = checked_capacity(cache_size, "cache_size")
        self.tokens = TokenCache(bilm, vocab, size, lexicon)
        self._token_vectors: tuple[Vocabulary, Tensor] | None = None  # read from a file
        self._warned: set[str] = set()

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> Self:
        """Return the model of a file's contents.

        Raises:
            FormatError: a tensor too many or too few for the configuration.
        """
        bilm = build_on_meta(checkpoint.config)
        try:
            bilm.load_state_dict(checkpoint.tensors, strict=True, assign=True)
        except RuntimeError as error:
            raise FormatError(f"{checkpoint.format}: {checkpoint.source}: {error}") from error
        info = CheckpointInfo(
            format=checkpoint.format, source=checkpoint.source, card=checkpoint.card
        )
        return cls(
            bilm,
            vocab=checkpoint.vocab,
            lexicon=checkpoint.lexicon,
            softmax=checkpoint.softmax,
            mixes=checkpoint.mixes,
            info=info,
        )

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
        """Width of a vector: twice the projection, one half per direction."""
        return self.config.dim

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.bilm.parameters()).device

    def to(self, device: str | torch.device) -> Self:
        """Move the network and the softmax; return self."""
        self.bilm.to(device)
        if self.softmax is not None:
            self.softmax.to(device)
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
        self,
        sentences: Iterable[Sentence],
        layers: Layers = "average",
        *,
        token_budget: int | None = None,
    ) -> list[Array]:
        """Return vectors for every token.

        Args:
            sentences: lists of tokens, or strings that are split on white space.
            layers: "average" of the layers; "all"; "top"; "token"; a layer's number, 0 the token
                layer; one weight per layer: the sum of the layers so weighted (equation 1, the
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
        self,
        sentences: Iterable[Sentence],
        layers: Layers = "average",
        *,
        token_budget: int | None = None,
    ) -> Iterator[Array]:
        """Yield what `embed` returns, in order; a few batches' worth of sentences are in memory.

        Args, Raises: see `embed`; errors of arguments are raised at the call.
        """
        budget = self.token_budget if token_budget is None else token_budget
        if budget < 1:
            raise InputError(f"token_budget must be at least 1, got {budget}")
        layers = _checked_layers(layers, self.n_layers, self.mixes)
        return self._embed(tokenised(sentences), layers, budget)

    def _embed(
        self, sentences: Iterator[list[str]], layers: Any, token_budget: int
    ) -> Iterator[Array]:
        for window, batches in batching.read_ahead(sentences, token_budget):
            arrays: dict[int, Array] = {}
            for positions in batches:
                with torch.no_grad():
                    all_layers, lengths = self.run([window[k] for k in positions])
                    vectors = _combine(all_layers, layers).float().cpu().numpy()  # (..., N, dim)
                stop = 0
                for position, length in zip(positions, lengths, strict=True):
                    start, stop = stop, stop + length
                    # Without the boundary tokens. A copy, or an array that the caller keeps would
                    # keep its whole batch in memory.
                    arrays[position] = vectors[..., start + 1 : stop - 1, :].copy()
            # Popped, so that what the caller drops is freed at once.
            yield from (arrays.pop(position) for position in range(len(window)))

    def encode(
        self,
        sentences: Iterable[Sentence],
        layers: Layers = "average",
        *,
        token_budget: int | None = None,
    ) -> Array:
        """Return one vector per sentence: the mean over its tokens; zeros where it has none.

        Args, Raises: see `embed`.

        Returns:
            float32 (n_sentences, dim), or (n_sentences, n_layers, dim) for "all".
        """
        apart = isinstance(layers, str) and layers == "all"
        shape = (self.n_layers, self.dim) if apart else (self.dim,)
        means = [
            vectors.mean(axis=-2) if vectors.shape[-2] else np.zeros(shape, np.float32)
            for vectors in self.embed_stream(sentences, layers, token_budget=token_budget)
        ]
        return np.stack(means) if means else np.zeros((0, *shape), np.float32)

    def surprisal(
        self, sentences: Iterable[Sentence], *, ends: bool = False, context: "Context" = "fresh"
    ) -> list["Surprisal"]:
        """Return how every token was predicted from either side; see `LanguageModel.surprisal`.

        Raises:
            InputError: as there, or the model has no softmax.
        """
        from relmo.elmo.language_model import LanguageModel

        return list(LanguageModel(self).surprisal(sentences, ends=ends, context=context))

    def substitutes(self, sentences: Iterable[Sentence], n: int = 10) -> list["Substitutes"]:
        """Return the likeliest words in the position of the one in brackets.

        Args: see `LanguageModel.substitutes`.

        Raises:
            InputError: as there, or the model has no softmax.
        """
        from relmo.elmo.language_model import LanguageModel

        return list(LanguageModel(self).substitutes(sentences, n))

    def save_token_vectors(
        self, path: str | os.PathLike[str], words: Sequence[str] | Vocabulary
    ) -> None:
        """Write the vectors of words to an HDF5 file, in their order; see `load_token_vectors`.

        Args:
            path: the file, written whole or not at all.
            words: such as a vocabulary with `<S>` and `</S>` in it.

        Raises:
            InputError: there are no words, or the file cannot be written.
        """
        if isinstance(words, str) or not len(words):
            raise InputError(f"{os.fspath(path)}: expected a list of words, got {words!r:.60}")
        listed = words.words if isinstance(words, Vocabulary) else words
        starts = range(0, len(listed), _WORDS_TOGETHER)
        pieces = (self.token_vectors(listed[start : start + _WORDS_TOGETHER]) for start in starts)
        token_files.write(path, pieces, (len(listed), self.config.projection_dim))

    def load_token_vectors(
        self,
        path: str | os.PathLike[str],
        vocab: Vocabulary | str | os.PathLike[str] | None = None,
    ) -> None:
        """Take the vectors of some words from a file, such as elmo_token_embeddings.hdf5.

        They stay as they are, whatever becomes of the encoder; other words are encoded. A model
        that is being trained encodes them all.

        Args:
            path: an HDF5 file as `save_token_vectors` writes it.
            vocab: its words, or a file of them; None: vocab.txt or vocab.txt.gz beside it.

        Raises:
            InputError: a file is not there.
            FormatError: it is damaged, or not of these words and this model's width.
        """
        words = token_files.read_vocab(vocab, path)
        rows = token_files.read(path, words, self.config.projection_dim).float()
        self._token_vectors = words, rows

    def checkpoint(self) -> Checkpoint:
        """Return the model as the formats write it."""
        info = self.checkpoint_info
        return Checkpoint(
            config=self.config,
            tensors={name: t.detach().cpu() for name, t in self.bilm.state_dict().items()},
            vocab=self.vocab,
            lexicon=self.lexicon,
            softmax=None if self.softmax is None else stored(self.softmax),
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

    def run(self, batch: Sequence[Sequence[str]]) -> tuple[tuple[Tensor, ...], list[int]]:
        """Return the layers of a batch, boundary tokens included.

        Args:
            batch: sentences of decreasing length.

        Returns:
            n_layers tensors (N, dim), sentence after sentence, and each sentence's tokens with
            its two boundary tokens. There is a graph where the network's parameters require
            gradients; without one autocast is not heeded.

        Raises:
            ConfigError: the weights are of a type in which the network cannot compute.
        """
        begin, end = self.tokens.reader.begin, self.tokens.reader.end
        flat = [token for sentence in batch for token in (begin, *sentence, end)]
        self._warn_about_boundary_tokens(batch)
        lengths = [len(sentence) + 2 for sentence in batch]
        packing = pack_rows(lengths, padded_rows, device=self.device)
        trains = any(p.requires_grad for p in self.bilm.parameters())
        with exact(self.device, trains=trains):
            if trains and torch.is_grad_enabled():
                self._warn_about_words(flat)
                tokens = self.tokens.vectors(flat, trains=True)
            else:
                tokens = self.token_vectors(flat)
            return self.bilm(tokens, packing).layers, lengths  # the token layer first

    def token_vectors(self, tokens: Sequence[str]) -> Tensor:
        """Return token vectors (n_tokens, projection_dim) in the weights' type, without a graph.

        Those of a file that `load_token_vectors` has read, else of the token encoder.

        Raises:
            ConfigError: the weights are of a type in which the network cannot compute.
        """
        if self._token_vectors is None:
            self._warn_about_words(tokens)
            return self.tokens.vectors(tokens)
        vocab, rows = self._token_vectors
        others = [token for token in tokens if token not in vocab]
        self._warn_about_words(others)
        encoded = self.tokens.vectors(others)
        is_read = torch.tensor([token in vocab for token in tokens], dtype=torch.bool)
        is_read = is_read.to(encoded.device)
        ids = vocab.ids([token for token in tokens if token in vocab])
        vectors = encoded.new_empty(len(tokens), encoded.shape[1])
        # Only these rows are moved and cast: what was read from the file stays as it was read.
        vectors[is_read] = rows[torch.from_numpy(ids)].to(encoded)
        vectors[~is_read] = encoded
        return vectors

    def _warn_about_words(self, tokens: Sequence[str]) -> None:
        """Warn once of words that are cut off, and once of words that have no vector."""
        reader, tokens = self.tokens.reader, list(dict.fromkeys(tokens))
        if reader.limit is not None and "truncated" not in self._warned:
            word = next((token for token in tokens if reader.is_truncated(token)), None)
            if word is not None:
                message = "tokens longer than %s are cut to them, e.g. %.60r"
                self._warn("truncated", message, reader.limit, word)
        if "unknown" not in self._warned:
            word = next((token for token in tokens if not reader.is_known(token)), None)
            if word is not None:
                message = "words that are not in the vocabulary have zero vectors, e.g. %r"
                self._warn("unknown", message, word)

    def _warn_about_boundary_tokens(self, batch: Sequence[Sequence[str]]) -> None:
        """Warn once of a sentence with a literal `<S>` or `</S>`, which the model reads as one."""
        for token in (self.tokens.reader.begin, self.tokens.reader.end):
            if "boundary" not in self._warned and any(token in sentence for sentence in batch):
                self._warn("boundary", "the token %r is read as a boundary token", token)

    def _warn(self, kind: str, message: str, *arguments: object) -> None:
        self._warned.add(kind)
        _logger.warning(message + " (said once)", *arguments)


def _memory(module: nn.Module) -> list[tuple[int, torch.dtype, torch.device]]:
    """Return where each parameter lies, and as what."""
    return [(p.data_ptr(), p.dtype, p.device) for p in module.parameters()]
