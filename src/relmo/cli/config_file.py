"""`--config FILE`: a command's flags from a TOML file; what the command line gives wins.

Keys are the names of the flags and arguments, with `_` for `-`; the table [model] is the shape of
a new model. Paths are relative to the file.
"""

import difflib
import functools
import inspect
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self, get_args, get_origin, get_type_hints

import typer

from relmo._read import content
from relmo.errors import ConfigError, InputError

__all__ = ["ConfigFile", "Option", "errors_name_the_file"]

_MOST_BYTES = 2**24
_KINDS: Mapping[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "a string"),
    Path: ((str,), "a path in quotes"),
}
"""Of a flag's type: what TOML may hold for it, and its name."""


class ConfigFile:
    """A TOML file, read.

    Args:
        path: where it is.
        text: what it holds.

    Raises:
        ConfigError: it is no TOML.
    """

    def __init__(self, path: Path, text: str) -> None:
        self.path, self._lines = path, text.splitlines()
        try:
            self.values: dict[str, Any] = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise ConfigError(f"{path}: no TOML: {error}") from error
        self.model: dict[str, Any] | None = None
        """The table [model]."""

    @classmethod
    def read(cls, path: str) -> Self:
        """The file at a path.

        Raises:
            InputError: it cannot be read.
            ConfigError: it is no TOML.
        """
        try:
            # a text like any other: <(...) of a shell is a pipe
            return cls(Path(path), content(path, _MOST_BYTES).decode("utf-8"))
        except InputError as error:
            raise InputError(f"--config {error}") from error
        except UnicodeDecodeError as error:
            raise InputError(f"--config {path}: not UTF-8: {error.reason}") from error

    def flags(self, command: Callable[..., Any]) -> dict[str, Any]:
        """What it gives of a command's flags, paths made so that they hold from here.

        Raises:
            ConfigError: a key is none of them, or its value not of its type.
        """
        hints = {k: v for k, v in get_type_hints(command).items() if k not in ("config", "return")}
        flags = dict(self.values)
        if "preset" in hints and isinstance(flags.get("model"), dict):
            self.model = flags.pop("model")
            if "preset" in flags:
                raise ConfigError(f"{self.where('preset')} and [model]: give one of them")
        for key in flags.keys() - hints.keys():
            known = [*hints, *(["model"] if "preset" in hints else [])]
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"
            raise ConfigError(f"{self.where(key)}: unknown key; {hint}")
        return {key: self._typed(key, value, hints[key]) for key, value in flags.items()}

    def where(self, key: str) -> str:
        """The place of a key, for messages."""
        at = re.compile(rf"\s*\[*\s*[\"']?{re.escape(key)}\b")
        numbers = (number for number, line in enumerate(self._lines, 1) if at.match(line))
        number = next(numbers, None)
        line = "" if number is None else f"line {number}: "
        return f"{self.path}: {line}{key!r}"

    def _typed(self, key: str, value: object, hint: Any) -> Any:
        """The value as the flag takes it; where that is a list, one alone will do."""
        kind = hint
        if type(None) in get_args(hint):
            kind = next(part for part in get_args(hint) if part is not type(None))
        if get_origin(kind) is list:
            (kind,) = get_args(kind)
            values = value if isinstance(value, list) else [value]
            return [
                self._one(key, part, kind, f"a list, each {_KINDS[kind][1]}") for part in values
            ]
        if kind is str and isinstance(value, list) and all(type(part) is int for part in value):
            return ",".join(map(str, value))  # a flag such as --cutoffs
        return self._one(key, value, kind, _KINDS[kind][1])

    def _one(self, key: str, value: object, kind: type, expected: str) -> object:
        allowed = _KINDS[kind][0]
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            raise ConfigError(f"{self.where(key)} is {value!r:.60}, expected {expected}")
        if isinstance(value, str) and self._is_path(key, value, kind):
            return str(self.path.parent / value)
        return value

    def _is_path(self, key: str, value: str, kind: type) -> bool:
        """An address is none; a model's name may be one."""
        if key == "model":
            return (self.path.parent / value).exists()
        return kind is Path and "://" not in value


def _take(context: Any, file: ConfigFile | None) -> ConfigFile | None:
    """What the file gives stands in for the defaults; `context` is that of the call."""
    if file is not None:
        flags = file.flags(inspect.unwrap(context.command.callback))
        for parameter in context.command.params:
            if parameter.name in flags:
                try:
                    parameter.process_value(context, flags[parameter.name])
                except typer.BadParameter as error:
                    got = f"{file.where(parameter.name)} is {flags[parameter.name]!r:.60}"
                    raise ConfigError(f"{got}: {error.message}") from error
        context.default_map = flags
    return file


Option = Annotated[
    ConfigFile | None,
    typer.Option(
        metavar="FILE",
        parser=ConfigFile.read,
        callback=_take,
        is_eager=True,
        help="Flags and arguments from a TOML file; those given here come first.",
        show_default=False,
    ),
]


def errors_name_the_file(command: Callable[..., None]) -> Callable[..., None]:
    """A command with `config: Option`, whose errors say the file and line of the flag they name."""

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        try:
            command(**given)
        except (ConfigError, InputError) as error:
            file: ConfigFile | None = given["config"]
            names = (flag.replace("-", "_") for flag in re.findall(r"--([a-z-]+)", str(error)))
            for name in names:
                if file is not None and name in file.values and file.values[name] == given[name]:
                    raise type(error)(f"{file.where(name)}: {error}") from error
            raise

    return wrapped
