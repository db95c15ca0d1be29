"""The models known by name: models.toml, read into dataclasses."""

import difflib
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from relmo.errors import InputError

__all__ = ["File", "Model", "Part", "catalogue", "find", "unknown"]

_DATA = Path(__file__).with_name("models.toml")


@dataclass(frozen=True, kw_only=True)
class Part:
    """A piece of a file that was published in pieces."""

    url: str
    md5: str | None = None
    """As its authors give it."""


@dataclass(frozen=True, kw_only=True)
class File:
    """One file of a model."""

    name: str
    """Its name in the cache."""
    urls: tuple[str, ...] = ()
    """Where it lies; each is tried until one answers."""
    parts: tuple[Part, ...] = ()
    """Or the pieces it is joined from."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """What is known of a model: only what its source says."""

    name: str
    title: str
    language: str
    """ISO 639 code."""
    files: tuple[File, ...]
    """An archive, or the files that make up a folder."""
    format: str
    """What `relmo.formats` calls it; "archive": what is inside shows when it is read."""
    corpus: str
    licence: str
    """As stated, or "not stated"."""
    source: str
    """Where all this is said."""
    parameters: int | None = None
    """Numbers of the biLM, without the softmax."""
    perplexity: float | None = None
    """As its authors give it, on their own text and vocabulary."""
    aliases: tuple[str, ...] = ()
    """Other names it goes by."""

    @property
    def urls(self) -> tuple[str, ...]:
        """Every address, in the order of the files."""
        return tuple(
            url for file in self.files for url in (*file.urls, *(part.url for part in file.parts))
        )


@cache
def catalogue() -> tuple[Model, ...]:
    """Every model known by name, in the order of the data file."""
    with _DATA.open("rb") as file:
        data = tomllib.load(file)
    families: dict[str, dict[str, Any]] = data["families"]
    return tuple(_model(entry, families) for entry in data["models"])


def _model(entry: dict[str, Any], families: dict[str, dict[str, Any]]) -> Model:
    fields = {**families.get(entry.get("family", ""), {}), **entry}
    fields.pop("family", None)
    files = tuple(
        File(
            name=file["name"],
            urls=tuple(file.get("urls", ())),
            parts=tuple(Part(**part) for part in file.get("parts", ())),
        )
        for file in fields.pop("files")
    )
    aliases = tuple(fields.pop("aliases", ()))
    return Model(**fields, files=files, aliases=aliases)


def find(name: str) -> Model | None:
    """The model of a name or alias, None where there is none; capitals and all."""
    return next((m for m in catalogue() if name == m.name or name in m.aliases), None)


def unknown(name: str) -> InputError:
    """The error for what is neither there nor known, with the names that look like it."""
    message = f"'{name}': there is no such model folder"
    if "/" in name or "\\" in name or not name.strip():
        return InputError(f"{message}; `relmo models` lists the models known by name")
    names = [known for model in catalogue() for known in (model.name, *model.aliases)]
    wanted = name.strip().lower().replace("_", "-").replace(" ", "-")
    wanted = wanted.removeprefix("elmo-").removesuffix("-elmo")
    close = [wanted] if wanted in names else difflib.get_close_matches(wanted, names, n=3)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ";"
    return InputError(f"{message}, and no model of that name{hint} `relmo models` lists the names")
