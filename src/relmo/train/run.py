"""A biLM's training run: its folder, its checkpoints, and the job that the loop works on.

DIR/run.json        the configuration and the corpus
DIR/metrics.jsonl   a line every few steps and every validation
DIR/last/           a model in relmo's format with training.pt: everything a resume needs
DIR/best/           the model with the best validation perplexity
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relmo._files import replacing_file, replacing_folder
from relmo.errors import FormatError, InputError
from relmo.formats import relmo_format
from relmo.formats.checkpoint import Checkpoint
from relmo.nn.bilm import BiLMState
from relmo.nn.lstm import LSTMState
from relmo.text.corpora import Corpus
from relmo.text.vocab import Vocabulary
from relmo.train.batches import Batches, Encoder, SentenceBatches, StreamBatches
from relmo.train.config import TrainConfig
from relmo.train.evaluate import Perplexity, perplexity
from relmo.train.loop import Progress, Result, fit
from relmo.train.objective import CandidateSampler, LanguageModel
from relmo.train.optimizers import OptimizerGroup, clip_gradient, learning_rate

__all__ = ["TrainingRun", "train"]

RUN, METRICS, LAST, BEST = "run.json", "metrics.jsonl", "last", "best"
_STATE = "training.pt"


def train(  # noqa: PLR0913 - a run is its files, its settings and its two callbacks
    files: Sequence[str | os.PathLike[str]],
    valid: str | os.PathLike[str] | None,
    out: str | os.PathLike[str],
    config: TrainConfig,
    *,
    vocab: Vocabulary | None = None,
    resume: bool = False,
    device: str | torch.device = "cpu",
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Result:
    """Train a biLM.

    Args:
        files: the corpus, one tokenised sentence a line, plain or compressed.
        valid: held-out sentences; None: no validation, and the last model is the best.
        out: the run's folder.
        config: what the run is.
        vocab: words of the softmax by falling frequency; None: built from the corpus.
        resume: continue where the folder holds a checkpoint, start where it does not.
        device: where to compute.
        should_stop: asked after each step; a stop saves first.
        on_progress: told after each step.

    Raises:
        InputError: a file or the folder cannot be used.
        ConfigError: the settings contradict each other or the run that is resumed.
        TrainingError: the loss is not finite.
    """
    run = TrainingRun(files, valid, Path(out), config, vocab, torch.device(device))
    progress = run.start(resume)
    return fit(
        run,
        max_steps=config.max_steps,
        save_every_steps=config.save_every_steps,
        validate_every_steps=config.validate_every_steps,
        progress=progress,
        should_stop=should_stop,
        on_progress=on_progress,
    )


class TrainingRun:
    """The job of training a biLM; see `train` for the arguments."""

    def __init__(
        self,
        files: Sequence[str | os.PathLike[str]],
        valid: str | os.PathLike[str] | None,
        out: Path,
        config: TrainConfig,
        vocab: Vocabulary | None,
        device: torch.device,
    ) -> None:
        self.config, self.out, self.device = config, out, device
        corpus = Corpus(files)
        self.files = [str(path) for path in corpus.paths]
        self.valid = None if valid is None else Corpus(valid)
        if vocab is None and (out / LAST / relmo_format.VOCAB).exists():
            vocab = Vocabulary.read(out / LAST / relmo_format.VOCAB, require_specials=True)
        self.vocab = Vocabulary.build(corpus) if vocab is None else vocab
        char_cnn = config.model.char_cnn
        longest = None if char_cnn is None else char_cnn.max_characters_per_token
        self.encoder = Encoder(self.vocab, longest)
        torch.manual_seed(config.seed)
        self.model = LanguageModel(config.model, len(self.vocab), config.dropout).to(device)
        self.batches: Batches = self._batches(corpus)
        self.candidates = CandidateSampler(len(self.vocab), config.n_candidates, config.seed)
        self.state: BiLMState | None = None
        is_sparse = config.softmax == "sampled"
        softmax = list(self.model.softmax.parameters())
        dense = [*self.model.bilm.parameters(), *([] if is_sparse else softmax)]
        self.optimizers = OptimizerGroup(dense, softmax if is_sparse else [], config)
        self.model.train()

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
            ConfigError: the run to resume had another configuration.
        """
        if (self.out / LAST).is_dir():
            if not resume:
                raise InputError(
                    f"{self.out}: holds a training run; give --resume to continue it, or another "
                    "folder"
                )
            return self._load()
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write '{self.out}': {error.strerror}") from error
        self._write_run()
        with replacing_file(self.out / METRICS) as aside:
            aside.write_text("")
        return None

    def step(self, number: int) -> dict[str, float]:
        """One update; see `loop.Job`."""
        config = self.config
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
        if not np.isfinite(measures["loss"]):
            return measures
        (loss * config.gradient_scale).backward()  # type: ignore[no-untyped-call]
        norm = float(clip_gradient(self.model.parameters(), config.clip_norm))
        if not np.isfinite(norm):
            return {**measures, "loss": norm}
        rate = learning_rate(config, number)
        self.optimizers.step(rate)
        self.state = state if self.batches.carries_state else None
        return {**measures, "gradient_norm": norm, "learning_rate": rate}

    def validate(self) -> dict[str, float]:
        """Perplexity of the validation file, full softmax; see `loop.Job`."""
        if self.valid is None:
            return {"score": 0.0}
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
        """Append a line of JSON; see `loop.Job`."""
        try:
            with (self.out / METRICS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(measures) + "\n")
        except OSError as error:
            raise InputError(f"cannot write '{self.out / METRICS}': {error.strerror}") from error

    def save(self, name: str, progress: dict[str, Any]) -> None:
        """Write a checkpoint whole or not at all; see `loop.Job`."""
        with replacing_folder(self.out / name) as aside:
            relmo_format.write(self.checkpoint(), aside)
            if name == LAST:
                torch.save(self._resumable(progress), aside / _STATE)

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
            source=self.out,
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

    def _write_run(self) -> None:
        values = {
            "config": self.config.to_dict(),
            "files": self.files,
            "n_words": len(self.vocab),
            "torch": str(torch.__version__),
        }
        with replacing_file(self.out / RUN) as aside:
            aside.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")

    def _load(self) -> dict[str, Any]:
        """Take up the last checkpoint."""
        checkpoint = relmo_format.read(self.out / LAST)
        if checkpoint.config != self.config.model or checkpoint.softmax is None:
            raise InputError(
                f"{self.out}: the run to resume has another model shape; use the settings it was "
                "started with, or another folder"
            )
        if checkpoint.vocab != self.vocab:
            raise InputError(f"{self.out}: the run to resume has another vocabulary")
        path = self.out / LAST / _STATE
        try:
            saved = torch.load(path, map_location=self.device, weights_only=True)
        except Exception as error:
            raise FormatError(f"{path}: cannot be read (truncated, or another file)") from error
        with torch.no_grad():
            self.model.bilm.load_state_dict(checkpoint.tensors)
            self.model.softmax.weight.copy_(checkpoint.softmax["weight"])
            self.model.softmax.bias.copy_(checkpoint.softmax["bias"][:, None])
        self.optimizers.load_state_dict(saved["optimizers"])
        self.batches.seek(json.loads(saved["batches"]))
        self.candidates.set_state(json.loads(saved["candidates"]))
        torch.set_rng_state(saved["torch_random"].cpu())
        if saved["cuda_random"] is not None:
            torch.cuda.set_rng_state(saved["cuda_random"].cpu(), self.device)
        self.state = _lstm_state(saved["lstm_state"])
        progress: dict[str, Any] = saved["progress"]
        self._drop_later_metrics(progress["step"])
        return progress

    def _drop_later_metrics(self, step: int) -> None:
        """Lines of steps that will be done again."""
        path = self.out / METRICS
        kept = []
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    if json.loads(line)["step"] <= step:
                        kept.append(line + "\n")
                except (ValueError, KeyError, TypeError):
                    break  # the line that a kill cut off
        with replacing_file(path) as aside:
            aside.write_text("".join(kept), encoding="utf-8")


def _lstm_state(saved: list[Tensor] | None) -> BiLMState | None:
    if saved is None:
        return None
    return BiLMState(LSTMState(saved[0], saved[1]), LSTMState(saved[2], saved[3]))
