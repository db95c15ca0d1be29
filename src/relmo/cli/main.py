"""`relmo`: the commands together, and how errors look at the command line."""

import logging
import sys
from contextlib import suppress
from typing import NoReturn

from cyclopts import (
    App,
    CycloptsError,
    Group,
    MissingArgumentError,
    Parameter,
    UnusedCliTokensError,
)

import relmo
from relmo.cli._config_file import STDIN, CommandLine
from relmo.errors import RelmoError

__all__ = ["make_app", "run"]

# A command is imported when it is called.
_COMMANDS = {
    "Use a model": [
        "embed:embed",
        "tag:tag",
        "classify:classify",
        "surprisal:surprisal",
        "substitutes:substitutes",
        "perplexity:perplexity",
    ],
    "Explore": ["map:map_word", "senses:senses", "probe:probe"],
    "Train": ["train:train", "finetune:finetune", "vocab:vocab", "plot:plot"],
    "Models": ["models:models", "info:info", "convert:convert", "verify:verify"],
}


def make_app(line: CommandLine) -> App:
    """Return the program, which reads its arguments into `line`."""
    options = Group("Options", sort_key=9)
    app = App(
        name="relmo",
        help="Deep contextualized word vectors (ELMo): embed text, look at senses, train models.",
        version=f"relmo {relmo.__version__}",
        help_flags=("--help", "-h"),
        group_arguments=Group("Arguments", sort_key=0),
        group_parameters=options,
        config=line,
        # Only settings have a --no-FLAG, a value is not JSON, and the last of several counts.
        default_parameter=Parameter(
            negative_bool=(),
            negative_iterable=(),
            json_dict=False,
            json_list=False,
            allow_repeating=True,
            show_default=_shown_default,
        ),
    )
    app.register_install_completion_command(
        help="Let the shell complete commands and flags, then exit."
    )
    app["--help"].help = "Print this page, or that of a command, and exit."
    app["--version"].help = "Print the version and exit."
    for flag in ("--help", "--version", "--install-completion"):
        app[flag].group = options
    for number, (title, commands) in enumerate(_COMMANDS.items(), 1):
        group = Group(title, sort_key=number)
        for command in commands:
            app.command(f"relmo.cli.{command}", name=command.partition(":")[0], group=group)
    return app


def _shown_default(value: object) -> str | None:
    """Return a default as help pages show it; what is off or empty is not shown."""
    return None if value is None or value is False or value == () else str(value)


def run() -> None:
    """Run the console script: any error is one line on standard error, and exit code 2.

    So is a standard output that cannot be written. Ctrl-C ends with 130 and a closed pipe silently
    with 1.
    """
    logging.basicConfig(level=logging.WARNING, format="relmo: %(levelname)s: %(message)s")
    line = CommandLine()
    app = make_app(line)
    arguments = [STDIN if argument == "-" else argument for argument in sys.argv[1:]]
    try:
        try:
            if not arguments or arguments[0] in app.help_flags:
                app.resolved_commands()  # the list shows the first line of each
            app(arguments, exit_on_error=False, print_error=False, result_action="return_none")
        finally:
            sys.stdout.flush()  # here, where a full disk can still be reported
    except MissingArgumentError as error:
        _fail(f"{' '.join(error.command_chain or ())}: {_name(error)} is missing; see --help")
    except UnusedCliTokensError as error:
        unused = " ".join(map(repr, error.unused_tokens or ()))
        _fail(f"{' '.join(error.command_chain or ())}: unexpected {unused}; see --help")
    except (RelmoError, CycloptsError) as error:
        _fail(line.explain(error))
    except OSError as error:
        if error.filename is not None:  # the library should have raised an error of its own
            raise
        with suppress(OSError):
            sys.stdout.close()  # or Python would try once more
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        _fail(f"cannot write standard output: {error.strerror or error}")


def _name(error: MissingArgumentError) -> str:
    """Return the argument that is missing, or the flag whose value is."""
    assert error.argument is not None
    return f"the value of {error.keyword}" if error.keyword else error.argument.name


def _fail(message: str) -> NoReturn:
    print(f"relmo: error: {message}", file=sys.stderr)
    sys.exit(2)
