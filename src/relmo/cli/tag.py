"""`relmo tag`: taggers trained, evaluated and used, such as for names or parts of speech."""

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import fields, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relmo.cli import given as models
from relmo.cli import runs, tagged, tasks
from relmo.errors import ConfigError

if TYPE_CHECKING:
    from relmo.data.tagged import TaggedSentence
    from relmo.tasks.config import TaggerConfig, TaggerTraining
    from relmo.tasks.scores import Scores
    from relmo.tasks.tagger import TaggedTokens, Tagger

__all__ = ["tag"]

tag = typer.Typer(
    name="tag",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Tag tokens: names, parts of speech, or whatever a corpus has tags for.",
)


Folder = Annotated[
    Path,
    typer.Argument(
        metavar="DIR|NAME",
        help="A tagger or its run, or one that comes with relmo: pos, ner.",
        show_default=False,
    ),
]


@tag.command()
def train(  # noqa: PLR0913 - each is a flag
    train: Annotated[
        str, typer.Option(metavar="FILE", help="Sentences with tags.", show_default=False)
    ],
    dev: tasks.Dev,
    out: runs.Out,
    test: tasks.Test = None,
    format: tagged.Format = None,
    token_column: tagged.TokenColumn = None,
    tag_column: tagged.TagColumn = None,
    scheme: tagged.Scheme = None,
    encoding: tagged.Encoding = None,
    epochs: tasks.Epochs = 20,
    patience: tasks.Patience = 5,
    seed: runs.Seed = 1,
    seeds: tasks.Seeds = None,
    resume: runs.Resume = False,
    elmo: tasks.ReadsElmo = True,
    model: tasks.Model = None,
    finetune_elmo: tasks.FinetuneElmo = False,
    cache: tasks.Cache = None,
    layers: tasks.Layers = "mix",
    softmax_words: tasks.SoftmaxWords = False,
    n_mixtures: Annotated[
        int, typer.Option(metavar="1|2", help="2: a mix of the layers at the output too.")
    ] = 1,
    output: Annotated[
        str, typer.Option(metavar="crf|softmax", help="A chain of tags, or each by itself.")
    ] = "crf",
    constrained: Annotated[
        bool,
        typer.Option(
            "--constrained/--unconstrained",
            help="Whether only what the scheme of the tags allows is predicted.",
        ),
    ] = True,
    char_dim: tasks.CharDim = 64,
    word_dim: tasks.WordDim = None,
    vectors: tasks.Vectors = None,
    lstm_dim: tasks.LstmDim = 128,
    n_layers: Annotated[int, typer.Option(metavar="N", help="Layers of LSTMs.")] = 2,
    dropout: tasks.Dropout = 0.5,
    mix_dropout: tasks.MixDropout = 0.5,
    mix_penalty: tasks.MixPenalty = 1e-3,
    batch_size: tasks.BatchSize = 32,
    learning_rate: runs.LearningRate = 2e-3,
    elmo_learning_rate: tasks.ElmoLearningRate = 1e-4,
    weight_decay: runs.WeightDecay = 0.01,
    clip_norm: runs.ClipNorm = 1.0,
    min_count: tasks.MinCount = 2,
    device: runs.Device = "cpu",
) -> None:
    """Train a tagger; it is DIR/best, and what `relmo tag predict DIR` takes.

    Ctrl-C and SIGTERM save first; the same command with --resume then goes on as if nothing had
    happened.
    """
    given = dict(locals())

    from relmo.data.tagged import read_tagged

    tasks.check_apart(train=train, dev=dev, test=test)
    given["word_dim"] = tasks.WORD_DIM if word_dim is None else word_dim
    config, training = _settings(given)
    layout = tagged.layout(format, token_column, tag_column, encoding)
    parts = [None if file is None else read_tagged(file, **layout) for file in (train, dev, test)]
    tokens = (sentence.tokens for part in parts for sentence in part or ())
    config, given["vectors"] = tasks.with_vectors(config, vectors, tokens, word_dim)
    tasks.of_seeds(
        lambda number, folder: _train(given, parts, config, replace(training, seed=number), folder),
        seeds, seed, out, "F1",
    )  # fmt: skip


def _train(
    given: dict[str, Any],
    parts: "list[list[TaggedSentence] | None]",
    config: "TaggerConfig",
    training: "TaggerTraining",
    out: Path,
) -> list[float]:
    """One run; the F1 of the development data, and of the test data where there are such."""
    from relmo.tasks.tagger import Tagger
    from relmo.tasks.tagger_run import TaggerData, train_tagger

    train, dev, test = parts
    assert train is not None
    assert dev is not None
    data = TaggerData(
        train=train,
        dev=dev,
        elmo=models.load(given["model"]).to(runs.device(given["device"])) if config.elmo else None,
        cache=tasks.cache_folder(given["cache"]),
        vectors=given["vectors"],
        scheme=None if given["scheme"] is None else given["scheme"].value,
    )
    job = partial(train_tagger, data, out, config, training)
    scores = [tasks.trained(job, given, out, "F1")]
    if test is not None:
        tested, _ = _scores(Tagger.load(out, device=given["device"]), test)
        print(f"test: precision {tested.precision:.2f}, recall {tested.recall:.2f}, "
              f"F1 {tested.f1:.2f}")  # fmt: skip
        scores.append(tested.f1)
    return scores


