"""A classifier's folder.

config.json             {"format": "relmo-classifier", "version": 1, "classifier": {...},
                        "labels": [...], "words_sha256": null or "...", "elmo": null or {...}}: the
                        fields of ClassifierConfig, the labels in the order of their numbers, and
                        the words and the biLM as a tagger names them
classifier.safetensors  every parameter by its name in `ClassifierNetwork`
vocab.txt               the words of its own vectors, or none
elmo/                   a copy of the biLM in relmo's format, or none
"""

import json
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from relmo.errors import ConfigError, InputError
from relmo.formats import relmo_format
from relmo.formats.checkpoint import Checkpoint
from relmo.nn.bilm import no_init
from relmo.tasks import folder as task_files
from relmo.tasks.config import ClassifierConfig
from relmo.tasks.folder import (
    CONFIG,
    ELMO,
    VOCAB,
    ElmoReference,
    check_keys,
    elmo_reference,
    names,
    read_object,
    read_words,
)
from relmo.tasks.network import ClassifierNetwork
from relmo.text.vocab import Vocabulary

__all__ = ["MODEL", "NAME", "ClassifierFiles", "read", "why_not", "write"]

NAME = "relmo-classifier"
VERSION = 1
MODEL = "classifier.safetensors"


@dataclass(frozen=True, kw_only=True)
class ClassifierFiles:
    """What a folder holds but for the biLM."""

    config: ClassifierConfig
    labels: tuple[str, ...]
    words: Vocabulary | None
    elmo: ElmoReference | None
    tensors: dict[str, Tensor]

    def network(self) -> ClassifierNetwork:
        """The network, filled."""
        network = _unfilled(self.config, len(self.labels), self.elmo, self.words)
        network.load_state_dict(self.tensors, strict=True, assign=True)
        return network


def why_not(folder: Path) -> str | None:
    """Why `folder` is no classifier, or None where it is one."""
    return task_files.why_not(folder, NAME, VERSION)


def read(folder: Path) -> ClassifierFiles:
    """Read a classifier's folder; the biLM is not looked for.

    Raises:
        InputError: there is no such folder, or a file cannot be opened.
        ConfigError: config.json has an unknown, missing or impossible key.
        FormatError: a file is missing, truncated, foreign, or not what config.json says.
    """
    if not folder.is_dir():
        raise InputError(f"{NAME}: '{folder}' is not a folder")
    path = folder / CONFIG
    where = f"{NAME}: {path}"
    values = read_object(path, NAME, VERSION)
    check_keys(values, {"format", "version", "classifier", "labels", "words_sha256", "elmo"}, where)
    config = ClassifierConfig.from_dict(values["classifier"], f"{where}: classifier")
    elmo = elmo_reference(values["elmo"], where)
    if (elmo is None) == config.elmo:
        raise ConfigError(f"{where}: 'elmo' is {values['elmo']!r:.60}, but classifier.elmo "
                          f"{str(config.elmo).lower()}")  # fmt: skip
    labels = names(values["labels"], "labels", where)
    words = read_words(folder, config, values["words_sha256"], where)
    network = _unfilled(config, len(labels), elmo, words)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    return ClassifierFiles(
        config=config, labels=labels, words=words, elmo=elmo,
        tensors=relmo_format.read_tensors(folder / MODEL, lambda _: shapes.items()),
    )  # fmt: skip


def write(files: ClassifierFiles, elmo: Checkpoint | None, folder: Path) -> None:
    """Fill an empty folder.

    Args:
        files: the classifier.
        elmo: the biLM, where a copy goes with it.
        folder: the folder.
    """
    values = {
        "format": NAME,
        "version": VERSION,
        "classifier": files.config.to_dict(),
        "labels": list(files.labels),
        "words_sha256": None if files.words is None else files.words.sha256(),
        "elmo": None if files.elmo is None else vars(files.elmo),
    }
    (folder / CONFIG).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    relmo_format.write_tensors(files.tensors, folder / MODEL, None, folder)
    if files.words is not None:
        files.words.write(folder / VOCAB)
    if elmo is not None:
        relmo_format.write(elmo, folder / ELMO)


def _unfilled(
    config: ClassifierConfig, n_labels: int, elmo: ElmoReference | None, words: Vocabulary | None
) -> ClassifierNetwork:
    shape = (0, 0) if elmo is None else (elmo.n_layers, elmo.dim)
    with no_init():
        return ClassifierNetwork(config, n_labels, shape, 0 if words is None else len(words))
