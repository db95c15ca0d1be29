"""Training speed: relmo's kernel beside nn.LSTM under autograd, and the whole training step."""

import contextlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.baselines import layer_weights, quiet, torch_lstm
from benchmarks.embedding import lstm_flop
from benchmarks.machine import CEILINGS, ceilings
from benchmarks.report import Report, Target
from benchmarks.timing import Contender, in_turns
from relmo.config import BiLMConfig
from relmo.nn.lstm import LSTMStack
from relmo.text.chars import CharSpace
from relmo.train.batches import LMBatch
from relmo.train.config import TrainConfig
from relmo.train.objective import CandidateSampler, Objective
from relmo.train.optimizers import OptimizerGroup, clip_gradient

__all__ = ["lstm_training", "torch_forward", "whole_step"]

STEPS = 20
FLOAT32, BFLOAT16, TORCH = "relmo float32", "relmo bfloat16", "nn.LSTM float32"


def lstm_training(shapes: dict[str, tuple[BiLMConfig, int, int]]) -> Report:
    """Forward and backward passes of the four layer-directions over full batches.

    Args:
        shapes: the model, the batch's rows and the rounds that count, by name.
    """
    report = Report(
        title=f"training, four layer-directions, {STEPS} steps, forward and backward",
        columns=("", "contender", "tokens/s", "GFLOP/s", "of the ceiling", "against nn.LSTM"),
    )
    for name, (config, rows, rounds) in shapes.items():
        rates = in_turns({**ceilings(), **_lstm_contenders(config, rows)}, rounds)
        ceiling = max(rates[kind].median for kind in CEILINGS)
        base = rates[TORCH].median
        for contender in (FLOAT32, BFLOAT16, TORCH):
            rate = rates[contender].median
            work = 3 * lstm_flop(config) * rate  # the backward pass is two products for each one
            report.rows.append(
                (name, contender, f"{rate:,.0f}", f"{work / 1e9:.1f}", f"{work / ceiling:.0%}",
                 f"{rate / base:.2f} ×")
            )  # fmt: skip
            report.figures[f"{name}, {contender}"] = {
                "tokens_per_second": rate, "rounds": rates[contender].rounds
            }  # fmt: skip
        report.targets.append(
            Target(what=f"training, {name}: float32 against nn.LSTM under autograd",
                   value=rates[FLOAT32].median / base, target=1.0)
        )  # fmt: skip
    report.notes.append("bfloat16: the matrix products only; the ceiling is that of float32")
    return report


def _lstm_contenders(config: BiLMConfig, rows: int) -> dict[str, Contender]:
    torch.manual_seed(0)
    stacks = [LSTMStack(config), LSTMStack(config)]
    torch_stacks = [[torch_lstm(weights) for weights in layer_weights(stack)] for stack in stacks]
    x = torch.randn(STEPS * rows, config.projection_dim)

    def relmo(dtype: torch.dtype | None) -> Callable[[], list[Tensor]]:
        def run() -> list[Tensor]:
            autocast = torch.autocast("cpu", dtype) if dtype else contextlib.nullcontext()
            with autocast:
                return [stack(x.requires_grad_(), (rows,) * STEPS)[0][-1] for stack in stacks]

        return run

    def of_torch() -> list[Tensor]:
        inputs = x.requires_grad_().view(STEPS, rows, -1).transpose(0, 1)
        return [torch_forward(inputs, stack, config.skip_connections) for stack in torch_stacks]

    def contender(forward: Callable[[], list[Tensor]]) -> Contender:
        def run(_: int) -> float:
            torch.stack([top.sum() for top in forward()]).sum().backward()
            return float(STEPS * rows)

        return run

    return {
        FLOAT32: contender(relmo(None)),
        TORCH: contender(of_torch),
        BFLOAT16: contender(relmo(torch.bfloat16)),
    }


