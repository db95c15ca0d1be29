"""A model's perplexity on held-out texts, by source, beside the baselines on the same predictions.

    .venv/bin/python -m recipes.box_report RUN/best --texts FILE... --baselines JSON --out JSON

The full softmax, each sentence from a zero state, the biLM's weights rounded to half precision, as
the box stores them. The baselines are recipes/ngram.py's, on the same texts and vocabulary.
"""

import argparse
from pathlib import Path

import torch

from recipes import held_out
from recipes.held_out import Row
from relmo.formats import relmo_format
from relmo.formats.checkpoint import Checkpoint
from relmo.train.batches import Encoder
from relmo.train.evaluate import perplexity
from relmo.train.objective import LanguageModel


def language_model(checkpoint: Checkpoint) -> tuple[LanguageModel, Encoder]:
    """The model as the box stores it, with its softmax, and what reads text for it."""
    config = checkpoint.config
    assert config.char_cnn is not None
    assert checkpoint.vocab is not None
    assert checkpoint.softmax is not None
    model = LanguageModel(config, len(checkpoint.vocab))
    with torch.no_grad():
        model.softmax.weight.copy_(checkpoint.softmax["weight"])
        model.softmax.bias.copy_(checkpoint.softmax["bias"][:, None])
    # What is measured is what is stored: the biLM rounded to half precision.
    half = {name: tensor.half() for name, tensor in checkpoint.tensors.items()}
    model.bilm.load_state_dict(half)
    return model, Encoder(checkpoint.vocab, config.char_cnn.max_characters_per_token)


def evaluate(model: LanguageModel, encoder: Encoder, text: Path, name: str) -> list[Row]:
    """A row for the text and each of its sources."""
    parts = []
    for source, sentences in held_out.read(text).items():
        found = perplexity(model, encoder, sentences)
        parts.append(
            Row(
                text=text.stem,
                source=source,
                n_predictions=found.n_predictions,
                n_unknown=found.n_unknown,
                perplexity={name: (found.forward, found.backward)},
            )
        )
    return held_out.whole_first(parts)


def main() -> None:
    """Read the command line, evaluate and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, metavar="MODEL", help="with its softmax: RUN/best")
    parser.add_argument("--texts", type=Path, nargs="+", required=True, help="held-out sentences")
    parser.add_argument("--baselines", type=Path, required=True, help="what recipes.ngram wrote")
    parser.add_argument("--name", default="relmo", help="the model's, in the table")
    parser.add_argument("--out", type=Path, required=True, help="the numbers, in JSON")
    given = parser.parse_args()

    baselines = held_out.load(given.baselines)
    model, encoder = language_model(relmo_format.read(given.model))
    found: list[Row] = []
    for text in given.texts:
        rows = held_out.beside(evaluate(model, encoder, text, given.name), baselines)
        print(held_out.table(rows[:1]) if not found else held_out.table(rows[:1]).splitlines()[-1])
        found += rows
    held_out.save(found, given.out)
    print(f"\n{held_out.table(found)}")


if __name__ == "__main__":
    main()
