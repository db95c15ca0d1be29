"""`relmo finetune`: a model and a domain's text in, the model tuned to it out."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from relmo.cli import _flags, _inputs, _output
from relmo.train.config import FinetuneSettings, RunSettings, TrainConfig

if TYPE_CHECKING:
    from relmo.train.evaluate import Perplexity
    from relmo.train.finetune import Tuned

__all__ = ["finetune"]


def finetune(
    model: _flags.Model,
    files: _flags.Files,
    /,
    *,
    valid: list[Path],
    out: Path,
    config: _flags.Config = None,
    resume: _flags.Resume = False,
    field: _flags.Field = "text",
    tokenizer: _flags.Tokenizer = "whitespace",
    vocab: Path | None = None,
    vocab_size: _flags.VocabSize = None,
    vocab_min_count: _flags.VocabMinCount = 1,
    settings: Annotated[FinetuneSettings, _flags.flat] = FinetuneSettings(),  # noqa: B008 - frozen
    device: _flags.Device = "cpu",
    tensorboard: _flags.TensorBoard = False,
) -> None:
    """Train a model further on a domain's text; the tuned model is OUT/best.

    Prints the perplexity of the held-out sentences before and after. Ctrl-C and SIGTERM save first;
    the same command with --resume then goes on as if nothing had happened.

        relmo finetune original letters.txt --valid held-out.txt --out tuned

    Args:
        valid: Held-out sentences, read as FILES are.
        out: Folder of the run.
        vocab: File of the words of a new softmax, by decreasing frequency (default: built from
            FILES).
    """
    from relmo.train.finetune import check_start, finetune, has_words

    checkpoint = _inputs.read_checkpoint(model)
    tuning = TrainConfig(
        model=checkpoint.config,
        # Without --max-steps set from the epochs, once the corpus is counted.
        max_steps=settings.max_steps or max(1, settings.softmax_steps),
        **{field.name: getattr(settings, field.name) for field in fields(RunSettings)},
    )
    check_start(checkpoint, tuning, None, out)  # a vocabulary may take minutes to build
    text, held_out = (_inputs.read_corpus(paths, field, tokenizer) for paths in (files, valid))
    _inputs.check_apart(files, out, text, held_out)
    words = None
    if vocab is not None or not has_words(checkpoint):
        words = _inputs.vocabulary(vocab, out, text, vocab_size, vocab_min_count)
    with (
        _output.stop_on_signals() as received,
        _output.display() as show,
        _output.board(out, tensorboard) as record,
    ):
        tuned = finetune(
            checkpoint,
            text,
            held_out,
            out,
            tuning,
            epochs=settings.epochs if settings.max_steps is None else None,
            vocab=words,
            resume=resume,
            device=_inputs.device(device),
            should_stop=lambda: bool(received),
            on_progress=show,
            on_record=record,
        )
    _output.tell(*_lines(tuned))
    _output.end_run(tuned.result, out, received)


def _lines(tuned: "Tuned") -> list[str]:
    """Return what was read and what it changed, in lines."""
    corpus = tuned.corpus
    percent = 100 * corpus.n_unknown / corpus.n_tokens
    lines = [
        f"corpus: {_output.count(corpus.n_sentences, 'sentence')}, "
        f"{_output.count(corpus.n_tokens, 'token')}, {percent:.1f} % outside the vocabulary of "
        f"{_output.count(corpus.n_words, 'word')}"
    ]
    if tuned.before is None or tuned.after is None:
        return lines
    n, unknown = tuned.before.n_predictions, tuned.before.n_unknown
    return [
        *lines,
        f"validation: {_output.count(n, 'prediction')} per direction, {100 * unknown / n:.1f} % of "
        "them <UNK>",
        "perplexity    forward   backward       mean",
        _row("before", tuned.before),
        _row("after", tuned.after),
    ]


def _row(name: str, perplexity: "Perplexity") -> str:
    return (
        f"{name:<10} {perplexity.forward:10.2f} {perplexity.backward:10.2f} {perplexity.mean:10.2f}"
    )