def torch_forward(x: Tensor, layers: list[nn.LSTM], skip: bool) -> Tensor:
    """The top layer's outputs (batch, time, projection_dim) of one direction."""
    with quiet():
        for depth, layer in enumerate(layers):
            y = layer(x)[0]
            x = y + x if skip and depth else y
    return x


def whole_step(name: str, config: BiLMConfig, rounds: int, rows: int = 128,
               n_words: int = 155_000) -> Report:  # fmt: skip
    """The trainer's step, and the share of it that the sampled softmax takes."""
    report = Report(
        title=f"the whole training step, {name}, {rows} x {STEPS}, {n_words:,} words",
        columns=("precision", "tokens/s", "ms a step", "sampled softmax, ms", "its share"),
    )
    for precision, dtype in (("float32", None), ("bfloat16", torch.bfloat16)):
        step, softmax = _step_and_softmax(config, rows, n_words, dtype)
        rates = in_turns({"step": step, "softmax": softmax}, rounds)
        whole, part = (1000 / rates[kind].median for kind in ("step", "softmax"))
        report.rows.append(
            (precision, f"{1000 * rows * STEPS / whole:,.0f}", f"{whole:.0f}", f"{part:.0f}",
             f"{part / whole:.0%}")
        )  # fmt: skip
        report.figures[precision] = {"step_ms": whole, "softmax_ms": part,
                                     "tokens_per_second": 1000 * rows * STEPS / whole}  # fmt: skip
    report.notes.append(
        f"{TrainConfig().n_candidates} candidates; the step is losses, gradients, clipping and "
        "AdamW; the softmax is both directions' loss and gradient, timed by itself"
    )
    return report


def _step_and_softmax(
    config: BiLMConfig, rows: int, n_words: int, dtype: torch.dtype | None
) -> tuple[Contender, Contender]:
    """Contenders that do one step, and one step's sampled softmax; work is counted in steps."""
    torch.manual_seed(0)
    settings = TrainConfig(model=config)
    model = Objective(config, n_words, settings.dropout)
    softmax = list(model.softmax.parameters())
    optimizers = OptimizerGroup(model.bilm.parameters(), softmax, settings)
    sampler = CandidateSampler(n_words, settings.n_candidates, settings.seed)
    batch = random_batch(config, rows, n_words)

    def step(_: int) -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype is not None):
            forward, backward, _state = model.loss(batch, None, sampler.draw())
        (0.5 * (forward + backward)).backward()
        clip_gradient(model.parameters(), settings.clip_norm)
        optimizers.step(1e-4)
        return 1.0

    top = torch.randn(batch.n_predictions, config.projection_dim, requires_grad=True)

    def only_softmax(_: int) -> float:
        drawn = sampler.draw()
        for candidates, targets in zip(
            drawn, (batch.forward_targets, batch.backward_targets), strict=True
        ):
            model.softmax.sampled_loss(top, targets, candidates).backward()
        for parameter in (top, *softmax):
            parameter.grad = None
        return 1.0

    return step, only_softmax


def random_batch(config: BiLMConfig, rows: int, n_words: int) -> LMBatch:
    """A full batch of log-uniform word ids, as words of a vocabulary sorted by frequency are."""
    assert config.char_cnn is not None
    random = np.random.default_rng(0)
    n = rows * STEPS
    ids = np.exp(random.random(2 * n) * np.log(n_words + 1)).astype(np.int64) - 1
    ids = np.minimum(ids, n_words - 1)
    distinct, places = np.unique(ids, return_inverse=True)
    chars = CharSpace(config.char_cnn.max_characters_per_token)
    words = torch.from_numpy(chars.encode([f"word{k}" for k in distinct]).astype(np.int64))
    inputs, targets = torch.from_numpy(places), torch.from_numpy(ids)
    return LMBatch(words, (rows,) * STEPS, inputs[:n], targets[n:].contiguous(), inputs[n:],
                   targets[:n].contiguous())  # fmt: skip
