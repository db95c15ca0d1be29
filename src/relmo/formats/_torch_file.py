"""Files of torch.save, in which nothing but tensors is accepted: no code of a pickle is run."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from relmo._files import check_regular, open_regular
from relmo.errors import FormatError
from relmo.formats import _checks
from relmo.formats._unpack import open_zip

__all__ = ["check_numbers", "is_torch_file", "load_tensors"]

_GLOBAL = re.compile(r"GLOBAL (\S+)")
_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""How a file of torch.save begins before PyTorch 1.6: the pickled magic number."""


def is_torch_file(path: Path) -> bool:
    """Whether the file is one of torch.save: a zip that begins with data.pkl, or the older form.

    Raises:
        OSError: the file cannot be opened.
    """
    with open_regular(path) as file:
        start = file.read(512)
    if start.startswith(_LEGACY):
        return True
    if not start.startswith(b"PK\3\4") or len(start) < 30:
        return False
    name = start[30 : 30 + int.from_bytes(start[26:28], "little")]  # of the zip's first member
    return name.count(b"/") == 1 and name.endswith(b"/data.pkl")


def load_tensors(path: Path, where: str) -> dict[str, Tensor]:
    """The state dict of a file, on the CPU.

    They may look into the file: copy what is to be kept.

    Args:
        path: a file of torch.save.
        where: the format and the file, for messages.

    Raises:
        FormatError: it is truncated or damaged, or holds anything but tensors by name.
        InputError: it cannot be opened.
    """
    check_regular(path, where)
    n_bytes = _stored_bytes(path, where)
    found = _loaded(path, where)
    if not isinstance(found, dict):
        raise FormatError(f"{where}: holds a {type(found).__name__}, expected tensors by name")
    storages: set[int] = set()  # tied tensors share one
    n_claimed = 0
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise FormatError(
                f"{where}: {name!r:.60} is a {type(tensor).__name__}, expected tensors by name"
            )
        if tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise FormatError(f"{where}: {name!r} is {tensor.layout}, expected a plain tensor")
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in storages:
            storages.add(storage.data_ptr())
            n_claimed += storage.nbytes()
        too_few = tensor.numel() * tensor.element_size() > storage.nbytes()
        if too_few or n_claimed > n_bytes:
            raise FormatError(
                f"{where}: {name!r} has shape {tuple(tensor.shape)}, for which there are not "
                "enough bytes in the file"
            )
    return found


def check_numbers(tensors: Mapping[str, Tensor], where: str) -> None:
    """Each tensor is of floating point and finite.

    Raises:
        FormatError: one is not.
    """
    for name, tensor in tensors.items():
        if tensor.dtype not in _checks.STORED_DTYPES:
            raise FormatError(f"{where}: {name!r} is {tensor.dtype}, expected float32")
        _checks.check_finite(name, tensor, where)


def _loaded(path: Path, where: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the older form's own ways
            # Mapped, a storage beyond the end of the file is an error, and takes no memory.
            mapped = zipfile.is_zipfile(path)
            return torch.load(str(path), map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        # Not torch's own words: they advise to load the file with its code.
        named = _GLOBAL.search(str(error))
        reason = f"it asks for {named.group(1)}" if named else "truncated, or another kind of file"
        raise FormatError(
            f"{where}: cannot be read as tensors, and nothing in it was run: {reason}"
        ) from error
    except Exception as error:  # what a file of any bytes can make torch raise has no end
        raise FormatError(
            f"{where}: cannot be read as tensors (truncated, or another kind of file): "
            f"{_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _stored_bytes(path: Path, where: str) -> int:
    """Bytes of the file that may be numbers; none of them is packed, as torch.save leaves them."""
    if not zipfile.is_zipfile(path):
        return path.stat().st_size
    try:
        with open_zip(path, where) as file:
            entries = file.infolist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise FormatError(
            f"{where}: cannot be read as tensors (truncated): {_first_line(error)}"
        ) from error
    packed = [entry for entry in entries if entry.compress_type]
    if packed:  # what is packed unpacks to any size
        raise FormatError(f"{where}: {packed[0].filename!r} is compressed, expected it stored")
    return sum(entry.file_size for entry in entries if "/data/" in entry.filename)
