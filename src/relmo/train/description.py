"""What a run's folder says of it: run.json in full, run.toml as a command's flags."""

import dataclasses
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import relmo
from relmo.config import BiLMConfig
from relmo.data.corpora import Corpus
from relmo.errors import ConfigError, InputError
from relmo.formats import relmo_format
from relmo.formats.checkpoint import Checkpoint
from relmo.formats.verify import parameters_sha256
from relmo.text.tokenizers import name_of
from relmo.text.vocab import Vocabulary
from relmo.train.config import TrainConfig

__all__ = [
    "NONE",
    "check_continues",
    "checksums",
    "describe",
    "described_again",
    "environment",
    "git_revision",
    "origin",
    "to_toml",
]


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
    """Return the sha256 of each file on the disk, in hexadecimal; a gigabyte takes a second.

    Raises:
        InputError: a file cannot be read.
    """
    return [_sha256(path) for path in paths]


def environment(device: torch.device) -> dict[str, Any]:
    """Return versions, machine, number of threads, and the revision that is checked out.

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
    """Return the top folder, the revision checked out there, and whether tracked files differ.

    None where there is no checkout, no commit or no git.
    """
    found = _git(folder, "rev-parse", "--show-toplevel", "HEAD")
    if found is None or len(lines := found.splitlines()) != 2:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules")
    return {"folder": lines[0], "revision": lines[1], "dirty": changed != ""}


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints; None where it fails or takes too long."""
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


NONE = "none"
"""In TOML, which has no null: a field of the model's shape that is None and not so by default."""


def describe(
    config: TrainConfig,
    corpus: Corpus,
    valid: Corpus | None,
    vocab: Vocabulary,
    initial: Mapping[str, str] | None,
    vectors: Mapping[str, Any] | None,
    device: torch.device,
) -> dict[str, Any]:
    """Return everything that a run's result depends on; reads every file of the corpus once.

    Args:
        config: the run's settings.
        corpus: its text.
        valid: held-out text, or None.
        vocab: the words of its softmax.
        initial: the `origin` of the model that it starts from, or None.
        vectors: what was found of the word vectors that it starts from, or None.
        device: where it computes.

    Raises:
        InputError: a file cannot be read.
    """
    return {
        "config": config.to_dict(),
        **({} if initial is None else {"from": initial}),
        **({} if vectors is None else {"word_vectors": vectors}),
        **_text(corpus),
        "valid": None if valid is None else _text(valid),
        "n_words": len(vocab),
        "vocabulary_sha256": vocab.sha256(),
        "ran_on": [environment(device)],
    }


def origin(checkpoint: Checkpoint) -> dict[str, str]:
    """Return what identifies the model that a run starts from."""
    return {
        "source": str(checkpoint.source.absolute()),
        "sha256": parameters_sha256(checkpoint),
    }


def described_again(started: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resumed run's description: `now`, `ran_on` with one more entry if it changed."""
    before = started.get("ran_on", [])
    return {
        **{key: started[key] for key in ("word_vectors",) if key in started},
        **now,
        "ran_on": [*before, *(now["ran_on"] if before[-1:] != now["ran_on"] else [])],
    }


def check_continues(started: Mapping[str, Any], now: Mapping[str, Any], source: str) -> None:
    """Check that the run to resume had this configuration, start and corpus, in whatever folder.

    Args:
        started: what run.json says.
        now: what it would say of the run that resumes it.
        source: run.json, for messages.

    Raises:
        ConfigError: they differ.
    """
    before, here = (run.get("from", {}).get("sha256") for run in (started, now))
    if before != here:
        raise ConfigError(
            f"{source}: the model to start from: expected {_shown(before)} as the run was "
            f"started, got {_shown(here)}; resume with that, or start in another folder"
        )
    config = TrainConfig.from_dict(now["config"])
    config.check_continues(TrainConfig.from_dict(started["config"], source), source)
    names = ([Path(path).name for path in run["files"]] for run in (started, now))
    for what, before, here in (
        ("files", *names),
        ("bytes", started.get("bytes", now["bytes"]), now["bytes"]),
        ("field", started.get("field", "text"), now["field"]),
        ("tokenizer", started.get("tokenizer", "whitespace"), now["tokenizer"]),
    ):
        if before != here:
            raise ConfigError(f"{source}: {what} of the corpus: expected {before}, got {here}")
    sums = started.get("sha256", now["sha256"])
    for path, before, here in zip(now["files"], sums, now["sha256"], strict=False):
        if before != here:
            raise ConfigError(
                f"{source}: {path} has changed since the run was started, though not in size: "
                f"expected {_shown(before)}, got {_shown(here)}; resume with the file as it was, "
                "or start in another folder"
            )
    before, here = started.get("valid"), now["valid"]
    if before and here and before["sha256"] != here["sha256"]:
        raise ConfigError(
            f"{source}: the validation text: expected {', '.join(before['files'])} as it was when "
            f"the run was started, got {', '.join(here['files'])}: the best model so far was the "
            "best on that; resume with it, or start in another folder"
        )


def to_toml(description: Mapping[str, Any]) -> str:
    """Return the flags that repeat the run, for --config; what is left out has its default."""
    config, valid = dict(description["config"]), description["valid"]
    shape, vectors = config.pop("model"), config.pop("word_vectors", None)
    start = description.get("from")
    command = "train" if start is None else "finetune"
    if start is None:
        config["word_vectors"] = None if vectors is None else str(Path(vectors).absolute())
    else:
        del config["tied"]  # as its model is
    flags = {
        **({} if start is None else {"model": start["source"]}),
        "files": description["files"],
        "valid": None if valid is None else valid["files"],
        "field": description["field"],
        "tokenizer": description["tokenizer"],
        "vocab": f"last/{relmo_format.VOCAB}",
        "out": ".",
        "device": description["ran_on"][-1]["device"],
        **config,
    }
    lines = [f"# relmo {command} --config THIS --out OTHER repeats the run; paths are from here."]
    lines += _assignments(flags)
    if start is None:
        nulls = {f.name: NONE for f in dataclasses.fields(BiLMConfig) if f.default is not None}
        lines += _table("model", {k: nulls.get(k) if v is None else v for k, v in shape.items()})
    return "\n".join(lines) + "\n"


def _table(name: str, values: Mapping[str, Any]) -> Iterator[str]:
    """Return the lines of a table and of those in it."""
    yield from ("", f"[{name}]")
    yield from _assignments({k: v for k, v in values.items() if not isinstance(v, dict)})
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _table(f"{name}.{key}", value)


def _assignments(values: Mapping[str, Any]) -> Iterator[str]:
    """Return `key = value` lines: JSON's values are TOML's too, but for one character."""
    for key, value in values.items():
        if value is not None:
            yield f"{key} = {json.dumps(value, ensure_ascii=False)}".replace("\x7f", r"\u007f")


def _text(corpus: Corpus) -> dict[str, Any]:
    return {
        "files": [str(path.absolute()) for path in corpus.paths],
        "bytes": [path.stat().st_size for path in corpus.paths],
        "sha256": checksums(corpus.paths),
        "field": corpus.field,
        "tokenizer": name_of(corpus.tokenize),
    }


def _shown(sha256: str | None) -> str:
    return "none" if sha256 is None else f"one of sha256 {sha256:.12}..."
