"""From sentences to the batches a biLM is trained on: sentences apart, in rows, or as a stream.

All give `LMBatch`es without padding, are decided by a seed alone, and tell their position, from
which a new one continues with the very next batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from relmo.data.corpora import Corpus
from relmo.nn.packing import pack
from relmo.text.chars import BOS_TOKEN, EOS_TOKEN, CharSpace
from relmo.text.vocab import Vocabulary

__all__ = [
    "BATCHES",
    "Batches",
    "LMBatch",
    "SentenceBatches",
    "ShuffledLines",
    "StreamBatches",
    "sentence_batch",
]


_BUFFER_LINES = 16_384
_FILES, _LINES, BATCHES = 0, 1, 3  # what random numbers are for (2: candidates)


class ShuffledLines:
    """Buffers of sentences, epoch after epoch: files in a random order, lines shuffled in a buffer.

    Its position is the start of the next buffer.
    """

    def __init__(self, corpus: Corpus, seed: int, longest: int) -> None:
        self._corpus = corpus
        self._seed, self._longest = seed, longest
        self.epoch = self.file = self.line = self.number = 0
        self._open: Iterator[str] | None = None
        self._found_any = False

    def position(self) -> dict[str, int]:
        """Return the start of the next buffer: plain numbers."""
        return {"epoch": self.epoch, "file": self.file, "line": self.line, "number": self.number}

    def seek(self, position: dict[str, int]) -> None:
        """Go to a position."""
        self.epoch, self.file = position["epoch"], position["file"]
        self.line, self.number = position["line"], position["number"]
        self._open = None
        self._found_any = self.file > 0 or self.line > 0  # perhaps before this position

    def generator(self, number: int, use: int) -> np.random.Generator:
        """Return the random numbers of a buffer, or of an epoch, for one use."""
        return np.random.default_rng([self._seed, use, number])

    def next(self) -> list[list[str]]:
        """Return the sentences of the next buffer, shuffled, longer ones cut into pieces."""
        sentences: list[list[str]] = []
        n_lines = 0
        while n_lines * self._corpus.n_shards < _BUFFER_LINES:  # of all shards together
            line = self._next_line()
            if line is None:  # a buffer ends with its epoch
                if sentences:
                    break
                continue
            n_lines += 1
            tokens = self._corpus.tokenize(line)
            self._found_any = self._found_any or bool(tokens)
            for start in range(0, len(tokens), self._longest):
                sentences.append(tokens[start : start + self._longest])
        self.generator(self.number, _LINES).shuffle(sentences)
        self.number += 1
        return sentences

    def _next_line(self) -> str | None:
        """Return the next line, or None at the end of an epoch."""
        while True:
            if self._open is None:
                n_files = len(self._corpus.paths)
                if self.file == n_files:
                    self._end_epoch()
                    return None
                order = self.generator(self.epoch, _FILES).permutation(n_files)
                self._open = self._corpus.text_lines(int(order[self.file]), skip=self.line)
            line = next(self._open, None)
            if line is not None:
                self.line += 1
                return line
            self._open, self.file, self.line = None, self.file + 1, 0

    def _end_epoch(self) -> None:
        if not self._found_any:
            raise self._corpus.is_empty()
        self._found_any = False
        self.epoch, self.file, self.line = self.epoch + 1, 0, 0


@dataclass(frozen=True)
class LMBatch:
    """Inputs and targets of both directions; each distinct word stands once in `words`.

    Args:
        words: character ids (words, max_characters_per_token), or word ids (words,).
        batch_sizes: rows alive at each step, non-increasing, N together.
        forward_inputs: row of `words` at each packed position, (N,).
        forward_targets: word ids to predict, (N,).
        backward_inputs: the same for the backward direction, (N,).
        backward_targets: (N,).
        forward_keep: (N, 1), 0 where a row starts anew from a zero state, else 1; None: nowhere.
        backward_keep: the same for the backward direction.
    """

    words: Tensor
    batch_sizes: tuple[int, ...]
    forward_inputs: Tensor
    forward_targets: Tensor
    backward_inputs: Tensor
    backward_targets: Tensor
    forward_keep: Tensor | None = None
    backward_keep: Tensor | None = None

    @property
    def n_predictions(self) -> int:
        """Number of predictions per direction."""
        return len(self.forward_inputs)

    def to(self, device: torch.device) -> "LMBatch":
        """Return the same batch on a device."""
        return LMBatch(
            self.words.to(device),
            self.batch_sizes,
            self.forward_inputs.to(device),
            self.forward_targets.to(device),
            self.backward_inputs.to(device),
            self.backward_targets.to(device),
            None if self.forward_keep is None else self.forward_keep.to(device),
            None if self.backward_keep is None else self.backward_keep.to(device),
        )


@runtime_checkable
class Batches(Protocol):
    """A source of batches that never ends and knows where it is."""

    carries_state: bool
    """Whether a batch's rows continue the last one's."""

    def next(self) -> LMBatch:
        """Return the next batch."""

    def position(self) -> dict[str, Any]:
        """Return where it is: numbers and strings."""

    def seek(self, position: dict[str, Any]) -> None:
        """Go to a position, so that `next` gives what it would have given there."""


class Encoder:
    """Words to what the token encoder reads and to target ids.

    Args:
        vocab: words of the softmax, the three specials among them.
        max_characters_per_token: of a character model; None: a word-input model.

    Raises:
        FormatError: the vocabulary lacks a special word.
    """

    def __init__(self, vocab: Vocabulary, max_characters_per_token: int | None) -> None:
        _ = vocab.bos, vocab.eos, vocab.unk
        self.vocab = vocab
        self.chars = None if max_characters_per_token is None else CharSpace(
            max_characters_per_token
        )  # fmt: skip

    def batch(
        self,
        batch_sizes: tuple[int, ...],
        forward: tuple[Sequence[str], Sequence[str]],
        backward: tuple[Sequence[str], Sequence[str]],
    ) -> LMBatch:
        """Return the batch of (inputs, targets) in packed order for each direction."""
        places: dict[str, int] = {}
        rows = [
            np.array([places.setdefault(token, len(places)) for token in tokens], np.int64)
            for tokens in (*forward, *backward)
        ]
        distinct = list(places)
        ids = self.vocab.ids(distinct)
        words: npt.NDArray[Any] = ids if self.chars is None else self.chars.encode(distinct)
        return LMBatch(
            torch.from_numpy(words.astype(np.int64)),
            batch_sizes,
            torch.from_numpy(rows[0]),
            torch.from_numpy(ids[rows[1]]),
            torch.from_numpy(rows[2]),
            torch.from_numpy(ids[rows[3]]),
        )


def sentence_batch(sentences: Sequence[Sequence[str]], encoder: Encoder) -> LMBatch:
    """Return a batch of sentences of decreasing length, each read from both ends.

    Forwards `<S> w1 .. wn` predicts `w1 .. wn </S>`; backwards `</S> wn .. w1` predicts
    `wn .. w1 <S>`: n + 1 predictions each (Peters et al. 2018, section 3.1).
    """
    packing = pack([len(sentence) + 1 for sentence in sentences])
    in_forward, in_backward = packing.forward.tolist(), packing.backward.tolist()
    forward = [token for sentence in sentences for token in (BOS_TOKEN, *sentence)]
    backward = [token for sentence in sentences for token in (*sentence, EOS_TOKEN)]
    return encoder.batch(
        packing.batch_sizes,
        ([forward[k] for k in in_forward], [backward[k] for k in in_forward]),
        ([backward[k] for k in in_backward], [forward[k] for k in in_backward]),
    )


class SentenceBatches:
    """Each sentence from a zero state, in random order, without padding.

    Args:
        corpus: one tokenised sentence a line.
        encoder: words to ids.
        batch_tokens: predictions of a direction in a batch, at most.
        pool_batches: batches' worth of sentences that are sorted by length together: one mixes
            all lengths in a batch, many make batches of like length.
        seed: decides the order.
    """

    carries_state = False

    def __init__(
        self, corpus: Corpus, encoder: Encoder, batch_tokens: int, pool_batches: int, seed: int
    ) -> None:
        self._lines = ShuffledLines(corpus, seed, max(1, batch_tokens - 1))
        self._encoder, self._batch_tokens = encoder, batch_tokens
        self._pool_batches = pool_batches
        self._start = self._lines.position()
        self._done = 0
        self._batches: list[list[list[str]]] = []

    def next(self) -> LMBatch:
        """Return the next batch."""
        while self._done >= len(self._batches):
            self._fill()
        self._done += 1
        return sentence_batch(self._batches[self._done - 1], self._encoder)

    def position(self) -> dict[str, Any]:
        """Return the current buffer's start and how many of its batches were returned."""
        return {"buffer": self._start, "done": self._done}

    def seek(self, position: dict[str, Any]) -> None:
        """Go to a position."""
        self._lines.seek(position["buffer"])
        self._batches = []
        if position["done"]:
            self._fill()
        self._start, self._done = dict(position["buffer"]), position["done"]

    def _fill(self) -> None:
        self._start = self._lines.position()
        generator = self._lines.generator(self._lines.number, BATCHES)
        sentences = self._lines.next()
        self._batches = []
        for pool in _groups(sentences, self._pool_batches * self._batch_tokens):
            pool.sort(key=len, reverse=True)
            self._batches += _even_groups(pool, self._batch_tokens)
        generator.shuffle(self._batches)
        self._done = 0


