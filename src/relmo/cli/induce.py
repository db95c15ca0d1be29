"""`relmo senses induce`: the senses of a word, found in a corpus."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from relmo.cli import _flags, _inputs
from relmo.cli._output import count, in_context
from relmo.errors import InputError
from relmo.settings import Bounds

if TYPE_CHECKING:
    from relmo.explore.induction import Induction
    from relmo.explore.sense_map import Use

__all__ = ["induce"]


def induce(
    word: str,
    /,
    *,
    corpus: _flags.CorpusFiles | None = None,
    gold: Path | None = None,
    k: Annotated[int | None, Bounds(at_least=2), Parameter(name="-k")] = None,
    layer: int = -1,
    forms: str | None = None,
    max_uses: Annotated[int, Bounds(at_least=3)] = 500,
    lines: Annotated[int, Bounds(at_least=0)] = 5,
    output: _flags.Output | None = None,
    draw: Annotated[int, Bounds(at_least=2)] = 40,
    seed: Annotated[int, Bounds(at_least=0)] = 0,
    field: _flags.Field = "text",
    tokenizer: _flags.Tokenizer = "whitespace",
    model: _flags.Model | None = None,
    report: _flags.Report = "text",
) -> None:
    """Find the senses of a word: clusters of its uses in a corpus.

    Each cluster has its size, the words that the model expects in the position of WORD there more
    than in the others (without a softmax, the words around it), and its most typical uses.

        relmo senses induce bank --corpus news.txt

    Args:
        word: A word.
        gold: Lines of a sense, a tab, and a sentence: uses to cluster too, and to compare the
            clusters with.
        k: So many clusters (default: 2 to 8, by the silhouette).
        layer: Whose vectors; -1 is the last layer.
        forms: The forms of WORD to look for, as they are typed, such as play,plays (default: WORD).
            Forms tend to become clusters.
        max_uses: Take the first N uses, no more.
        lines: Typical uses to print of each cluster.
        output: A picture of some of the uses: .png, .svg or .pdf.
        draw: Uses in the picture, drawn by the seed.
        seed: Of the clusters and the picture.
        report: How to print them.
    """
    if not corpus and gold is None:
        raise InputError("--corpus or --gold: give one of them, or both")
    text: Iterable[list[str]] = _inputs.read_corpus(corpus, field, tokenizer) if corpus else []

    from relmo.explore import induction, page, sense_map, sense_plot  # torch takes a second

    if output is not None:
        page.check_path(output)
    wanted = _inputs.forms(forms)
    uses = () if gold is None else _known(gold, word, wanted)
    uses += sense_map.find_uses(word, text, forms=wanted, exact=True, limit=max_uses)
    found = induction.induce(_inputs.load_model(model), word, uses, k=k, layer=layer, seed=seed)
    for line in _report(found, lines, report):
        print(line)
    if output is not None:
        sense_plot.draw(found.drawn(draw, seed), output, model=_inputs.model_name(model))


def _known(path: Path, word: str, forms: list[str] | None) -> "tuple[Use, ...]":
    """Return the uses in a file of senses and sentences."""
    from relmo._read import lines
    from relmo.explore.sense_map import find_uses

    labels, sentences = [], []
    for number, line in enumerate(lines(path), start=1):
        if not line.strip():
            continue
        columns = line.split("\t")
        if len(columns) != 2 or not all(map(str.strip, columns)):
            raise InputError(f"{path}: line {number}: expected a sense, a tab, and a sentence")
        labels.append(columns[0].strip())
        sentences.append(columns[1].split())
    uses = find_uses(word, sentences, labels, forms=forms, exact=True)
    if not uses:
        raise InputError(f"{path}: no use of {word!r}")
    return uses


def _report(found: "Induction", n_lines: int, report: _flags.Report) -> Iterator[str]:
    if report == "json":
        yield json.dumps(_facts(found), indent=2, ensure_ascii=False)
        return
    n_uses = sum(len(cluster.uses) for cluster in found.clusters)
    is_table = report == "markdown"
    if is_table:
        yield "| cluster | uses | typical |"
        yield "|---|---:|---|"
    else:
        yield (
            f"{found.word}: {count(n_uses, 'use')} in {count(len(found.clusters), 'cluster')}, "
            f"separation {found.separation:.2f}"
        )
    for n, cluster in enumerate(found.clusters, start=1):
        shown = cluster.uses[:n_lines]
        if is_table:
            cells = [in_context(use.tokens, use.position, side=40).strip() for use in shown[:1]]
            cell = "".join(cells).replace("|", "\\|")
            yield f"| {n}: {', '.join(cluster.words)} | {len(cluster.uses)} | {cell} |"
            continue
        yield from ("", f"{n}  {count(len(cluster.uses), 'use')}: {', '.join(cluster.words)}")
        for use in shown:
            yield "  " + in_context(use.tokens, use.position)
    if found.agreement is not None and not is_table:
        yield ""
        yield (
            f"agreement with the senses of {count(found.agreement.n_uses, 'use')}: "
            f"adjusted Rand {found.agreement.adjusted_rand:.2f}, "
            f"V-measure {found.agreement.v_measure:.2f}"
        )


def _facts(found: "Induction") -> dict[str, object]:
    return {
        "word": found.word,
        "separation": found.separation,
        "words_are": "substitutes" if found.by_substitutes else "contexts",
        "agreement": found.agreement
        and {
            "uses": found.agreement.n_uses,
            "adjusted_rand": found.agreement.adjusted_rand,
            "v_measure": found.agreement.v_measure,
        },
        "clusters": [
            {
                "words": list(cluster.words),
                "uses": [
                    {"tokens": list(use.tokens), "position": use.position, "sense": use.label}
                    for use in cluster.uses
                ],
            }
            for cluster in found.clusters
        ],
    }
