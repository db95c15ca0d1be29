"""`relmo senses neighbours`: where else in a corpus a word is used as it is here."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relmo.cli import corpus as corpora
from relmo.cli import given, keyword
from relmo.cli.report import Report
from relmo.cli.words import some
from relmo.errors import InputError

if TYPE_CHECKING:
    from relmo.elmo.model import Elmo
    from relmo.explore.neighbours import Neighbour, Neighbours, Word
    from relmo.explore.sense_map import Use

__all__ = ["CorpusFiles", "Exact", "Forms", "listed", "neighbours"]

_MOST_WORDS = 50_000
"""Of a model's vocabulary, the most frequent first."""

CorpusFiles = Annotated[
    list[Path],
    typer.Option(
        "--corpus",
        metavar="FILE",
        help="Where to look: files, folders or patterns, as `relmo train` reads them. May be given "
        "more than once.",
        show_default=False,
    ),
]
Forms = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,C",
        help="The forms of the word to look for.",
        show_default="it with regular English endings",
    ),
]
Exact = Annotated[
    bool, typer.Option("--exact", help="Look for the word (or --forms) as it is typed.")
]


def neighbours(  # noqa: PLR0913 - each is a flag
    sentence: Annotated[
        str,
        typer.Argument(
            metavar="SENTENCE",
            help='Tokenised, the word in brackets: "a spectacular [play] on a grounder ."',
            show_default=False,
        ),
    ],
    corpus: CorpusFiles,
    n: Annotated[int, typer.Option("-n", min=1, metavar="N", help="So many for each layer.")] = 10,
    layer: Annotated[
        list[int] | None,
        typer.Option(
            metavar="N",
            help="Which layers to show; 0 is the token layer, which has nearest words instead. May "
            "be given more than once.",
            show_default="all",
        ),
    ] = None,
    any_word: Annotated[
        bool, typer.Option("--any-word", help="Look at the uses of all words.")
    ] = False,
    forms: Forms = None,
    exact: Exact = False,
    static: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Word vectors for the nearest words: of word2vec or GloVe.",
            show_default="the token layer's",
        ),
    ] = None,
    max_uses: Annotated[
        int, typer.Option(min=1, metavar="N", help="Read no further after so many uses.")
    ] = 100_000,
    field: corpora.Field = "text",
    tokenizer: corpora.Tokenizer = "whitespace",
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help=given.HELP, show_default="the model in the box"),
    ] = None,
    report: Annotated[Report, typer.Option(help="How to print them.")] = Report.text,
) -> None:
    """Print the uses of a word in a corpus that are nearest to one, by layer.

    By the cosine of the contextual vectors, beside the nearest words by vectors that are the same
    in every sentence: the paper's Table 4.
    """
    text = corpora.read(corpus, field, tokenizer)

    from relmo.explore.neighbours import nearest_uses, use_of  # torch takes a second to import
    from relmo.explore.sense_map import looks_for

    use = use_of(sentence)
    elmo = given.load(model)
    shown = sorted(set(range(elmo.n_layers) if layer is None else layer))
    if not set(shown) <= set(range(elmo.n_layers)):
        raise typer.BadParameter(f"expected 0 to {elmo.n_layers - 1}", param_hint="--layer")
    words = _nearest_words(elmo, use, n, static) if 0 in shown or static else []
    is_wanted = None if any_word else looks_for(use.form, forms=listed(forms), exact=exact)
    found = nearest_uses(elmo, use, text, n, is_wanted=is_wanted, limit=max_uses)
    # One form has one vector at the token layer: its uses are all as near.
    by_layer = {number: found.layers[number] for number in shown if number or any_word}
    for line in _report(found, words, by_layer, report):
        print(line)


def listed(forms: str | None) -> list[str] | None:
    """What --forms names."""
    return None if forms is None else [form.strip() for form in forms.split(",") if form.strip()]


def _nearest_words(elmo: "Elmo", use: "Use", n: int, static: Path | None) -> "list[Word]":
    """Among the words of the model's vocabulary; none where it has none."""
    from relmo.data import word_vectors
    from relmo.explore.neighbours import nearest_words, token_vectors
    from relmo.text.vocab import SPECIALS

    known = elmo.vocab.words[:_MOST_WORDS] if elmo.vocab is not None else ()
    words = list(dict.fromkeys(w for w in (use.form, use.form.lower(), *known) if w))
    words = [word for word in words if word not in SPECIALS]
    if static is None:
        vectors = token_vectors(elmo, words)
        return nearest_words(words, vectors, vectors[0], n, without=use.form)
    read = word_vectors.read(static, words)
    place = next(
        (words.index(w) for w in (use.form, use.form.lower()) if read.mask[words.index(w)]), None
    )
    if place is None:
        raise InputError(f"{static}: has no vector of {use.form!r}")
    return nearest_words(words, read.matrix, read.matrix[place], n, without=use.form)


def _report(
    found: "Neighbours",
    words: "Sequence[Word]",
    by_layer: "Mapping[int, Sequence[Neighbour]]",
    report: Report,
) -> Iterator[str]:
    names = [f"layer {number}" if number else "token layer" for number in by_layer]
    if report is Report.json:
        facts = {
            "sentence": keyword.whole(found.use.tokens, found.use.position),
            "uses": found.n_uses,
            "words": [{"word": word, "cosine": cosine} for word, cosine in words],
            "layers": {
                name: [
                    {"cosine": near.cosine, "position": near.use.position,
                     "tokens": list(near.use.tokens)}
                    for near in nearest
                ]
                for name, nearest in zip(names, by_layer.values(), strict=True)
            },
        }  # fmt: skip
        yield json.dumps(facts, indent=2, ensure_ascii=False)
    elif report is Report.markdown:
        columns = [[_cell(near) for near in nearest] for nearest in by_layer.values()]
        if words:
            names, columns = ["one vector a word", *names], [[w.text for w in words], *columns]
        yield "| " + " | ".join(names) + " |"
        yield "|---" * len(names) + "|"
        for n in range(max(map(len, columns), default=0)):
            yield "| " + " | ".join(c[n] if n < len(c) else "" for c in columns) + " |"
    else:
        yield f"{keyword.whole(found.use.tokens, found.use.position)}"
        yield f"nearest of {some(found.n_uses, 'use')}"
        if words:
            yield from ("", "one vector a word")
            yield "  " + ", ".join(f"{word} {cosine:.2f}" for word, cosine in words)
        for name, nearest in zip(names, by_layer.values(), strict=True):
            yield from ("", name)
            for near in nearest:
                line = keyword.in_context(near.use.tokens, near.use.position)
                yield f"  {near.cosine:.2f} {line}"


def _cell(near: "Neighbour") -> str:
    line = keyword.in_context(near.use.tokens, near.use.position, side=40).strip()
    return f"{near.cosine:.2f} {line}".replace("|", "\\|")
