"""A name or an address -> a path in the cache, downloaded when it is not there."""

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from relmo._files import open_regular, replacing_file
from relmo.errors import FormatError, InputError, MissingExtraError
from relmo.hub import _cache, _catalogue, _download
from relmo.hub._catalogue import File, Model, Part
from relmo.hub._download import Progress, download

__all__ = ["BOX", "MAX_BYTES", "fetch", "is_cached", "resolve", "verify"]

logger = logging.getLogger(__name__)

BOX = Path(__file__).parents[1] / "box"
"""The folder of the model that comes with the package."""
_BOX_NAME = "box"

MAX_BYTES = 16 * 10**9
"""The largest file that is downloaded, unless another limit is given."""
_PATIENCE = 3600.0  # seconds that one waits for another process that downloads the same


def resolve(
    model: str | os.PathLike[str],
    *,
    offline: bool | None = None,
    progress: Progress | None = None,
) -> Path:
    """The path of a model that is given as a path, a name of the catalogue, or an address.

    A path that exists wins; "box" is the model in the box. The network is touched only for a name
    or an address that is not in the cache.

    Args:
        model: the path, name or address; what is no string is a path.
        offline: whether the network is out of bounds; None: as RELMO_OFFLINE says.
        progress: called with a file's name, its bytes so far, and its bytes or None.

    Raises:
        InputError: it is none of these, or cannot be downloaded.
        FormatError: a file in the cache has changed since its first use.
        MissingExtraError: a library that downloads it is not installed.
    """
    path = Path(model)
    if not isinstance(model, str) or _is_there(path):
        return path
    if model == _BOX_NAME:
        return BOX
    if "://" in model or _catalogue.find(model) is not None:
        return fetch(model, offline=offline, progress=progress)
    raise _catalogue.unknown(model)


def _is_there(path: Path) -> bool:
    """A file, a folder, or the prefix of a TensorFlow checkpoint."""
    try:
        return path.exists() or path.with_name(f"{path.name}.index").exists()
    except (OSError, ValueError):  # no name for a path: too long, a zero byte, none at all
        return False


def fetch(
    name_or_url: str,
    *,
    offline: bool | None = None,
    progress: Progress | None = None,
    max_bytes: int = MAX_BYTES,
) -> Path:
    """The model of a name or address, from the cache or, the first time, from the network.

    Args:
        name_or_url: a name or alias of the catalogue, http(s)://..., hf://org/name, or any address
            that fsspec knows; file:// is where it is, not copied.
        offline: whether the network is out of bounds; None: as RELMO_OFFLINE says.
        progress: called with a file's name, its bytes so far, and its bytes or None.
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
    elif urlsplit(name_or_url).scheme == "file":
        return _local(name_or_url)
    else:
        target = _url_target(name_or_url)
        folder, files = target.parent, (File(name=target.name, urls=(name_or_url,)),)
    with _cache.readable(folder):
        is_there = all((folder / file.name).exists() for file in files)
    if is_there:
        _check_all(folder / file.name for file in files)
        return target
    if _cache.is_offline(offline):
        raise InputError(
            f"{name_or_url} is not in the cache ('{folder}'), and the network is out of bounds "
            "(offline, or RELMO_OFFLINE); fetch it once with the network, or copy its files there"
        )
    with _locked(folder):
        for file in files:
            _get(file, folder, progress, max_bytes)
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
    files = list(_files(path))
    for file in files:
        _cache.check(file, thoroughly=True)
    return files


def _folder(model: Model) -> Path:
    return _cache.home() / "models" / model.name


def _url_target(url: str) -> Path:
    """Where the file or folder of an address stands in the cache."""
    key = hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    name = Path(urlsplit(url.partition("::")[0]).path).name or urlsplit(url).netloc
    name = re.sub(r"[^\w.@-]+", "_", name, flags=re.ASCII).lstrip(".")[-100:] or "file"
    return _cache.home() / "urls" / key / name


def _local(url: str) -> Path:
    place = urlsplit(url)
    path = Path(url2pathname(place.path))
    if place.netloc not in ("", "localhost") or not path.exists():
        raise InputError(f"{url}: there is no such file or folder on this machine")
    return path


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for entry in sorted(path.rglob("*")):
        if entry.is_file() and not any(p.startswith(".") for p in entry.relative_to(path).parts):
            yield entry


def _check_all(paths: Iterator[Path]) -> None:
    for path in paths:
        for file in _files(path):
            _cache.check(file)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Only one process at a time; who waited finds the files there."""
    try:
        import filelock
    except ImportError as error:
        raise MissingExtraError("filelock", "download") from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / ".lock", timeout=_PATIENCE):
            yield
    except filelock.Timeout as error:
        raise InputError(
            f"another process has been downloading into '{folder}' for an hour; wait, or end it"
        ) from error
    except OSError as error:
        raise InputError(
            f"cannot write to the cache folder '{folder}': {error.strerror or error}; set "
            "RELMO_HOME to a folder of yours"
        ) from error


