"""A biLM's training run: what it needs to start, to go on bit for bit, and each of its steps."""

import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from relmo.errors import ConfigError, FormatError, InputError, TrainingError
from relmo.formats import relmo_format
from relmo.formats.checkpoint import Checkpoint
from relmo.nn.bilm import BiLMState
from relmo.nn.lstm import LSTMState
from relmo.text.corpora import Corpus, PathLike
from relmo.text.vocab import Vocabulary
from relmo.train.batches import Batches, Encoder, SentenceBatches, StreamBatches
from relmo.train.config import TrainConfig
from relmo.train.description import check_continues, describe, described_again, origin
from relmo.train.evaluate import Perplexity, perplexity, thinned
from relmo.train.folder import LAST, RUN, RunFolder
from relmo.train.loop import Progress, Result, fit
from relmo.train.objective import CandidateSampler, LanguageModel
from relmo.train.optimizers import OptimizerGroup, clip_gradient, learning_rate

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
    """Train a biLM.

    Args:
        files: the corpus, or its files, one tokenised sentence a line; see `Corpus`.
        valid: held-out sentences, likewise; None: no validation and no best model, only the last.
        out: the run's folder; see `relmo.train.folder`.
        config: what the run is.
        vocab: words of the softmax by falling frequency; None: built from the corpus.
        initial: the model to start from, instead of random weights; see `finetune`.
        resume: continue where the folder holds a checkpoint, start where it does not.
        device: where to compute.
        should_stop: asked after each step; a stop saves first.
        on_progress: told after each step.
        on_record: told each line of the metrics; see `relmo.train.tensorboard`.

    Raises:
        InputError: a file or the folder cannot be used.
        ConfigError: the settings contradict each other or the run that is resumed.
        FormatError: the vocabulary lacks a special word, or the run to resume is damaged.
        TrainingError: a loss, a gradient or a weight is not finite, again after a roll back; the
            last checkpoint stands.
    """
    if config.patience and valid is None:
        raise ConfigError(f"--patience {config.patience}: needs held-out sentences, --valid")
    RunFolder(Path(out)).check(resume)
    run = TrainingRun(files, valid, Path(out), config, vocab, torch.device(device), initial)
    run.on_record = on_record
    progress = run.start(resume)
    return fit(
        run,
        max_steps=config.max_steps,
        save_every_steps=config.save_every_steps,
        validate_every_steps=config.validate_every_steps,
        patience=config.patience,
        baseline_step=run.baseline_step,
        progress=progress,
        should_stop=should_stop,
        on_progress=on_progress,
    )


