"""A command line as it was typed, and `--config FILE`, which gives what was not.

Keys of the file are the names of the flags and arguments, with `_` for `-`; the table [model] is
the shape of a new model. Paths are relative to the file.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self, get_args, get_origin

from cyclopts import App, Argument, ArgumentCollection, Token

from relmo._read import content
from relmo.errors import ConfigError, InputError
from relmo.settings import read_value

__all__ = ["STDIN", "CommandLine", "ConfigFile"]

STDIN = "\N{WORD JOINER}-"
"""What stands for "-" while a command line is read: cyclopts would take that for a flag."""
_MOST_BYTES = 2**24
_MAY_BE_PATHS = ("model", "word_vectors")  # or a name, an address


class ConfigFile:
    """A TOML file, read.

    Args:
        path: where it is.
        text: what it holds.

    Raises:
        ConfigError: it is not TOML.
    """

    def __init__(self, path: Path, text: str) -> None:
        self.path, self._lines = path, text.splitlines()
        try:
            self.values: dict[str, Any] = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise ConfigError(f"{path}: not TOML: {error}") from error
        self.model: dict[str, Any] | None = None
        """The table [model]."""
        if isinstance(self.values.get("model"), dict):
            self.model = self.values.pop("model")

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a file.

        Raises:
            InputError: it cannot be read.
            ConfigError: it is not TOML.
        """
        try:
            # A text like any other: <(...) of a shell is a pipe.
            return cls(Path(path), content(path, _MOST_BYTES).decode("utf-8"))
        except InputError as error:
            raise InputError(f"--config {error}") from error
        except UnicodeDecodeError as error:
            raise InputError(f"--config {path}: not UTF-8: {error.reason}") from error

    def fill(self, arguments: Sequence[Argument]) -> None:
        """Give a command's arguments the values of the file, but for those that were typed.

        Raises:
            ConfigError: a key is not one of them, or its value is not of its type.
        """
        known = {_key(argument): argument for argument in arguments}
        del known["config"]
        if self.model is not None and "preset" not in known:
            raise ConfigError(f"{self.where('model')}: unknown key; the model has its own shape")
        if self.model is not None and "preset" in self.values:
            raise ConfigError(f"{self.where('preset')} and [model]: give one of them")
        for key, value in self.values.items():
            if key not in known:
                keys = [*known, *(["model"] if "preset" in known else [])]
                near = difflib.get_close_matches(key, keys, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(keys)}"
                raise ConfigError(f"{self.where(key)}: unknown key; {hint}")
            values = self._read(key, value, known[key])
            if not known[key].tokens:
                for n, token in enumerate(self._tokens(known[key], values)):
                    known[key].append(token.evolve(index=n))

    def where(self, key: str) -> str:
        """Return file, line and key, for messages."""
        pattern = re.compile(rf"\s*\[*\s*[\"']?{re.escape(key)}\b")
        lines = (number for number, line in enumerate(self._lines, 1) if pattern.match(line))
        number = next(lines, None)
        line = "" if number is None else f"line {number}: "
        return f"{self.path}: {line}{key!r}"

    def _read(self, key: str, value: object, argument: Argument) -> list[Any]:
        """Return the values of a key, checked; one alone will do for a list."""
        hint = argument.field_info.annotation
        is_list = get_origin(argument.resolved_hint) is list
        if is_list and not isinstance(value, list):
            value = [value]
        if _takes_paths(argument):
            hint = list[str] if is_list else str
        try:
            value = read_value(value, hint, "")
        except ConfigError as error:
            raise ConfigError(f"{self.where(key)}{error}") from None
        return list(value) if isinstance(value, list | tuple) else [value]

    def _tokens(self, argument: Argument, values: list[Any]) -> Iterator[Token]:
        """Yield values as they would be typed."""
        for value in values:
            if isinstance(value, bool):
                yield Token(keyword=argument.name, implicit_value=value, source=str(self.path))
            else:
                text = self._path(argument, str(value))
                yield Token(keyword=argument.name, value=text, source=str(self.path))

    def _path(self, argument: Argument, value: str) -> str:
        """Return a path as it holds from here; other values, such as addresses, as they are."""
        if _key(argument) in _MAY_BE_PATHS:
            is_path = (self.path.parent / value).exists()
        else:
            is_path = _takes_paths(argument) and ":/" not in value
        return str(self.path.parent / value) if is_path else value


class CommandLine:
    """A command's arguments as they were typed and as --config gives them.

    An app calls it when it has read what was typed; errors are then explained by it.
    """

    def __init__(self) -> None:
        self._arguments: list[Argument] = []
        self._file: ConfigFile | None = None

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        """Check what was typed, and take what --config gives for the rest.

        Raises:
            ConfigError, InputError: a flag's value is not an integer, or the file is wrong.
        """
        self._arguments = [argument for argument in arguments if not argument.children]
        for argument in self._arguments:
            argument.tokens = list(_typed(argument))
            if _key(argument) == "config" and argument.tokens:
                self._file = ConfigFile.read(argument.tokens[-1].value)
                argument.tokens = [argument.tokens[-1].evolve(implicit_value=self._file)]
        if self._file is not None:
            self._file.fill(self._arguments)

    def explain(self, error: Exception) -> str:
        """Return an error's message in one line, as the command line names things.

        Names of settings become flags; a flag that --config gave is named with file and line.
        """
        message = " ".join(str(error).replace(STDIN, "-").split())
        if self._file is not None and message.startswith(f"{self._file.path}: "):
            return message
        flags = {_key(a): a for a in self._arguments if a.name.startswith("--")}
        message = re.sub(
            r"(?<![\w.-])([a-z]\w*)=(\w+)",
            lambda m: f"{flags[m[1]].name} {m[2]}" if m[1] in flags else m[0],
            message,
        )
        settings = "|".join(key for key, argument in flags.items() if argument.keys)
        if settings:
            # In the midst of a sentence a name without an underscore may be a word of English.
            message = re.sub(
                rf"(^|: )({settings})(?![\w-])|(?<![\w.-])(?=\w*_)({settings})(?![\w-])",
                lambda m: f"{m[1] or ''}{flags[m[2] or m[3]].name}",
                message,
            )
        for name in re.findall(r"--[a-z][a-z-]*", message):
            argument = flags.get(name.removeprefix("--").replace("-", "_"))
            if (
                self._file
                and argument
                and any(t.source == str(self._file.path) for t in argument.tokens)
            ):
                return f"{self._file.where(_key(argument))}: {message}"
        return message


def _key(argument: Argument) -> str:
    """Return an argument's name in Python and in TOML."""
    return str(argument.field_info.name)


def _takes_paths(argument: Argument) -> bool:
    """Whether an argument is a path, or a list of them."""
    return Path in (argument.resolved_hint, *get_args(argument.resolved_hint))


def _typed(argument: Argument) -> Iterator[Token]:
    """Yield what was typed for an argument: lists at their commas, integers checked."""
    kinds = (argument.resolved_hint, *get_args(argument.resolved_hint))
    n = 0
    for token in argument.tokens:
        name = token.keyword or argument.name
        values = [token.value.replace(STDIN, "-")]
        if get_origin(argument.resolved_hint) is tuple:
            values = values[0].split(",") if values[0] else []
        for value in values:
            if int in kinds and not re.fullmatch(r"[+-]?\d+", value):
                raise InputError(f"{name} is {value!r}, expected an integer")
            if argument.resolved_hint is int and not argument.keys:  # settings check themselves
                read_value(int(value), argument.field_info.annotation, name)
            yield token.evolve(value=value, index=n if len(values) > 1 else token.index)
            n += 1
