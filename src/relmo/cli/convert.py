"""`relmo convert`: a model in any format relmo reads, written in one it writes."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from relmo.cli import _flags, _inputs
from relmo.cli._output import count, in_bytes
from relmo.errors import InputError

if TYPE_CHECKING:
    from relmo.formats.checkpoint import Checkpoint

__all__ = ["convert"]


def convert(
    source: _flags.Model,
    target: Path,
    /,
    *,
    to: Literal["relmo", "hdf5"] = "relmo",
    dtype: Literal["float32", "float16"] | None = None,
    softmax_dtype: Literal["float32", "float16", "int8"] | None = None,
    force: bool = False,
) -> None:
    """Write a model to a folder, in another format or with other numbers.

    The softmax, vocabulary, learned mixes and card are kept where the format has a place for
    them; what is left out is printed.

        relmo convert original folder --to hdf5

    Args:
        target: The folder to write: new, empty, or a model of the same format.
        to: relmo's own format, or options.json and weights.hdf5 as AllenNLP reads them.
        dtype: Numbers in a relmo model (default: as they are).
        softmax_dtype: Those of its softmax (default: as --dtype).
        force: Replace any folder at TARGET, with all that is in it.
    """
    if to == "hdf5" and dtype == "float16":
        raise InputError("--dtype float16: AllenNLP reads float32 only; take --to relmo")

    if to == "hdf5" and softmax_dtype is not None:
        raise InputError(f"--softmax-dtype {softmax_dtype}: hdf5 has no softmax; take --to relmo")

    import torch

    from relmo.formats import bilm_hdf5, relmo_format

    checkpoint = _inputs.read_checkpoint(source)
    try:
        if to == "relmo":
            stored, stored_softmax = (
                None if name is None else getattr(torch, name) for name in (dtype, softmax_dtype)
            )
            relmo_format.write(
                checkpoint, target, stored, softmax_dtype=stored_softmax, overwrite=force
            )
        else:
            bilm_hdf5.write(checkpoint, target, overwrite=force)
    except InputError as error:
        raise InputError(str(error).replace("overwrite=True", "--force")) from error
    n_bytes = sum(path.stat().st_size for path in target.iterdir())
    print(f"{target}: {to}, {in_bytes(n_bytes)}")
    for lost in _left_out(checkpoint) if to == "hdf5" else ():
        print(f"  left out, for which {to} has no place: {lost}")


def _left_out(checkpoint: "Checkpoint") -> list[str]:
    """Return what of a model options.json and weights.hdf5 have no place for."""
    lost = []
    if checkpoint.softmax is not None:
        lost.append(f"the softmax of {count(len(checkpoint.vocab or ()), 'word')}")
    if checkpoint.mixes:
        lost.append("the learned " + ("mix" if len(checkpoint.mixes) == 1 else "mixes"))
    if checkpoint.card is not None:
        lost.append("the card")
    return lost
