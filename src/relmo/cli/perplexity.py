"""`relmo perplexity`: how well a language model predicts a text, and by which count."""

import json
import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relmo.cli import given, lines
from relmo.cli.surprisal import CONTEXT_HELP, Context
from relmo.cli.words import some

if TYPE_CHECKING:
    from relmo.elmo.language_model import LanguageModel
    from relmo.elmo.model import CheckpointInfo
    from relmo.train.evaluate import TextPerplexity

__all__ = ["perplexity"]

_ROWS = {
    "with_ends": "per token, </S> counted",
    "without_ends": "per token, </S> left out",
    "per_word": "per word, </S> shared out",
    "of_known": "per known word",
}


def perplexity(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=given.HELP, show_default=False)],
    texts: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE",
            help="Files with one tokenised sentence a line (.gz, .xz, .zst too), - for standard "
            "input, or sentences themselves. Blank lines are left out.",
            show_default=False,
        ),
    ],
    closed: Annotated[
        bool,
        typer.Option(
            "--closed",
            help="Count as the literature on PTB and WikiText-2 does: <unk> in FILE is the "
            "unknown word, and every line, a blank one too, has an end that is predicted.",
        ),
    ] = False,
    context: Annotated[Context, typer.Option(help=CONTEXT_HELP)] = Context.fresh,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of lines.")
    ] = False,
) -> None:
    """Print the perplexity of FILE..., forward and backward, full softmax.

    By every count in which such numbers are given, with what they depend on: the vocabulary and
    how many words are outside it.
    """
    lines.check(texts)

    from relmo.elmo.language_model import LanguageModel  # torch takes a second to import
    from relmo.train.evaluate import text_perplexity

    elmo = given.load(model)
    words = LanguageModel(elmo)
    sentences = (line.text.split() for line in lines.read(texts))
    found = text_perplexity(
        words,
        (sentence for sentence in sentences if sentence or closed),
        context=context.value,
        closed=closed,
    )
    facts = {
        **_facts(elmo.checkpoint_info, words, found),
        "files": texts,
        "closed": closed,
        "context": context.value,
    }
    if as_json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for name, said in _lines(facts):
        print(f"{name:<12} {said}")
    print(f"\n{'perplexity':<26}{'forward':>12}{'backward':>12}{'mean':>12}")
    for key, name in _ROWS.items():
        numbers = facts["perplexity"][key]
        cells = ("-" if x is None else f"{x:,.2f}" for x in numbers.values())
        print(f"{name:<26}" + "".join(f"{cell:>12}" for cell in cells))


def _facts(
    info: "CheckpointInfo | None", words: "LanguageModel", found: "TextPerplexity"
) -> dict[str, Any]:
    return {
        "model": str(info.source) if info else None,
        "vocabulary": {
            "words": len(words.vocab),
            "source": str(info.source) if info else None,
            "sha256": words.vocab.sha256(),
        },
        "sentences": found.n_sentences,
        "tokens": found.n_tokens,
        "unknown": found.n_unknown,
        "unmarked_unknown": found.n_unmarked,
        "unknown_rate": found.n_unknown / found.n_tokens,
        "perplexity": {key: _directions(*getattr(found, key)) for key in _ROWS},
        "bits": {
            "forward": found.forward.tokens + found.forward.ends,
            "backward": found.backward.tokens + found.backward.ends,
        },
    }


def _directions(forward: float, backward: float) -> dict[str, float | None]:
    named = {"forward": forward, "backward": backward, "mean": (forward + backward) / 2}
    return {name: None if math.isnan(number) else number for name, number in named.items()}


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    vocabulary, n_unmarked = facts["vocabulary"], facts["unmarked_unknown"]
    unknown = (
        f"{some(facts['unknown'], 'token')}, {100 * facts['unknown_rate']:.2f} %, "
        "each predicted as the unknown word"
    )
    said = [
        ("model", facts["model"] or "new"),
        (
            "vocabulary",
            f"{some(vocabulary['words'], 'word')} that came with the model; sha256 "
            f"{vocabulary['sha256'][:12]}",
        ),
        ("text", f"{some(facts['sentences'], 'sentence')}, {some(facts['tokens'], 'token')}"),
        ("unknown", unknown),
        ("context", facts["context"]),
    ]
    if facts["closed"]:
        outside = f"{some(n_unmarked, 'token')} of the text outside the vocabulary and not <unk>"
        verdict = "yes" if not n_unmarked else f"no: {outside}; published figures do not compare"
        said.append(("closed", verdict))
    return said
