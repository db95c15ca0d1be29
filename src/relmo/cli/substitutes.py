"""`relmo substitutes`: the likeliest words in a place of a sentence."""

import json
import math
from typing import TYPE_CHECKING, Annotated

import typer

from relmo.cli import given, lines
from relmo.errors import InputError

if TYPE_CHECKING:
    from relmo.elmo.language_model import Substitutes

__all__ = ["substitutes"]


def substitutes(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=given.HELP, show_default=False)],
    sentences: Annotated[
        list[str],
        typer.Argument(
            metavar="SENTENCE",
            help='Tokenised, with one word in brackets: "The [bank] was closed ."; or files of '
            "such sentences, or - for standard input.",
            show_default=False,
        ),
    ],
    n: Annotated[int, typer.Option("-n", min=1, metavar="N", help="So many words for each.")] = 10,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a sentence instead of tables.")
    ] = False,
) -> None:
    """Print the likeliest words in the place of the one in brackets.

    Read from both sides: the log-probabilities of the two directions are added up and normalised
    over the vocabulary. The word in brackets itself is not looked at.
    """
    lines.check(sentences)

    from relmo.elmo.language_model import LanguageModel  # torch takes a second to import

    words = LanguageModel(given.load(model))
    given_lines = (line.text for line in lines.read(sentences) if line.text)
    is_first = True
    for found in words.substitutes(given_lines, n):
        if as_json:
            print(json.dumps(_facts(found), ensure_ascii=False))
        else:
            print("" if is_first else "\n", end="")
            _print(found)
        is_first = False
    if is_first:
        raise InputError("no sentence in the input; expected one a line, with a word in [brackets]")


def _facts(found: "Substitutes") -> dict[str, object]:
    return {
        "tokens": found.tokens,
        "place": found.place,
        "words": [
            {"word": word, "probability": probability}
            for word, probability in zip(found.words, _probabilities(found), strict=True)
        ],
    }


def _print(found: "Substitutes") -> None:
    shown = list(found.tokens)
    shown[found.place] = f"[{shown[found.place]}]"
    print(" ".join(shown))
    width = max(map(len, found.words), default=0)
    for rank, (word, p) in enumerate(zip(found.words, _probabilities(found), strict=True), start=1):
        print(f"{rank:>4}  {word:<{width}}  {100 * p:7.3f} %")


def _probabilities(found: "Substitutes") -> list[float]:
    return [math.exp(score) for score in found.log_probabilities.tolist()]
