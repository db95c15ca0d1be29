"""`relmo convert`: a model in any format relmo reads, written in one it writes."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relmo.cli import given
from relmo.cli.words import in_bytes, some
from relmo.errors import InputError

if TYPE_CHECKING:
    from relmo.formats.checkpoint import Checkpoint

__all__ = ["convert"]


class Target(StrEnum):
    """What is written."""

    relmo = "relmo"
    hdf5 = "hdf5"


class Stored(StrEnum):
    """Numbers in the file."""

    float32 = "float32"
    float16 = "float16"


class StoredSoftmax(StrEnum):
    """Numbers of the softmax in the file."""

    float32 = "float32"
    float16 = "float16"
    int8 = "int8"


def convert(
    source: Annotated[str, typer.Argument(metavar="SRC", help=given.HELP, show_default=False)],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="DST",
            help="The folder to write: new, empty, or a model of the same format.",
            show_default=False,
        ),
    ],
    to: Annotated[
        Target,
        typer.Option(
            help="relmo's own format, or options.json and weights.hdf5 as AllenNLP reads them."
        ),
    ] = Target.relmo,
    dtype: Annotated[
        Stored | None,
        typer.Option(help="Numbers in a relmo model.", show_default="as they are"),
    ] = None,
    softmax_dtype: Annotated[
        StoredSoftmax | None,
        typer.Option(help="Those of its softmax.", show_default="as --dtype"),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace any folder at DST, with all that is in it.")
    ] = False,
) -> None:
    """Write the model SRC to the folder DST.

    The softmax, vocabulary, learned mixes and card are kept where the format has a place for
    them; what is left out is said.
    """
    if to is Target.hdf5 and dtype is Stored.float16:
        raise InputError("--dtype float16: AllenNLP reads float32 only; take --to relmo")

    if to is Target.hdf5 and softmax_dtype is not None:
        raise InputError(f"--softmax-dtype {softmax_dtype}: hdf5 has no softmax; take --to relmo")

    import torch

    from relmo.formats import bilm_hdf5, relmo_format

    checkpoint = given.read(source)
    try:
        if to is Target.relmo:
            stored, stored_softmax = (
                None if given_dtype is None else getattr(torch, given_dtype.value)
                for given_dtype in (dtype, softmax_dtype)
            )
            relmo_format.write(
                checkpoint, target, stored, softmax_dtype=stored_softmax, overwrite=force
            )
        else:
            bilm_hdf5.write(checkpoint, target, overwrite=force)
    except InputError as error:
        raise InputError(str(error).replace("overwrite=True", "--force")) from error
    n_bytes = sum(path.stat().st_size for path in target.iterdir())
    print(f"{target}: {to.value}, {in_bytes(n_bytes)}")
    for lost in _left_out(checkpoint) if to is Target.hdf5 else ():
        print(f"  left out, for which {to.value} has no place: {lost}")


def _left_out(checkpoint: "Checkpoint") -> list[str]:
    """What options.json and weights.hdf5 cannot say of a model."""
    lost = []
    if checkpoint.softmax is not None:
        lost.append(f"the softmax of {some(len(checkpoint.vocab or ()), 'word')}")
    if checkpoint.mixes:
        lost.append("the learned " + ("mix" if len(checkpoint.mixes) == 1 else "mixes"))
    if checkpoint.card is not None:
        lost.append("the card")
    return lost
