"""A biLM's training run: what it needs to start, to go on bit for bit, and each of its steps."""

import math
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from relmo._read import PathLike
from relmo.data.corpora import Corpus
from relmo.errors import ConfigError, FormatError, InputError, TrainingError
from relmo.formats import relmo_format
from relmo.formats.checkpoint import Checkpoint
from relmo.nn.softmax import default_cutoffs, stored
from relmo.text.vocab import Vocabulary
from relmo.train.batches import Encoder
from relmo.train.config import TrainConfig
from relmo.train.description import check_continues, describe, described_again, origin, to_toml
from relmo.train.distributed import Processes, joined, own_device
from relmo.train.evaluate import Perplexity, perplexity, thinned
from relmo.train.folder import LAST, RUN, RunFolder
from relmo.train.loop import Progress, Result, fit
from relmo.train.objective import Objective, fill, fill_words
from relmo.train.optimizers import OptimizerGroup, clip_gradient, learning_rate
from relmo.train.parts import Part

__all__ = ["LAST", "Files", "TrainingRun", "train", "vocabulary"]

Files = PathLike | Sequence[PathLike]


def train(  # noqa: PLR0913 - a run is its files, its settings and its two callbacks
    files: Files | Corpus,
    valid: Files | Corpus | None,
    out: str | os.PathLike[str],
    config: TrainConfig,
    *,
    vocab: Vocabulary | None = None,
    initial: Checkpoint | None = None,
    resume: bool = False,
    device: str | torch.device = "cpu",
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_record: Callable[[dict[str, Any]], None] = lambda _: None,
) -> Result:
    """Train a biLM, shared among the processes that torchrun has started.

    Args:
        files: the corpus, or its files, one tokenised sentence a line; see `Corpus`.
        valid: held-out sentences, likewise; None: no validation and no best model, only the last.
        out: the run's folder; see `relmo.train.folder`.
        config: what the run is.
        vocab: words of the softmax by decreasing frequency; None: built from the corpus.
        initial: the model to start from, instead of random weights; see `finetune`.
        resume: continue where the folder holds a checkpoint, start where it does not.
        device: where to compute; "cuda" under torchrun is each process's own.
        should_stop: asked after each step; a stop saves first.
        on_progress: told after each step.
        on_record: told each line of the metrics; see `relmo.train.tensorboard`.

    Raises:
        InputError: a file or the folder cannot be used.
        ConfigError: the settings contradict each other or the run that is resumed.
        FormatError: the vocabulary lacks a special word, or the run to resume is damaged.
        TrainingError: a loss, a gradient or a weight is not finite, again after a roll back; the
            last checkpoint stands.
        ProcessError: another process of the run is gone; the last checkpoint stands.
    """
    if config.patience and valid is None:
        raise ConfigError(f"--patience {config.patience}: needs held-out sentences, --valid")
    device = own_device(device)
    with joined(config.parts, device) as processes:
        folder = RunFolder(Path(out))
        if processes.is_first:
            folder.check(resume)
        run = TrainingRun(files, valid, Path(out), config, vocab, device, processes, initial)
        run.on_record = on_record
        with folder.held(resume) if processes.is_first else nullcontext():
            return fit(
                run,
                max_steps=config.max_steps,
                save_every_steps=config.save_every_steps,
                validate_every_steps=config.validate_every_steps,
                patience=config.patience,
                baseline_step=run.baseline_step,
                progress=run.start(),
                should_stop=lambda: processes.any(should_stop()),
                on_progress=on_progress,
            )


def vocabulary(corpus: Corpus, out: Path) -> Vocabulary:
    """Return the words of the run in a folder; of the corpus where there is none."""
    path = out / LAST / relmo_format.VOCAB
    return (
        Vocabulary.read(path, require_specials=True) if path.exists() else Vocabulary.build(corpus)
    )


