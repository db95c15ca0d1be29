"""Files of tensors written by torch.save, read as data: nothing in them is run."""

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from relmo.errors import FormatError
from relmo.formats import _checks

__all__ = ["read_tensors"]

_GLOBAL = re.compile(r"GLOBAL (\S+)")


def read_tensors(path: Path, where: str) -> dict[str, Tensor]:
    """The tensors of a state_dict by their names.

    They may look into the file: copy what is to be kept.

    Args:
        path: written by torch.save, in today's layout or that of before torch 1.6.
        where: the format and the file.

    Raises:
        InputError: there is no such file, or it cannot be opened.
        FormatError: it is truncated, foreign, holds anything but tensors of floating point by
            name, would run code, or declares more numbers than it has bytes.
    """
    _checks.check_readable(path, where)
    stored, values = _loaded(path, where)
    if not isinstance(values, dict):
        raise FormatError(f"{where}: holds a {type(values).__name__}, expected tensors by name")
    storages: set[int] = set()
    for name, value in values.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise FormatError(
                f"{where}: {name!r:.60} is a {type(value).__name__}, expected tensors by name"
            )
        if value.layout != torch.strided or value.dtype not in _checks.STORED_DTYPES:
            raise FormatError(
                f"{where}: {name!r} is {value.dtype} ({value.layout}), expected float32"
            )
        storage = value.untyped_storage()
        if storage.data_ptr() not in storages:  # tied tensors share one
            storages.add(storage.data_ptr())
            stored -= storage.nbytes()
        if value.numel() * value.element_size() > storage.nbytes() or stored < 0:
            raise FormatError(
                f"{where}: {name!r} has shape {tuple(value.shape)}, for which there are not enough "
                "bytes in the file"
            )
    return {name: value.detach() for name, value in values.items()}


def _loaded(path: Path, where: str) -> tuple[int, Any]:
    """How many bytes of numbers there may be, and what was saved."""
    try:
        stored = path.stat().st_size
        is_zip = zipfile.is_zipfile(path)
        if is_zip:
            with zipfile.ZipFile(path) as archive:
                items = archive.infolist()
            stored = sum(item.file_size for item in items if "/data/" in item.filename)
            compressed = [item.filename for item in items if item.compress_type]
            if compressed:
                raise FormatError(f"{where}: {compressed[0]!r} is compressed, expected it stored")
        # Mapped, a storage beyond the end of the file is an error, and no memory is taken for it.
        return stored, torch.load(str(path), map_location="cpu", weights_only=True, mmap=is_zip)
    except FormatError:
        raise
    except pickle.UnpicklingError as error:
        named = _GLOBAL.search(str(error))
        reason = f"it asks for {named.group(1)}" if named else "truncated, or another kind of file"
        raise FormatError(
            f"{where}: cannot be read as tensors, and nothing in it was run: {reason}"
        ) from error
    except Exception as error:  # what a file of any bytes can make torch raise has no end
        raise FormatError(
            f"{where}: cannot be read as tensors (truncated, or another kind of file): "
            f"{' '.join(str(error).split()):.200}"
        ) from error
