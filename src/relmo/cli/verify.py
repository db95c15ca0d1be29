"""`relmo verify`: whether a model is whole and what it should be, and what is unusual about it."""

import math
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from relmo.cli import _flags, _inputs
from relmo.cli._output import count

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from relmo.formats.checkpoint import Checkpoint

__all__ = ["verify"]

SENTENCE = "The quick brown fox jumps over the lazy dog ."
PUBLISHED = {"small": 13_593_296, "medium": 28_027_728, "original": 93_600_848}
"""Parameters of the models of the paper, the softmax not counted."""
_PROJECTIONS = 3


def verify(model: _flags.Model | None = None, /) -> None:
    """Check a model (default: the bundled one); exit code 2 where something is wrong.

    Files in the cache: their sha256, against the recorded ones. Parameters: their number, against
    the published models of that shape; all finite; their sha256, the same on every machine and in
    every format. A fixed sentence: for each layer the norm of its vectors and three projections,
    with 4 digits; between machines the last may differ by one. And what is unusual, if not wrong.

        relmo verify original
    """
    from relmo import hub
    from relmo.elmo.model import Elmo
    from relmo.formats import detect
    from relmo.formats.verify import oddities, problems

    path = _inputs.find_model(model)
    files = hub.verify(path)
    checkpoint = detect.read(path)
    wrong = [*_against_catalogue(model, checkpoint), *problems(checkpoint)]
    for name, fact in _lines(checkpoint):
        print(f"{name:<12}{fact}")
    if files:
        print(f"{'cache':<12}{count(len(files), 'file')}, sha256 as recorded")
    print(f"{'sentence':<12}{SENTENCE}")
    layers = Elmo.from_checkpoint(checkpoint).embed([SENTENCE], "all")[0]
    for number, layer in enumerate(layers):
        print(f"  {f'layer {number}':<10}{fingerprint(layer)}")
        if not math.isfinite(float(layer.sum())):
            wrong.append(f"layer {number} of the sentence holds numbers that are not finite")
    _print_list("unusual", oddities(checkpoint))
    _print_list("wrong", wrong)
    if wrong:
        sys.exit(2)


def fingerprint(layer: "npt.NDArray[np.float32]") -> str:
    """Return the root mean square of vectors (tokens, dim), and their products with cosine waves.

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
    yield "parameters", f"{n_parameters:,} in {count(len(checkpoint.tensors), 'tensor')}"
    yield "  sha256", parameters_sha256(checkpoint)
    yield "  published", _published(checkpoint)


def _published(checkpoint: "Checkpoint") -> str:
    """Return which published model has this shape."""
    from relmo.formats.checkpoint import parameter_shapes
    from relmo.train.config import PRESETS

    shapes = {name: tuple(tensor.shape) for name, tensor in checkpoint.tensors.items()}
    for name, number in PUBLISHED.items():
        if shapes == dict(parameter_shapes(PRESETS[name])):
            return f"{number:,} in {name!r}, whose shape it has"
    return f"it has the shape of none of {', '.join(map(repr, PUBLISHED))}"


def _against_catalogue(model: str | None, checkpoint: "Checkpoint") -> Iterator[str]:
    """Yield what is wrong with the size of a model that the catalogue names."""
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
