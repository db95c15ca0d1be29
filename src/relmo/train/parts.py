"""The parts of a batch: computed one after another to save memory, or by several processes.

A part has its own shard of the corpus, LSTM state, candidates and random numbers, so that what it
computes does not depend on which process does, nor on what else that process does.
"""

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relmo.data.corpora import Corpus
from relmo.nn.bilm import BiLMState
from relmo.nn.lstm import LSTMState
from relmo.train.batches import Batches, Encoder, SentenceBatches, StreamBatches
from relmo.train.config import TrainConfig
from relmo.train.objective import CandidateSampler, Objective

__all__ = ["Part"]

_PART = 4  # what random numbers are for; see `relmo.train.batches`


class Part:
    """One part of every batch; the first goes on with torch's random numbers as they are.

    Args:
        number: which of the `config.parts`, from 0.
        corpus: of the whole run.
        encoder: words to ids.
        config: of the run.
        device: where to compute.
    """

    def __init__(
        self, number: int, corpus: Corpus, encoder: Encoder, config: TrainConfig,
        device: torch.device,
    ) -> None:  # fmt: skip
        self.number, self.config, self.device = number, config, device
        seed = config.seed
        if number:
            words = np.random.SeedSequence([seed, _PART, number]).generate_state(1, np.uint64)
            seed = int(words[0] >> np.uint64(1))
            torch.manual_seed(seed)
        corpus = corpus.shard(number, config.parts)
        self.batches = _batches(corpus, encoder, config, seed)
        self.candidates = CandidateSampler(len(encoder.vocab), config.n_candidates, seed)
        self.state: BiLMState | None = None
        self._keep_random()

    def losses(self, model: Objective) -> tuple[Tensor, Tensor, int]:
        """Return the next batch's losses, both directions, in nats, and their number."""
        config = self.config
        batch = self.batches.next().to(self.device)
        candidates = self.candidates.draw() if config.softmax == "sampled" else None
        self._set_random()
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"
        ):
            forward, backward, state = model.loss(batch, self.state, candidates)
        self._keep_random()
        self.state = state if self.batches.carries_state else None
        return forward, backward, batch.n_predictions

    def _keep_random(self) -> None:
        on_gpu = self.device.type == "cuda"
        self._random = torch.get_rng_state()
        self._cuda_random = torch.cuda.get_rng_state(self.device) if on_gpu else None

    def _set_random(self) -> None:
        torch.set_rng_state(self._random)
        if self._cuda_random is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(self._cuda_random, self.device)

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to continue, on the CPU: tensors and text."""
        state = self.state
        return {
            "batches": json.dumps(self.batches.position()),
            "candidates": json.dumps(self.candidates.state()),
            "torch_random": self._random,
            "cuda_random": self._cuda_random,
            "lstm_state": None if state is None else [
                tensor.cpu() for tensor in
                (state.forward.h, state.forward.c, state.backward.h, state.backward.c)
            ],
        }  # fmt: skip

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.batches.seek(json.loads(saved["batches"]))
        self.candidates.set_state(json.loads(saved["candidates"]))
        self._random, self._cuda_random = saved["torch_random"], saved["cuda_random"]
        self._set_random()
        self.state = _lstm_state(saved["lstm_state"], self.device)


def _batches(corpus: Corpus, encoder: Encoder, config: TrainConfig, seed: int) -> Batches:
    n_tokens = config.batch_tokens // config.parts
    if config.mode == "sentence":
        return SentenceBatches(corpus, encoder, n_tokens, config.pool_batches, seed)
    return StreamBatches(
        corpus, encoder, n_tokens // config.unroll_steps, config.unroll_steps, seed,
        resets=config.mode == "rows",
    )  # fmt: skip


def _lstm_state(saved: list[Tensor] | None, device: torch.device) -> BiLMState | None:
    if saved is None:
        return None
    h, c, back_h, back_c = (tensor.to(device) for tensor in saved)
    return BiLMState(LSTMState(h, c), LSTMState(back_h, back_c))
