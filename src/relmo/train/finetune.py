"""Fine-tuning: a biLM trained on other text learns about an epoch of a domain's (section 3.1).

It is a training run like any other (`relmo.train.run`) that starts from a model's parameters, its
softmax's included. A model that came without a softmax first has one fitted to it, itself frozen.
"""

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from relmo.data.corpora import Corpus
from relmo.errors import ConfigError, InputError
from relmo.formats.checkpoint import Checkpoint
from relmo.nn.softmax import cutoffs_of
from relmo.text.vocab import Vocabulary
from relmo.train.config import TrainConfig
from relmo.train.distributed import is_first
from relmo.train.evaluate import Perplexity
from relmo.train.folder import BEST, LAST, RunFolder
from relmo.train.loop import Progress, Result
from relmo.train.objective import is_tied
from relmo.train.run import Files, train, vocabulary

__all__ = ["Coverage", "Tuned", "check_start", "finetune", "has_words"]


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """A text, and how much of it a vocabulary knows."""

    n_sentences: int
    n_tokens: int
    n_unknown: int
    """Tokens outside the vocabulary."""
    n_words: int
    """Words of the vocabulary, the specials counted."""


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """How a fine-tuning ended."""

    result: Result
    corpus: Coverage
    before: Perplexity | None
    """Of the model as it came, or once its new softmax was fitted; None: it is not there yet."""
    after: Perplexity | None
    """Of the best model, which may be the one before."""


def finetune(  # noqa: PLR0913 - as `train`
    model: Checkpoint,
    files: Files | Corpus,
    valid: Files | Corpus,
    out: str | os.PathLike[str],
    config: TrainConfig,
    *,
    epochs: float | None = 1.0,
    vocab: Vocabulary | None = None,
    resume: bool = False,
    device: str | torch.device = "cpu",
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_record: Callable[[dict[str, Any]], None] = lambda _: None,
) -> Tuned:
    """Train a model further.

    Args:
        model: where to start.
        files: the domain's text, or its files; see `Corpus`.
        valid: held-out sentences of it, likewise, for the perplexity before and after.
        out: the run's folder; the tuned model is its `best`.
        config: of the run; its `model` and, with `epochs`, its `max_steps` are set here, and what
            the model's own softmax is: adaptive, or tied to the word embedding.
        epochs: times that all is learned from the whole corpus, after `softmax_steps`, about: the
            steps are as many as its predictions fill batches. None: `max_steps` of the config.
        vocab: words of a softmax that is fitted; None: the model's, for one that reads words,
            else built from the corpus.
        resume: as `train`.
        device: as `train`.
        should_stop: as `train`.
        on_progress: as `train`.
        on_record: as `train`.

    Raises:
        ConfigError: the model is of a kind that is not trained, or the settings contradict each
            other or the run that is resumed.
        InputError: the model has no softmax and `softmax_steps` is 0, the vocabulary is not the
            model's, or a file or the folder cannot be used.
        FormatError, TrainingError: as `train`.
    """
    out = Path(out)
    check_start(model, config, vocab, out)
    if is_first():
        RunFolder(out).check(resume)
    corpus = files if isinstance(files, Corpus) else Corpus(files)
    if has_words(model):
        vocab = model.vocab
    vocab = vocabulary(corpus, out) if vocab is None else vocab
    covered = _coverage(corpus, vocab)
    max_steps = config.max_steps if epochs is None else _n_steps(config, covered, epochs)
    config = replace(config, model=model.config, max_steps=max_steps, **_kept(model))
    result = train(
        corpus, valid, out, config,
        vocab=vocab, initial=model, resume=resume, device=device,
        should_stop=should_stop, on_progress=on_progress, on_record=on_record,
    )  # fmt: skip
    start = config.softmax_steps if model.softmax is None else 0
    lines = RunFolder(out).validations()
    before = next((line for line in lines if line["step"] == start), None)
    after = min(lines, key=lambda line: float(line["score"]), default=None)
    return Tuned(result=result, corpus=covered, before=_of(before), after=_of(after))


def has_words(model: Checkpoint) -> bool:
    """Whether the words to predict are settled: those of its softmax, or those it reads."""
    return model.softmax is not None or model.config.n_words is not None


def check_start(
    model: Checkpoint, config: TrainConfig, vocab: Vocabulary | None, out: Path
) -> None:
    """Check, before anything that takes time, that a run can start from a model; see `finetune`.

    Raises:
        ConfigError, InputError: it cannot.
    """
    source = f"'{model.source}' ({model.format})"
    if model.config.lexicon is not None:
        raise ConfigError(
            f"{source}: looks up words and characters in lexicons of its own; relmo trains models "
            "that read characters or the words of their vocabulary"
        )
    is_adaptive = model.softmax is not None and cutoffs_of(model.softmax) is not None
    if config.softmax == "adaptive" and model.softmax is not None and not is_adaptive:
        raise ConfigError(
            f"{source}: its softmax is no adaptive one; take --softmax sampled or full"
        )
    if any((out / name).resolve() == model.source.resolve() for name in (LAST, BEST)):
        raise InputError(f"{out}: holds the model to start from; give another folder")
    if model.softmax is None and config.softmax_steps == 0:
        raise InputError(
            f"{source}: has no softmax, which learning to predict words takes; give "
            "--softmax-steps, such as 500, to fit one first"
        )
    if has_words(model) and model.vocab is None:
        raise InputError(f"{source}: reads words and came without its vocabulary")
    if has_words(model) and vocab is not None and vocab != model.vocab:
        raise InputError(
            f"--vocab: its {len(vocab)} words are not the {len(model.vocab or ())} of {source}, in "
            "the same order; leave it out, the model has its own"
        )


def _kept(model: Checkpoint) -> dict[str, Any]:
    """Return the settings with those that the model's softmax decides."""
    if model.softmax is None:
        return {}
    cutoffs = cutoffs_of(model.softmax)
    if cutoffs is not None:
        return {"softmax": "adaptive", "cutoffs": cutoffs}
    return {"tied": is_tied(model)}


def _coverage(sentences: Iterable[Sequence[str]], vocab: Vocabulary) -> Coverage:
    n_sentences = n_tokens = n_unknown = 0
    for sentence in sentences:
        n_sentences += 1
        n_tokens += len(sentence)
        n_unknown += sum(token not in vocab for token in sentence)
    return Coverage(
        n_sentences=n_sentences, n_tokens=n_tokens, n_unknown=n_unknown, n_words=len(vocab)
    )


def _n_steps(config: TrainConfig, corpus: Coverage, epochs: float) -> int:
    """Return the steps of the whole run; each sentence's end is a prediction too."""
    if not 0 < epochs < math.inf:
        raise ConfigError(f"--epochs must be above 0, got {epochs}")
    n_predictions = epochs * (corpus.n_tokens + corpus.n_sentences)
    return config.softmax_steps + math.ceil(n_predictions / config.batch_tokens)


def _of(line: dict[str, Any] | None) -> Perplexity | None:
    """A validation as the metrics have it."""
    if line is None:
        return None
    return Perplexity(
        forward=line["forward_perplexity"],
        backward=line["backward_perplexity"],
        n_predictions=line["predictions"],
        n_unknown=line["unknown"],
    )
