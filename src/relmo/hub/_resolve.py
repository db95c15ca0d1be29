"""Turn a name or an address into a path in the cache, downloaded when it is not there."""

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from relmo._files import locked, open_regular, replacing_file
from relmo.errors import FormatError, InputError
from relmo.hub import _cache, _catalogue
from relmo.hub._catalogue import File, Model, Part
from relmo.hub._download import MAX_BYTES, Progress, UnreachableError, children, download

__all__ = ["BOX", "MAX_BYTES", "fetch", "is_cached", "resolve", "verify"]

logger = logging.getLogger(__name__)

BOX = Path(__file__).parents[1] / "box"
"""Folder of the model that comes with the package."""
Get = Callable[[str, Path], str]
"""Function that downloads an address to a path and returns the file's sha256."""
_PATIENCE = 3600.0  # seconds to wait for another process that downloads the same


def resolve(
    model: str | os.PathLike[str],
    *,
    offline: bool | None = None,
    progress: Progress | None = None,
) -> Path:
    """Return the path of a model that is given as a path, a name of the catalogue, or an address.

    A path that exists wins; "box" is the model in the box. The network is used only for a name or
    an address that is not in the cache.

    Args:
        model: the path, name or address; what is not a string is a path.
        offline: whether not to use the network; None: as RELMO_OFFLINE says.
        progress: called with a file's name, its bytes so far, and its size or None.

    Raises:
        InputError: it is none of these, or cannot be downloaded.
        FormatError: a file in the cache has changed since its first use.
        MissingExtraError: a library that downloads it is not installed.
    """
    path = Path(model)
    if not isinstance(model, str) or _exists(path):
        return path
    if model == "box":
        return BOX
    if "://" in model or _catalogue.find(model) is not None:
        return fetch(model, offline=offline, progress=progress)
    raise _catalogue.unknown(model)


def _exists(path: Path) -> bool:
    """Whether it is a file, a folder, or the prefix of a TensorFlow checkpoint."""
    try:
        return path.exists() or path.with_name(f"{path.name}.index").exists()
    except (OSError, ValueError):  # not a name for a path: too long, a zero byte, empty
        return False


def fetch(
    name_or_url: str,
    *,
    offline: bool | None = None,
    progress: Progress | None = None,
    max_bytes: int = MAX_BYTES,
) -> Path:
    """Return the path of a model, in the cache or, the first time, from the network.

    Args:
        name_or_url: a name or alias of the catalogue, http(s)://..., hf://org/name, or any address
            that fsspec knows; file:// is where it is, not copied.
        offline: whether not to use the network; None: as RELMO_OFFLINE says.
        progress: called with a file's name, its bytes so far, and its size or None.
        max_bytes: the largest file that is downloaded.

    Returns:
        a folder, or a file such as an archive.

    Raises:
        InputError: there is nothing of that name, it is not in the cache and `offline`, or it
            cannot be downloaded.
        FormatError: a file in the cache has changed since its first use.
        MissingExtraError: a library that downloads it is not installed.
    """
    model = _catalogue.find(name_or_url)
    if model is None and "://" not in name_or_url:
        raise _catalogue.unknown(name_or_url)
    if model is not None:
        folder, files = _folder(model), model.files
        target = folder / files[0].name if len(files) == 1 else folder
    elif _scheme(name_or_url) == "file":
        return _local(name_or_url)
    else:
        target = _url_target(name_or_url)
        folder, files = target.parent, (File(name=target.name, urls=(name_or_url,)),)
    with _cache.readable(folder):
        is_complete = all((folder / file.name).exists() for file in files)
    if is_complete:
        for file in files:
            _check(folder / file.name)
        return target
    if _cache.is_offline(offline):
        raise InputError(
            f"{name_or_url} is not in the cache ('{folder}'), and the network is not to be used "
            "(offline, or RELMO_OFFLINE); fetch it once with the network, or copy its files there"
        )
    get = partial(download, progress=progress, max_bytes=max_bytes)
    with _locked(folder):
        for file in files:
            _bring(file, folder, get)
    return target


def is_cached(model: Model) -> bool:
    """Whether every file of a model is in the cache."""
    return all((_folder(model) / file.name).exists() for file in model.files)


