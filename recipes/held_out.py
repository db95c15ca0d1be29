"""Held-out texts, by source, and the table of what each model makes of them."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from relmo._read import lines
from relmo.errors import FormatError
from relmo.text.chars import UNK_TOKEN

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


def whole_first(parts: Sequence[Row]) -> list[Row]:
    """The row of all of a text, and then those of its sources, by name, if it has several."""
    n = sum(part.n_predictions for part in parts)

    def mean(model: str, direction: int) -> float:
        nats = [math.log(p.perplexity[model][direction]) * p.n_predictions for p in parts]
        return math.exp(sum(nats) / n)

    whole = Row(
        text=parts[0].text,
        source="",
        n_predictions=n,
        n_unknown=sum(part.n_unknown for part in parts),
        perplexity={model: (mean(model, 0), mean(model, 1)) for model in parts[0].perplexity},
    )
    return [whole, *sorted(parts, key=lambda part: part.source)] if len(parts) > 1 else [whole]


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
        joined.append(replace(row, perplexity=base.perplexity | row.perplexity))
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


def save(found: Sequence[Row], path: Path) -> None:
    """Write rows as JSON."""
    path.write_text(json.dumps([asdict(row) for row in found], indent=1) + "\n")


def load(path: Path) -> list[Row]:
    """The rows that `save` was given."""
    return [
        Row(**row | {"perplexity": {name: (x, y) for name, (x, y) in row["perplexity"].items()}})
        for row in json.loads(path.read_text())
    ]
