"""`relmo tag`: taggers trained, evaluated and used, such as for names or parts of speech."""

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from relmo.cli import _flags, _inputs
from relmo.cli._task_runs import TaskReport, TaskRun, with_vectors
from relmo.errors import ConfigError
from relmo.settings import Bounds
from relmo.tasks.config import TaggerConfig, TaggerTraining

if TYPE_CHECKING:
    from relmo.data.tagged import TaggedSentence
    from relmo.tasks.scores import Scores
    from relmo.tasks.tagger import TaggedTokens, Tagger

__all__ = ["tag"]

tag = App(name="tag", help="Tag tokens: names, parts of speech, or whatever a corpus has tags for.")
_Tagger = Annotated[
    Path, Parameter(help="A tagger or its run, or one that comes with relmo: pos, ner.")
]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How files of tagged sentences are laid out."""

    format: _flags.TagFormat | None = None
    """Format of the files (default: as their names and first lines say)."""
    token_column: str | None = None
    """Number from 0, from the end where negative, or name (default: the usual one)."""
    tag_column: str | None = None
    """Likewise, of the tags."""
    encoding: _flags.Encoding = None

    def arguments(self) -> dict[str, Any]:
        """Return it as `relmo.data.tagged` takes it."""
        return {
            "format": self.format,
            "token_column": _inputs.column(self.token_column),
            "tag_column": _inputs.column(self.tag_column),
            "encoding": self.encoding,
        }


@tag.command
def train(
    *,
    run: Annotated[TaskRun, _flags.flat],
    layout: Annotated[Layout, _flags.flat] = Layout(),
    scheme: _flags.TagScheme | None = None,
    config: Annotated[TaggerConfig, _flags.flat] = TaggerConfig(),  # noqa: B008
    training: Annotated[TaggerTraining, _flags.flat] = TaggerTraining(),  # noqa: B008
) -> None:
    """Train a tagger; it is OUT/best, and what `relmo tag predict OUT` takes.

    Ctrl-C and SIGTERM save first; the same command with --resume then goes on as if nothing had
    happened.

        relmo tag train --train train.conll --dev dev.conll --out ner

    Args:
        scheme: Scheme of the tags: one of spans, or plain, where each token has its own tag
            (default: what most of them fit).
    """
    from relmo.data.tagged import read_tagged

    files = (run.train, run.dev, run.test)
    parts = [None if file is None else read_tagged(file, **layout.arguments()) for file in files]
    tokens = (sentence.tokens for part in parts for sentence in part or ())
    config, vectors = with_vectors(config, run.vectors, tokens)

    def train_one(seed: int, out: Path) -> tuple[float, ...]:
        """Return the F1 on development data, and on test data where there is any."""
        from relmo.tasks.tagger import Tagger
        from relmo.tasks.training import TaskData, train_task

        data = TaskData(
            train=parts[0] or [],
            dev=parts[1] or [],
            elmo=run.elmo(config),
            cache=run.cache_folder(),
            vectors=vectors,
            scheme=scheme,
        )
        job = partial(train_task, Tagger, data, out, config, replace(training, seed=seed))
        development = run.run_training(job, out, "F1")
        if parts[2] is None:
            return (development,)
        test, _ = _scores(Tagger.load(out, device=run.device), parts[2])
        print(f"test: precision {test.precision:.2f}, recall {test.recall:.2f}, F1 {test.f1:.2f}")
        return development, test.f1

    run.each_seed(training.seed, "F1", train_one)


def _scores(
    tagger: "Tagger", sentences: "list[TaggedSentence]", n_errors: int = 0
) -> "tuple[Scores, list[str]]":
    """Return a tagger's scores, and the first of the sentences that it tags wrong."""
    from relmo.data.tagged import canonical_tags
    from relmo.tasks.scores import errors, span_scores

    sentences, _ = canonical_tags(sentences, tagger.scheme)
    predicted = tagger.tag(sentences)
    scores = span_scores([s.tags for s in sentences], predicted, tagger.scheme)
    return scores, list(islice(errors(sentences, predicted, tagger.scheme), n_errors))


@tag.command
def evaluate(
    tagger: _Tagger,
    file: str,
    /,
    *,
    report: TaskReport = "markdown",
    errors: Annotated[int, Bounds(at_least=0)] = 0,
    layout: Annotated[Layout, _flags.flat] = Layout(),
    device: _flags.Device = "cpu",
) -> None:
    """Print how well a tagger finds the tags of a file: precision, recall and F1 in percent.

    They are counted as the conlleval script does, a span being right where its first and last token
    and its label are.

        relmo tag evaluate ner test.conll

    Args:
        file: Sentences with their true tags, - for standard input.
        report: How the scores are printed.
        errors: Print the first N sentences that are wrong, spans marked.
    """
    from relmo.data.tagged import read_tagged
    from relmo.tasks.tagger import Tagger

    sentences = read_tagged(file, **layout.arguments())
    scores, wrong = _scores(Tagger.load(tagger, device=_inputs.device(device)), sentences, errors)
    if report == "json":
        listed = {"errors": wrong} if errors else {}
        print(json.dumps({**scores.to_dict(), **listed}, indent=2, ensure_ascii=False))
    else:
        print(scores.to_markdown(), end="")
        for sentence in wrong:
            print(f"\n{sentence}")


@tag.command
def predict(
    tagger: _Tagger,
    file: str,
    /,
    *,
    scores: bool = False,
    layout: Annotated[Layout, _flags.flat] = Layout(),
    tokenizer: _flags.Tokenizer | None = None,
    device: _flags.Device = "cpu",
) -> None:
    """Print a file with the tags that a tagger gives it, in its own format.

    With --format text a file in UTF-8 may be of any length, and is tagged while it is read; a file
    that is given with --tokenizer is such a text.

        relmo tag predict ner letters.txt --tokenizer moses

    Args:
        file: Sentences in any format with or without tags, - for standard input.
        scores: Print an object per line instead: tokens, tags, their probabilities, and spans, and
            of a text their positions in it.
    """
    from relmo.data.tagged import read_tokens
    from relmo.tasks.tagger import Tagger
    from relmo.text.tokenizers import by_name

    if tokenizer is not None and layout.format not in (None, "text"):
        raise ConfigError(f"--tokenizer: a file of --format {layout.format} has tokens already")
    if tokenizer is not None:
        layout = replace(layout, format="text")
    tokenize = by_name(tokenizer or "whitespace")
    loaded = Tagger.load(tagger, device=_inputs.device(device))
    if layout.format == "text" and layout.encoding is None and ".zip" not in file.lower():
        _print_stream(loaded.predict_stream(_inputs.text_lines(file), tokenize=tokenize), scores)
        return
    document = read_tokens(file, tokenize=tokenize, **layout.arguments())
    tagged = loaded.predict_stream(document.texts or document.sentences, tokenize=tokenize)
    if scores:
        _print_stream(tagged, scores)
        return
    tags = [sentence.tags for sentence in tagged]
    sys.stdout.flush()
    data = document.with_tags(tags)
    if hasattr(sys.stdout, "buffer"):
        sys.stdout.buffer.write(data)
    else:
        print(os.fsdecode(data), end="")


def _print_stream(sentences: "Iterable[TaggedTokens]", scores: bool) -> None:
    """Print sentences as objects, or in columns with blank lines between sentences."""
    for sentence in sentences:
        if not scores:
            pairs = zip(sentence.tokens, sentence.tags, strict=True)
            print("".join(f"{token}\t{tag}\n" for token, tag in pairs))
        elif sentence.tokens:
            print(json.dumps(sentence.to_dict(), ensure_ascii=False))
