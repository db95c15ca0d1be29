"""The tables in docs/models.md: `python -m tests.hub.models_page` writes them anew.

They stand between the lines `<!-- models -->` and `<!-- end -->`; the rest is left alone.
"""

import re
from pathlib import Path

from relmo import hub
from relmo.hub import Model

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
_BLOCK = re.compile(r"(?<=<!-- models -->\n).*?(?=<!-- end -->\n)", re.DOTALL)
_HEAD = ("name", "language", "model", "parameters", "corpus", "license", "perplexity", "source")


def renewed(page: str) -> str:
    """The page with the table as the catalogue has it."""
    rows = [_HEAD, ("---",) * len(_HEAD), *map(_row, hub.catalogue())]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return _BLOCK.sub(lambda _: table, page)


def _row(model: Model) -> tuple[str, ...]:
    names = [f"`{name}`" for name in (model.name, *model.aliases)]
    return (
        ", ".join(names),
        model.language,
        model.title,
        "" if model.parameters is None else f"{model.parameters:,}",
        model.corpus,
        model.license,
        "" if model.perplexity is None else f"{model.perplexity:g}",
        model.source,
    )


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
