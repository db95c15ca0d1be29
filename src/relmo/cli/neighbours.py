"""`relmo senses neighbours`: where else in a corpus a word is used as it is here."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from relmo.cli import _flags, _inputs
from relmo.cli._output import count, in_context, in_sentence
from relmo.errors import InputError
from relmo.settings import Bounds

if TYPE_CHECKING:
    from relmo.elmo.model import Elmo
    from relmo.explore.neighbours import Neighbour, Neighbours, Word
    from relmo.explore.sense_map import Use

__all__ = ["neighbours"]

_MOST_WORDS = 50_000
"""Of a model's vocabulary, the most frequent first."""


def neighbours(
    sentence: str,
    /,
    *,
    corpus: _flags.CorpusFiles,
    n: Annotated[int, Bounds(at_least=1), Parameter(name="-n")] = 10,
    layer: list[int] | None = None,
    any_word: bool = False,
    forms: _flags.Forms = None,
    exact: _flags.Exact = False,
    static: Path | None = None,
    max_uses: Annotated[int, Bounds(at_least=1)] = 100_000,
    field: _flags.Field = "text",
    tokenizer: _flags.Tokenizer = "whitespace",
    model: _flags.Model | None = None,
    report: _flags.Report = "text",
) -> None:
    """Print the uses of a word in a corpus that are nearest to one, by layer.

    By the cosine of the contextual vectors, beside the nearest words by vectors that are the same
    in every sentence: the paper's Table 4.

        relmo senses neighbours "The [bank] was closed ." --corpus news.txt

    Args:
        sentence: Tokenized, the word in brackets: "a spectacular [play] on a grounder ."
        n: So many for each layer.
        layer: Which layers to show; 0 is the token layer, which has nearest words instead. May be
            given more than once (default: all).
        any_word: Look at the uses of all words.
        static: Word vectors for the nearest words: of word2vec or GloVe (default: those of the
            token layer).
        max_uses: Read no further after so many uses.
        report: How to print them.
    """
    text = _inputs.read_corpus(corpus, field, tokenizer)

    from relmo.explore.neighbours import nearest_uses, use_of  # torch takes a second to import
    from relmo.explore.sense_map import looks_for

    use = use_of(sentence)
    elmo = _inputs.load_model(model)
    shown = sorted(set(range(elmo.n_layers) if layer is None else layer))
    if not set(shown) <= set(range(elmo.n_layers)):
        raise InputError(f"--layer: expected 0 to {elmo.n_layers - 1}, got {shown}")
    words = _nearest_words(elmo, use, n, static) if 0 in shown or static else []
    is_wanted = None if any_word else looks_for(use.form, forms=_inputs.forms(forms), exact=exact)
    found = nearest_uses(elmo, use, text, n, is_wanted=is_wanted, limit=max_uses)
    # One form has one vector at the token layer: its uses are all as near.
    by_layer = {number: found.layers[number] for number in shown if number or any_word}
    for line in _report(found, words, by_layer, report):
        print(line)


def _nearest_words(elmo: "Elmo", use: "Use", n: int, static: Path | None) -> "list[Word]":
    """Return the nearest words of the model's vocabulary; none where it has none."""
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
    row = next(
        (words.index(w) for w in (use.form, use.form.lower()) if read.mask[words.index(w)]), None
    )
    if row is None:
        raise InputError(f"{static}: has no vector of {use.form!r}")
    return nearest_words(words, read.matrix, read.matrix[row], n, without=use.form)


def _report(
    found: "Neighbours",
    words: "Sequence[Word]",
    by_layer: "Mapping[int, Sequence[Neighbour]]",
    report: _flags.Report,
) -> Iterator[str]:
    names = [f"layer {number}" if number else "token layer" for number in by_layer]
    if report == "json":
        facts = {
            "sentence": in_sentence(found.use.tokens, found.use.position),
            "uses": found.n_uses,
            "words": [{"word": word, "cosine": cosine} for word, cosine in words],
            "layers": {
                name: [
                    {
                        "cosine": near.cosine,
                        "position": near.use.position,
                        "tokens": list(near.use.tokens),
                    }
                    for near in nearest
                ]
                for name, nearest in zip(names, by_layer.values(), strict=True)
            },
        }
        yield json.dumps(facts, indent=2, ensure_ascii=False)
    elif report == "markdown":
        columns = [[_cell(near) for near in nearest] for nearest in by_layer.values()]
        if words:
            names, columns = ["one vector per word", *names], [[w.text for w in words], *columns]
        yield "| " + " | ".join(names) + " |"
        yield "|---" * len(names) + "|"
        for n in range(max(map(len, columns), default=0)):
            yield "| " + " | ".join(c[n] if n < len(c) else "" for c in columns) + " |"
    else:
        yield f"{in_sentence(found.use.tokens, found.use.position)}"
        yield f"nearest of {count(found.n_uses, 'use')}"
        if words:
            yield from ("", "one vector per word")
            yield "  " + ", ".join(f"{word} {cosine:.2f}" for word, cosine in words)
        for name, nearest in zip(names, by_layer.values(), strict=True):
            yield from ("", name)
            for near in nearest:
                line = in_context(near.use.tokens, near.use.position)
                yield f"  {near.cosine:.2f} {line}"


def _cell(near: "Neighbour") -> str:
    line = in_context(near.use.tokens, near.use.position, side=40).strip()
    return f"{near.cosine:.2f} {line}".replace("|", "\\|")
