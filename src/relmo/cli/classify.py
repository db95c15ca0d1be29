"""`relmo classify`: sentences, or pairs of them, by labels learned from examples."""

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from relmo.cli import _flags, _inputs
from relmo.cli._task_runs import TaskReport, TaskRun, with_vectors
from relmo.tasks.config import ClassifierConfig, ClassifierSettings, ClassifierTraining

__all__ = ["classify"]

classify = App(
    name="classify", help="Classify sentences, or pairs of them, by labels learned from examples."
)
_Classifier = Annotated[Path, Parameter(help="A classifier or its run.")]
_LabelColumn = Annotated[
    str,
    Parameter(
        help="Of a table or of objects: name, or number from 0, from the end where negative."
    ),
]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How files of sentences or pairs are laid out, but for the labels."""

    format: Literal["lines", "tsv", "csv", "jsonl", "text", "datasets"] | None = None
    """Format of the files (default: as their names and first lines say)."""
    text_columns: str | None = None
    """Names or numbers of the columns of sentences, or of both of a pair (default: sentence, text,
    or sentence1,sentence2). A table has no heading where all columns are given by number."""
    tokenizer: _flags.Tokenizer = "whitespace"
    encoding: _flags.Encoding = None

    def arguments(self) -> dict[str, Any]:
        """Return it as `relmo.data.labelled` takes it."""
        from relmo.text.tokenizers import by_name

        columns = [] if self.text_columns is None else self.text_columns.split(",")
        return {
            "format": self.format,
            "text_columns": tuple(map(_inputs.column, columns)),
            "tokenize": by_name(self.tokenizer),
            "encoding": self.encoding,
        }


@classify.command
def train(
    *,
    run: Annotated[TaskRun, _flags.flat],
    layout: Annotated[Layout, _flags.flat] = Layout(),
    label_column: _LabelColumn = "label",
    settings: Annotated[ClassifierSettings, _flags.flat] = ClassifierSettings(),  # noqa: B008
    training: Annotated[ClassifierTraining, _flags.flat] = ClassifierTraining(),  # noqa: B008
) -> None:
    """Train a classifier; it is OUT/best, and what `relmo classify predict OUT` takes.

    It classifies pairs where the files have two sentences per example. Ctrl-C and SIGTERM save
    first; the same command with --resume then goes on as if nothing had happened.

        relmo classify train --train train.tsv --dev dev.tsv --out sentiment
    """
    from relmo.data.labelled import read_labelled

    column = _inputs.column(label_column)
    parts = [
        None if file is None else read_labelled(file, label_column=column, **layout.arguments())
        for file in (run.train, run.dev, run.test)
    ]
    sentences = [sentence for part in parts for sentence in part or ()]
    pairs = any(sentence.second is not None for sentence in parts[0] or ())
    tokens = (tokens for s in sentences for tokens in (s.tokens, s.second or ()))
    config = ClassifierConfig(pairs=pairs, **vars(settings))
    config, vectors = with_vectors(config, run.vectors, tokens)

    def train_one(seed: int, out: Path) -> tuple[float, ...]:
        """Return the accuracy on development data, and on test data where there is any."""
        from relmo.tasks.classifier import Classifier
        from relmo.tasks.scores import label_scores
        from relmo.tasks.training import TaskData, train_task

        data = TaskData(
            train=parts[0] or [],
            dev=parts[1] or [],
            elmo=run.elmo(config),
            cache=run.cache_folder(),
            vectors=vectors,
        )
        job = partial(train_task, Classifier, data, out, config, replace(training, seed=seed))
        development = run.run_training(job, out, "accuracy")
        if parts[2] is None:
            return (development,)
        classifier = Classifier.load(out, device=run.device)
        test = label_scores([s.label or "" for s in parts[2]], classifier.classify(parts[2]))
        print(f"test: accuracy {test.accuracy:.2f}, macro-F1 {test.macro_f1:.2f}")
        return development, test.accuracy

    run.each_seed(training.seed, "accuracy", train_one)


@classify.command
def evaluate(
    classifier: _Classifier,
    file: str,
    /,
    *,
    report: TaskReport = "markdown",
    layout: Annotated[Layout, _flags.flat] = Layout(),
    label_column: _LabelColumn = "label",
    device: _flags.Device = "cpu",
) -> None:
    """Print how well a classifier finds the labels of a file, in percent.

    Accuracy, macro-F1 (the mean of the labels' F1), each label's scores, and the confusion.

        relmo classify evaluate sentiment test.tsv

    Args:
        file: Sentences or pairs with their true labels, - for standard input.
        report: How the scores are printed.
    """
    from relmo.data.labelled import read_labelled
    from relmo.tasks.classifier import Classifier
    from relmo.tasks.scores import label_scores

    column = _inputs.column(label_column)
    sentences = read_labelled(file, label_column=column, **layout.arguments())
    loaded = Classifier.load(classifier, device=_inputs.device(device))
    scores = label_scores([s.label or "" for s in sentences], loaded.classify(sentences))
    if report == "json":
        print(json.dumps(scores.to_dict(), indent=2, ensure_ascii=False))
    else:
        print(scores.to_markdown(), end="")


@classify.command
def predict(
    classifier: _Classifier,
    file: str,
    /,
    *,
    probabilities: bool = False,
    layout: Annotated[Layout, _flags.flat] = Layout(),
    device: _flags.Device = "cpu",
) -> None:
    """Print the label of each sentence or pair of a file, and after a tab its probability.

        relmo classify predict sentiment reviews.txt

    Args:
        file: A sentence per line, or a pair with a tab in it; or any other format, whose labels
            are not read. - for standard input.
        probabilities: Print an object per line: the label, and the probability of each.
    """
    from relmo.data.labelled import read_labelled
    from relmo.tasks.classifier import Classifier, check_pairs

    sentences = read_labelled(file, label_column=None, **layout.arguments())
    loaded = Classifier.load(classifier, device=_inputs.device(device))
    check_pairs(sentences, pairs=loaded.config.pairs)
    seconds = [s.second or () for s in sentences] if loaded.config.pairs else None
    for label in loaded.predict([s.tokens for s in sentences], seconds):
        if probabilities:
            values = {"label": label.label, "probabilities": label.probabilities}
            print(json.dumps(values, ensure_ascii=False))
        else:
            print(f"{label.label}\t{label.score:.4f}")
