"""`relmo models`: the models known by name."""

import dataclasses
import json
from typing import TYPE_CHECKING

from relmo.cli import _flags
from relmo.cli._output import count, print_table
from relmo.errors import InputError

if TYPE_CHECKING:
    from relmo.hub import Model

__all__ = ["models"]

_COLUMNS = (
    "name",
    "lang",
    "size",
    "cached",
    "title",
    "perplexity",
    "license",
    "corpus",
    "aliases",
)
# On a narrow terminal the last ones are cut.


def models(*, language: str | None = None, as_json: _flags.Json = False) -> None:
    """Print the models known by name, and which of them are in the cache.

    Perplexities are their authors' own, on different texts: they do not compare.

        relmo models --language de

    Args:
        language: Those of one language, by its ISO code (default: all).
    """
    from relmo import hub

    known = [m for m in hub.catalogue() if language is None or m.language == language.lower()]
    if not known:
        languages = sorted({model.language for model in hub.catalogue()})
        raise InputError(f"--language: none for {language!r}; there are {', '.join(languages)}")
    if as_json:
        print(json.dumps([_facts(model) for model in known], indent=2, ensure_ascii=False))
        return
    print_table(_COLUMNS, [_row(model) for model in known])
    print(f"{count(len(known), 'model')}; the cache is {hub.home()}")


def _facts(model: "Model") -> dict[str, object]:
    from relmo import hub

    return {**dataclasses.asdict(model), "cached": hub.is_cached(model)}


def _row(model: "Model") -> tuple[str, ...]:
    from relmo import hub

    return (
        model.name,
        model.language,
        "" if model.parameters is None else f"{model.parameters / 1e6:.1f} M",
        "yes" if hub.is_cached(model) else "",
        model.title,
        "" if model.perplexity is None else f"{model.perplexity:g}",
        model.license,
        model.corpus,
        ", ".join(alias for alias in model.aliases if "/" not in alias),
    )
