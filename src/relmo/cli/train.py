"""`relmo train`: sentences in, a biLM out."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from relmo.cli import _flags, _inputs, _output
from relmo.cli._config_file import ConfigFile
from relmo.train.config import TrainConfig, TrainSettings
from relmo.train.config import preset as shape_of

if TYPE_CHECKING:
    from relmo.config import BiLMConfig

__all__ = ["train"]


def train(
    files: _flags.Files,
    /,
    *,
    out: Path,
    valid: list[Path] | None = None,
    config: _flags.Config = None,
    resume: _flags.Resume = False,
    field: _flags.Field = "text",
    tokenizer: _flags.Tokenizer = "whitespace",
    preset: Literal["mini", "small", "medium", "original"] | None = None,
    lstm_dim: int | None = None,
    projection_dim: int | None = None,
    input: Literal["characters", "words"] = "characters",
    vocab: Path | None = None,
    vocab_size: _flags.VocabSize = None,
    vocab_min_count: _flags.VocabMinCount = 1,
    settings: Annotated[TrainSettings, _flags.flat] = TrainSettings(),  # noqa: B008 - it is frozen
    device: _flags.Device = "cpu",
    tensorboard: _flags.TensorBoard = False,
) -> None:
    """Train a biLM; the models are OUT/best and OUT/last.

    Ctrl-C and SIGTERM save first; the same command with --resume then goes on as if nothing had
    happened. `torchrun --nproc-per-node N -m relmo train ... --parts N` uses N processes.

        relmo train corpus.txt --valid held-out.txt --out run

    Args:
        out: Folder of the run.
        valid: Held-out sentences, read as FILES are (default: no validation).
        preset: Shape of the model (default: mini).
        lstm_dim: Instead of the preset's LSTM width.
        projection_dim: Instead of the preset's projection width.
        input: What the model reads of a word: its characters, or which word of the vocabulary it
            is.
        vocab: File of the words of the softmax, by decreasing frequency, as `relmo vocab` writes
            it (default: built from FILES).
    """
    from relmo.train import run

    shape = _shape(preset, config)
    shape = replace(
        shape,
        lstm_dim=lstm_dim or shape.lstm_dim,
        projection_dim=projection_dim or shape.projection_dim,
    )
    if input == "words":
        shape = replace(shape, char_cnn=None, n_words=1)
    if settings.word_vectors is not None:
        settings = replace(settings, word_vectors=str(Path(settings.word_vectors).absolute()))
    # Contradictions are errors now, before the words are known.
    run_config = TrainConfig(model=shape, **vars(settings))
    text = _inputs.read_corpus(files, field, tokenizer)
    held_out = None if valid is None else _inputs.read_corpus(valid, field, tokenizer)
    _inputs.check_apart(files, out, text, held_out)
    words = _inputs.vocabulary(vocab, out, text, vocab_size, vocab_min_count)
    if input == "words":
        words = words or run.vocabulary(text, out)
        run_config = replace(run_config, model=replace(shape, n_words=len(words)))
    with (
        _output.stop_on_signals() as received,
        _output.display() as show,
        _output.board(out, tensorboard) as record,
    ):
        result = run.train(
            text,
            held_out,
            out,
            run_config,
            vocab=words,
            resume=resume,
            device=_inputs.device(device),
            should_stop=lambda: bool(received),
            on_progress=show,
            on_record=record,
        )
    _print_word_vectors(out)
    _output.end_run(result, out, received)


def _shape(name: str | None, config: ConfigFile | None) -> "BiLMConfig":
    """Return the shape of --preset, else of the table [model] in --config."""
    from relmo.config import BiLMConfig
    from relmo.train.description import NONE

    table = None if config is None else config.model
    if config is None or name is not None or table is None:
        return shape_of(name or "mini")
    values = {key: None if value == NONE else value for key, value in table.items()}
    return BiLMConfig.from_dict(values, f"{config.path}: model")


def _print_word_vectors(out: Path) -> None:
    """Print how many of the words a file of word vectors had."""
    from relmo.train.folder import RunFolder

    vectors = RunFolder(out).description().get("word_vectors")
    if vectors is not None:
        _output.tell(f"{vectors['file']}: {vectors['found']:,} of {vectors['words']:,} words found")
