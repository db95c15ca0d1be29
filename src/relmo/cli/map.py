"""`relmo map`: a picture of a word's uses, layer by layer."""

import sys
from itertools import tee
from typing import Annotated

from relmo.cli import _flags, _inputs
from relmo.cli._output import count
from relmo.errors import InputError
from relmo.settings import Bounds

__all__ = ["map_word"]


def map_word(
    word: str,
    sentences: list[str] | None = None,
    /,
    *,
    output: _flags.Output,
    forms: _flags.Forms = None,
    exact: _flags.Exact = False,
    limit: Annotated[int, Bounds(at_least=2)] = 200,
    model: _flags.Model | None = None,
) -> None:
    """Draw every use of a word, a panel for each layer.

    The vectors of WORD in SENTENCES, brought down to two dimensions, each labelled by its
    sentence. Where lines have labels, each panel says how far apart the senses are.

        relmo map bank sentences.txt -o bank.png

    Args:
        word: A word.
        sentences: Files with one tokenized sentence per line, - for standard input (as without),
            or sentences themselves. A line may begin with a label of the word's sense there and a
            tab.
        output: The picture: .png, .svg or .pdf.
        limit: Draw the first N uses, no more.
    """
    if not sentences and sys.stdin.isatty():
        raise InputError("SENTENCES: give sentences, or files of them")
    arguments = sentences or ["-"]
    _inputs.check_lines(arguments)

    from relmo.explore import page, sense_map, sense_plot  # torch takes a second to import

    page.check_path(output)
    labels, texts = tee(map(_columns, _inputs.read_lines(arguments)))
    uses = sense_map.find_uses(
        word,
        (text.split() for _, text in texts),
        (label for label, _ in labels),
        forms=_inputs.forms(forms),
        exact=exact,
        limit=limit,
    )
    drawn = sense_map.compute(_inputs.load_model(model), word, uses)
    sense_plot.draw(drawn, output, model=_inputs.model_name(model))
    n_sentences = len({use.tokens for use in uses})
    print(f"{output}: {count(len(uses), 'use')} of {word!r} in {count(n_sentences, 'sentence')}")
    for layer in drawn.layers:
        variance = f"{100 * layer.variance_kept:3.0f} % of the variance kept"
        separation = "" if layer.separation is None else f", separation {layer.separation:.2f}"
        print(f"  {layer.name:<12}{variance}{separation}")


def _columns(line: _inputs.Line) -> tuple[str | None, str]:
    """Return label and sentence of a line."""
    columns = line.text.split("\t")
    if len(columns) > 2:
        raise InputError(
            f"{line}: {len(columns)} columns, expected a sentence, or a label, a tab, a sentence"
        )
    return (columns[0].strip() or None if len(columns) == 2 else None), columns[-1]
