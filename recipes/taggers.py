"""Make the taggers that come with relmo: train one on free data, store it small, write its card.

    RELMO_DATA=FOLDER .venv/bin/python -m recipes.taggers pos|ner [--runs runs]

FOLDER holds `pos/ewt` (UD English EWT: en_ewt-ud-{train,dev,test}.conllu), `ner/gmb` (the Kaggle
entity-annotated-corpus.zip) and `ner/wikigold` (wikigold.conll.txt). A run that was stopped goes
on; one that is whole is only stored again. The scores in the card are those of the stored weights.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

import relmo
from relmo.data.labelled import split
from relmo.data.spans import Span, spans, tags
from relmo.data.tagged import TaggedSentence, read_tagged
from relmo.tasks.config import TaggerConfig, TaggerTraining
from relmo.tasks.layer_cache import default_folder
from relmo.tasks.scores import Scores, evaluate
from relmo.tasks.tagger import Tagger
from relmo.tasks.training import TaskData, train_task
from relmo.train.loop import Progress

SEED = 2018
_LABELS = {
    "per": "PER",
    "org": "ORG",
    "geo": "LOC",
    "gpe": "MISC",
    "art": "MISC",
    "eve": "MISC",
    "nat": "MISC",
}
"""Those of the GMB as those of WikiGold, which are CoNLL-2003's: a gpe is mostly a nationality.
Times (tim) are left out."""

Sentences = list[TaggedSentence]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The data of a tagger."""

    train: Sentences
    dev: Sentences
    tests: dict[str, Sentences]
    """By name, each scored by itself."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a tagger is made, and what its card says of it."""

    parts: Callable[[Path], Parts]
    config: TaggerConfig
    training: TaggerTraining
    title: str
    data: str


def ewt(data: Path) -> Parts:
    """UD English EWT as distributed."""
    train, dev, test = (
        read_tagged(data / "pos" / "ewt" / f"en_ewt-ud-{part}.conllu")
        for part in ("train", "dev", "test")
    )
    return Parts(train=train, dev=dev, tests={"EWT test": test})


def names(data: Path) -> Parts:
    """The GMB and WikiGold, a tenth of each held out."""
    gmb = read_tagged(
        data / "ner" / "gmb" / "entity-annotated-corpus.zip" / "ner_dataset.csv", format="csv"
    )
    wiki = read_tagged(data / "ner" / "wikigold" / "wikigold.conll.txt", format="conll")
    parts = [
        split([relabelled(sentence) for sentence in corpus], [0.85, 0.05, 0.1], seed=SEED)
        for corpus in (gmb, wiki)
    ]
    train, dev, _ = ([*one, *other] for one, other in zip(*parts, strict=True))
    return Parts(train=train, dev=dev, tests={"GMB": parts[0][2], "WikiGold": parts[1][2]})


def relabelled(sentence: TaggedSentence) -> TaggedSentence:
    """Its names in BIO, of the four types."""
    found = [
        Span(_LABELS.get(label, label), start, end)
        for label, start, end in spans(sentence.tags)
        if label != "tim"
    ]
    return replace(sentence, tags=tuple(tags(found, len(sentence.tokens))))


RECIPES = {
    "pos": Recipe(
        parts=ewt,
        config=TaggerConfig(word_dim=32, softmax_words=True, output="softmax"),
        training=TaggerTraining(epochs=6),
        title="Parts of speech, English: the 17 of Universal Dependencies",
        data="""\
UD English EWT (weblogs, newsgroups, e-mail, reviews, answers), CC BY-SA 4.0, by Silveira et al.,
<https://universaldependencies.org>. 12,544 sentences to train on, as distributed.""",
    ),
    "ner": Recipe(
        parts=names,
        config=TaggerConfig(word_dim=0, softmax_words=True),
        training=TaggerTraining(epochs=4),
        title="Names, English: PER, ORG, LOC, MISC in BIO",
        data="""\
The Groningen Meaning Bank as Kaggle has it (`ner_dataset.csv`; Bos et al.: texts in the public
domain, annotated by machine and corrected in part, "freely available for research purposes"), its
`geo` as LOC, its `gpe`, `art`, `eve`, `nat` as MISC, its times left out; and WikiGold (Balasuriya
et al.; Wikipedia), CC BY 4.0. Of each 85 % to train on, 5 % to choose the epoch, 10 % held out,
drawn by sentence with seed 2018; 1.2 % of those of the GMB stand in its training part too.""",
    ),
}

