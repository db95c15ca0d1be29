"""Writing a model folder: aside and renamed, and never over something that is not a model."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from relmo._files import replacing_folder
from relmo.errors import InputError

__all__ = ["model_folder"]


@contextmanager
def model_folder(
    folder: str | os.PathLike[str],
    *,
    own: frozenset[str],
    why_not: Callable[[Path], str | None],
    overwrite: bool,
) -> Iterator[Path]:
    """An empty folder to fill, which takes the place of `folder` when the block ends.

    Args:
        folder: where the model is to stand; nothing, an empty folder or an earlier model of the
            same format may be there.
        own: the files that the format writes.
        why_not: says of a folder why it is no model of the format, or None.
        overwrite: replace any other folder too, with everything in it.

    Raises:
        InputError: something else stands there, or the operating system refuses.
    """
    folder = Path(folder)
    if not overwrite:
        _check_replaceable(folder, own, why_not)
    with replacing_folder(folder) as aside:
        yield aside


def _check_replaceable(
    folder: Path, own: frozenset[str], why_not: Callable[[Path], str | None]
) -> None:
    try:
        if not folder.is_dir():
            return  # nothing there, or a file, which replacing_folder refuses
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise InputError(f"cannot write '{folder}': {error.strerror or error}") from error
    if not names:
        return
    foreign = [name for name in names if name not in own]
    reason = f"it holds {foreign[0]!r}" if foreign else why_not(folder)
    if reason is not None:
        raise InputError(
            f"cannot write '{folder}': it is neither empty nor just a model ({reason}); give "
            "another folder, or overwrite=True to replace it whole"
        )
