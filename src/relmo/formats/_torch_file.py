"""Files of torch.save, in which nothing but tensors is accepted: no code of a pickle is run."""

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from relmo.errors import FormatError
from relmo.formats import _checks
from relmo.formats._unpack import open_zip

__all__ = ["check_plain", "is_torch_file", "load_tensors"]

_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""How a file of torch.save begins before PyTorch 1.6: the pickled magic number."""


def is_torch_file(path: Path) -> bool:
    """Whether the file is one of torch.save: a zip that begins with data.pkl, or the older form.

    Raises:
        OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
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
    _checks.check_readable(path, where)
    _check_stored(path, where)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the older form's own ways
            # Mapped, a storage beyond the end of the file is an error, and takes no memory.
            mapped = zipfile.is_zipfile(path)
            found = torch.load(str(path), map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise FormatError(
            f"{where}: holds more than tensors, or is damaged; nothing in it was run: "
            f"{_first_line(error)}"
        ) from error
    except Exception as error:  # a damaged pickle fails in any way there is
        raise FormatError(
            f"{where}: cannot be read as a PyTorch file (truncated, or another kind of file): "
            f"{_first_line(error)}"
        ) from error
    if not isinstance(found, dict):
        raise FormatError(f"{where}: expected tensors by name, got {type(found).__name__}")
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise FormatError(
                f"{where}: expected tensors by name, got {type(tensor).__name__} for {name!r:.80}"
            )
    return found


def check_plain(tensors: Mapping[str, Tensor], where: str) -> None:
    """Each is a plain tensor of floating point whose numbers are all stored and finite.

    Raises:
        FormatError: one is not.
    """
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise FormatError(f"{where}: {name!r} is no plain tensor")
        if tensor.dtype not in _checks.STORED_DTYPES:
            raise FormatError(f"{where}: {name!r} is {tensor.dtype}, expected torch.float32")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise FormatError(
                f"{where}: {name!r} is declared as {tuple(tensor.shape)}, more than is stored"
            )
        _checks.check_finite(name, tensor.detach(), where)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _check_stored(path: Path, where: str) -> None:
    """torch.save compresses nothing: what is packed unpacks to any size."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with open_zip(path, where) as file:
            packed = [entry for entry in file.infolist() if entry.compress_type]
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise FormatError(
            f"{where}: cannot be read as a PyTorch file (truncated): {_first_line(error)}"
        ) from error
    if packed:
        raise FormatError(f"{where}: {packed[0].filename!r} is compressed, expected stored")
