"""A trained network with the biLM under it, and the folder that holds it.

config.json        {"format": "relmo-tagger", "version": 1, "tagger": {...}, "tags": [...],
                   "scheme": "BIO", "words_sha256": null or "...", "elmo": null or {...}}: the
                   fields of the network's config, what it predicts (here tags in the order of
                   their numbers, and their scheme), the checksum of the words in vocab.txt, and the
                   biLM: its "source" ("box": the bundled model; "here": the folder elmo/; else its
                   path), the "sha256" of its parameters, "n_layers" and "dim"
tagger.safetensors every parameter by its name in the network; half precision is allowed
vocab.txt          the words that the network has vectors of, if it has any
elmo/              a copy of the biLM in relmo's format, or nothing
README.md          the card: data, licenses, scores; or nothing

Another task has its kind in place of "tagger", and what it predicts in place of tags and scheme.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch

from relmo._files import lacks, model_folder, read_json
from relmo.elmo.model import BOX, Elmo, load
from relmo.errors import ConfigError, FormatError, InputError, RelmoError
from relmo.formats import relmo_format
from relmo.formats.checkpoint import read_model_vocab
from relmo.nn.bilm import no_init
from relmo.tasks.config import TokenConfig
from relmo.tasks.inputs import elmo_sha256
from relmo.tasks.network import TokenNetwork
from relmo.text.vocab import Vocabulary
from relmo.train.folder import BEST, LAST

__all__ = ["ELMO", "ElmoReference", "StoredTask", "TaskModel"]

CONFIG, VOCAB, ELMO, CARD = "config.json", "vocab.txt", "elmo", "README.md"
_BUNDLED, _HERE = "box", "here"
_VERSION = 1
_MAX_WIDTH = 2**20


@dataclass(frozen=True, kw_only=True)
class ElmoReference:
    """The biLM that a network was trained on."""

    source: str
    """"box", "here" or a path."""
    sha256: str
    """Checksum, see `relmo.tasks.inputs.elmo_sha256`."""
    n_layers: int
    """Number of layers, the token layer included."""
    dim: int
    """Width of a layer."""


@dataclass(frozen=True, kw_only=True)
class StoredTask:
    """Everything that a folder holds except the biLM."""

    network: TokenNetwork
    """Network with the stored parameters, on the CPU."""
    outputs: dict[str, Any]
    """Values of `TaskModel.outputs`."""
    words: Vocabulary | None
    elmo: ElmoReference | None
    card: str | None


class TaskModel:
    """A trained network, the biLM under it, and what it predicts.

    Args:
        network: the network.
        words: words of the network's word vectors, where it has any.
        elmo: the biLM, where the network reads one.
        elmo_source: where the biLM came from: "box", "here" (it belongs to this network, such as
            one that was fine-tuned) or its path; None: what the biLM says itself.
        card: a description of its data, their licenses and its scores, in Markdown.

    Raises:
        ConfigError: the network reads a biLM and there is none, or the other way round.
    """

    kind: ClassVar[str]
    """Name of the task in files and messages, such as "tagger"."""
    outputs: ClassVar[tuple[str, ...]]
    """Keys of config.json, attributes, and arguments of the constructor that say what the network
    predicts. The first one lists the names of its classes."""
    config_class: ClassVar[type[TokenConfig]]
    network_class: ClassVar[Callable[..., TokenNetwork]]
    """The network, of (config, n_classes, (n_layers, dim) of the biLM, n_words)."""

    network: TokenNetwork

    def __init__(
        self,
        network: TokenNetwork,
        *,
        words: Vocabulary | None = None,
        elmo: Elmo | None = None,
        elmo_source: str | None = None,
        card: str | None = None,
    ) -> None:
        if (elmo is None) == network.config.elmo:
            raise ConfigError(
                f"{type(self).__name__}: a network with elmo={network.config.elmo} and "
                f"{'no' if elmo is None else 'a'} biLM"
            )
        self.network = network.eval()
        self.words, self.elmo, self.card = words, elmo, card
        self._elmo_source = _source(elmo) if elmo_source is None and elmo else elmo_source

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.network.parameters()).device

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        elmo: Elmo | None = None,
        device: str | torch.device = "cpu",
    ) -> Self:
        """Load what was trained.

        Args:
            folder: a saved folder, or that of a training run, of which the best epoch is taken.
                `Tagger.load` takes the name of a bundled tagger too: "pos" (universal parts of
                speech) or "ner" (PER, ORG, LOC, MISC), both for English.
            elmo: the biLM it was trained on; None: the one that its folder names.
            device: where to compute, such as "cpu" or "cuda".

        Raises:
            FormatError, ConfigError: the folder holds another kind of model, or its files are
                damaged or contradict each other; or the biLM differs from the one it was trained
                on.
            InputError: there is no such folder, or the biLM is no longer where it was.
        """
        folder = cls._find(Path(folder))
        stored = cls.read(folder)
        softmax = stored.network.config.softmax_words
        if stored.elmo is None:
            elmo = None
        else:
            elmo = _referred_elmo(stored.elmo, folder, elmo, softmax=softmax).to(device)
        return cls(
            stored.network.to(device),
            **stored.outputs,
            words=stored.words,
            elmo=elmo,
            elmo_source=None if stored.elmo is None else stored.elmo.source,
            card=stored.card,
        )

    def save(
        self,
        folder: str | os.PathLike[str],
        *,
        dtype: torch.dtype | None = None,
        copy_elmo: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Save to a folder, which appears whole or not at all.

        Args:
            folder: nothing, an empty folder or an earlier model of this kind may be there.
            dtype: floating-point type of the stored numbers, such as torch.float16; None: as they
                are.
            copy_elmo: copy the biLM into the folder, which is then all that is needed.
            overwrite: replace any other folder too, with everything in it.

        Raises:
            InputError: another folder is there and `overwrite` is not given, it cannot be written,
                or a number is too large for `dtype`.
        """
        own = frozenset({CONFIG, self._tensor_file(), VOCAB, ELMO, CARD})
        with model_folder(folder, own=own, why_not=self.mismatch, overwrite=overwrite) as aside:
            self.write(aside, dtype=dtype, copy_elmo=copy_elmo)

    def write(
        self, folder: Path, *, dtype: torch.dtype | None = None, copy_elmo: bool = False
    ) -> None:
        """Write into an empty folder; see `save`."""
        config, elmo, reference = self.network.config, self.elmo, None
        source = _HERE if copy_elmo and elmo is not None else self._elmo_source
        if elmo is not None:
            reference = {
                "source": source,
                "sha256": elmo_sha256(elmo, softmax=config.softmax_words),
                "n_layers": elmo.n_layers,
                "dim": elmo.dim,
            }
        values = {
            "format": f"relmo-{self.kind}",
            "version": _VERSION,
            self.kind: config.to_dict(),
            **{name: getattr(self, name) for name in self.outputs},
            "words_sha256": None if self.words is None else self.words.sha256(),
            "elmo": reference,
        }
        (folder / CONFIG).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        tensors = {name: t.detach().cpu() for name, t in self.network.state_dict().items()}
        relmo_format.write_tensors(tensors, folder / self._tensor_file(), dtype, folder)
        if self.words is not None:
            self.words.write(folder / VOCAB)
        if self.card is not None:
            (folder / CARD).write_bytes(self.card.encode("utf-8"))
        if elmo is not None and source == _HERE:
            relmo_format.write(elmo.checkpoint(), folder / ELMO)

    @classmethod
    def read(cls, folder: Path) -> StoredTask:
        """Read a folder without its biLM.

        Raises:
            InputError: there is no such folder, or a file cannot be opened.
            ConfigError: config.json has an unknown, missing or invalid key.
            FormatError: a file is missing, truncated, of another format, or not what config.json
                says.
        """
        name = f"relmo-{cls.kind}"
        if not folder.is_dir():
            raise InputError(f"{name}: '{folder}' is not a folder")
        where = f"{name}: {folder / CONFIG}"
        values = _read_config(folder / CONFIG, name)
        expected = ("format", "version", cls.kind, *cls.outputs, "words_sha256", "elmo")
        for key in sorted(values.keys() ^ set(expected)):
            problem = "is missing" if key in expected else "is unknown"
            raise ConfigError(f"{where}: the key {key!r} {problem}; expected {', '.join(expected)}")
        config = cls.config_class.from_dict(values[cls.kind], f"{where}: {cls.kind}")
        elmo = _read_reference(values["elmo"], where)
        if (elmo is None) == config.elmo:
            raise ConfigError(
                f"{where}: 'elmo' is {values['elmo']!r:.60}, but {cls.kind}.elmo "
                f"{str(config.elmo).lower()}"
            )
        outputs = cls._read_outputs(values, where)
        words = _read_words(folder / VOCAB, config, values["words_sha256"], where)
        with no_init():  # an absurd width fails on the file's shapes, not on memory
            network = cls.build(config, outputs, elmo, words)
        shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
        tensors = relmo_format.read_tensors(folder / cls._tensor_file(), lambda _: shapes.items())
        network.load_state_dict(tensors, strict=True, assign=True)
        card = relmo_format.read_card(folder)
        return StoredTask(network=network, outputs=outputs, words=words, elmo=elmo, card=card)

    @classmethod
    def build(
        cls,
        config: TokenConfig,
        outputs: Mapping[str, Any],
        elmo: Elmo | ElmoReference | None,
        words: Vocabulary | None,
    ) -> TokenNetwork:
        """Build the network with random weights.

        Args:
            config: its shape.
            outputs: what it predicts.
            elmo: the biLM it reads, or a reference to it.
            words: words of its word vectors.
        """
        shape = (0, 0) if elmo is None else (elmo.n_layers, elmo.dim)
        n_classes, n_words = len(outputs[cls.outputs[0]]), 0 if words is None else len(words)
        return cls.network_class(config, n_classes, shape, n_words)

    @classmethod
    def mismatch(cls, folder: Path) -> str | None:
        """Return why a folder holds no model of this kind, or None where it does."""
        if not folder.is_dir():
            return "it is not a folder"
        reason = lacks(folder, CONFIG)
        if reason is not None:
            return reason
        try:
            _read_config(folder / CONFIG, f"relmo-{cls.kind}")
        except RelmoError as error:
            return str(error)
        return None

    @classmethod
    def _find(cls, folder: Path) -> Path:
        """Return the folder of the model: the folder itself, or one of its run's.

        Raises:
            InputError: it is not a folder, or holds several runs.
            FormatError: there is no model in it.
        """
        if not folder.is_dir():
            raise InputError(f"'{folder}' is not a folder; expected a {cls.kind}'s or a run's")
        file = cls._tensor_file()
        for path in (folder, folder / BEST, folder / LAST):
            if (path / file).exists():
                return path
        if runs := sorted(path.parent for path in folder.glob(f"*/{BEST}/{file}")):
            raise InputError(
                f"{folder}: holds {len(runs)} runs; give one, such as '{runs[0].parent}'"
            )
        path = next((f for f in (folder / BEST, folder / LAST) if (f / CONFIG).is_file()), folder)
        reason = cls.mismatch(path) or f"it has no {file}"
        raise FormatError(f"'{path}' is not a {cls.kind}: {reason}")

    @classmethod
    def _read_outputs(cls, values: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Check and return what config.json says the network predicts: different names.

        Raises:
            ConfigError: anything else.
        """
        key = cls.outputs[0]
        names = values[key]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ConfigError(f"{where}: {key!r} is {names!r:.60}, expected a list of strings")
        if not names or len(set(names)) < len(names):
            raise ConfigError(
                f"{where}: {key!r} is {names!r:.60}, expected different ones, at least 1"
            )
        return {key: tuple(names)}

    @classmethod
    def _tensor_file(cls) -> str:
        return f"{cls.kind}.safetensors"


def _read_config(path: Path, format: str) -> dict[str, Any]:
    """Read config.json and check its format and version.

    Raises:
        InputError: it cannot be read.
        FormatError: it is not JSON, or of another format or version.
    """
    where = f"{format}: {path}"
    values = read_json(path, where)
    if values.get("format") != format:
        raise FormatError(f"{where}: 'format' is {values.get('format')!r:.60}, expected {format!r}")
    if values.get("version") != _VERSION:
        raise FormatError(
            f"{where}: 'version' is {values.get('version')!r:.60}, expected {_VERSION}; a newer "
            "relmo may have written it"
        )
    return values


def _read_words(path: Path, config: TokenConfig, sha256: object, where: str) -> Vocabulary | None:
    """Read the words of a network's word vectors, if it has any.

    Args:
        path: vocab.txt.
        config: the network's shape.
        sha256: checksum of the words in config.json.
        where: that file, for messages.

    Raises:
        ConfigError: a checksum without words, or words without one.
        InputError: the file cannot be read.
        FormatError: the words differ from those of config.json.
    """
    if (sha256 is None) == bool(config.word_dim):
        raise ConfigError(
            f"{where}: 'words_sha256' is {sha256!r:.60}, but word_dim {config.word_dim}"
        )
    if not config.word_dim:
        return None
    words = read_model_vocab(path)
    if words.sha256() != sha256:
        raise FormatError(
            f"{path}: not the words of {CONFIG}: expected words of sha256 {sha256!s:.12}..., got "
            f"{len(words)} words of {words.sha256():.12}...; it was cut off or changed"
        )
    return words


def _read_reference(values: object, where: str) -> ElmoReference | None:
    """Check what config.json says of the biLM.

    Raises:
        ConfigError: it is invalid.
    """
    if values is None:
        return None
    types = ElmoReference.__annotations__
    if not isinstance(values, Mapping) or values.keys() != types.keys():
        raise ConfigError(
            f"{where}: 'elmo' is {values!r:.60}, expected null or an object of {', '.join(types)}"
        )
    for name, expected in types.items():
        value = values[name]
        if type(value) is not expected:
            raise ConfigError(
                f"{where}: elmo.{name} is {value!r:.60}, expected {expected.__name__}"
            )
        if expected is int and not 0 < value <= _MAX_WIDTH:
            raise ConfigError(f"{where}: elmo.{name} is {value!r:.60}, expected 1 to {_MAX_WIDTH}")
    return ElmoReference(**values)


def _source(elmo: Elmo) -> str:
    """Return how a folder names a biLM."""
    if elmo.checkpoint_info is None:
        return _HERE
    source = elmo.checkpoint_info.source.resolve()
    return _BUNDLED if source == BOX.resolve() else str(source)


def _referred_elmo(
    reference: ElmoReference, folder: Path, elmo: Elmo | None, *, softmax: bool
) -> Elmo:
    """Return the biLM that a folder names: `elmo` where it is given, else load it.

    Raises:
        InputError: it is no longer where it was.
        FormatError: it differs from the one that the folder names.
    """
    if elmo is None and reference.source == _BUNDLED:
        elmo = load()
    elif elmo is None and reference.source == _HERE:
        elmo = load(folder / ELMO)
    elif elmo is None:
        path = Path(reference.source)
        if not path.exists():
            raise InputError(
                f"{folder}: the biLM it was trained on is no longer at '{path}'; give it as elmo="
            )
        elmo = load(path)
    sha256 = elmo_sha256(elmo, softmax=softmax)
    if sha256 != reference.sha256:
        raise FormatError(
            f"{folder}: was trained on a biLM of sha256 {reference.sha256:.12}..., got "
            f"{sha256:.12}...: {elmo!r}"
        )
    if (elmo.n_layers, elmo.dim) != (reference.n_layers, reference.dim):
        raise FormatError(
            f"{folder}: says of its biLM {reference.n_layers} layers of {reference.dim}, it has "
            f"{elmo.n_layers} of {elmo.dim}"
        )
    return elmo
