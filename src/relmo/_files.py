"""Write aside and rename: whoever looks at a path sees the earlier output or the new one, whole.

    with replacing_file("vectors.npz") as aside:
        np.savez(aside, ...)
    with replacing_folder("model") as aside:
        (aside / "config.json").write_text(...)

What is written goes to a temporary sibling, is flushed to the disk and renamed at the end of the
block. If the block raises anything, the temporary is removed and the earlier output left alone.
`SteadyFile` is what HDF5 writes to in such a block, as it cannot stand a full disk. `locked` keeps
other processes out.

`open_regular`, `read_regular` and `read_json` read what a model or a run is made of: a named pipe
in its place is an error, not a wait without end. Texts may come through pipes and are opened as
Python does.
"""

import ctypes
import errno
import io
import json
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from relmo.errors import FormatError, InputError

__all__ = [
    "SteadyFile",
    "check_regular",
    "lacks",
    "leftovers",
    "locked",
    "model_folder",
    "open_regular",
    "parse_json",
    "read_json",
    "read_regular",
    "readable",
    "remove_leftovers",
    "replacing_file",
    "replacing_folder",
]


if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_MAX_JSON_BYTES = 2**24
_OTHER_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def open_regular(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Open a regular file to read its bytes; a link to one will do.

    Raises:
        OSError: it is missing, may not be read, or is a named pipe, a socket or a device, which
            `strerror` says.
    """
    return open(path, "rb", opener=_regular)


def _regular(path: str, flags: int) -> int:
    """Open a file for `open`, which itself refuses a folder."""
    with suppress(FileNotFoundError):  # which may be about to be made
        _check_kind(Path(path).stat(), path)  # first, as to open a device may do something
    # should it be swapped for a pipe here, opening that does not wait
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
    try:
        _check_kind(os.fstat(descriptor), path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_kind(status: os.stat_result, path: str) -> None:
    kind = _OTHER_KINDS.get(stat.S_IFMT(status.st_mode))
    if kind not in (None, "a folder"):  # of which the system's own error is said
        raise OSError(errno.EINVAL, f"it is {kind}, expected a regular file", path)


def lacks(folder: Path, name: str) -> str | None:
    """Return why a folder has no regular file of that name, or None where it has one."""
    if (folder / name).is_file():
        return None
    try:
        kind = _OTHER_KINDS.get(stat.S_IFMT((folder / name).stat().st_mode))
    except OSError:
        return f"it has no {name}"
    return f"its {name} is {kind or 'of another kind'}, expected a regular file"


@contextmanager
def readable(where: str) -> Iterator[None]:
    """Raise an error of the system in the block as an InputError that says where."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror or error}") from error


def check_regular(path: Path, where: str | None = None) -> None:
    """Check that a regular file is there and may be read, before a library opens it.

    Libraries say less, or something else, and wait for ever at a named pipe.

    Args:
        path: the file.
        where: what messages begin with; None: the path.

    Raises:
        InputError: it is missing, may not be read, or is not a regular file.
    """
    with readable(where or os.fspath(path)):
        open_regular(path).close()


