"""A tagger's folder.

config.json           {"format": "relmo-tagger", "version": 1, "tagger": {...}, "tags": [...],
                      "scheme": "BIO", "words_sha256": null or "...", "elmo": null or {...}}: the
                      fields of TaggerConfig, the tags in the order of their numbers, their scheme,
                      the checksum of the words in vocab.txt, and the biLM: its "source" ("box": the
                      model in the box; "here": the folder elmo/; else its path), the "sha256" of
                      its parameters, "n_layers" and "dim"
tagger.safetensors    every parameter by its name in `TaggerNetwork`; half precision allowed
vocab.txt             the words of its own vectors, or none
elmo/                 a copy of the biLM in relmo's format, or none
README.md             the card: data, licences, scores; or none
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from relmo.data.spans import Scheme
from relmo.errors import ConfigError, InputError
from relmo.formats import relmo_format
from relmo.formats.checkpoint import Checkpoint
from relmo.nn.bilm import no_init
from relmo.tasks import folder as task_files
from relmo.tasks.config import TaggerConfig
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
from relmo.tasks.network import TaggerNetwork
from relmo.text.vocab import Vocabulary

__all__ = ["MODEL", "NAME", "TaggerFiles", "read", "why_not", "write"]

NAME = "relmo-tagger"
VERSION = 1
MODEL, CARD = "tagger.safetensors", "README.md"


@dataclass(frozen=True, kw_only=True)
class TaggerFiles:
    """What a folder holds but for the biLM."""

    config: TaggerConfig
    tags: tuple[str, ...]
    scheme: Scheme
    words: Vocabulary | None
    elmo: ElmoReference | None
    tensors: dict[str, Tensor]
    card: str | None = None

    def network(self) -> TaggerNetwork:
        """The network, filled."""
        network = _unfilled(self.config, len(self.tags), self.elmo, self.words)
        network.load_state_dict(self.tensors, strict=True, assign=True)
        return network


def why_not(folder: Path) -> str | None:
    """Why `folder` is no tagger, or None where it is one."""
    return task_files.why_not(folder, NAME, VERSION)


def read(folder: Path) -> TaggerFiles:
    """Read a tagger's folder; the biLM is not looked for.

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
    check_keys(
        values, {"format", "version", "tagger", "tags", "scheme", "words_sha256", "elmo"}, where
    )
    config = TaggerConfig.from_dict(values["tagger"], f"{where}: tagger")
    elmo = elmo_reference(values["elmo"], where)
    if (elmo is None) == config.elmo:
        raise ConfigError(f"{where}: 'elmo' is {values['elmo']!r:.60}, but tagger.elmo "
                          f"{str(config.elmo).lower()}")  # fmt: skip
    tags = names(values["tags"], "tags", where)
    if values["scheme"] not in get_args(Scheme):
        raise ConfigError(f"{where}: 'scheme' is {values['scheme']!r:.60}, expected one of "
                          f"{', '.join(get_args(Scheme))}")  # fmt: skip
    words = read_words(folder, config, values["words_sha256"], where)
    network = _unfilled(config, len(tags), elmo, words)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    return TaggerFiles(
        config=config, tags=tags, scheme=values["scheme"], words=words, elmo=elmo,
        tensors=relmo_format.read_tensors(folder / MODEL, lambda _: shapes.items()),
        card=relmo_format.read_card(folder),
    )  # fmt: skip


def write(
    files: TaggerFiles, elmo: Checkpoint | None, folder: Path, dtype: torch.dtype | None = None
) -> None:
    """Fill an empty folder.

    Args:
        files: the tagger.
        elmo: the biLM, where a copy goes with it.
        folder: the folder.
        dtype: floating-point type of the tagger's numbers; None: as they are.

    Raises:
        InputError: a number is too large for `dtype`, or the folder cannot be written.
    """
    values = {
        "format": NAME,
        "version": VERSION,
        "tagger": files.config.to_dict(),
        "tags": list(files.tags),
        "scheme": files.scheme,
        "words_sha256": None if files.words is None else files.words.sha256(),
        "elmo": None if files.elmo is None else vars(files.elmo),
    }
    text = json.dumps(values, indent=2) + "\n"
    (folder / CONFIG).write_text(text, encoding="utf-8")
    relmo_format.write_tensors(files.tensors, folder / MODEL, dtype, folder)
    if files.words is not None:
        files.words.write(folder / VOCAB)
    if files.card is not None:
        (folder / CARD).write_bytes(files.card.encode("utf-8"))
    if elmo is not None:
        relmo_format.write(elmo, folder / ELMO)


def _unfilled(
    config: TaggerConfig, n_tags: int, elmo: ElmoReference | None, words: Vocabulary | None
) -> TaggerNetwork:
    shape = (0, 0) if elmo is None else (elmo.n_layers, elmo.dim)
    with no_init():
        return TaggerNetwork(config, n_tags, shape, 0 if words is None else len(words))
