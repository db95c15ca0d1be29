"""`relmo classify`: sentences, or pairs of them, by labels learned from examples."""

import json
from dataclasses import fields, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relmo.cli import corpus, runs, tagged, tasks
from relmo.cli import given as models

if TYPE_CHECKING:
    from relmo.data.labelled import LabelledSentence
    from relmo.tasks.config import ClassifierConfig, ClassifierTraining

__all__ = ["classify"]

classify = typer.Typer(
    name="classify",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Classify sentences, or pairs of them, by labels learned from examples.",
)


class FileFormat(StrEnum):
    """Of files with labels."""

    lines = "lines"
    tsv = "tsv"
    csv = "csv"
    jsonl = "jsonl"
    text = "text"
    datasets = "datasets"


Format = Annotated[
    FileFormat | None,
    typer.Option(help="Of the files.", show_default="as their names and first lines say"),
]
LabelColumn = Annotated[
    str,
    typer.Option(
        metavar="COLUMN",
        help="Of a table or of objects: name, or number from 0, from the end where negative.",
    ),
]
TextColumns = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN[,COLUMN]",
        help="Likewise, of sentences, or of both of a pair. A table has no heading where all "
        "columns are given by number.",
        show_default="sentence, text, or sentence1,sentence2",
    ),
]
Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="A classifier or its run.", show_default=False)
]


