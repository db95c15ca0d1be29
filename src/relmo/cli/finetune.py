"""`relmo finetune`: a model and a domain's text in, the model tuned to it out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relmo.cli import config_file, corpus, runs, watch
from relmo.cli import given as models
from relmo.cli.words import some

if TYPE_CHECKING:
    from relmo.train.evaluate import Perplexity
    from relmo.train.finetune import Tuned

__all__ = ["finetune"]


@config_file.errors_name_the_file
def finetune(  # noqa: PLR0913 - each is a flag
    model: Annotated[str, typer.Argument(metavar="MODEL", help=models.HELP, show_default=False)],
    files: corpus.Files,
    valid: Annotated[
        list[Path],
        typer.Option(metavar="CORPUS", help="Held-out sentences, likewise.", show_default=False),
    ],
    out: runs.Out,
    config: config_file.Option = None,
    field: corpus.Field = "text",
    tokenizer: corpus.Tokenizer = "whitespace",
    epochs: Annotated[
        float, typer.Option(metavar="X", help="Times through the corpus, all learning, about.")
    ] = 1.0,
    max_steps: Annotated[
        int | None,
        typer.Option(metavar="N", help="Steps of the whole run.", show_default="as --epochs"),
    ] = None,
    layer_decay: runs.LayerDecay = 0.9,
    softmax_steps: runs.SoftmaxSteps = 0,
    vocab: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Words of a new softmax, by falling frequency.",
            show_default="built from the corpus",
        ),
    ] = None,
    vocab_size: runs.VocabSize = None,
    vocab_min_count: runs.VocabMinCount = 1,
    seed: runs.Seed = 1,
    save_every_steps: runs.SaveEverySteps = 500,
    validate_every_steps: runs.ValidateEverySteps = 1000,
    patience: runs.Patience = 0,
    valid_tokens: runs.ValidTokens = 20_000,
    resume: runs.Resume = False,
    mode: runs.Mode = "rows",
    batch_tokens: runs.BatchTokens = 640,
    parts: runs.Parts = 1,
    pool_batches: runs.PoolBatches = 100,
    unroll_steps: runs.UnrollSteps = 20,
    softmax: runs.Softmax = "sampled",
    cutoffs: runs.Cutoffs = "",
    n_candidates: runs.NCandidates = 1024,
    optimizer: runs.Optimizer = "adamw",
    learning_rate: runs.LearningRate = 1e-3,
    warmup_steps: runs.WarmupSteps = 20,
    decay: runs.Decay = "cosine",
    weight_decay: runs.WeightDecay = 0.01,
    gradient_scale: runs.GradientScale = 1.0,
    clip_norm: runs.ClipNorm = 1.0,
    dropout: runs.Dropout = 0.1,
    dropout_kind: runs.DropoutKind = "plain",
    precision: runs.Precision = "float32",
    device: runs.Device = "cpu",
    tensorboard: runs.TensorBoard = False,
) -> None:
    """Train MODEL further on CORPUS..., a domain's text; the tuned model is DIR/best.

    Prints the perplexity of the held-out sentences before and after. Ctrl-C and SIGTERM save first;
    the same command with --resume then goes on as if nothing had happened.
    """
    flags = dict(locals())

    from relmo.train.config import TrainConfig
    from relmo.train.finetune import check_start, finetune, has_words

    checkpoint = models.read(model)
    settings = runs.settings(flags)
    if max_steps is None:  # set from the epochs, once the corpus is counted
        settings["max_steps"] = max(1, softmax_steps)
    tuning = TrainConfig(model=checkpoint.config, **settings)
    check_start(checkpoint, tuning, None, out)  # a vocabulary may take minutes to build
    text, held_out = (corpus.read(paths, field, tokenizer) for paths in (files, valid))
    corpus.check_apart(files, out, text, held_out)
    words = None if has_words(checkpoint) and vocab is None else runs.words(flags, text)
    with (
        watch.stop_on_signals() as received,
        watch.display() as show,
        watch.board(out, tensorboard) as record,
    ):
        tuned = finetune(
            checkpoint, text, held_out, out, tuning,
            epochs=epochs if max_steps is None else None,
            vocab=words, resume=resume, device=runs.device(device),
            should_stop=lambda: bool(received), on_progress=show, on_record=record,
        )  # fmt: skip
    watch.tell(*_lines(tuned), watch.closing(tuned.result, out))
    if tuned.result.stopped:
        raise typer.Exit(watch.exit_code(received))


def _lines(tuned: "Tuned") -> list[str]:
    seen = tuned.corpus
    share = 100 * seen.n_unknown / seen.n_tokens
    lines = [
        f"corpus: {some(seen.n_sentences, 'sentence')}, {some(seen.n_tokens, 'token')}, "
        f"{share:.1f} % outside the vocabulary of {some(seen.n_words, 'word')}"
    ]
    if tuned.before is None or tuned.after is None:
        return lines
    n, unknown = tuned.before.n_predictions, tuned.before.n_unknown
    return [
        *lines,
        f"validation: {some(n, 'prediction')} a direction, {100 * unknown / n:.1f} % of them <UNK>",
        "perplexity    forward   backward       mean",
        _row("before", tuned.before),
        _row("after", tuned.after),
    ]


def _row(name: str, found: "Perplexity") -> str:
    return f"{name:<10} {found.forward:10.2f} {found.backward:10.2f} {found.mean:10.2f}"
