"""`relmo plot`: the learning curves of training runs."""

from pathlib import Path
from typing import Annotated

import typer

from relmo.cli.words import some

__all__ = ["plot"]


def plot(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN", help="Folders of runs, which may be going on.", show_default=False
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The picture: .png, .svg or .pdf.",
            show_default=False,
        ),
    ],
    over: Annotated[
        str, typer.Option(metavar="tokens|steps", help="What the curves are drawn over.")
    ] = "tokens",
) -> None:
    """Draw the curves of RUN..., a colour each, into one picture.

    Training loss, validation perplexity in both directions, learning rate, norm of the gradient,
    and tokens a second.
    """
    from relmo.explore import curves, page  # torch takes a second to import

    page.check_path(output)
    curves.draw(curves.read(runs), output, x=over)
    print(f"{output}: {some(len(runs), 'run')}")
