"""Settings: frozen dataclasses that check themselves, to JSON objects and back.

A setting is declared once, as a field: its type, its default, its bounds, and one line of help.
The reader here, the flags and the TOML keys of the command line, and its help pages follow from it:

    @dataclass(frozen=True, kw_only=True)
    class TrainConfig(Settings):
        batch_tokens: Annotated[int, Bounds(at_least=1)] = 2560
        \"\"\"Predictions per direction and step.\"\"\"

The types are bool, int, float (finite), str, Literal, tuple, other Settings, and each of these or
None.
"""

import dataclasses
import difflib
import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, Self, Union, get_args, get_origin
from typing import get_type_hints as hints_of

from relmo.errors import ConfigError

__all__ = ["Bounds", "Settings", "read_value"]


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Bounds of a number; each that is given must hold, so that NaN is within none."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    def hold(self, value: float) -> bool:
        """Whether a number is within them."""
        tests = {
            "at_least": operator.ge,
            "above": operator.gt,
            "at_most": operator.le,
            "below": operator.lt,
        }
        return all(tests[name](value, limit) for name, limit in self._limits().items())

    def __str__(self) -> str:
        words = (f"{name.replace('_', ' ')} {limit}" for name, limit in self._limits().items())
        return " and ".join(words)

    def _limits(self) -> dict[str, float]:
        return {name: limit for name, limit in vars(self).items() if limit is not None}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of all settings: types and bounds are checked when one is made.

    Raises:
        ConfigError: a value is not of its field's type, or out of its bounds.
    """

    needs_every_key: ClassVar[bool] = False
    """Whether a file must have every key, those with a default too."""

    def __post_init__(self) -> None:
        for name, hint in _hints(type(self)).items():  # type: ignore[arg-type] # a class is hashable
            _check(getattr(self, name), hint, name)

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, tuples, strings and numbers, as they are written to JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: object, source: str = "settings") -> Self:
        """Read what `to_dict` wrote.

        Args:
            values: a JSON object.
            source: the file's name and the key's in it, for messages.

        Raises:
            ConfigError: an unknown or missing key, a value of another type or out of bounds, or
                values that contradict each other; it begins with `source`.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"{source}: expected an object, got {values!r:.60}")
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for name in values:
            if name not in fields:
                near = difflib.get_close_matches(str(name), fields, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(fields)}"
                raise ConfigError(f"{source}: unknown key {name!r}; {hint}")
        hints = _hints(cls)  # type: ignore[arg-type] # a class is hashable
        read = {}
        try:
            for name, value in values.items():
                read[name] = read_value(value, hints[name], name)
            for name, field in fields.items():
                has_default = field.default is not dataclasses.MISSING or (
                    field.default_factory is not dataclasses.MISSING
                )
                if name not in values and (cls.needs_every_key or not has_default):
                    raise ConfigError(f"the key {name!r} is missing")
            return cls(**read)
        except ConfigError as error:
            raise ConfigError(f"{source}: {error}") from None


@cache
def _hints(cls: type[Settings]) -> dict[str, Any]:
    """Return the annotations of a class's fields, bounds included."""
    hints = hints_of(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _split(hint: Any) -> tuple[list[Any], Bounds | None]:
    """Return the types that an annotation allows, and the bounds on a number among them."""
    bounds = None
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        bounds = next((extra for extra in extras if isinstance(extra, Bounds)), None)
    is_union = get_origin(hint) in (Union, UnionType)
    return list(get_args(hint)) if is_union else [hint], bounds


def read_value(value: object, hint: Any, name: str) -> Any:
    """Return a value of JSON or TOML as a field's annotation has it.

    Args:
        value: bool, int, float, str, None, list or dict.
        hint: the annotation.
        name: the field's, for messages.

    Raises:
        ConfigError: it is of another type or out of bounds.
    """
    value = _converted(value, hint, name)
    _check(value, hint, name)
    return value


def _converted(value: object, hint: Any, name: str) -> object:
    """Return tuples for lists, settings for objects, floats for integers.

    What fits no type is left as it is, for `_check` to refuse.
    """
    for kind in _split(hint)[0]:
        if isinstance(kind, type) and issubclass(kind, Settings) and value is not None:
            return kind.from_dict(value, name)
        if kind is float and type(value) is int and _is(value, kind):
            return float(value)
        if get_origin(kind) in (tuple, list) and isinstance(value, list | tuple):
            hints = _of_items(kind, len(value))
            items = (
                _converted(item, hints[n], name) if n < len(hints) else item
                for n, item in enumerate(value)
            )
            return tuple(items) if get_origin(kind) is tuple else list(items)
    return value


def _check(value: Any, hint: Any, name: str) -> None:
    """Raise a ConfigError unless a value is of a type and within its bounds."""
    kinds, bounds = _split(hint)
    if not any(_is(value, kind) for kind in kinds):
        allowed = get_args(kinds[0])
        if get_origin(kinds[0]) is Literal and isinstance(value, str):
            raise ConfigError(f"{name} must be one of {', '.join(allowed)}, got {value!r:.60}")
        expected = " or ".join(_words(kind) for kind in kinds)
        raise ConfigError(f"{name} is {value!r:.60}, expected {expected}")
    if value is None:
        return
    if bounds is not None and not bounds.hold(value):
        raise ConfigError(f"{name} must be {bounds}, got {value!r:.60}")
    if isinstance(value, list | tuple):
        for n, of_item in enumerate(_of_items(kinds[0], len(value))):
            _check(value[n], of_item, f"{name}[{n}]")


def _is(value: Any, kind: Any) -> bool:
    """Whether a value is of a type; its items are not looked at."""
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if get_origin(kind) is tuple:
        return type(value) is tuple and len(_of_items(kind, len(value))) == len(value)
    if get_origin(kind) is list:
        return type(value) is list
    if kind is float:
        try:
            return type(value) in (int, float) and math.isfinite(value)
        except OverflowError:  # of an integer of over 300 digits
            return False
    if kind in (bool, int, str, type(None)):
        return type(value) is kind
    return isinstance(value, kind)


def _of_items(kind: Any, n: int) -> tuple[Any, ...]:
    """Return the types of the n items of a list or tuple; of a tuple of a fixed size, of those."""
    hints = get_args(kind)
    is_open = get_origin(kind) is list or hints[-1] is Ellipsis
    return (hints[0],) * n if is_open else hints


def _words(kind: Any) -> str:
    """Return a type in words, such as "an integer"."""
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind)))
    if get_origin(kind) in (tuple, list):
        first, *rest = get_args(kind)
        number = f"{1 + len(rest)} " if rest and rest != [Ellipsis] else ""
        return f"a list of {number}{_plural(_split(first)[0][0])}"
    names = {
        bool: "true or false",
        int: "an integer",
        float: "a finite number",
        str: "a string",
        type(None): "none",
    }
    return names.get(kind, "an object")


def _plural(kind: Any) -> str:
    """Return a type in words, of several values."""
    words = _words(kind).removeprefix("an ").removeprefix("a ")
    head, of, rest = words.partition(" of ")
    return f"{head}s{of}{rest}"
