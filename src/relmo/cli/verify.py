"""`relmo verify`: whether a model is whole and what it should be, and what is unusual about it."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from relmo.cli import given
from relmo.cli.words import some

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from relmo.formats.checkpoint import Checkpoint

__all__ = ["verify"]

SENTENCE = "The quick brown fox jumps over the lazy dog ."
PUBLISHED = {"small": 13_593_296, "medium": 28_027_728, "original": 93_600_848}
"""Parameters of the models of the paper, the softmax not counted."""
_PROJECTIONS = 3


def verify(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help=given.HELP, show_default="the model in the box"),
    ] = None,
) -> None:
    """Check MODEL; exit code 2 where something is wrong.

    Files in the cache: their sha256, against the recorded ones. Parameters: their number, against
    the published models of that shape; all finite; their sha256, the same on every machine and in
    every format. A fixed sentence: for each layer the norm of its vectors and three projections,
    with 4 digits; between machines the last may differ by one. And what is unusual, if no fault.
    """
    from relmo import hub
    from relmo.elmo.model import Elmo
    from relmo.formats import detect
    from relmo.formats.verify import oddities, problems

    path = given.find(model)
    files = hub.verify(path)
    checkpoint = detect.read(path)
    wrong = [*_against_catalogue(model, checkpoint), *problems(checkpoint)]
    for name, said in _lines(checkpoint):
        print(f"{name:<12}{said}")
    if files:
        print(f"{'cache':<12}{some(len(files), 'file')}, sha256 as recorded")
    print(f"{'sentence':<12}{SENTENCE}")
    layers = Elmo.from_checkpoint(checkpoint).embed([SENTENCE], "all")[0]
    for number, layer in enumerate(layers):
        print(f"  {f'layer {number}':<10}{fingerprint(layer)}")
        if not math.isfinite(float(layer.sum())):
            wrong.append(f"layer {number} of the sentence holds numbers that are not finite")
    _print_list("unusual", oddities(checkpoint))
    _print_list("wrong", wrong)
    if wrong:
        raise typer.Exit(2)


def fingerprint(layer: "npt.NDArray[np.float32]") -> str:
    """The root mean square of vectors (tokens, dim), and their products with fixed cosine waves.

    Rounded to 4 digits: the vectors of two machines differ in about the seventh, so that a hash
    of them, however rounded, would not be stable.
    """
    import numpy as np

    values = layer.astype(np.float64).ravel()  # (tokens * dim,)
    steps = np.arange(1, values.size + 1)
    waves = [np.cos(wave * steps) for wave in range(1, _PROJECTIONS + 1)]
    numbers = [
        float(np.sqrt(np.mean(values**2))),
        *(float(values @ wave) / math.sqrt(values.size) for wave in waves),
    ]
    return "  ".join(f"{number:+.3e}" for number in numbers)


def _lines(checkpoint: "Checkpoint") -> Iterator[tuple[str, str]]:
    from relmo.formats.verify import parameters_sha256

    n_parameters = sum(tensor.numel() for tensor in checkpoint.tensors.values())
    yield "source", str(checkpoint.source)
    yield "format", checkpoint.format
    yield "parameters", f"{n_parameters:,} in {some(len(checkpoint.tensors), 'tensor')}"
    yield "  sha256", parameters_sha256(checkpoint)
    yield "  published", _published(checkpoint)


def _published(checkpoint: "Checkpoint") -> str:
    """Which published model has this shape."""
    from relmo.formats.checkpoint import parameter_shapes
    from relmo.train.config import PRESETS

    shapes = {name: tuple(tensor.shape) for name, tensor in checkpoint.tensors.items()}
    for name, number in PUBLISHED.items():
        if shapes == dict(parameter_shapes(PRESETS[name])):
            return f"{number:,} in {name!r}, whose shape it has"
    return f"it has the shape of none of {', '.join(map(repr, PUBLISHED))}"


def _against_catalogue(model: str | None, checkpoint: "Checkpoint") -> Iterator[str]:
    """Where a name of the catalogue was given: is it of the size that is told of it?"""
    from relmo import hub

    known = None if model is None else hub.find(model)
    n_parameters = sum(tensor.numel() for tensor in checkpoint.tensors.values())
    if known is not None and known.parameters not in (None, n_parameters):
        yield (
            f"{n_parameters:,} parameters, expected {known.parameters:,}, as {known.source} says "
            f"of {known.name!r}"
        )


def _print_list(name: str, items: list[str]) -> None:
    print(f"{name:<12}{items[0] if items else 'nothing'}")
    for item in items[1:]:
        print(f"{'':<12}{item}")
