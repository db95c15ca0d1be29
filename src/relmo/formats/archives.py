"""A zip or a tar (bare, .gz, .bz2 or .xz) of a model in any format, known by its contents.

It is unpacked to a temporary folder, which is removed in any case, and then read like any other
folder: the model may lie at the top or in a folder of the archive. NLPL's and simple_elmo's zips
(model.hdf5, options.json, vocab.txt) and AllenNLP's model.tar.gz are such archives.
"""

import dataclasses
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from relmo.errors import FormatError, MissingExtraError, RelmoError
from relmo.formats._torch_file import is_torch_file
from relmo.formats._unpack import kind, unpack
from relmo.formats.checkpoint import Checkpoint

__all__ = ["NAME", "find", "read"]

NAME = "archive"


def find(path: Path, read_folder: Callable[[Path], Checkpoint]) -> Callable[[], Checkpoint]:
    """Return the reader of the model in an archive.

    Args:
        path: a zip or a tar.
        read_folder: reads the unpacked folder in whatever format it is.

    Raises:
        FormatError: it is not an archive; the message says why.
    """
    if not path.is_file():
        raise FormatError("it is not a file")
    if is_torch_file(path):  # which is a zip as well
        raise FormatError("it is a PyTorch file")
    if not kind(path):
        raise FormatError("it is neither a zip nor a tar")
    return partial(read, path, read_folder)


def read(path: Path, read_folder: Callable[[Path], Checkpoint]) -> Checkpoint:
    """Read the model in an archive.

    Args:
        path: a zip or a tar.
        read_folder: reads the unpacked folder in whatever format it is.

    Raises:
        FormatError: the archive is refused (see `_unpack`), or what is in it is no model.
        InputError: there is no room to unpack it.
    """
    with tempfile.TemporaryDirectory(prefix="relmo-") as name:
        # A folder of its own: bilm_tf looks for options.json in the folder above too, and above
        # that of temporary files anybody may write.
        folder = Path(name).resolve() / "archive"
        folder.mkdir()
        unpack(path, folder, f"{NAME}: {path}")
        try:
            checkpoint = read_folder(folder)
        except MissingExtraError:
            raise
        except RelmoError as error:  # says where it is in the archive
            raise type(error)(str(error).replace(str(folder), str(path))) from error
    return dataclasses.replace(checkpoint, source=path)
