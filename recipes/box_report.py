"""A model's perplexity on held-out texts, by source, beside the baselines on the same predictions.

    .venv/bin/python -m recipes.box_report MODEL --texts FILE... --baselines JSON --out JSON

Full softmax, each sentence from a zero state, the weights as they are stored. MODEL is anything
`relmo.load` reads that has its softmax; the baselines are what recipes/ngram.py wrote for the same
texts and vocabulary.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import relmo
from recipes import held_out
from recipes.held_out import Row, Sentences
from relmo.elmo.language_model import LanguageModel
from relmo.train.evaluate import text_perplexity

_SECTION = "## Beside a Kneser-Ney 5-gram, text by text"
_ABOUT = """\
Perplexity forward / backward on the same predictions, over the same words, of the same training
text: unigrams, an interpolated modified Kneser-Ney 5-gram (KenLM), and this model. `test: ...` are
the sources of the first text.
"""


def evaluate(
    model: LanguageModel, name: str, text: str, groups: Mapping[str, Sentences]
) -> list[Row]:
    """A row for a text and each of its sources.

    Args:
        model: the language model.
        name: its column in the table.
        text: the text's.
        groups: sentences by source.
    """
    parts = []
    for source, sentences in groups.items():
        found = text_perplexity(model, sentences)
        parts.append(
            Row(
                text=text,
                source=source,
                n_predictions=found.n_tokens + found.n_sentences,
                n_unknown=found.n_unknown,
                perplexity={name: found.with_ends},
            )
        )
    return held_out.whole_first(parts)


def main() -> None:
    """Read the command line, evaluate and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", metavar="MODEL", help="with its softmax: src/relmo/box, RUN/best")
    parser.add_argument("--texts", type=Path, nargs="+", required=True, help="held-out sentences")
    parser.add_argument("--baselines", type=Path, required=True, help="what recipes.ngram wrote")
    parser.add_argument("--name", default="relmo", help="the model's, in the table")
    parser.add_argument("--out", type=Path, required=True, help="the numbers, in JSON")
    parser.add_argument("--card", type=Path, help="a model card, which gets the table")
    given = parser.parse_args()

    baselines = held_out.load(given.baselines)
    model = LanguageModel(relmo.load(given.model))
    found: list[Row] = []
    for text in given.texts:
        found += evaluate(model, given.name, text.stem, held_out.read(text))
        held_out.save(held_out.beside(found, baselines), given.out)  # a text takes minutes
    table = held_out.table(held_out.load(given.out))
    print(table)
    if given.card is not None:
        card = given.card.read_text(encoding="utf-8")
        given.card.write_text(with_table(card, table), encoding="utf-8")


def with_table(card: str, table: str) -> str:
    """The card with the table in a section of its own, instead of an earlier one."""
    kept = card.partition(f"\n{_SECTION}\n")[0].rstrip("\n")
    return f"{kept}\n\n{_SECTION}\n\n{_ABOUT}\n{table}\n"


if __name__ == "__main__":
    main()
