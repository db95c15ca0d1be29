"""What the tests of training share: tiny corpora and settings, batches as words, same runs."""

import gzip
import itertools
import json
import lzma
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from relmo.config import BiLMConfig, CharCNNConfig
from relmo.formats import bilm_hdf5, relmo_format
from relmo.formats.checkpoint import Checkpoint
from relmo.text.vocab import Vocabulary
from relmo.train.batches import LMBatch
from relmo.train.config import TrainConfig
from relmo.train.loop import Result
from relmo.train.objective import Objective
from relmo.train.parts import Part
from relmo.train.run import train
from tests.formats.helpers import assert_same
from tests.reference.bilm_numpy import lstm_layer, read_arrays, token_vectors, zero_state

SHAPE = BiLMConfig(
    lstm_dim=6,
    projection_dim=4,
    char_cnn=CharCNNConfig(filters=((1, 3), (2, 5)), embedding_dim=3, n_highway=1),
)
WORDS = [f"w{number}" for number in range(12)]
VOCAB = Vocabulary(["</S>", "<S>", "<UNK>", *WORDS])
WORD_MODEL = BiLMConfig(lstm_dim=6, projection_dim=4, n_words=len(VOCAB))
SPEEDS = {"tokens_per_second"}


def config(**changes: Any) -> TrainConfig:
    """Settings of a run that takes a moment."""
    tiny: dict[str, Any] = {
        "model": SHAPE,
        "mode": "sentence",
        "batch_tokens": 40,
        "unroll_steps": 5,
        "n_candidates": 4,
        "warmup_steps": 3,
        "decay": "none",
        "max_steps": 12,
        "save_every_steps": 4,
        "validate_every_steps": 5,
        "valid_tokens": 0,
        "learning_rate": 0.05,
    }
    return TrainConfig(**{**tiny, **changes})


def random_sentences(n: int, seed: int = 0, longest: int = 7) -> list[list[str]]:
    """Sentences that all differ: their number is a word of its own at each end."""
    random = np.random.default_rng(seed)
    return [
        [f"s{k}", *random.choice(WORDS, random.integers(0, longest)).tolist(), f"s{k}"]
        for k in range(n)
    ]


def write(path: Path, sentences: Iterable[Sequence[str]], blanks: int = 0) -> Path:
    """A corpus file, compressed by its name; `blanks` empty lines after each sentence."""
    text = "".join(" ".join(sentence) + "\n" * (1 + blanks) for sentence in sentences).encode()
    pack = {".gz": partial(gzip.compress, mtime=0), ".xz": lzma.compress}.get(path.suffix, bytes)
    path.write_bytes(pack(text))
    return path


Row = list[tuple[str, str]]
"""(input, target) of each step; a target outside the vocabulary reads <UNK>."""


def as_words(batch: LMBatch, vocab: Vocabulary = VOCAB) -> tuple[list[Row], list[Row]]:
    """What each row reads and predicts, forwards and backwards."""
    words = [_word(ids) for ids in batch.words.tolist()]
    sides = (
        (batch.forward_inputs, batch.forward_targets),
        (batch.backward_inputs, batch.backward_targets),
    )
    both = []
    for inputs, targets in sides:
        rows: list[Row] = [[] for _ in range(batch.batch_sizes[0])]
        pairs = iter(zip(inputs.tolist(), targets.tolist(), strict=True))
        for alive in batch.batch_sizes:
            for row in range(alive):
                word, target = next(pairs)
                rows[row].append((words[word], vocab.words[target]))
        assert next(pairs, None) is None
        both.append(rows)
    return both[0], both[1]


def _word(ids: list[int]) -> str:
    inner = ids[1 : ids.index(259)]
    return {(256,): "<S>", (257,): "</S>"}.get(tuple(inner)) or bytes(inner).decode()


def assert_same_batch(one: LMBatch, other: LMBatch) -> None:
    assert one.batch_sizes == other.batch_sizes
    for name, value in vars(one).items():
        assert _same(value, getattr(other, name)), name


