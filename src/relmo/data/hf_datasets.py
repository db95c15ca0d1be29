"""Data sets of Hugging Face, as records: `hf:NAME`, or a folder that `save_to_disk` wrote.

    hf:OWNER/NAME             its split train
    hf:OWNER/NAME@test        another split
    hf:NAME:CONFIG@test       a configuration of it
    FOLDER@test               of a saved one that has several splits

The library `datasets` (`relmo[datasets]`) is imported here alone. It downloads, keeps and reads;
labels that are numbers become their names. Its data sets with code of their own are not run.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from relmo._read import PathLike
from relmo.data.corpora import some
from relmo.errors import InputError, MissingExtraError

__all__ = ["columns", "is_dataset", "records"]

_PREFIX = "hf:"
_SAVED = ("state.json", "dataset_dict.json")  # one split, or several


def is_dataset(path: PathLike) -> bool:
    """Whether it names a data set, or is the folder of a saved one."""
    place = os.fspath(path)
    return place.startswith(_PREFIX) or any(
        os.path.isfile(os.path.join(_parts(place)[0], file))  # noqa: PTH113, PTH118 - Path raises
        for file in _SAVED
    )


def _parts(place: str) -> tuple[str, str]:
    """The name or folder, and the split, `train` unless one is named."""
    name, _, split = place.partition("@")
    return name, split or "train"


def records(place: str, fields: Sequence[Sequence[str]]) -> Iterator[tuple[Any, ...]]:
    """The fields of each record of a split, in order.

    Args:
        place: as the module says; a folder may have `@SPLIT` too.
        fields: names for each field, of which the first that the data set has is read.

    Raises:
        InputError: there is no such data set, split or field, or it cannot be read.
        MissingExtraError: datasets is not installed.
    """
    data, features = _loaded(place)
    names = [_first(place, tuple(features), known) for known in fields]
    labels = [_labels(features[name]) for name in names]
    for record in data:
        yield tuple(
            _named(record[name], its_labels, place)
            for name, its_labels in zip(names, labels, strict=True)
        )


def columns(place: str) -> tuple[str, ...]:
    """The names of a split's columns.

    Raises:
        InputError: as `records` does.
        MissingExtraError: datasets is not installed.
    """
    return tuple(_loaded(place)[1])


def _loaded(place: str) -> tuple[Any, Any]:
    """The split and its features."""
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError("datasets", "datasets") from error
    name, split = _parts(place)
    try:
        if name.startswith(_PREFIX):
            name, _, config = name.removeprefix(_PREFIX).partition(":")
            data = datasets.load_dataset(name, config or None, split=split)
        else:
            data = datasets.load_from_disk(name)
            if Path(name, "dataset_dict.json").is_file():
                data = data[split]
    except Exception as error:  # it raises errors of many libraries, for want of a network too
        raise InputError(f"{place}: datasets cannot load it: {error}") from error
    return data, data.features


def _first(place: str, names: Sequence[str], known: Sequence[str]) -> str:
    for name in known:
        if name in names:
            return name
    raise InputError(f"{place}: no column {' or '.join(map(repr, known))}; it has {some(names)}")


def _labels(feature: Any) -> Sequence[str] | None:
    """The names of a column's numbers, or of those in its lists."""
    inner = feature[0] if isinstance(feature, list) else getattr(feature, "feature", feature)
    return getattr(inner, "names", None)


def _named(value: Any, labels: Sequence[str] | None, place: str) -> Any:
    if isinstance(value, list):
        return tuple(_named(item, labels, place) for item in value)
    if labels is None or not isinstance(value, int):
        return value
    if not 0 <= value < len(labels):  # -1 where a test split has no labels
        raise InputError(f"{place}: {value} is none of its {len(labels)} labels")
    return labels[value]