def vocabulary(corpus: Corpus, out: Path) -> Vocabulary:
    """The words of the run in a folder; of the corpus where there is none."""
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
        initial: Checkpoint | None = None,
    ) -> None:
        self.config, self.folder, self.device = config, RunFolder(out), device
        self.initial, self._begin_with = None if initial is None else origin(initial), initial
        self.on_record: Callable[[dict[str, Any]], None] = lambda _: None
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
        """The run before its first step."""
        config, initial = self.config, self._begin_with
        torch.manual_seed(config.seed)
        self.model = LanguageModel(config.model, len(self.vocab), config.dropout)
        self.baseline_step: int | None = None
        if initial is not None:
            self._fill(initial)
            # The perplexity before: of a softmax that has to be learned first, once it is.
            self.baseline_step = config.softmax_steps if initial.softmax is None else 0
        self.model.to(self.device)
        self.batches: Batches = self._batches(self.corpus)
        self.candidates = CandidateSampler(len(self.vocab), config.n_candidates, config.seed)
        self.state: BiLMState | None = None
        self.optimizers = self._optimizers()
        self.model.train()

    def _optimizers(self) -> OptimizerGroup:
        config = self.config
        is_sparse = config.softmax == "sampled"
        softmax = list(self.model.softmax.parameters())
        dense = [*self.model.bilm.parameters(), *([] if is_sparse else softmax)]
        shares = {
            parameter: config.layer_decay**depth
            for depth, parameters in enumerate(self.model.parameters_by_depth())
            for parameter in parameters
        }
        return OptimizerGroup(dense, softmax if is_sparse else [], config, shares)

    def _batches(self, corpus: Corpus) -> Batches:
        config = self.config
        if config.mode == "sentence":
            return SentenceBatches(
                corpus, self.encoder, config.batch_tokens, config.pool_batches, config.seed
            )
        rows = config.batch_tokens // config.unroll_steps
        return StreamBatches(
            corpus, self.encoder, rows, config.unroll_steps, config.seed,
            resets=config.mode == "rows",
        )  # fmt: skip

    def start(self, resume: bool) -> dict[str, Any] | None:
        """Make the run's folder ready, or take up what it holds; returns the progress to go on.

        Raises:
            InputError: the folder holds a run and `resume` is not given, or cannot be written.
            ConfigError: the run to resume had another configuration or corpus.
            FormatError: the run to resume is damaged.
        """
        self.folder.check(resume)
        now = describe(self.config, self.corpus, self.valid, self.vocab, self.initial, self.device)
        if not self.folder.holds_run():
            self.folder.start(now)
            return None
        started = self.folder.description()
        check_continues(started, now, str(self.folder.path / RUN))
        progress = self._load()
        progress["lines"] = self.folder.drop_later_metrics(progress.get("lines"))
        self.folder.describe(described_again(started, now))
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
        self.batches.next()

    def step(self, number: int, rate_share: float) -> dict[str, float]:
        """One update; see `loop.Job`."""
        config = self.config
        self.model.bilm.requires_grad_(number > config.softmax_steps)
        batch = self.batches.next().to(self.device)
        candidates = self.candidates.draw() if config.softmax == "sampled" else None
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"
        ):
            forward, backward, state = self.model.loss(batch, self.state, candidates)
        loss = 0.5 * (forward + backward)
        measures = {
            "loss": loss.item(),
            "forward_loss": forward.item(),
            "backward_loss": backward.item(),
            "tokens": float(batch.n_predictions),
        }
        if not math.isfinite(measures["loss"]):
            return measures
        (loss * config.gradient_scale).backward()  # type: ignore[no-untyped-call]
        norm = float(clip_gradient(self.model.parameters(), config.clip_norm))
        if not math.isfinite(norm):
            return {**measures, "gradient_norm": norm}
        rate = rate_share * learning_rate(config, number)
        self.optimizers.step(rate)
        self.state = state if self.batches.carries_state else None
        return {**measures, "gradient_norm": norm, "learning_rate": rate}

    def validate(self) -> dict[str, float]:
        """Perplexity of the validation file, full softmax; see `loop.Job`."""
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
        """Of any corpus, with the full softmax."""
        return perplexity(self.model, self.encoder, corpus, max_tokens=max_tokens)

    def record(self, measures: dict[str, Any]) -> None:
        """Append a line to the metrics; see `loop.Job`."""
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
        self.folder.save(name, checkpoint, self._resumable(progress) if name == LAST else None)

    def checkpoint(self) -> Checkpoint:
        """The model as the formats write it."""
        return Checkpoint(
            config=self.config.model,
            tensors={k: v.detach().cpu() for k, v in self.model.bilm.state_dict().items()},
            vocab=self.vocab,
            softmax={
                "weight": self.model.softmax.weight.detach().cpu(),
                "bias": self.model.softmax.bias.detach()[:, 0].cpu(),
            },
            card=None,
            format=relmo_format.NAME,
            source=self.folder.path,
        )

    def _resumable(self, progress: dict[str, Any]) -> dict[str, Any]:
        on_gpu = self.device.type == "cuda"
        state = self.state
        return {
            "progress": progress,
            "optimizers": self.optimizers.state_dict(),
            "batches": json.dumps(self.batches.position()),
            "candidates": json.dumps(self.candidates.state()),
            "torch_random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state(self.device) if on_gpu else None,
            "lstm_state": None if state is None else [
                state.forward.h, state.forward.c, state.backward.h, state.backward.c
            ],
        }  # fmt: skip

    def _load(self) -> dict[str, Any]:
        """Take up the last checkpoint; its progress."""
        checkpoint, saved = self.folder.load()
        if checkpoint.config != self.config.model or checkpoint.softmax is None:
            raise FormatError(f"{self.folder.path / LAST}: another model than in {RUN}")
        if checkpoint.vocab != self.vocab:
            raise InputError(f"{self.folder.path}: the run to resume has another vocabulary")
        self._fill(checkpoint)
        try:
            return self._load_state(saved)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            where = self.folder.path / LAST
            raise FormatError(f"{where}: training.pt is not of this run: {error!r}") from error

    @torch.no_grad()
    def _fill(self, checkpoint: Checkpoint) -> None:
        """Take its parameters, and those of its softmax where it has one."""
        self.model.bilm.load_state_dict(checkpoint.tensors)
        if checkpoint.softmax is not None:
            self.model.softmax.weight.copy_(checkpoint.softmax["weight"])
            self.model.softmax.bias.copy_(checkpoint.softmax["bias"][:, None])

    def _load_state(self, saved: dict[str, Any]) -> dict[str, Any]:
        self.optimizers.load_state_dict(saved["optimizers"])
        self.batches.seek(json.loads(saved["batches"]))
        self.candidates.set_state(json.loads(saved["candidates"]))
        torch.set_rng_state(saved["torch_random"])
        if saved["cuda_random"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(saved["cuda_random"], self.device)
        self.state = _lstm_state(saved["lstm_state"], self.device)
        progress: dict[str, Any] = saved["progress"]
        return progress


def _lstm_state(saved: list[Tensor] | None, device: torch.device) -> BiLMState | None:
    if saved is None:
        return None
    h, c, back_h, back_c = (tensor.to(device) for tensor in saved)
    return BiLMState(LSTMState(h, c), LSTMState(back_h, back_c))
