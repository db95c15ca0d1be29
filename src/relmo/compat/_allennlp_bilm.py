"""The biLM behind the names of AllenNLP: padded character ids in, packed layers out."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from relmo.compat._allennlp_state import rename_bilm
from relmo.elmo.model import Elmo, load
from relmo.errors import ConfigError, InputError, ShapeError
from relmo.nn.bilm import BiLMState
from relmo.nn.kernels import padded_rows
from relmo.nn.lstm import LSTMState
from relmo.nn.packing import pack, pack_rows
from relmo.nn.precision import exact
from relmo.text.chars import BOS_TOKEN, EOS_TOKEN, EOW, N_CHARACTERS, PAD, CharSpace

__all__ = ["MAX_CHARACTERS", "PackedLayers", "_ElmoBiLm", "batch_to_ids"]

logger = logging.getLogger(__name__)

MAX_CHARACTERS = 50
"""Character ids of a token, as AllenNLP fixes it; a model of another width is served too."""


def batch_to_ids(batch: Sequence[Sequence[str]]) -> Tensor:
    """Character ids of a batch, as AllenNLP's.

    Args:
        batch: tokenised sentences.

    Returns:
        int64 (len(batch), longest sentence, 50): the ids of `relmo.text.chars.CharSpace` plus 1,
        0 where a sentence is over.
    """
    chars = CharSpace(MAX_CHARACTERS)
    longest = max(map(len, batch), default=0)
    ids = torch.zeros(len(batch), longest, MAX_CHARACTERS, dtype=torch.int64)
    for row, sentence in zip(ids, batch, strict=True):
        if len(sentence):
            row[: len(sentence)] = torch.from_numpy(chars.encode(sentence).astype("int64")) + 1
    return ids


@dataclass(frozen=True, eq=False, kw_only=True)
class PackedLayers:
    """Layers of a batch without padding, N rows: its tokens with the sentence marks.

    Args:
        layers: n_layers tensors (N, dim).
        sentence: each row's sentence in the batch, (N,).
        step: its place there, 0 the begin mark, (N,).
        lengths: tokens of each sentence, marks not counted, (batch,).
        time: tokens that a sentence is padded to.
    """

    layers: tuple[Tensor, ...]
    sentence: Tensor
    step: Tensor
    lengths: Tensor
    time: int

    def mask(self, *, boundaries: bool) -> Tensor:
        """int64 (batch, time), or (batch, time + 2) with the marks: 1 where there is a token."""
        marks = 2 * boundaries
        steps = torch.arange(self.time + marks, device=self.lengths.device)
        return (steps < self.lengths[:, None] + marks).long()

    def padded(self, rows: Tensor, *, boundaries: bool) -> Tensor:
        """Rows (N, dim) as (batch, time, dim), or with the marks (batch, time + 2, dim)."""
        n, time = len(self.lengths), self.time + 2 * boundaries
        sentence, step = self.sentence, self.step
        if not boundaries:
            kept = ((step > 0) & (step <= self.lengths[sentence])).nonzero()[:, 0]
            rows, sentence, step = rows[kept], sentence[kept], step[kept] - 1
        flat = rows.new_zeros(n * time, rows.shape[1])
        return flat.index_copy(0, sentence * time + step, rows).view(n, time, rows.shape[1])


class _ElmoBiLm(nn.Module):
    """AllenNLP's inner module of this name: the biLM, with its layers padded.

    Args:
        options_file: options.json; None: `weight_file` is anything that `relmo.load` takes.
        weight_file: its HDF5 file.
        requires_grad: train the biLM.
        vocab_to_cache: words whose token vectors are computed at once, looked up by word id; the
            first stands for padding.
        stateful: start each row of a batch where the same row of the last batch stopped, as
            AllenNLP does, instead of anew.
    """

    _marks: Tensor
    _mark_vectors: Tensor

    def __init__(
        self,
        options_file: str | None = None,
        weight_file: str | None = None,
        requires_grad: bool = False,
        vocab_to_cache: list[str] | None = None,
        stateful: bool = False,
    ) -> None:
        super().__init__()
        self.elmo: Elmo = _loaded(options_file, weight_file)
        config = self.elmo.config
        if config.char_cnn is None:
            raise ConfigError(
                f"compat.allennlp: these names take the bytes of words as ids, and {self.elmo!r} "
                "reads words or characters of its own lexicon; embed with relmo.load"
            )
        self._max_characters = config.char_cnn.max_characters_per_token
        self.bilm = self.elmo.bilm.requires_grad_(requires_grad)
        self.num_layers = self.elmo.n_layers
        self.stateful = stateful
        self._states: tuple[Tensor, ...] | None = None
        marks = torch.from_numpy(CharSpace(self._max_characters).encode([BOS_TOKEN, EOS_TOKEN]))
        self.register_buffer("_marks", marks.long(), persistent=False)
        self._word_embedding: nn.Embedding | None = None
        if vocab_to_cache is not None:
            self._cache(vocab_to_cache, requires_grad)

    def get_output_dim(self) -> int:
        """Width of a layer: both directions."""
        return self.elmo.dim

    def reset_states(self) -> None:
        """Start the next batch anew."""
        self._states = None

    def forward(
        self, inputs: Tensor | None, word_inputs: Tensor | None = None
    ) -> dict[str, Tensor | list[Tensor]]:
        """Every layer with the sentence marks.

        Args:
            inputs: character ids (batch, time, 50).
            word_inputs: ids of cached words (batch, time), 0 padding.

        Returns:
            "activations": n_layers tensors (batch, time + 2, dim), 0 behind a sentence's end mark;
            "mask": int64 (batch, time + 2).
        """
        packed = self.packed(inputs, word_inputs)
        activations = [packed.padded(layer, boundaries=True) for layer in packed.layers]
        return {"activations": activations, "mask": packed.mask(boundaries=True)}

    def packed(self, inputs: Tensor | None, word_inputs: Tensor | None = None) -> PackedLayers:
        """`forward` without padding; there is a graph where the biLM trains.

        Raises:
            ShapeError: the ids have another shape, or padding between tokens.
            InputError: an id is out of range, or neither kind of ids can be used.
            ConfigError: the weights are of a type in which the network cannot compute.
        """
        with exact(self._device, trains=any(p.requires_grad for p in self.parameters())):
            table = self._cached(inputs, word_inputs)
            ids = inputs if table is None else word_inputs
            assert ids is not None  # _cached sees to it
            ids = ids.to(self._device)
            mask = _mask(ids)  # (batch, time)
            lengths = mask.sum(dim=1)
            order = torch.argsort(lengths, descending=True, stable=True)
            flat = ids[order][mask[order]]  # (tokens,) or (tokens, 50), longest sentence first
            marked = lengths[order] + 2
            if table is None:
                tokens = self._encoded(
                    self._with_marks(self._fitted(flat - 1), marked, self._marks)
                )
            else:
                tokens = self._with_marks(table(flat), marked, self._mark_vectors)
            layers = self._run(tokens, marked.tolist(), order)
            starts = marked.cumsum(0) - marked
            steps = torch.arange(len(tokens), device=tokens.device)
            return PackedLayers(
                layers=layers,
                sentence=order.repeat_interleave(marked),
                step=steps - starts.repeat_interleave(marked),
                lengths=lengths,
                time=ids.shape[1],
            )

    @property
    def _device(self) -> torch.device:
        return self.elmo.device

    def _cached(self, inputs: Tensor | None, word_inputs: Tensor | None) -> nn.Embedding | None:
        """The table of cached words where it serves these ids, None for the characters."""
        table = self._word_embedding
        if word_inputs is not None and table is not None:
            _check_integers(word_inputs, ("batch", "time"))
            largest = int(word_inputs.max()) if word_inputs.numel() else 0
            if largest < table.num_embeddings:
                return table
            said = f"word id {largest} is beyond the {table.num_embeddings} words cached"
            if inputs is not None:
                logger.warning("%s: the batch is encoded from its characters", said)
        elif word_inputs is not None:
            said = "word ids were given, and no vocabulary was cached"
            if inputs is not None:
                logger.warning("%s: they are not used", said)
        else:
            said = "neither character ids nor word ids were given"
        if inputs is None:
            raise InputError(f"compat.allennlp: {said}, and no character ids to encode")
        _check_characters(inputs)
        return None

    def _fitted(self, ids: Tensor) -> Tensor:
        """Ids (tokens, width) as wide as the model reads, a longer token's end mark put last."""
        more = self._max_characters - ids.shape[1]
        if more >= 0:
            return F.pad(ids, (0, more), value=PAD)
        ids = ids[:, :more].clone()
        ids[:, -1][(ids != EOW).all(dim=1)] = EOW
        return ids

    @staticmethod
    def _with_marks(rows: Tensor, marked: Tensor, marks: Tensor) -> Tensor:
        """Rows of sentence after sentence, with the two marks around each."""
        stops = marked.cumsum(0)
        n_rows = len(rows) + 2 * len(marked)
        is_token = torch.ones(n_rows, dtype=torch.bool, device=rows.device)
        is_token[stops - marked] = is_token[stops - 1] = False
        places = torch.empty(n_rows, dtype=torch.int64, device=rows.device)
        places[is_token] = torch.arange(len(rows), device=rows.device)
        places[stops - marked], places[stops - 1] = len(rows), len(rows) + 1
        return torch.cat([rows, marks.to(rows.dtype)])[places]

    def _encoded(self, ids: Tensor) -> Tensor:
        """Token vectors of character ids (N, width), each distinct row computed once."""
        distinct, inverse = torch.unique(ids, dim=0, return_inverse=True)
        vectors: Tensor = self.bilm.token_encoder(distinct)
        return vectors[inverse]

    def _run(self, tokens: Tensor, marked: list[int], order: Tensor) -> tuple[Tensor, ...]:
        """The layers; where the model is stateful the state is read and kept, by batch row."""
        state = None
        if self._states is not None:
            missing = max(0, len(order) - self._states[0].shape[1])
            rows = [F.pad(part.to(tokens), (0, 0, 0, missing))[:, order] for part in self._states]
            state = BiLMState(LSTMState(*rows[:2]), LSTMState(*rows[2:]))
        # A state has a row of its own.
        device = tokens.device
        packing = (
            pack(marked, device=device)
            if self.stateful
            else pack_rows(marked, padded_rows, device=device)
        )
        output = self.bilm(tokens, packing, state)
        if self.stateful:
            inverse = torch.argsort(order)
            after = output.state.rows(inverse)
            both = (after.forward.h, after.forward.c, after.backward.h, after.backward.c)
            parts = tuple(part.detach() for part in both)
            kept = self._states or tuple(part[:, :0] for part in parts)
            self._states = tuple(
                torch.cat([new, old[:, len(order) :].to(new)], dim=1)
                for new, old in zip(parts, kept, strict=True)
            )
        layers: tuple[Tensor, ...] = output.layers
        return layers

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        rename_bilm(state_dict, prefix, self.elmo.config)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _cache(self, words: list[str], requires_grad: bool) -> None:
        vectors = self.elmo.token_vectors([BOS_TOKEN, EOS_TOKEN, *words])
        self.register_buffer("_mark_vectors", vectors[:2].clone(), persistent=False)
        self._word_embedding = nn.Embedding(len(words), vectors.shape[1])
        self._word_embedding.weight.data.copy_(vectors[2:])
        self._word_embedding.requires_grad_(requires_grad)