class TrainingRun:
    """The job of training a biLM; see `train` for the arguments."""

    def __init__(
        self,
        files: Files | Corpus,
        valid: Files | Corpus | None,
        out: Path,
        config: TrainConfig,
        vocab: Vocabulary | None,
        device: torch.device,
        processes: Processes,
        initial: Checkpoint | None,
    ) -> None:
        self.config, self.folder, self.device = config, RunFolder(out), device
        self.initial, self._begin_with = None if initial is None else origin(initial), initial
        self.on_record: Callable[[dict[str, Any]], None] = lambda _: None
        self.processes = processes
        corpus = self.corpus = files if isinstance(files, Corpus) else Corpus(files)
        self.valid = valid if valid is None or isinstance(valid, Corpus) else Corpus(valid)
        for _ in thinned(self.valid or (), config.valid_tokens):
            pass  # what cannot be read is said now, not at the first validation
        self.vocab = vocabulary(corpus, out) if vocab is None else vocab
        if config.model.lexicon is not None:
            raise ConfigError("model: lexicon: relmo trains char_cnn and n_words models only")
        if config.model.n_words not in (None, len(self.vocab)):
            raise ConfigError(
                f"model: n_words: expected {len(self.vocab)}, the words of the vocabulary, got "
                f"{config.model.n_words}"
            )
        char_cnn = config.model.char_cnn
        longest = None if char_cnn is None else char_cnn.max_characters_per_token
        self.encoder = Encoder(self.vocab, longest)
        self._begin()

    def _begin(self) -> None:
        """Set up the run before its first step."""
        config, initial = self.config, self._begin_with
        torch.manual_seed(config.seed)
        self.model = self._model()
        self.vectors: dict[str, Any] | None = None  # what was found of the file of word vectors
        self.baseline_step: int | None = None
        if initial is not None:
            if config.word_vectors is not None:
                raise ConfigError("--word-vectors: the model to start from has its own")
            fill(self.model, initial)
            # The perplexity before: of a softmax that has to be learned first, once it is.
            self.baseline_step = config.softmax_steps if initial.softmax is None else 0
        elif config.word_vectors is not None and not self.folder.holds_run():
            self.vectors = fill_words(self.model, config.word_vectors, self.vocab)
        self.model.to(self.device)
        self.parts = [
            Part(number, self.corpus, self.encoder, config, self.device)
            for number in self.processes.own(config.parts)
        ]
        self.optimizers = self._optimizers()
        self.model.train()

    def _model(self) -> Objective:
        config, n_words = self.config, len(self.vocab)
        cutoffs = None
        if config.softmax == "adaptive":
            cutoffs = config.cutoffs or default_cutoffs(n_words)
        return Objective(
            config.model, n_words, config.dropout,
            variational=config.dropout_kind == "variational", cutoffs=cutoffs, tied=config.tied,
        )  # fmt: skip

    def _optimizers(self) -> OptimizerGroup:
        config = self.config
        is_sparse = config.softmax == "sampled"
        # A tied weight is the embedding's too, and its gradient is no longer sparse.
        bilm = dict.fromkeys(self.model.bilm.parameters())
        softmax = [p for p in self.model.softmax.parameters() if p not in bilm]
        dense = [*bilm, *([] if is_sparse else softmax)]
        fractions = {
            parameter: config.layer_decay**depth
            for depth, parameters in enumerate(self.model.parameters_by_depth())
            for parameter in parameters
        }
        return OptimizerGroup(dense, softmax if is_sparse else [], config, fractions)

    def start(self) -> dict[str, Any] | None:
        """Begin in the run's folder, or take up what it holds; return the progress to go on from.

        Raises:
            InputError: the folder cannot be written.
            ConfigError: the run to resume had another configuration or corpus.
            FormatError: the run to resume is damaged.
        """
        now = describe(
            self.config,
            self.corpus,
            self.valid,
            self.vocab,
            self.initial,
            self.vectors,
            self.device,
        )
        if not self.folder.holds_run():
            if self.processes.is_first:
                self.folder.start(now, to_toml(now))
            return None
        started = self.folder.description()
        check_continues(started, now, str(self.folder.path / RUN))
        progress = self._load()
        if self.processes.is_first:
            progress["lines"] = self.folder.drop_later_metrics(progress.get("lines"))
            description = described_again(started, now)
            self.folder.describe(description, to_toml(description))
        return progress

    def roll_back(self) -> dict[str, Any]:
        """Take up the last checkpoint, or begin again where there is none; see `loop.Job`."""
        if not self.folder.holds_run():
            self._begin()
            return {}
        self.model.zero_grad(set_to_none=True)
        return self._load()

    def skip(self) -> None:
        """Pass over the text of a step; see `loop.Job`."""
        for part in self.parts:
            part.batches.next()

    def step(self, number: int, rate_share: float) -> dict[str, float]:
        """Make one update; see `loop.Job`."""
        config = self.config
        self.model.bilm.requires_grad_(number > config.softmax_steps)
        measures = self._add_gradients()
        if not math.isfinite(measures["loss"]):
            return measures
        self.processes.sum_gradients(self.model.parameters())
        norm = float(clip_gradient(self.model.parameters(), config.clip_norm))
        if not math.isfinite(norm):
            return {**measures, "gradient_norm": norm}
        rate = rate_share * learning_rate(config, number)
        self.optimizers.step(rate)
        return {**measures, "gradient_norm": norm, "learning_rate": rate}

    def _add_gradients(self) -> dict[str, float]:
        """Add up the gradients of this process's parts, each part's mean loss counting the same.

        Returns the measures of all parts, whichever process has them.
        """
        config = self.config
        sums = [0.0, 0.0, 0.0, 0.0]
        for part in self.parts:
            forward, backward, n_predictions = part.losses(self.model)
            both = 0.5 * (forward + backward)
            now = (both.item(), forward.item(), backward.item(), float(n_predictions))
            sums = [total + number for total, number in zip(sums, now, strict=True)]
            if not math.isfinite(sums[0]):
                break
            scale = config.gradient_scale / config.parts
            (both * scale).backward()  # type: ignore[no-untyped-call]
        *losses, tokens = self.processes.sum(sums)
        names = ("loss", "forward_loss", "backward_loss")
        means = (total / config.parts for total in losses)
        return {**dict(zip(names, means, strict=True)), "tokens": tokens}

    def validate(self) -> dict[str, float]:
        """Return the perplexity of the validation file, full softmax; see `loop.Job`."""
        if self.valid is None:
            return {}
        result = self.perplexity(self.valid, self.config.valid_tokens)
        return {
            "score": result.mean,
            "forward_perplexity": result.forward,
            "backward_perplexity": result.backward,
            "perplexity": result.mean,
            "predictions": result.n_predictions,
            "unknown": result.n_unknown,
        }

    def perplexity(self, corpus: Corpus, max_tokens: int = 0) -> Perplexity:
        """Return a corpus's perplexity, full softmax; each process reads a part of it."""
        return perplexity(
            self.model, self.encoder, corpus, max_tokens=max_tokens, processes=self.processes
        )

    def record(self, measures: dict[str, Any]) -> None:
        """Append a line to the metrics; see `loop.Job`."""
        if self.processes.is_first:
            self.folder.record(measures)
            self.on_record(measures)

    def save(self, name: str, progress: dict[str, Any]) -> None:
        """Write a checkpoint whole or not at all; see `loop.Job`.

        Raises:
            InputError: it cannot be written; the earlier one stands.
            TrainingError: a weight is not finite; the earlier one stands.
        """
        checkpoint = self.checkpoint()
        for what, tensor in {**checkpoint.tensors, **(checkpoint.softmax or {})}.items():
            if not bool(torch.isfinite(tensor).all()):
                raise TrainingError(
                    f"step {progress['step']}: {what!r} is no longer finite and is not saved"
                )
        state = self._resumable(progress) if name == LAST else None  # of every process's parts
        if self.processes.is_first:
            self.folder.save(name, checkpoint, state)

    def checkpoint(self) -> Checkpoint:
        """Return the model as the formats write it."""
        return Checkpoint(
            config=self.config.model,
            tensors={k: v.detach().cpu() for k, v in self.model.bilm.state_dict().items()},
            vocab=self.vocab,
            softmax={k: v.detach().cpu() for k, v in stored(self.model.softmax).items()},
            card=None,
            format=relmo_format.NAME,
            source=self.folder.path,
        )

    def _resumable(self, progress: dict[str, Any]) -> dict[str, Any]:
        parts = self.processes.gather([part.state_dict() for part in self.parts])
        return {
            "progress": progress,
            "optimizers": self.optimizers.state_dict(),
            **(parts[0] if self.config.parts == 1 else {"parts": parts}),
        }

    def _load(self) -> dict[str, Any]:
        """Take up the last checkpoint and return its progress."""
        checkpoint, saved = self.folder.load()
        if checkpoint.config != self.config.model or checkpoint.softmax is None:
            raise FormatError(f"{self.folder.path / LAST}: another model than in {RUN}")
        if checkpoint.vocab != self.vocab:
            raise InputError(f"{self.folder.path}: the run to resume has another vocabulary")
        try:
            fill(self.model, checkpoint)
        except ConfigError as error:
            raise FormatError(f"{self.folder.path / LAST}: {error}") from error
        try:
            return self._load_state(saved)
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            where = self.folder.path / LAST
            raise FormatError(f"{where}: training.pt is not of this run: {error!r}") from error

    def _load_state(self, saved: dict[str, Any]) -> dict[str, Any]:
        self.optimizers.load_state_dict(saved["optimizers"])
        states = [saved] if self.config.parts == 1 else saved["parts"]
        for part in self.parts:
            part.load_state_dict(states[part.number])
        progress: dict[str, Any] = saved["progress"]
        return progress