CARD = """\
# {title}

Trained by relmo on the model in the box, of which it reads a mix of the layers and the rows of the
softmax, and which it does not contain.

| | |
|---|---|
| network | {network} |
| parameters | {n_parameters:,}, stored in float16 ({megabytes:.1f} MB) |
| trained | {epochs} epochs of {n_sentences:,} sentences, seed {seed} |
{scores}

Measured with the weights as they are stored. {measure}

## Data and licences

{data}

The weights are released under Apache-2.0, as relmo is; they hold no text, single words at most.

## What it is bad at

Text that is unlike its data, and tokens that are not those of the Penn Treebank (`do n't`, `'s`).
"""


def main() -> None:
    """Read the command line and make a tagger."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of training runs")
    parser.add_argument("--cache", type=Path, default=default_folder(), help="for the layers")
    parser.add_argument("--out", type=Path, default=Path("src/relmo/taggers"))
    given = parser.parse_args()
    if not (data := os.environ.get("RELMO_DATA")):
        parser.error("let RELMO_DATA name the folder of the data; see the top of this file")
    recipe = RECIPES[given.name]
    parts = recipe.parts(Path(data))
    run = given.runs / given.name
    trained = TaskData(train=parts.train, dev=parts.dev, elmo=relmo.load(), cache=given.cache)
    train_task(Tagger, trained, run, recipe.config, recipe.training, resume=True, on_progress=tell)
    print(store(run, given.out / given.name, recipe, parts))


def tell(progress: Progress) -> None:
    """A line on standard error every hundred steps."""
    if progress.step % 100 == 0:
        print(
            f"step {progress.step}/{progress.max_steps}, loss {progress.loss:.3f}", file=sys.stderr
        )


def store(run: Path, out: Path, recipe: Recipe, parts: Parts) -> str:
    """Store a run's best tagger and its card, which is returned."""
    tagger = Tagger.load(run)
    tagger.save(out, dtype=torch.float16)
    stored = Tagger.load(out)
    rows = [score(stored, name, sentences) for name, sentences in parts.tests.items()]
    stored.card = card(stored, recipe, len(parts.train), rows)
    stored.save(out, dtype=torch.float16)
    return stored.card


def score(tagger: Tagger, name: str, sentences: Sentences) -> str:
    """A row of the card."""
    predicted = [found.tags for found in tagger.predict_stream([s.tokens for s in sentences])]
    scores = evaluate([s.tags for s in sentences], predicted, tagger.scheme)
    return f"| {name} | {measured(scores, tagger.scheme)} of {scores.n_tokens:,} tokens |"


def measured(scores: Scores, scheme: str) -> str:
    """Accuracy of tags, or what conlleval says of spans."""
    if scheme == "plain":
        return f"accuracy **{scores.accuracy:.2f}**"
    return f"precision {scores.precision:.2f}, recall {scores.recall:.2f}, F1 **{scores.f1:.2f}**,"


def card(tagger: Tagger, recipe: Recipe, n_sentences: int, rows: Sequence[str]) -> str:
    """The card of a tagger."""
    config = tagger.config
    words = f"word vectors of {config.word_dim}, " if config.word_dim else ""
    n_parameters = sum(parameter.numel() for parameter in tagger.network.parameters())
    return CARD.format(
        title=recipe.title,
        network=f"character CNN of {config.char_dim}, {words}{config.n_layers} biLSTMs of "
        f"{config.lstm_dim}, {config.output}; {len(tagger.tags)} tags",
        n_parameters=n_parameters,
        megabytes=2 * n_parameters / 1e6,
        epochs=recipe.training.epochs,
        n_sentences=n_sentences,
        seed=recipe.training.seed,
        scores="\n".join(rows),
        measure="Precision, recall and F1 as conlleval counts them."
        if tagger.scheme != "plain"
        else "Accuracy in percent of the tokens.",
        data=recipe.data,
    )


if __name__ == "__main__":
    main()
