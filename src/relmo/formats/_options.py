"""What is read of a JSON file of options: each value of its kind, or a ConfigError naming the key.

`where` begins each message; a key is written with the section it is in, such as "lstm.dim".
"""

import sys
from collections.abc import Mapping
from typing import Any, Literal

from relmo.errors import ConfigError

__all__ = ["Options", "activation", "clip", "filters", "got", "section", "whole"]

Options = Mapping[str, Any]


def section(options: Options, key: str, where: str) -> Options:
    """An object within the options."""
    value = options.get(_last(key))
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: {key}: expected an object, {got(options, key)}")
    return value


def whole(
    options: Options, key: str, where: str, *, default: int | None = None, least: int = 1
) -> int:
    """A whole number of at least `least`; `default` where the key is absent."""
    value = options.get(_last(key), default)
    if type(value) is not int or value < least:  # True is an int too
        raise ConfigError(
            f"{where}: {key}: expected a whole number of at least {least}, {got(options, key)}"
        )
    return value


def clip(options: Options, key: str, where: str) -> float | None:
    """A clip; absent, null and 0 are all no clip, as AllenNLP reads them."""
    value = options.get(_last(key))
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value <= sys.float_info.max:  # not NaN, inf
        raise ConfigError(f"{where}: {key}: expected a number of at least 0 or null, got {value!r}")
    return float(value) or None


def filters(options: Options, key: str, where: str) -> tuple[tuple[int, int], ...]:
    """Widths and numbers of convolutions."""
    value = options.get(_last(key))
    if not isinstance(value, list) or not value or not all(map(_is_pair, value)):
        raise ConfigError(f"{where}: {key}: expected [[width, number], ...], {got(options, key)}")
    return tuple((width, number) for width, number in value)


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(item) is int for item in value)


def activation(options: Options, key: str, where: str) -> Literal["relu", "tanh"]:
    """A nonlinearity."""
    match options.get(_last(key)):
        case "relu":
            return "relu"
        case "tanh":
            return "tanh"
    raise ConfigError(f"{where}: {key}: expected 'relu' or 'tanh', {got(options, key)}")


def got(options: Options, key: str) -> str:
    """What there is in place of what was expected."""
    name = _last(key)
    return f"got {options[name]!r}" if name in options else "the key is missing"


def _last(key: str) -> str:
    return key.rpartition(".")[2]
