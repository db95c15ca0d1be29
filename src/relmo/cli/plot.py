"""`relmo plot`: the learning curves of training runs."""

from pathlib import Path
from typing import Literal

from relmo.cli import _flags
from relmo.cli._output import count

__all__ = ["plot"]


def plot(
    runs: list[Path],
    /,
    *,
    output: _flags.Output,
    over: Literal["tokens", "steps"] = "tokens",
) -> None:
    """Draw the learning curves of training runs, a color each, into one picture.

    Training loss, validation perplexity in both directions, learning rate, norm of the gradient,
    and tokens per second.

        relmo plot first second -o curves.png

    Args:
        runs: Folders of runs, which may be going on.
        output: The picture: .png, .svg or .pdf.
        over: What the curves are drawn over.
    """
    from relmo.explore import curves, page  # torch takes a second to import

    page.check_path(output)
    curves.draw(curves.read(runs), output, x=over)
    print(f"{output}: {count(len(runs), 'run')}")
