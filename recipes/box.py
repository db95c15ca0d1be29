"""Make the model in the box from a training run: store it small, evaluate that, write its card.

    .venv/bin/python recipes/box.py RUN --test FILE [--out src/relmo/box]

RUN is a folder that `relmo train` made; recipes/box.toml has the settings of the present one.
"""

import argparse
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from relmo.data.corpora import Corpus
from relmo.formats import relmo_format
from relmo.formats.checkpoint import Checkpoint
from relmo.train.batches import Encoder
from relmo.train.evaluate import Perplexity, perplexity
from relmo.train.objective import Objective

CARD = """\
# The model in the box

A small English ELMo, trained by relmo itself on two CPU cores. It is what `relmo.load()` gives.

| | |
|---|---|
| shape | {n_layers} LSTM layers a direction of {lstm_dim} cells projected to {projection_dim}; \
vectors of {dim}, {layers} layers with the token layer |
| token encoder | bytes, up to {max_characters} a token; filters {filters}; {n_highway} highway \
layer(s) |
| parameters | {n_parameters:,}, stored in float16 ({megabytes:.1f} MB) |
| softmax | {n_words:,} words, stored in int8, a scale a word ({softmax_megabytes:.1f} MB) |
| trained | {tokens:,} predictions a direction, {steps:,} steps of {batch_tokens}; an epoch of the \
corpus (48.3 M tokens and 2.2 M ends of sentences) is 50.5 M |
| recipe | recipes/box.toml, its two commands: {mode} mode, {optimizer}, learning rate \
{learning_rate} with {decay} decay, sampled \
softmax of {n_candidates} candidates, dropout {dropout}, {precision} products, seed {seed} |
| test perplexity | forward **{forward:.1f}**, backward **{backward:.1f}**, mean **{mean:.1f}** |

The perplexities are over {part} of `lm/test.txt` ({n_predictions:,} predictions a
direction, ends of sentences counted, {unknown:.2%} of them words outside the
vocabulary and predicted as `<UNK>`),
with the full softmax over {n_words:,} words, each sentence from a zero state. They hold for this
vocabulary and text only; do not compare them with the published models' (other text, many times
as much of it). They were measured with the weights as they are stored.

## Data and licences

One tokenised sentence a line, case kept: 100 English novels 1750-1920 and 130 Gutenberg books
(public domain), US presidential speeches (public domain), Wikipedia (800 vital articles, people,
gensim's sample, WikiSplit, GAP; CC BY-SA 3.0), Schema-Guided Dialogue (CC BY-SA 4.0), eight
OpenStax textbooks (CC BY 4.0), Microsoft's C++ documentation (prose; CC BY 4.0), Wikinews
(CC BY 2.5), digital.gov and 18F (public domain, CC0), PLOS articles (CC BY, CC0), MASC
(CC BY 4.0), Common Voice prompts (CC0), Taskmaster-4 (CC BY 4.0), the Rust book (MIT or
Apache-2.0). The weights are released under Apache-2.0, as relmo is; no text is contained in them.

## What it is bad at

- It is small and has seen little text: the published models have 4 to 30 times its parameters and
  read 50 to 350 times as much. Take one of those where quality matters.
- About 43 % of its text is fiction and 53 % is from before 1930: modern names, news, slang and
  tweets are thin. It carries the views of its sources, those of the 19th century among them.
- English only. Text should be tokenised as the Penn Treebank is (`do n't`, `'s`, spaces around
  punctuation), case kept; one sentence at a time.
- Its top layer is shaped by predicting neighbours; for a task let the mix of layers be learned.
"""


def main() -> None:
    """Read the command line and make the box."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the training run")
    parser.add_argument("--test", type=Path, required=True, help="held-out sentences")
    parser.add_argument("--every", type=int, default=1, help="test on every N-th sentence")
    parser.add_argument("--out", type=Path, default=Path("src/relmo/box"))
    arguments = parser.parse_args()

    checkpoint = _as_stored(relmo_format.read(arguments.run / "best"))
    config = checkpoint.config
    assert config.char_cnn is not None
    assert checkpoint.vocab is not None
    result = _perplexity(checkpoint, islice(Corpus(arguments.test), 0, None, arguments.every))
    run = json.loads((arguments.run / "run.json").read_text())["config"]
    steps, tokens = _seen(arguments.run / "metrics.jsonl")
    n_parameters = sum(tensor.numel() for tensor in checkpoint.tensors.values())
    card = CARD.format(
        **{name: value for name, value in run.items() if name != "model"},
        n_layers=config.n_layers, lstm_dim=config.lstm_dim, projection_dim=config.projection_dim,
        dim=config.dim, layers=config.n_layers + 1,
        max_characters=config.char_cnn.max_characters_per_token - 2,
        filters=", ".join(f"{width}x{number}" for width, number in config.char_cnn.filters),
        n_highway=config.char_cnn.n_highway, n_parameters=n_parameters,
        megabytes=2 * n_parameters / 1e6, softmax_megabytes=len(checkpoint.vocab) * (
            config.projection_dim + 8) / 1e6, tokens=tokens, steps=steps,
        forward=result.forward, backward=result.backward, mean=result.mean,
        n_predictions=result.n_predictions, unknown=result.n_unknown / result.n_predictions,
        n_words=len(checkpoint.vocab),
        part="all" if arguments.every == 1 else f"every {arguments.every}th sentence",
    )  # fmt: skip
    _store(replace(checkpoint, card=card), arguments.out)
    print(card)


def _store(checkpoint: Checkpoint, folder: Path) -> None:
    relmo_format.write(checkpoint, folder, torch.float16, softmax_dtype=torch.int8, overwrite=True)


def _as_stored(checkpoint: Checkpoint) -> Checkpoint:
    """What is measured is what is stored: rounded to half precision and to whole numbers."""
    with TemporaryDirectory() as folder:
        _store(checkpoint, Path(folder) / "box")
        return relmo_format.read(Path(folder) / "box")


def _perplexity(checkpoint: Checkpoint, sentences: Iterable[Sequence[str]]) -> Perplexity:
    assert checkpoint.config.char_cnn is not None
    assert checkpoint.vocab is not None
    assert checkpoint.softmax is not None
    model = Objective(checkpoint.config, len(checkpoint.vocab))
    model.bilm.load_state_dict(checkpoint.tensors)
    with torch.no_grad():
        model.softmax.weight.copy_(checkpoint.softmax["weight"])
        model.softmax.bias.copy_(checkpoint.softmax["bias"][:, None])
    longest = checkpoint.config.char_cnn.max_characters_per_token
    return perplexity(model, Encoder(checkpoint.vocab, longest), sentences)


def _seen(metrics: Path) -> tuple[int, int]:
    """Steps and tokens at the validation with the best perplexity."""
    best, seen = math.inf, (0, 0)
    for line in metrics.read_text().splitlines():
        measures = json.loads(line)
        if measures["kind"] == "valid" and measures["score"] < best:
            best, seen = measures["score"], (measures["step"], measures["tokens"])
    return seen


if __name__ == "__main__":
    main()