def read_regular(path: str | os.PathLike[str], limit: int, where: str | None = None) -> bytes:
    """Read a regular file of at most `limit` bytes.

    Args:
        path: the file.
        limit: the most bytes that it may have.
        where: what messages begin with; None: the path.

    Raises:
        InputError: it is missing, may not be read, or is not a regular file.
        FormatError: it is longer.
    """
    where = where or os.fspath(path)
    with readable(where), open_regular(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise FormatError(f"{where}: has more than {limit} bytes, expected at most that")
    return data


def read_json(
    path: str | os.PathLike[str], where: str | None = None, limit: int = _MAX_JSON_BYTES
) -> dict[str, Any]:
    """Read the object that a JSON file holds; see `read_regular` and `parse_json`."""
    return parse_json(read_regular(path, limit, where), where or os.fspath(path))


def parse_json(data: bytes, where: str) -> dict[str, Any]:
    """Return the object that JSON in UTF-8 stands for.

    Raises:
        FormatError: it is not UTF-8, not JSON or not an object.
    """
    try:
        value = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise FormatError(f"{where}: is not UTF-8 at byte {error.start}") from error
    except (ValueError, RecursionError) as error:  # it may be as deep as it is long
        raise FormatError(f"{where}: is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise FormatError(f"{where}: expected a JSON object, got {type(value).__name__}")
    return value


@contextmanager
def replacing_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path to write a file to, which takes the place of `path` when the block ends.

    Args:
        path: the file to make or replace; its folder has to be there. A link is followed.

    Yields:
        a path beside it with the same suffix, where nothing stands yet.

    Raises:
        InputError: anything in the block or the renaming failed in the operating system
            (disk full, no permission, no such folder).
    """
    target = Path(os.path.realpath(path))
    aside = _beside(target)
    with _explained(path, aside):
        try:
            yield aside
            _flush(aside)
            aside.replace(target)
        except BaseException:
            with suppress(OSError):
                aside.unlink(missing_ok=True)
            raise
        _flush_folder(target.parent)


@contextmanager
def replacing_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """An empty folder to fill, which takes the place of `path` when the block ends.

    Whatever folder stands at `path` is removed then, with everything in it: ask before.

    Args:
        path: the folder to make or replace, folders above it made as needed. A link is followed.

    Yields:
        the empty folder, beside it.

    Raises:
        InputError: as for `replacing_file`, or a file stands at `path`.
    """
    target = Path(os.path.realpath(path))
    aside = _beside(target)
    with _explained(path, aside):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists() and not target.is_dir():
                raise InputError(f"cannot write {os.fspath(path)!r}: a file of that name is there")
            aside.mkdir()
            yield aside
            _flush_tree(aside)
            _swap(aside, target)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        _flush_folder(target.parent)


def _beside(target: Path) -> Path:
    """A name beside `target` that nobody else has: hidden, and of the same suffix."""
    stem = target.stem[:100]  # a name of 255 bytes has no room for more
    return target.with_name(f".{stem}.{secrets.token_hex(6)}.aside{target.suffix[:32]}")


@contextmanager
def _explained(path: str | os.PathLike[str], aside: Path) -> Iterator[None]:
    """Errors of the system as InputErrors, and every InputError names what the user asked for."""
    try:
        yield
    except InputError as error:
        if str(aside) not in str(error):
            raise
        raise InputError(str(error).replace(str(aside), os.fspath(path))) from error
    except OSError as error:
        raise InputError(f"cannot write {os.fspath(path)!r}: {error.strerror or error}") from error


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what processes that were killed while they replaced `path` left beside it.

    Nothing is removed while nothing stands at `path`: where folders cannot be exchanged in one
    step, a leftover may then be all there is.
    """
    if not Path(os.path.realpath(path)).exists():
        return
    for entry in leftovers(path):
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            with suppress(OSError):
                entry.unlink()


def leftovers(path: str | os.PathLike[str]) -> list[Path]:
    """What processes that were killed while they replaced `path` left beside it, whole or not."""
    target = Path(os.path.realpath(path))
    name = re.escape(target.stem[:100]) + r"(\.[0-9a-f]{12})+(\.aside)+"
    pattern = re.compile(r"\.+" + name + re.escape(target.suffix[:32]))
    with suppress(OSError):
        return [entry for entry in target.parent.iterdir() if pattern.fullmatch(entry.name)]
    return []


def _swap(aside: Path, target: Path) -> None:
    """Rename `aside` to `target`, and remove the folder that stood there.

    Where the system can, the two are exchanged in one step, so that a whole one stands there at
    every moment, a kill or not; else the earlier one is set aside first and comes back on failure.
    """
    if not target.exists():
        aside.rename(target)
        return
    earlier = aside
    if not _exchange(aside, target):
        earlier = _beside(target)
        target.rename(earlier)
        try:
            aside.rename(target)
        except BaseException:
            earlier.rename(target)
            raise
    _flush_folder(target.parent)  # before the earlier one is gone
    shutil.rmtree(earlier, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change names in one step; False where the system cannot (renameat2, Linux)."""
    if not sys.platform.startswith("linux"):
        return False
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL):  # no such call, or not on this file system
        return False
    raise OSError(number, os.strerror(number), str(one))


def _flush(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _flush_folder(path: Path) -> None:
    """Flush a folder's entries, where the system has such a thing."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _flush_tree(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for name in names:
            _flush(Path(root, name))
        _flush_folder(Path(root))


@contextmanager
def locked(path: Path, problem: str, patience: float = 0.0) -> Iterator[None]:
    """Hold a file's lock for a block; where the file system has no locks, nothing is held.

    The system frees it when the process ends, however it ends. The file stays: who removed it
    could take it from under one that has just opened it.

    Args:
        path: the file, made where it is not there.
        problem: what to say where another holds it.
        patience: seconds to wait for another that holds it.

    Raises:
        InputError: another holds it all the time, or it cannot be opened.
    """
    try:
        # a pipe would wait for one who reads
        file = open(path, "ab", opener=_regular)  # noqa: SIM115 - closed below
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror or error}") from error
    with file:
        give_up = time.monotonic() + patience
        while True:
            try:
                _lock(file.fileno())
            except (BlockingIOError, PermissionError) as error:
                if time.monotonic() >= give_up:
                    raise InputError(problem) from error
                time.sleep(0.05)
                continue
            except OSError:
                pass  # a file system without locks
            break
        yield


def _lock(descriptor: int) -> None:
    """Until it is closed. A second descriptor, of this process too, is refused."""
    if sys.platform == "win32":
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class SteadyFile(io.FileIO):
    """A file that HDF5 writes to, which keeps a failure instead of raising it.

    HDF5 crashes the process where it cannot write what it holds, at the latest when that ends
    (seen with 2.0.0 and a full disk). So it is told that all is well, and `check` raises.
    """

    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        n_bytes = len(view)
        try:
            while len(view) and self.failure is None:
                view = view[super().write(view) or 0 :]
        except OSError as error:
            self.failure = error
        return n_bytes

    def truncate(self, size: int | None = None, /) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0

    def check(self) -> None:
        """Raise the first failure, if there was one."""
        if self.failure is not None:
            raise self.failure


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
