"""What tests of several rooms share: a tiny random model, and the command line called in here."""

import contextlib
import io
import json
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import torch

from relmo.cli import main
from relmo.config import BiLMConfig, CharCNNConfig
from relmo.elmo.model import Elmo
from relmo.formats.checkpoint import Checkpoint, parameter_shapes
from relmo.text.vocab import Vocabulary

TINY = BiLMConfig(
    lstm_dim=6,
    projection_dim=4,
    char_cnn=CharCNNConfig(filters=((1, 3), (2, 5)), embedding_dim=3, n_highway=1),
)
CARD = "# tiny\n\nRandom weights, for tests.\n"


def tiny_elmo(seed: int = 0, *, words: Sequence[str] = ()) -> Elmo:
    """A model with random weights: 3 layers, dim 8; with a softmax if there are words for it."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        name: torch.randn(shape, generator=generator) / 2 for name, shape in parameter_shapes(TINY)
    }
    softmax = {
        "weight": torch.randn(len(words), TINY.projection_dim, generator=generator),
        "bias": torch.randn(len(words), generator=generator),
    }
    return Elmo.from_checkpoint(
        Checkpoint(
            config=TINY,
            tensors=tensors,
            vocab=Vocabulary(words) if words else None,
            softmax=softmax if words else None,
            card=CARD,
            format="relmo",
            source=Path("tiny"),
        )
    )


def tiny_model(folder: Path, seed: int = 0, *, words: Sequence[str] = ()) -> Path:
    """`tiny_elmo`, saved."""
    tiny_elmo(seed, words=words).save(folder)
    return folder


def golden_layers(goldens: Path) -> tuple[list[list[str]], list[np.ndarray]]:
    """The sentences of goldens/allennlp and their layers, each from a zero state."""
    folder = goldens / "allennlp"
    streams = json.loads((folder / "sentences.json").read_text())
    layers = np.load(folder / "zero_state_layers.npz")
    names = [f"{s}_{n}" for s, stream in enumerate(streams) for n in range(len(stream))]
    return [line.split() for stream in streams for line in stream], [layers[n] for n in names]


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail a block that takes longer, such as one that waits at a named pipe."""

    def late(*_: object) -> None:
        raise AssertionError(f"not done within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


def relmo(*arguments: str | Path, stdin: str | bytes = b"") -> Ran:
    """Run `relmo ARGUMENTS` in this process; times and speeds in its output become X."""
    text = stdin.encode() if isinstance(stdin, str) else stdin
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.object(sys, "argv", ["relmo", *map(str, arguments)]),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(text))),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main.run()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
    return Ran(code, _without_times(out.getvalue()), _without_times(err.getvalue()))


def _without_times(text: str) -> str:
    return re.sub(r"[\d.,]+ s \([\d,]+ tokens/s\)", "X s (X tokens/s)", text)