def _groups(sentences: Sequence[list[str]], n_predictions: int) -> list[list[list[str]]]:
    """Return groups of consecutive sentences, of at most so many predictions or one sentence."""
    groups: list[list[list[str]]] = []
    left = 0
    for sentence in sentences:
        if not groups or left < len(sentence) + 1:
            groups.append([])
            left = n_predictions
        groups[-1].append(sentence)
        left -= len(sentence) + 1
    return groups


def _even_groups(sentences: Sequence[list[str]], n_predictions: int) -> list[list[list[str]]]:
    """Split sentences into as few groups of about equal size as keep to so many predictions."""
    sizes = np.array([len(sentence) + 1 for sentence in sentences])
    ends = np.cumsum(sizes)
    n = -(-int(ends[-1]) // n_predictions)
    numbers = (ends - 1) * n // ends[-1]
    while np.bincount(numbers, weights=sizes).max() > n_predictions:
        n += 1
        numbers = (ends - 1) * n // ends[-1]
    return [
        [sentences[int(k)] for k in np.flatnonzero(numbers == number)]
        for number in np.unique(numbers)
    ]


class _Rows:
    """Running text in parallel rows: each is sentences end to end, as pairs (input, target)."""

    def __init__(self, source: ShuffledLines, n_rows: int, *, backward: bool) -> None:
        self._source, self._backward = source, backward
        self._rows: list[list[str]] = [[] for _ in range(n_rows)]  # what is left of a sentence
        self._start = source.position()
        self._sentences: list[list[str]] = []
        self._taken = 0

    def take(self, steps: int) -> tuple[list[str], list[str]]:
        """Return inputs and targets of the next steps, time-major, (steps * rows) each."""
        columns = [self._take_row(row, steps) for row in range(len(self._rows))]
        inputs = [column[step] for step in range(steps) for column in columns]
        targets = [column[step] for step in range(steps, 2 * steps) for column in columns]
        return inputs, targets

    def _take_row(self, row: int, steps: int) -> list[str]:
        inputs: list[str] = []
        targets: list[str] = []
        left = self._rows[row]
        while len(inputs) < steps:
            if len(left) < 2:
                left = self._next_sentence()
            count = min(steps - len(inputs), len(left) - 1)
            inputs += left[:count]
            targets += left[1 : count + 1]
            left = left[count:]
        self._rows[row] = left
        return inputs + targets

    def _next_sentence(self) -> list[str]:
        while self._taken >= len(self._sentences):
            self._start = self._source.position()
            self._sentences, self._taken = self._source.next(), 0
        self._taken += 1
        sentence = [BOS_TOKEN, *self._sentences[self._taken - 1], EOS_TOKEN]
        return sentence[::-1] if self._backward else sentence

    def position(self) -> dict[str, Any]:
        return {"buffer": self._start, "taken": self._taken, "rows": self._rows}

    def seek(self, position: dict[str, Any]) -> None:
        self._source.seek(position["buffer"])
        self._sentences = self._source.next() if position["taken"] else []
        self._start, self._taken = dict(position["buffer"]), position["taken"]
        self._rows = [list(row) for row in position["rows"]]


def _carry_mask(tokens: Sequence[str], boundary: str) -> Tensor:
    """Return 0 where a token is the boundary token, else 1: (N, 1), float32."""
    return torch.tensor([[float(token != boundary)] for token in tokens])


class StreamBatches:
    """Running text in rows whose LSTM state is carried from batch to batch, as published.

    The two directions read independently shuffled text (bilm-tf).

    Args:
        corpus: one tokenised sentence a line.
        encoder: words to ids.
        n_rows: parallel streams.
        unroll_steps: steps of a batch.
        resets: set the state to zero at the start of each sentence; within a sentence it is still
            carried from batch to batch.
        seed: decides the order.
    """

    carries_state = True

    def __init__(
        self,
        corpus: Corpus,
        encoder: Encoder,
        n_rows: int,
        unroll_steps: int,
        seed: int,
        *,
        resets: bool = False,
    ) -> None:
        longest = 2**62  # a sentence may go on over any number of batches
        self._encoder, self._steps, self._n_rows = encoder, unroll_steps, n_rows
        self._resets = resets
        self._forward = _Rows(ShuffledLines(corpus, 2 * seed, longest), n_rows, backward=False)
        self._backward = _Rows(ShuffledLines(corpus, 2 * seed + 1, longest), n_rows, backward=True)

    def next(self) -> LMBatch:
        """Return the next batch."""
        forward, backward = self._forward.take(self._steps), self._backward.take(self._steps)
        batch = self._encoder.batch((self._n_rows,) * self._steps, forward, backward)
        if not self._resets:
            return batch
        return replace(
            batch,
            forward_keep=_carry_mask(forward[0], BOS_TOKEN),
            backward_keep=_carry_mask(backward[0], EOS_TOKEN),
        )

    def position(self) -> dict[str, Any]:
        """Return where both directions' readers are, and what is left of each row's sentence."""
        return {"forward": self._forward.position(), "backward": self._backward.position()}

    def seek(self, position: dict[str, Any]) -> None:
        """Go to a position."""
        self._forward.seek(position["forward"])
        self._backward.seek(position["backward"])
