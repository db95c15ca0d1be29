"""Read the models known by name from models.toml into dataclasses."""

import difflib
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from relmo.errors import InputError

__all__ = ["File", "Model", "Part", "catalogue", "find", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """Part of a file that was published in several."""

    url: str
    md5: str | None = None
    """Checksum that its authors published."""


@dataclass(frozen=True, kw_only=True)
class File:
    """File of a model."""

    name: str
    """Name in the cache."""
    urls: tuple[str, ...] = ()
    """Addresses, each tried until one answers."""
    parts: tuple[Part, ...] = ()
    """Parts that it is joined from, in place of addresses."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """Facts about a model: only what its source says."""

    name: str
    title: str
    language: str
    """ISO 639 code."""
    files: tuple[File, ...]
    """Archive, or the files that make up a folder."""
    format: str
    """Name of its file format; "archive": the format shows when it is read."""
    corpus: str
    license: str
    """Name of the license, or "not stated"."""
    source: str
    """Publication that states all this."""
    parameters: int | None = None
    """Number of parameters of the biLM, without the softmax."""
    perplexity: float | None = None
    """Perplexity that its authors report, on their own text and vocabulary."""
    aliases: tuple[str, ...] = ()
    """Other names."""

    @property
    def urls(self) -> tuple[str, ...]:
        """Addresses of all files, in their order."""
        return tuple(
            url for file in self.files for url in (*file.urls, *(part.url for part in file.parts))
        )


@cache
def catalogue() -> tuple[Model, ...]:
    """Return every model known by name, in the order of models.toml."""
    data = tomllib.loads(Path(__file__).with_name("models.toml").read_text(encoding="utf-8"))
    families: dict[str, dict[str, Any]] = data["families"]
    return tuple(_model(entry, families) for entry in data["models"])


def _model(entry: dict[str, Any], families: dict[str, dict[str, Any]]) -> Model:
    fields = {**families.get(entry.get("family", ""), {}), **entry}
    fields.pop("family", None)
    fields["aliases"] = tuple(fields.get("aliases", ()))
    fields["files"] = tuple(
        File(
            name=file["name"],
            urls=tuple(file.get("urls", ())),
            parts=tuple(Part(**part) for part in file.get("parts", ())),
        )
        for file in fields["files"]
    )
    return Model(**fields)


def find(name: str) -> Model | None:
    """Return the model of a name or alias, in this very case; None where there is none."""
    return next((m for m in catalogue() if name == m.name or name in m.aliases), None)


def unknown(name: str) -> InputError:
    """Return the error for what neither exists nor is known, with the names that look like it."""
    message = f"'{name}': there is no such model folder"
    if "/" in name or "\\" in name or not name.strip():
        return InputError(f"{message}; `relmo models` lists the models known by name")
    names = [known for model in catalogue() for known in (model.name, *model.aliases)]
    wanted = name.strip().lower().replace("_", "-").replace(" ", "-")
    wanted = wanted.removeprefix("elmo-").removesuffix("-elmo")
    close = [wanted] if wanted in names else difflib.get_close_matches(wanted, names, n=3)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ";"
    return InputError(f"{message}, and no model of that name{hint} `relmo models` lists the names")
