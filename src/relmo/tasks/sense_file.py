"""The average vectors of senses in a file, so that a corpus is read but once.

sense_file.save(averages, elmo, "semcor.safetensors")
averages = sense_file.load("semcor.safetensors", elmo)     # of the same model
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from relmo._files import open_regular, replacing_file
from relmo._typing import Float
from relmo.errors import FormatError, InputError
from relmo.formats.verify import parameters_sha256
from relmo.model import Elmo
from relmo.tasks.senses import SenseAverages
from relmo.text.corpora import PathLike
from relmo.text.senses import Lexeme

__all__ = ["load", "save"]

_FORMAT = "relmo senses 1"


def save(averages: SenseAverages, elmo: Elmo, path: PathLike) -> None:
    """Write averages; the file appears whole or not at all.

    Args:
        averages: of one sense or more.
        elmo: the model whose vectors they are.
        path: a file of safetensors, which has the sums in single precision.

    Raises:
        InputError: there is no sense, or the file cannot be written.
    """
    if not averages.n_senses:
        raise InputError(f"cannot write {str(path)!r}: no sense has been seen")
    keys = list(averages.sums)
    counts = [[*lexeme, dict(of_keys)] for lexeme, of_keys in averages.counts.items()]
    metadata = {
        "format": _FORMAT,
        "model": parameters_sha256(elmo.checkpoint()),
        "keys": json.dumps(keys),
        "counts": json.dumps(counts),
    }
    with replacing_file(path) as aside:
        aside.touch()
        mode = aside.stat().st_mode  # as any file here is made; save_file lets only the owner read
        try:
            save_file({"sums": np.stack([averages.sums[key] for key in keys])}, aside, metadata)
        except SafetensorError as error:
            raise InputError(f"cannot write {str(path)!r}: {error}") from error
        aside.chmod(mode)


def load(
    path: PathLike, elmo: Elmo, *, dictionary: Mapping[Lexeme, Sequence[str]] | None = None
) -> SenseAverages:
    """The averages that `save` wrote.

    Args:
        path: the file.
        elmo: the model; it has to be that of the averages.
        dictionary: see `SenseAverages`.

    Raises:
        InputError: there is no such file, or its averages are another model's.
        FormatError: it is none that `save` wrote, or is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    try:
        open_regular(path).close()  # at a named pipe safetensors would wait
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    metadata, sums = _read(path, (elmo.n_layers + 1, elmo.dim))
    if metadata["model"] != parameters_sha256(elmo.checkpoint()):
        raise InputError(
            f"{path}: average vectors of another model; name that with --model, or learn again"
        )
    try:
        keys: list[str] = json.loads(metadata["keys"])
        counts = {
            Lexeme(str(lemma), str(pos)): {str(key): int(n) for key, n in of_keys.items()}
            for lemma, pos, of_keys in json.loads(metadata["counts"])
        }
        by_key = dict(zip(keys, sums, strict=True))
        unknown = {key for of_keys in counts.values() for key in of_keys} - by_key.keys()
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(f"{path}: its keys and counts are damaged: {error}") from error
    if unknown:
        raise FormatError(f"{path}: {len(unknown)} senses have no vector, such as {min(unknown)!r}")
    return SenseAverages.of(by_key, counts, dictionary)


def _read(
    path: Path, shape: tuple[int, int]
) -> tuple[dict[str, str], Float[np.ndarray[Any, Any], "senses layers dim"]]:
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT or list(file.keys()) != ["sums"]:
                raise FormatError(f"{path}: holds no senses as `relmo senses` saves them")
            stored = file.get_slice("sums")
            found, dtype = tuple(stored.get_shape()), stored.get_dtype()
            if len(found) != 3 or dtype != "F32":
                raise FormatError(f"{path}: 'sums' is {dtype} {found}, expected F32 of three axes")
            if found[1:] != shape:
                raise InputError(
                    f"{path}: vectors of {found[1] - 1} layers and width {found[2]}, but the "
                    f"model has {shape[0] - 1} and {shape[1]}; name theirs with --model"
                )
            sums = file.get_tensor("sums")
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise FormatError(f"{path}: cannot be read as safetensors: {error}") from error
    if not np.isfinite(sums).all():
        raise FormatError(f"{path}: a number is NaN or infinite")
    return {"model": "", "keys": "", "counts": "", **metadata}, sums
