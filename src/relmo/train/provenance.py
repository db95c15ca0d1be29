"""What it takes to repeat a run, beside its settings: the files' checksums and what it ran on."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import relmo
from relmo.errors import InputError

__all__ = ["checksums", "environment", "git_revision"]

_GIT_SECONDS = 10.0
# git may start programs that a repository's settings name: none for looking at files or at a
# submodule, and nothing is written.
_GIT = (
    "git",
    "--no-optional-locks",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
)


def checksums(paths: Iterable[Path]) -> list[str]:
    """The sha256 of each file as it lies on the disk, in hexadecimal; a gigabyte takes a second.

    Raises:
        InputError: a file cannot be read.
    """
    return [_sha256(path) for path in paths]


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, machine, number of threads, and the revision that is checked out.

    Args:
        device: where the run computes.
    """
    return {
        "relmo": relmo.__version__,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": str(device),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
        "git": git_revision(Path.cwd()) or git_revision(Path(__file__).parent),
    }


def git_revision(folder: Path) -> dict[str, Any] | None:
    """What is checked out there: the top folder, the revision, and whether tracked files differ.

    None where there is no checkout, no commit or no git.
    """
    found = _git(folder, "rev-parse", "--show-toplevel", "HEAD")
    if found is None or len(lines := found.splitlines()) != 2:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules")
    return {"folder": lines[0], "revision": lines[1], "dirty": changed != ""}


def _git(folder: Path, *arguments: str) -> str | None:
    """What it prints; None where it fails, or takes too long."""
    try:
        ran = subprocess.run(
            [*_GIT, "-C", os.fspath(folder), *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=_GIT_SECONDS, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return ran.stdout.decode("utf-8", "replace")


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
