"""`relmo train`: sentences in, a biLM out."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relmo.cli import config_file, corpus, runs, watch
from relmo.errors import ConfigError

if TYPE_CHECKING:
    from relmo.config import BiLMConfig
    from relmo.train.config import TrainConfig

__all__ = ["train"]


@config_file.errors_name_the_file
def train(  # noqa: PLR0913 - each is a flag
    files: corpus.Files,
    out: runs.Out,
    config: config_file.Option = None,
    valid: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="CORPUS", help="Held-out sentences, likewise.", show_default="no validation"
        ),
    ] = None,
    field: corpus.Field = "text",
    tokenizer: corpus.Tokenizer = "whitespace",
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="mini|small|medium|original",
            help="Shape of the model.",
            show_default="mini",
        ),
    ] = None,
    input: Annotated[
        str,
        typer.Option(
            metavar="characters|words",
            help="What it reads of a word: its characters, or which word of the vocabulary it is.",
        ),
    ] = "characters",
    word_vectors: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Word vectors of word2vec or GloVe to start from, as wide as the projection.",
            show_default="random",
        ),
    ] = None,
    vocab: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Words of the softmax, by falling frequency; `relmo vocab` makes one.",
            show_default="built from the corpus",
        ),
    ] = None,
    vocab_size: runs.VocabSize = None,
    vocab_min_count: runs.VocabMinCount = 1,
    seed: runs.Seed = 1,
    max_steps: Annotated[int, typer.Option(metavar="N", help="Steps of the whole run.")] = 10_000,
    save_every_steps: runs.SaveEverySteps = 500,
    validate_every_steps: runs.ValidateEverySteps = 1000,
    patience: runs.Patience = 0,
    valid_tokens: runs.ValidTokens = 20_000,
    resume: runs.Resume = False,
    mode: runs.Mode = "rows",
    batch_tokens: runs.BatchTokens = 2560,
    parts: runs.Parts = 1,
    pool_batches: runs.PoolBatches = 100,
    unroll_steps: runs.UnrollSteps = 20,
    softmax: runs.Softmax = "sampled",
    cutoffs: runs.Cutoffs = "",
    tied: Annotated[
        bool,
        typer.Option("--tied", help="One matrix is the word embedding and the softmax's weight."),
    ] = False,
    n_candidates: runs.NCandidates = 1024,
    optimizer: runs.Optimizer = "adamw",
    learning_rate: runs.LearningRate = 2e-3,
    warmup_steps: runs.WarmupSteps = 500,
    decay: runs.Decay = "cosine",
    weight_decay: runs.WeightDecay = 0.01,
    gradient_scale: runs.GradientScale = 1.0,
    clip_norm: runs.ClipNorm = 1.0,
    dropout: runs.Dropout = 0.1,
    dropout_kind: runs.DropoutKind = "plain",
    precision: runs.Precision = "float32",
    layer_decay: runs.LayerDecay = 1.0,
    softmax_steps: runs.SoftmaxSteps = 0,
    lstm_dim: Annotated[
        int | None, typer.Option(metavar="N", help="Instead of the preset's LSTM width.")
    ] = None,
    projection_dim: Annotated[
        int | None, typer.Option(metavar="N", help="Instead of the preset's projection width.")
    ] = None,
    device: runs.Device = "cpu",
    tensorboard: runs.TensorBoard = False,
) -> None:
    """Train a biLM on CORPUS...; the models are DIR/best and DIR/last.

    Ctrl-C and SIGTERM save first; the same command with --resume then goes on as if nothing had
    happened. `torchrun --nproc-per-node N -m relmo train ... --parts N` uses N processes.
    """
    given = dict(locals())

    from relmo.train import run

    # What contradicts itself is said now, before the words are known.
    settings = _settings(given)
    text = corpus.read(files, field, tokenizer)
    held_out = None if valid is None else corpus.read(valid, field, tokenizer)
    corpus.check_apart(files, out, text, held_out)
    words = runs.words(given, text)
    if input == "words":
        words = words or run.vocabulary(text, out)
        settings = replace(settings, model=replace(settings.model, n_words=len(words)))
    with (
        watch.stop_on_signals() as received,
        watch.display() as show,
        watch.board(out, tensorboard) as record,
    ):
        result = run.train(
            text, held_out, out, settings,
            vocab=words, resume=resume, device=runs.device(device),
            should_stop=lambda: bool(received), on_progress=show, on_record=record,
        )  # fmt: skip
    _say_found(out)
    watch.tell(watch.closing(result, out))
    if result.stopped:
        raise typer.Exit(watch.exit_code(received))


def _settings(given: dict[str, Any]) -> "TrainConfig":
    from relmo.train.config import TrainConfig

    other = {name: given[name] for name in ("lstm_dim", "projection_dim") if given[name]}
    if given["input"] not in ("characters", "words"):
        raise ConfigError(f"--input must be one of characters, words, got {given['input']!r}")
    if given["input"] == "words":
        other |= {"char_cnn": None, "n_words": 1}
    return TrainConfig(model=replace(_shape(given), **other), **runs.settings(given))


def _shape(given: dict[str, Any]) -> "BiLMConfig":
    """That of --preset, else of the table [model] in --config."""
    from relmo.config import BiLMConfig
    from relmo.train.config import preset
    from relmo.train.description import NONE

    file: config_file.ConfigFile | None = given["config"]
    if given["preset"] is not None or file is None or file.model is None:
        return preset(given["preset"] or "mini")
    values = {name: None if value == NONE else value for name, value in file.model.items()}
    return BiLMConfig.from_dict(values, f"{file.path}: model")


def _say_found(out: Path) -> None:
    """How many words a file of word vectors had."""
    from relmo.train.folder import RunFolder

    found = RunFolder(out).description().get("word_vectors")
    if found is not None:
        watch.tell(f"{found['file']}: {found['found']:,} of {found['words']:,} words found")