def _get(file: File, folder: Path, progress: Progress | None, max_bytes: int) -> None:
    """One file into the cache, if another process has not put it there meanwhile."""
    path = folder / file.name
    if path.exists():
        _check_all(iter([path]))
        return
    if file.parts:
        _join([_part(part, folder, progress, max_bytes) for part in file.parts], path)
        _cache.record(path, file.parts[0].url, _cache.sha256_of(path))
        return
    failures = []
    for url in file.urls:
        try:
            _get_url(url, path, progress, max_bytes)
            return
        except InputError as error:
            failures.append(error)
            logger.info("%s", error)
    if len(failures) == 1:
        raise failures[0]
    raise InputError("; and ".join(map(str, failures))) from failures[-1]


def _get_url(url: str, path: Path, progress: Progress | None, max_bytes: int) -> None:
    """The file of an address, or every file of its folder, which appears when it is whole."""
    if urlsplit(url).scheme not in ("http", "https"):
        try:
            inside, state = _download.children(url)
        except _download.TransientError as error:
            raise InputError(f"{url}: {error}; try again later") from error
        if inside:
            _get_folder(inside, state, path, progress, max_bytes)
            return
    _cache.record(path, url, download(url, path, progress=progress, max_bytes=max_bytes))


def _get_folder(
    inside: dict[str, str], state: str, path: Path, progress: Progress | None, max_bytes: int
) -> None:
    """The files of a folder; those that an earlier attempt left, if nothing has changed since."""
    aside = path.with_name(f".{path.name}.folder")
    notes = aside / ".folder.json"
    if _cache.read_notes(notes).get("state") != state:
        shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(exist_ok=True)
    _cache.write_notes(notes, {"state": state})
    for name, url in inside.items():
        target = aside / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            sha256 = download(url, target, progress=progress, max_bytes=max_bytes)
            _cache.record(target, url, sha256)
    notes.unlink()
    aside.rename(path)


def _part(part: Part, folder: Path, progress: Progress | None, max_bytes: int) -> Path:
    """A piece of a file, checked."""
    path = folder / f".{Path(urlsplit(part.url).path).name}"
    if not path.exists():
        download(part.url, path, progress=progress, max_bytes=max_bytes)
    found = _cache.sha256_of(path, "md5")
    if part.md5 not in (None, found):
        path.unlink()
        raise FormatError(
            f"{part.url}: has md5 {found}, expected {part.md5} as its authors published; what came "
            "was removed"
        )
    return path


def _join(parts: list[Path], path: Path) -> None:
    with replacing_file(path) as aside, aside.open("wb") as whole:
        for part in parts:
            with open_regular(part) as piece:
                shutil.copyfileobj(piece, whole, 2**20)
    for part in parts:
        part.unlink()
