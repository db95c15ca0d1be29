"""`relmo substitutes`: the likeliest words in a place of a sentence."""

import json
import math
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from relmo.cli import _flags, _inputs
from relmo.errors import InputError
from relmo.settings import Bounds

if TYPE_CHECKING:
    from relmo.elmo.language_model import Substitutes

__all__ = ["substitutes"]


def substitutes(
    model: _flags.Model,
    sentences: list[str],
    /,
    *,
    n: Annotated[int, Bounds(at_least=1), Parameter(name="-n")] = 10,
    as_json: _flags.Json = False,
) -> None:
    """Print the likeliest words in the position of the one in brackets.

    Read from both sides: the log-probabilities of the two directions are added up and normalized
    over the vocabulary. The word in brackets itself is not looked at.

        relmo substitutes original "The [bank] was closed ."

    Args:
        sentences: Tokenized, with one word in brackets; or files of such sentences, or - for
            standard input.
        n: So many words for each.
    """
    _inputs.check_lines(sentences)

    from relmo.elmo.language_model import LanguageModel  # torch takes a second to import

    words = LanguageModel(_inputs.load_model(model))
    texts = (line.text for line in _inputs.read_lines(sentences) if line.text)
    is_first = True
    for found in words.substitutes(texts, n):
        if as_json:
            print(json.dumps(_facts(found), ensure_ascii=False))
        else:
            print("" if is_first else "\n", end="")
            _print(found)
        is_first = False
    if is_first:
        raise InputError(
            "no sentence in the input; expected one per line, with a word in [brackets]"
        )


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
