"""`embed` at a published shape: tokens a second beside the usual ways, and one sentence's time."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from benchmarks.baselines import PaddedLoop, PlainCharCNN, TorchLSTM
from benchmarks.machine import CEILINGS, ceilings
from benchmarks.report import Report, Target
from benchmarks.text import news_like
from benchmarks.timing import Contender, Rates, in_turns, seconds
from relmo.config import BiLMConfig
from relmo.elmo.model import Elmo
from relmo.nn.bilm import BiLM

__all__ = ["Size", "latency", "lstm_flop", "new_elmo", "throughput"]

Sentences = Sequence[Sequence[str]]

WARM, COLD = "relmo, words cached", "relmo, no word cached"
LOOP, LOOP_CNN = "padded loop, words cached", "padded loop with its char-CNN"
TORCH, CNN = "nn.LSTM, words cached", "the loop's char-CNN alone"


def lstm_flop(config: BiLMConfig) -> float:
    """Floating-point operations of the matrix products of all LSTMs for one token."""
    dim, narrow = config.lstm_dim, config.projection_dim
    products = 2 * narrow * 4 * dim + (dim * narrow if config.has_lstm_projection else 0)
    return 2.0 * products * config.n_layers * 2  # two directions


def new_elmo(config: BiLMConfig, seed: int = 0) -> Elmo:
    """A model with random weights."""
    torch.manual_seed(seed)
    return Elmo(BiLM(config))


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much work a round is, in sentences; each round takes the next ones."""

    relmo: int
    """For relmo."""
    loop: int = 64
    """For the padded loop, one batch."""
    cnn: int = 32
    """For its character CNN."""
    torch: int = 128
    """For nn.LSTM, one batch of all sentences sorted by length."""
    rounds: int = 5
    sentences: int = 1024
    """All sentences."""


def throughput(name: str, config: BiLMConfig, size: Size) -> Report:
    """Tokens a second of `embed` and of the usual ways, in turns with the ceiling."""
    elmo = new_elmo(config)
    forgetful, char_cnn = Elmo(elmo.bilm), PlainCharCNN(elmo)
    sentences = news_like(size.sentences)
    by_length = sorted(sentences, key=len)
    elmo.token_vectors([token for sentence in sentences for token in sentence])

    def embed_cold(some: Sentences) -> object:
        forgetful.tokens.clear()
        return forgetful.embed(some)

    def encode(some: Sentences) -> object:
        return [char_cnn(sentence) for sentence in some]

    contenders = {
        COLD: _rotating(embed_cold, size.relmo, sentences),
        WARM: _rotating(elmo.embed, size.relmo, sentences),
        LOOP: _rotating(PaddedLoop(elmo, size.loop, cached=True).embed, size.loop, sentences),
        TORCH: _rotating(TorchLSTM(elmo, size.torch).embed, size.torch, by_length),
        CNN: _rotating(encode, size.cnn, sentences),
    }
    with torch.no_grad():
        rates = in_turns({**ceilings(), **contenders}, size.rounds)
    report = _throughput_report(name, config, rates, sentences)
    report.notes.append(
        f"sentences a round, the next ones each round: relmo {size.relmo}, padded loop {size.loop} "
        f"(one batch, as they come), nn.LSTM {size.torch} (one batch of all {size.sentences} "
        "sorted by length)"
    )
    return report


def _rotating(embed: Callable[[Sentences], object], count: int, sentences: Sentences) -> Contender:
    """A contender that embeds `count` sentences, in each round the next ones."""

    def run(number: int) -> float:
        first = max(number, 0) * count % len(sentences)
        some = sentences[first : first + (count if number >= 0 else 2)]
        embed(some)
        return float(sum(map(len, some)))

    return run


def _throughput_report(
    name: str, config: BiLMConfig, rates: dict[str, Rates], sentences: Sentences
) -> Report:
    flop = lstm_flop(config)
    mm, packed = (rates[kind].median for kind in CEILINGS)
    ceiling = max(mm, packed)
    n_tokens = sum(map(len, sentences))
    computed = (n_tokens + 2 * len(sentences)) / n_tokens  # with the two marks of a sentence
    report = Report(
        title=f"embed, {name}: {flop / 1e6:.2f} MFLOP a token in the LSTMs",
        columns=("", "tokens/s", "GFLOP/s", "of the ceiling", "marks counted", "of torch.mm",
                 "relmo cached is"),
    )  # fmt: skip
    warm = rates[WARM].median
    medians = {contender: rates[contender].median for contender in (WARM, COLD, LOOP, CNN, TORCH)}
    medians[LOOP_CNN] = 1 / (1 / medians[LOOP] + 1 / medians.pop(CNN))
    for contender, rate in medians.items():
        share = rate * flop / ceiling
        report.rows.append(
            (contender, f"{rate:,.0f}", f"{rate * flop / 1e9:.1f}", f"{share:.0%}",
             f"{share * computed:.0%}", f"{rate * flop / mm:.0%}", f"{warm / rate:.2f} ×")
        )  # fmt: skip
        report.figures[contender] = {"tokens_per_second": rate, "of_ceiling": share}
    report.figures["rounds"] = {name: rate.rounds for name, rate in rates.items()}
    report.notes.append("the loop's char-CNN, run on every token, was timed by itself and added")
    report.figures |= {kind: {"gflops": rates[kind].median / 1e9} for kind in CEILINGS}
    report.notes += [
        f"ceiling, in turns with these: torch.mm {mm / 1e9:.0f}, oneDNN prepacked "
        f"{packed / 1e9:.0f} GFLOP/s; shares are of the higher",
        f"tokens are the users'; with the two marks of each sentence {computed:.3f} times as many "
        "are computed ('marks counted')",
    ]
    report.targets += [
        Target(what=f"{name}: share of the ceiling, words cached",
               value=100 * warm * flop / ceiling, target=65.0 if name == "original" else 40.0,
               unit="%"),
        Target(what=f"{name}: against the padded loop, both with words cached",
               value=warm / rates[LOOP].median, target=4.0),
    ]  # fmt: skip
    return report


def latency(shapes: dict[str, BiLMConfig], repeats: dict[str, int], n_tokens: int = 22) -> Report:
    """Milliseconds for one sentence, median, relmo and the padded loop in turns."""
    report = Report(
        title=f"one sentence of {n_tokens} tokens, ms",
        columns=("", WARM, LOOP, LOOP_CNN, "relmo is"),
    )
    for name, config in shapes.items():
        elmo = new_elmo(config)
        sentence = [[word for s in news_like(n_tokens) for word in s][:n_tokens]]
        ways: dict[str, Callable[[Sentences], object]] = {
            WARM: elmo.embed,
            LOOP: PaddedLoop(elmo, cached=True).embed,
            LOOP_CNN: PaddedLoop(elmo, cached=False).embed,
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(-2, repeats[name]):
            for way, embed in ways.items():
                passed = seconds(partial(embed, sentence))
                if number >= 0:
                    times[way].append(1000 * passed)
        medians = {way: statistics.median(values) for way, values in times.items()}
        faster = medians[LOOP] / medians[WARM]
        report.rows.append(
            (name, *(f"{medians[way]:.1f}" for way in ways), f"{faster:.2f} × as fast")
        )
        report.figures[name] = medians
    return report