def _settings(given: dict[str, Any]) -> "tuple[TaggerConfig, TaggerTraining]":
    from relmo.tasks.config import TaggerConfig, TaggerTraining

    config, training = (
        {field.name: given[field.name] for field in fields(kind)}
        for kind in (TaggerConfig, TaggerTraining)
    )
    return TaggerConfig(**config), TaggerTraining(**training)


def _scores(
    tagger: "Tagger", sentences: "list[TaggedSentence]", n_errors: int = 0
) -> "tuple[Scores, list[str]]":
    """With the first of the sentences that are not right."""
    from relmo.data.tagged import canonical_tags
    from relmo.tasks.scores import errors, span_scores

    sentences, _ = canonical_tags(sentences, tagger.scheme)
    predicted = tagger.tag(sentences)
    scores = span_scores([s.tags for s in sentences], predicted, tagger.scheme)
    return scores, list(islice(errors(sentences, predicted, tagger.scheme), n_errors))


@tag.command()
def evaluate(  # noqa: PLR0913 - each is a flag
    folder: Folder,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Sentences with their true tags, - for standard input.",
            show_default=False,
        ),
    ],
    report: Annotated[
        tasks.Report, typer.Option(help="How the scores are printed.")
    ] = tasks.Report.markdown,
    errors: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Print the first N sentences that are not right, spans marked."
        ),
    ] = 0,
    format: tagged.Format = None,
    token_column: tagged.TokenColumn = None,
    tag_column: tagged.TagColumn = None,
    encoding: tagged.Encoding = None,
    device: runs.Device = "cpu",
) -> None:
    """Print how well a tagger finds the tags of FILE: precision, recall and F1 in percent.

    They are counted as the conlleval script does, a span being right where its first and last token
    and its label are.
    """
    from relmo.data.tagged import read_tagged
    from relmo.tasks.tagger import Tagger

    sentences = read_tagged(file, **tagged.layout(format, token_column, tag_column, encoding))
    tagger = Tagger.load(folder, device=runs.device(device))
    scores, wrong = _scores(tagger, sentences, errors)
    if report is tasks.Report.json:
        listed = {"errors": wrong} if errors else {}
        print(json.dumps({**scores.to_dict(), **listed}, indent=2, ensure_ascii=False))
    else:
        print(scores.to_markdown(), end="")
        for sentence in wrong:
            print(f"\n{sentence}")


@tag.command()
def predict(  # noqa: PLR0913 - each is a flag
    folder: Folder,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Sentences in any format with or without tags, - for standard input.",
            show_default=False,
        ),
    ],
    scores: Annotated[
        bool,
        typer.Option(
            "--scores",
            help="Print an object a line instead: tokens, tags, their probabilities, and spans, "
            "and of a text where they stand in it.",
        ),
    ] = False,
    format: tagged.Format = None,
    token_column: tagged.TokenColumn = None,
    tag_column: tagged.TagColumn = None,
    tokenizer: tagged.Tokenizer = None,
    encoding: tagged.Encoding = None,
    device: runs.Device = "cpu",
) -> None:
    """Print FILE with the tags that a tagger gives it, in its own format.

    With --format text a file in UTF-8 may be of any length, and is tagged while it is read; a file
    that is given with --tokenizer is such a text.
    """
    from relmo.data.tagged import read_tokens
    from relmo.tasks.tagger import Tagger
    from relmo.text.tokenizers import by_name

    if tokenizer is not None and format not in (None, tagged.FileFormat.text):
        raise ConfigError(f"--tokenizer: a file of --format {format} has tokens already")
    format = format if tokenizer is None else tagged.FileFormat.text
    tokenize = by_name(tokenizer or "whitespace")
    tagger = Tagger.load(folder, device=runs.device(device))
    if format is tagged.FileFormat.text and encoding is None and ".zip" not in file.lower():
        _print_stream(tagger.predict_stream(tagged.text(file), tokenize=tokenize), scores)
        return
    layout = tagged.layout(format, token_column, tag_column, encoding)
    document = read_tokens(file, tokenize=tokenize, **layout)
    found = tagger.predict_stream(document.texts or document.sentences, tokenize=tokenize)
    if scores:
        _print_stream(found, scores)
        return
    tags = [sentence.tags for sentence in found]
    sys.stdout.flush()
    data = document.with_tags(tags)
    if hasattr(sys.stdout, "buffer"):
        sys.stdout.buffer.write(data)
    else:
        print(os.fsdecode(data), end="")


def _print_stream(found: "Iterable[TaggedTokens]", scores: bool) -> None:
    """As objects, or in columns with blank lines between sentences."""
    for sentence in found:
        if not scores:
            pairs = zip(sentence.tokens, sentence.tags, strict=True)
            print("".join(f"{token}\t{tag}\n" for token, tag in pairs))
        elif sentence.tokens:
            print(json.dumps(sentence.to_dict(), ensure_ascii=False))
