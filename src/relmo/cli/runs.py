"""What the commands that train share: their flags, and what these say; see `watch` for the run."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relmo.errors import InputError

if TYPE_CHECKING:
    from relmo.data.corpora import Corpus
    from relmo.text.vocab import Vocabulary

__all__ = [
    "BatchTokens",
    "ClipNorm",
    "Cutoffs",
    "Decay",
    "Device",
    "Dropout",
    "DropoutKind",
    "GradientScale",
    "LayerDecay",
    "LearningRate",
    "Mode",
    "NCandidates",
    "Optimizer",
    "Out",
    "Parts",
    "Patience",
    "PoolBatches",
    "Precision",
    "Resume",
    "SaveEverySteps",
    "Seed",
    "Softmax",
    "SoftmaxSteps",
    "TensorBoard",
    "UnrollSteps",
    "ValidTokens",
    "ValidateEverySteps",
    "VocabMinCount",
    "VocabSize",
    "WarmupSteps",
    "WeightDecay",
    "device",
    "settings",
    "words",
]

Out = Annotated[
    Path,
    typer.Option(metavar="DIR", help="Folder of the run.", show_default=False),
]
VocabSize = Annotated[
    int | None,
    typer.Option(metavar="N", min=4, help="Words of a vocabulary that is built, at most."),
]
VocabMinCount = Annotated[
    int,
    typer.Option(metavar="N", min=1, help="Rarer words are left out of it."),
]
Seed = Annotated[
    int,
    typer.Option(metavar="N", help="Decides everything random."),
]
SaveEverySteps = Annotated[
    int,
    typer.Option(metavar="N", help="Steps between checkpoints."),
]
ValidateEverySteps = Annotated[
    int,
    typer.Option(metavar="N", help="Steps between validations."),
]
Patience = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Validations in a row without a better perplexity that end the run; 0: none do.",
    ),
]
ValidTokens = Annotated[
    int,
    typer.Option(
        metavar="N", help="Tokens of the validation file used at most, spread over it; 0: all."
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Continue where DIR holds a checkpoint, start where it does not."
    ),
]
Mode = Annotated[
    str,
    typer.Option(
        metavar="sentence|rows|stream",
        help="Each sentence from a zero state, in batches of like length or in rows of running "
        "text; or running text with the state carried, as published.",
    ),
]
BatchTokens = Annotated[
    int,
    typer.Option(metavar="N", help="Predictions a direction and step."),
]
Parts = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Equal parts of these, computed one after another in the memory of one, or shared out "
        "among the processes of torchrun.",
    ),
]
PoolBatches = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Sentence mode: batches' worth of sentences sorted by length together; "
        "1 mixes all lengths in a batch.",
    ),
]
UnrollSteps = Annotated[
    int,
    typer.Option(metavar="N", help="Rows and stream mode: steps between truncations."),
]
Softmax = Annotated[
    str,
    typer.Option(
        metavar="sampled|full|adaptive",
        help="The training loss: a sample of the words, all of them, or the adaptive softmax.",
    ),
]
Cutoffs = Annotated[
    str,
    typer.Option(
        metavar="N,N,...",
        help="Adaptive softmax: ranks with which its tails begin.",
        show_default="2000,20000, if the vocabulary is large",
    ),
]
SoftmaxSteps = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="First steps, in which only the softmax learns: for a model that has none.",
    ),
]
NCandidates = Annotated[
    int,
    typer.Option(metavar="N", help="Candidates of the sampled softmax."),
]
Optimizer = Annotated[
    str,
    typer.Option(metavar="adamw|adagrad", help="Adagrad is the published one."),
]
LearningRate = Annotated[
    float,
    typer.Option(metavar="X", help="The highest learning rate."),
]
WarmupSteps = Annotated[
    int,
    typer.Option(metavar="N", help="Steps over which it rises."),
]
LayerDecay = Annotated[
    float,
    typer.Option(
        metavar="X",
        help="Each layer's learning rate is this share of that of the layer above it, from the "
        "softmax down to the token encoder.",
    ),
]
Decay = Annotated[
    str,
    typer.Option(metavar="cosine|linear|none", help="How it falls after that."),
]
WeightDecay = Annotated[
    float,
    typer.Option(metavar="X", help="Of AdamW."),
]
GradientScale = Annotated[
    float,
    typer.Option(metavar="X", help="Factor of the loss (published: unroll steps)."),
]
ClipNorm = Annotated[
    float,
    typer.Option(metavar="X", help="Largest norm of the gradient (published: 10)."),
]
Dropout = Annotated[
    float,
    typer.Option(metavar="X", help="Share zeroed of each LSTM layer's input."),
]
DropoutKind = Annotated[
    str,
    typer.Option(
        metavar="plain|variational",
        help="Anew at each step, or the same at each step of a batch's row.",
    ),
]
Precision = Annotated[
    str,
    typer.Option(metavar="float32|bfloat16", help="Of the matrix products in training."),
]
Device = Annotated[
    str,
    typer.Option(metavar="NAME", help="cpu, cuda, cuda:1, ..."),
]
TensorBoard = Annotated[
    bool,
    typer.Option("--tensorboard", help="Write the metrics to DIR/tensorboard too."),
]


def settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Of the flags, those that are fields of TrainConfig; the model's shape is no flag."""
    from relmo.train.config import TrainConfig

    names = {field.name for field in fields(TrainConfig) if field.name != "model"}
    found = {name: given[name] for name in names & given.keys()}
    if "cutoffs" in found:
        found["cutoffs"] = _numbers(found["cutoffs"], "--cutoffs")
    if found.get("word_vectors") is not None:
        found["word_vectors"] = str(found["word_vectors"].absolute())
    return found


def _numbers(text: str, flag: str) -> tuple[int, ...]:
    """Of "2000,20000"; none of "".

    A tuple, as a run's settings hold it.
    """
    try:
        return tuple(map(int, filter(None, text.split(","))))
    except ValueError as error:
        raise InputError(f"{flag}: expected numbers such as 2000,20000, got {text!r}") from error


def words(given: Mapping[str, Any], text: "Corpus") -> "Vocabulary | None":
    """The vocabulary that is given, or one of the text; None: that of the run in the folder."""
    from relmo.text.vocab import Vocabulary
    from relmo.train import run

    if given["vocab"] is not None:
        return Vocabulary.read(given["vocab"], require_specials=True)
    if (given["out"] / run.LAST).exists():
        return None
    size, min_count = given["vocab_size"], given["vocab_min_count"]
    return Vocabulary.build(text, size=size, min_count=min_count)


def device(name: str) -> str:
    """Of that name, if there is one."""
    import torch

    from relmo.train.distributed import own_device

    try:
        torch.empty(0, device=own_device(name))
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name}: {str(error).splitlines()[0]}") from error
    return name