def _loaded(options_file: str | None, weight_file: str | None) -> Elmo:
    if options_file is None:
        return load(weight_file)
    return load(options=options_file, weights=weight_file)


def _check_integers(ids: Tensor, axes: tuple[str, ...]) -> None:
    if ids.dim() != len(axes) or ids.is_floating_point():
        raise ShapeError(
            f"compat.allennlp: ids: expected integers ({', '.join(axes)}), got {ids.dtype} "
            f"{tuple(ids.shape)}"
        )


def _check_characters(ids: Tensor) -> None:
    _check_integers(ids, ("batch", "time", "characters"))
    lowest, highest = (int(x) for x in ids.aminmax()) if ids.numel() else (0, 0)
    if lowest < 0 or highest > N_CHARACTERS:
        raise InputError(
            f"compat.allennlp: character ids: expected 0 to {N_CHARACTERS}, got {lowest} to "
            f"{highest}; see batch_to_ids"
        )


def _mask(ids: Tensor) -> Tensor:
    """Where there is a token, (batch, time), for ids of characters or of words."""
    mask = (ids > 0).any(dim=-1) if ids.dim() == 3 else ids > 0
    if bool((mask[:, 1:] & ~mask[:, :-1]).any()):
        raise ShapeError("compat.allennlp: ids: padding (0) between tokens, expected behind them")
    return mask