def verify(path: Path) -> list[Path]:
    """Compute the sha256 of each file of the cache at `path` and compare it with the recorded one.

    Returns:
        the files; none where `path` is not in the cache.

    Raises:
        FormatError: one has changed since its first use.
        InputError: one cannot be read.
    """
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(_cache.home())):
        return []
    files = list(_cache.files_of(path))
    for file in files:
        _cache.check(file, thoroughly=True)
    return files


def _folder(model: Model) -> Path:
    return _cache.home() / "models" / model.name


def _check(path: Path) -> None:
    for file in _cache.files_of(path):
        _cache.check(file)


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError as error:
        raise InputError(f"{url}: not an address: {error}") from error


def _url_target(url: str) -> Path:
    """Return where the file or folder of an address stands in the cache."""
    key = hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    name = Path(urlsplit(url.partition("::")[0]).path).name or urlsplit(url).netloc
    name = re.sub(r"[^\w.@-]+", "_", name, flags=re.ASCII).lstrip(".")[-100:] or "file"
    return _cache.home() / "urls" / key / name


def _local(url: str) -> Path:
    address = urlsplit(url)
    path = Path(url2pathname(address.path))
    if address.netloc not in ("", "localhost") or not path.exists():
        raise InputError(f"{url}: there is no such file or folder on this machine")
    return path


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make a folder of the cache and keep other processes out; who waited finds its files."""
    lock = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.touch()
    except OSError as error:
        raise InputError(
            f"cannot write to the cache folder '{folder}': {error.strerror or error}; set "
            "RELMO_HOME to a folder of yours"
        ) from error
    busy = f"another process has been downloading into '{folder}' for an hour; wait, or end it"
    with locked(lock, busy, _PATIENCE):
        yield


def _bring(file: File, folder: Path, get: Get) -> None:
    """Bring one file into the cache, unless another process has done so meanwhile."""
    path = folder / file.name
    if path.exists():
        _check(path)
        return
    if file.parts:
        _join([_bring_part(part, folder, get) for part in file.parts], path)
        _cache.record(path, file.parts[0].url, _cache.sha256_of(path))
        return
    failures = []
    for url in file.urls:
        try:
            _bring_url(url, path, get)
            return
        except InputError as error:
            failures.append(error)
            logger.info("%s", error)
    hint = ""
    if all(isinstance(error, UnreachableError) for error in failures):
        hint = (
            "; without a network, 'box' names the model that comes with relmo, files copied to "
            f"'{folder}' are used, and RELMO_OFFLINE=1 says at once what is missing"
        )
    raise InputError("; and ".join(map(str, failures)) + hint)


def _bring_url(url: str, path: Path, get: Get) -> None:
    """Bring the file of an address, or its folder, which appears when it is whole."""
    urls, state = ({}, "") if _scheme(url) in ("http", "https") else children(url)
    if not urls:
        _cache.record(path, url, get(url, path))
        return
    aside = path.with_name(f".{path.name}.folder")
    notes = aside / ".folder.json"
    if _cache.read_notes(notes).get("state") != state:  # files of an earlier attempt
        shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(exist_ok=True)
    _cache.write_notes(notes, {"state": state})
    for name, child in urls.items():
        target = aside / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            _cache.record(target, child, get(child, target))
    notes.unlink()
    aside.rename(path)


def _bring_part(part: Part, folder: Path, get: Get) -> Path:
    """Bring one part of a file and compare it with its published checksum."""
    path = folder / f".{Path(urlsplit(part.url).path).name}"
    if not path.exists():
        get(part.url, path)
    md5 = _cache.sha256_of(path, "md5")
    if part.md5 not in (None, md5):
        path.unlink()
        raise FormatError(
            f"{part.url}: has md5 {md5}, expected {part.md5} as its authors published; what came "
            "was removed"
        )
    return path


def _join(parts: list[Path], path: Path) -> None:
    with replacing_file(path) as aside, aside.open("wb") as whole:
        for part in parts:
            with open_regular(part) as file:
                shutil.copyfileobj(file, whole, 2**20)
    for part in parts:
        part.unlink()
