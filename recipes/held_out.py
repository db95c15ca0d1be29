"""Held-out texts, by source, and the table of what each model makes of them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from relmo.errors import FormatError
from relmo.text.chars import UNK_TOKEN
from relmo.text.corpora import lines

Sentences = list[list[str]]


def read(path: Path) -> dict[str, Sentences]:
    """Sentences by source, which `NAME.sources.tsv` beside `NAME.txt` tells line by line; else "".

    `<unk>` is read as `<UNK>`: a text that holds it was published with its rare words replaced.
    """
    found = path.with_suffix(".sources.tsv")
    text = list(lines(path))
    sources = list(lines(found)) if found.exists() else [""] * len(text)
    if len(sources) != len(text):
        raise FormatError(f"{found}: {len(sources)} lines; expected {len(text)}, as {path} has")
    groups: dict[str, Sentences] = {}
    for line, source in zip(text, sources, strict=True):
        if tokens := [UNK_TOKEN if token == "<unk>" else token for token in line.split()]:
            groups.setdefault(source, []).append(tokens)
    return groups


@dataclass(frozen=True, kw_only=True)
class Row:
    """What models make of one source of a text, or of all of it."""

    text: str
    source: str
    """Empty: all of the text."""
    n_predictions: int
    """Of a direction: tokens and one end a sentence."""
    n_unknown: int
    """Of these, words outside the vocabulary, predicted as `<UNK>`."""
    perplexity: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By model: forward, backward."""


def rows(path: Path, sources: Iterable[Row]) -> list[Row]:
    """The row of all of a text, and then those of its sources if it has several."""
    parts = list(sources)
    n = sum(row.n_predictions for row in parts)
    means = {
        model: tuple(
            math.exp(sum(math.log(r.perplexity[model][k]) * r.n_predictions for r in parts) / n)
            for k in (0, 1)
        )
        for model in parts[0].perplexity
    }
    unknown = sum(row.n_unknown for row in parts)
    name = path.stem
    whole = Row(text=name, source="", n_predictions=n, n_unknown=unknown, perplexity=means)  # type: ignore[arg-type]
    return [whole, *(sorted(parts, key=lambda row: row.source) if len(parts) > 1 else [])]


def beside(models: Sequence[Row], baselines: Sequence[Row]) -> list[Row]:
    """The rows of models with what baselines make of the same predictions.

    Raises:
        FormatError: a baseline was measured on other predictions, or not at all.
    """
    known = {(row.text, row.source): row for row in baselines}
    joined = []
    for row in models:
        base = known.get((row.text, row.source))
        ours = (row.n_predictions, row.n_unknown)
        theirs = base and (base.n_predictions, base.n_unknown)
        if base is None or ours != theirs:
            raise FormatError(
                f"{row.text} {row.source}: the baselines have {theirs} predictions and unknown "
                f"words; expected {ours}: the same text and vocabulary"
            )
        joined.append(Row(**asdict(row) | {"perplexity": base.perplexity | row.perplexity}))
    return joined


def table(found: Sequence[Row]) -> str:
    """In Markdown; a cell is forward / backward."""
    models = list(found[0].perplexity)
    said = [
        "| text | predictions | `<UNK>` | " + " | ".join(models) + " |",
        "|---|--:|--:|" + "--:|" * len(models),
    ]
    for row in found:
        name = f"{row.text}: {row.source}" if row.source else f"**{row.text}**"
        cells = (f"{ahead:.1f} / {back:.1f}" for ahead, back in row.perplexity.values())
        unknown = row.n_unknown / row.n_predictions
        said.append(f"| {name} | {row.n_predictions:,} | {unknown:.2%} | {' | '.join(cells)} |")
    return "\n".join(said)


def as_json(found: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows as JSON has them."""
    return [asdict(row) for row in found]


def of_json(found: Sequence[dict[str, Any]]) -> list[Row]:
    """The rows that `as_json` was given."""
    return [
        Row(**row | {"perplexity": {name: tuple(x) for name, x in row["perplexity"].items()}})
        for row in found
    ]
