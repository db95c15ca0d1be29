"""The sentences of a corpus in random order, epoch after epoch, in bounded memory."""

from collections.abc import Iterator

import numpy as np

from relmo.text.corpora import Corpus

__all__ = ["BATCHES", "ShuffledLines"]

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
        """The start of the next buffer: plain numbers."""
        return {"epoch": self.epoch, "file": self.file, "line": self.line, "number": self.number}

    def seek(self, position: dict[str, int]) -> None:
        """Go to a position."""
        self.epoch, self.file = position["epoch"], position["file"]
        self.line, self.number = position["line"], position["number"]
        self._open = None
        self._found_any = self.file > 0 or self.line > 0  # perhaps before this position

    def generator(self, number: int, use: int) -> np.random.Generator:
        """The random numbers of a buffer, or of an epoch, for one use."""
        return np.random.default_rng([self._seed, use, number])

    def next(self) -> list[list[str]]:
        """The sentences of the next buffer, shuffled, longer ones cut into pieces."""
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
        """The next line, or None at the end of an epoch."""
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