def metrics(out: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics but for its speeds."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in SPEEDS} for line in lines]


def training_state(out: Path) -> dict[str, Any]:
    """What a resume starts from, beside the model."""
    state = torch.load(out / "last" / "training.pt", weights_only=True)
    assert isinstance(state, dict)
    return state


def assert_same_run(one: Path, other: Path) -> None:
    """Same bits in both folders: models, optimizer, random state, position, metrics."""
    for name in ("last", "best"):
        assert (one / name).exists() == (other / name).exists(), name
        if (one / name).exists():
            assert_same(relmo_format.read(one / name), relmo_format.read(other / name))
    assert _same(training_state(one), training_state(other))
    assert metrics(one) == metrics(other)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def naive_losses(
    model: Objective, folder: Path, sentence: Sequence[str]
) -> tuple[list[float], list[float]]:
    """Every prediction's negative log-likelihood by the slow numpy biLM, float64, full softmax.

    Forwards `<S> w1 .. wn` predicts `w1 .. wn </S>`, backwards `</S> wn .. w1` predicts
    `wn .. w1 <S>`; both are in the order they are read.
    """
    config, tensors = model.bilm.config, model.bilm.state_dict()
    checkpoint = Checkpoint(config=config, tensors=tensors, format="relmo", source=folder)
    bilm_hdf5.write(checkpoint, folder)
    options = json.loads((folder / "options.json").read_text())
    arrays = {k: v.astype(np.float64) for k, v in read_arrays(folder / "weights.hdf5").items()}
    weight, bias = (p.detach().double().numpy() for p in model.softmax.parameters())
    text = ["<S>", *sentence, "</S>"]
    both = []
    for direction, words in enumerate((text, text[::-1])):
        x = token_vectors(options, arrays, words[:-1])
        for layer, first in enumerate(zero_state(options)[direction]):
            cell = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
            y, _ = lstm_layer(options, arrays, cell, x, first)
            x = y + x if layer else y  # skip connections
        logits = x @ weight.T + bias[:, 0]
        log_total = np.log(np.exp(logits).sum(axis=1))
        targets = VOCAB.ids(words[1:])
        both.append((log_total - logits[np.arange(len(targets)), targets]).tolist())
    return both[0], both[1]


def language_model(seed: int = 0, dropout: float = 0.0, scale: float = 2.0) -> Objective:
    """A tiny one whose predictions are far from uniform."""
    torch.manual_seed(seed)
    model = Objective(SHAPE, len(VOCAB), dropout)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale).add_(0.1 * torch.randn_like(parameter))
    return model


HELD_OUT = random_sentences(4, seed=9)


class Corpora:
    """Two training files and one held out, in a folder."""

    def __init__(self, folder: Path) -> None:
        sentences = random_sentences(30)
        self.files = [
            write(folder / "a.txt.gz", sentences[:20]),
            write(folder / "b.txt", sentences[20:], blanks=1),
        ]
        self.valid = write(folder / "valid.txt", HELD_OUT)

    def train(self, out: Path, settings: TrainConfig, **changes: Any) -> Result:
        given = {"files": self.files, "valid": self.valid, "vocab": VOCAB, **changes}
        files, valid = given.pop("files"), given.pop("valid")
        return train(files, valid, out, settings, **given)


def after(n_steps: int) -> Callable[[], bool]:
    """A `should_stop` that stops at the n-th step of a session."""
    count = itertools.count(1)
    return lambda: next(count) >= n_steps


@contextmanager
def breaking(part: int, step: int) -> Iterator[None]:
    """The loss of one part is not finite, at one step, once."""
    real, steps = Part.losses, itertools.count(1)

    def losses(self: Part, model: Objective) -> tuple[torch.Tensor, torch.Tensor, int]:
        forward, backward, n_predictions = real(self, model)
        is_bad = self.number == part and next(steps) == step
        return forward * torch.nan if is_bad else forward, backward, n_predictions

    with mock.patch.object(Part, "losses", losses):
        yield


def assert_tidy(out: Path) -> None:
    """Nothing half written lies about."""
    whole = {"run.json", "run.toml", "run.lock", "metrics.jsonl", "last", "best"}
    assert {path.name for path in out.iterdir()} <= whole
