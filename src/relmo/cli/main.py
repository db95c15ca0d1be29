"""`relmo`: the commands together, and how errors look at the command line."""

import logging
import sys
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

import relmo
from relmo.cli.classify import classify
from relmo.cli.convert import convert
from relmo.cli.embed import embed
from relmo.cli.finetune import finetune
from relmo.cli.info import info
from relmo.cli.map import map_word
from relmo.cli.models import models
from relmo.cli.perplexity import perplexity
from relmo.cli.plot import plot
from relmo.cli.probe import probe
from relmo.cli.senses import senses
from relmo.cli.substitutes import substitutes
from relmo.cli.surprisal import surprisal
from relmo.cli.tag import tag
from relmo.cli.train import train
from relmo.cli.verify import verify
from relmo.cli.vocab import vocab
from relmo.errors import RelmoError

__all__ = ["app", "run"]

app = typer.Typer(
    name="relmo",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(embed)
app.command("map")(map_word)
app.command()(info)
app.command()(models)
app.command()(convert)
app.command()(verify)
app.command()(vocab)
app.command()(train)
app.command()(finetune)
app.command()(plot)
app.command()(perplexity)
app.command()(surprisal)
app.command()(substitutes)
app.command()(probe)
app.add_typer(tag, name="tag")
app.add_typer(senses, name="senses")
app.add_typer(classify, name="classify")


def _print_version(wanted: bool) -> bool:
    if wanted:
        print(f"relmo {relmo.__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _relmo(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Deep contextualized word vectors (ELMo): embed text, look at senses, train models."""
    logging.basicConfig(level=logging.WARNING, format="relmo: %(levelname)s: %(message)s")


def run() -> None:
    """The console script: a RelmoError is one line on standard error and exit code 2.

    So is a standard output that cannot be written. Ctrl-C ends with 130 and a closed pipe silently
    with 1, as typer has it.
    """
    try:
        try:
            app(prog_name="relmo")
        finally:
            sys.stdout.flush()  # here, where a full disk can still be said
    except RelmoError as error:
        _fail(str(error))
    except OSError as error:
        if error.filename is not None:  # of a file, of which the library should have said it
            raise
        with suppress(OSError):
            sys.stdout.close()  # or Python would try once more
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        _fail(f"cannot write standard output: {error.strerror or error}")


def _fail(message: str) -> NoReturn:
    print(f"relmo: error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)