@classify.command()
def train(  # noqa: PLR0913 - each is a flag
    train: Annotated[
        str,
        typer.Option(metavar="FILE", help="Sentences or pairs with labels.", show_default=False),
    ],
    dev: tasks.Dev,
    out: runs.Out,
    test: tasks.Test = None,
    format: Format = None,
    label_column: LabelColumn = "label",
    text_columns: TextColumns = None,
    tokenizer: corpus.Tokenizer = "whitespace",
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
    char_dim: tasks.CharDim = 64,
    word_dim: tasks.WordDim = None,
    vectors: tasks.Vectors = None,
    lstm_dim: tasks.LstmDim = 128,
    n_layers: Annotated[
        int, typer.Option(metavar="N", help="Layers of LSTMs; 0: tokens are pooled as they are.")
    ] = 1,
    layers: tasks.Layers = "mix",
    softmax_words: tasks.SoftmaxWords = False,
    pooling: Annotated[
        str, typer.Option(metavar="max|mean|attention", help="From tokens to their sentence.")
    ] = "max",
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
    """Train a classifier; it is DIR/best, and what `relmo classify predict DIR` takes.

    It classifies pairs where the files have two sentences an example. Ctrl-C and SIGTERM save
    first; the same command with --resume then goes on as if nothing had happened.
    """
    given = dict(locals())

    from relmo.data.labelled import read_labelled

    tasks.check_apart(train=train, dev=dev, test=test)
    given["word_dim"] = tasks.WORD_DIM if word_dim is None else word_dim
    layout = _layout(format, text_columns, tokenizer, encoding)
    layout["label_column"] = tagged.column(label_column)
    parts = [None if file is None else read_labelled(file, **layout) for file in (train, dev, test)]
    config, training = _settings(given, parts[0] or [])
    sentences = (sentence for part in parts for sentence in part or ())
    tokens = (tokens for s in sentences for tokens in (s.tokens, s.second or ()))
    config, given["vectors"] = tasks.with_vectors(config, vectors, tokens, word_dim)
    tasks.of_seeds(
        lambda number, folder: _train(given, parts, config, replace(training, seed=number), folder),
        seeds, seed, out, "accuracy",
    )  # fmt: skip


def _layout(
    format: FileFormat | None, texts: str | None, tokenizer: str, encoding: str | None
) -> dict[str, Any]:
    """How files are laid out, as `read_labelled` takes it, but for the labels."""
    from relmo.text.tokenizers import by_name

    return {
        "format": None if format is None else format.value,
        "text_columns": () if texts is None else tuple(map(tagged.column, texts.split(","))),
        "tokenize": by_name(tokenizer),
        "encoding": encoding,
    }


def _settings(
    given: dict[str, Any], examples: "list[LabelledSentence]"
) -> "tuple[ClassifierConfig, ClassifierTraining]":
    from relmo.tasks.config import ClassifierConfig, ClassifierTraining

    given = {**given, "pairs": any(example.second is not None for example in examples)}
    config, training = (
        {field.name: given[field.name] for field in fields(kind)}
        for kind in (ClassifierConfig, ClassifierTraining)
    )
    return ClassifierConfig(**config), ClassifierTraining(**training)


def _train(
    given: dict[str, Any],
    parts: "list[list[LabelledSentence] | None]",
    config: "ClassifierConfig",
    training: "ClassifierTraining",
    out: Path,
) -> list[float]:
    """One run; the accuracy of the development data, and of the test data where there are such."""
    from relmo.tasks.classifier import Classifier
    from relmo.tasks.scores import label_scores
    from relmo.tasks.training import TaskData, train_task

    train, dev, test = parts
    assert train is not None
    assert dev is not None
    data = TaskData(
        train=train,
        dev=dev,
        elmo=models.load(given["model"]).to(runs.device(given["device"])) if config.elmo else None,
        cache=tasks.cache_folder(given["cache"]),
        vectors=given["vectors"],
    )
    job = partial(train_task, Classifier, data, out, config, training)
    scores = [tasks.trained(job, given, out, "accuracy")]
    if test is not None:
        classifier = Classifier.load(out, device=given["device"])
        tested = label_scores([s.label or "" for s in test], classifier.classify(test))
        print(f"test: accuracy {tested.accuracy:.2f}, macro-F1 {tested.macro_f1:.2f}")
        scores.append(tested.accuracy)
    return scores


@classify.command()
def evaluate(  # noqa: PLR0913 - each is a flag
    folder: Folder,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Sentences or pairs with their true labels, - for standard input.",
            show_default=False,
        ),
    ],
    report: Annotated[
        tasks.Report, typer.Option(help="How the scores are printed.")
    ] = tasks.Report.markdown,
    format: Format = None,
    label_column: LabelColumn = "label",
    text_columns: TextColumns = None,
    tokenizer: corpus.Tokenizer = "whitespace",
    encoding: tagged.Encoding = None,
    device: runs.Device = "cpu",
) -> None:
    """Print how well a classifier finds the labels of FILE, in percent.

    Accuracy, macro-F1 (the mean of the labels' F1), each label's scores, and the confusion.
    """
    from relmo.data.labelled import read_labelled
    from relmo.tasks.classifier import Classifier
    from relmo.tasks.scores import label_scores

    layout = _layout(format, text_columns, tokenizer, encoding)
    sentences = read_labelled(file, label_column=tagged.column(label_column), **layout)
    classifier = Classifier.load(folder, device=runs.device(device))
    scores = label_scores([s.label or "" for s in sentences], classifier.classify(sentences))
    if report is tasks.Report.json:
        print(json.dumps(scores.to_dict(), indent=2, ensure_ascii=False))
    else:
        print(scores.to_markdown(), end="")


@classify.command()
def predict(
    folder: Folder,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A sentence a line, or a pair with a tab in it; or any other format, whose labels "
            "are not read. - for standard input.",
            show_default=False,
        ),
    ],
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities", help="Print an object a line: the label, and the share of each."
        ),
    ] = False,
    format: Format = None,
    text_columns: TextColumns = None,
    tokenizer: corpus.Tokenizer = "whitespace",
    encoding: tagged.Encoding = None,
    device: runs.Device = "cpu",
) -> None:
    """Print the label of each sentence or pair of FILE, a line each, and after a tab how sure."""
    from relmo.data.labelled import read_labelled
    from relmo.tasks.classifier import Classifier, check_pairs

    layout = _layout(format, text_columns, tokenizer, encoding)
    sentences = read_labelled(file, label_column=None, **layout)
    classifier = Classifier.load(folder, device=runs.device(device))
    check_pairs(sentences, pairs=classifier.config.pairs)
    seconds = [s.second or () for s in sentences] if classifier.config.pairs else None
    for found in classifier.predict([s.tokens for s in sentences], seconds):
        if probabilities:
            shares = {"label": found.label, "probabilities": found.probabilities}
            print(json.dumps(shares, ensure_ascii=False))
        else:
            print(f"{found.label}\t{found.score:.4f}")
