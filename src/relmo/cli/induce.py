"""`relmo senses induce`: the senses of a word, found in a corpus."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relmo.cli import corpus as corpora
from relmo.cli import given, keyword
from relmo.cli.neighbours import CorpusFiles, listed
from relmo.cli.report import Report
from relmo.cli.words import some
from relmo.errors import InputError

if TYPE_CHECKING:
    from relmo.explore.induction import Induction
    from relmo.explore.sense_map import Use

__all__ = ["induce"]


def induce(  # noqa: PLR0913 - each is a flag
    word: Annotated[str, typer.Argument(metavar="WORD", help="A word.", show_default=False)],
    corpus: CorpusFiles = [],  # noqa: B006 - typer copies it
    gold: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Lines of a sense, a tab, and a sentence: uses to cluster too, and to compare the "
            "clusters with.",
            show_default=False,
        ),
    ] = None,
    k: Annotated[
        int | None,
        typer.Option(
            "-k",
            min=2,
            metavar="N",
            help="So many clusters.",
            show_default="2 to 8, by the silhouette",
        ),
    ] = None,
    layer: Annotated[
        int, typer.Option(metavar="N", help="Whose vectors; -1 is the last layer.")
    ] = -1,
    forms: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,C",
            help="The forms of WORD to look for, as they are typed. Forms tend to become clusters.",
            show_default="WORD",
        ),
    ] = None,
    max_uses: Annotated[
        int, typer.Option(min=3, metavar="N", help="Take the first N uses, no more.")
    ] = 500,
    lines: Annotated[
        int, typer.Option(min=0, metavar="N", help="Typical uses to print of each cluster.")
    ] = 5,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A picture of some of the uses: .png, .svg or .pdf.",
            show_default=False,
        ),
    ] = None,
    draw: Annotated[
        int, typer.Option(min=2, metavar="N", help="Uses in the picture, drawn by the seed.")
    ] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Of the clusters and the picture.")] = 0,
    field: corpora.Field = "text",
    tokenizer: corpora.Tokenizer = "whitespace",
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help=given.HELP, show_default="the model in the box"),
    ] = None,
    report: Annotated[Report, typer.Option(help="How to print them.")] = Report.text,
) -> None:
    """Find the senses of WORD: clusters of its uses in a corpus.

    Each cluster has its size, the words that the model expects in the place of WORD there more
    than in the others (without a softmax, the words around it), and its most typical uses.
    """
    if not corpus and gold is None:
        raise typer.BadParameter("give one of them", param_hint="--corpus or --gold")
    text: Iterable[list[str]] = corpora.read(corpus, field, tokenizer) if corpus else []

    from relmo.explore import induction, page, sense_map, sense_plot  # torch takes a second

    if output is not None:
        page.check_path(output)
    wanted = listed(forms)
    uses = () if gold is None else _known(gold, word, wanted)
    uses += sense_map.find_uses(word, text, forms=wanted, exact=True, limit=max_uses)
    found = induction.induce(given.load(model), word, uses, k=k, layer=layer, seed=seed)
    for line in _report(found, lines, report):
        print(line)
    if output is not None:
        name = "the model in the box" if model is None else Path(model).resolve().name
        sense_plot.draw(found.drawn(draw, seed), output, model=name)


def _known(path: Path, word: str, forms: list[str] | None) -> "tuple[Use, ...]":
    """The uses in a file of senses and sentences."""
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


def _report(found: "Induction", n_lines: int, report: Report) -> Iterator[str]:
    if report is Report.json:
        yield json.dumps(_facts(found), indent=2, ensure_ascii=False)
        return
    n_uses = sum(len(cluster.uses) for cluster in found.clusters)
    is_table = report is Report.markdown
    if is_table:
        yield "| cluster | uses | typical |"
        yield "|---|---:|---|"
    else:
        yield (
            f"{found.word}: {some(n_uses, 'use')} in {some(len(found.clusters), 'cluster')}, "
            f"separation {found.separation:.2f}"
        )
    for n, cluster in enumerate(found.clusters, start=1):
        shown = cluster.uses[:n_lines]
        if is_table:
            cells = [
                keyword.in_context(use.tokens, use.position, side=40).strip() for use in shown[:1]
            ]
            cell = "".join(cells).replace("|", "\\|")
            yield f"| {n}: {', '.join(cluster.words)} | {len(cluster.uses)} | {cell} |"
            continue
        yield from ("", f"{n}  {some(len(cluster.uses), 'use')}: {', '.join(cluster.words)}")
        for use in shown:
            yield "  " + keyword.in_context(use.tokens, use.position)
    if found.agreement is not None and not is_table:
        yield ""
        yield (
            f"agreement with the senses of {some(found.agreement.n_uses, 'use')}: "
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
