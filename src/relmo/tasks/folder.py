"""The folders of what tasks train: config.json, and what it names: the biLM, the own words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relmo._files import lacks, read_json
from relmo.elmo.model import BOX, Elmo, load
from relmo.errors import ConfigError, FormatError, InputError, RelmoError
from relmo.formats.checkpoint import read_model_vocab
from relmo.tasks.config import TokenConfig
from relmo.tasks.inputs import elmo_sha256
from relmo.text.vocab import Vocabulary
from relmo.train.folder import BEST, LAST

__all__ = ["BOXED", "CONFIG", "ELMO", "HERE", "VOCAB", "ElmoReference", "check_keys",
           "elmo_reference", "elmo_source", "names", "read_object", "read_words", "referred_elmo",
           "trained_folder", "why_not"]  # fmt: skip

CONFIG, VOCAB, ELMO = "config.json", "vocab.txt", "elmo"
BOXED, HERE = "box", "here"
_MOST_WIDTH = 2**20


@dataclass(frozen=True, kw_only=True)
class ElmoReference:
    """Which biLM a network was trained on."""

    source: str
    """"box", "here" or a path."""
    sha256: str
    """See `relmo.tasks.inputs.elmo_sha256`."""
    n_layers: int
    """The token layer counted."""
    dim: int
    """Width of a layer."""

    @classmethod
    def of(cls, elmo: Elmo, source: str, config: TokenConfig) -> "ElmoReference":
        """That of a biLM, by what a network of this shape reads of it."""
        return cls(
            source=source, sha256=elmo_sha256(elmo, softmax=config.softmax_words),
            n_layers=elmo.n_layers, dim=elmo.dim,
        )  # fmt: skip


def trained_folder(
    folder: Path, model: str, kind: str, why_not: Callable[[Path], str | None]
) -> Path:
    """What was trained, in a folder or in that of its run.

    Args:
        folder: the folder.
        model: name of the file of tensors.
        kind: what it is to be, in words.
        why_not: says of a folder why it is none.

    Raises:
        InputError: several runs are in it.
        FormatError: there is none in it.
    """
    for found in (folder, folder / BEST, folder / LAST):
        if (found / model).exists():
            return found
    runs = sorted(path.parent for path in folder.glob(f"*/{BEST}/{model}"))
    if runs:
        raise InputError(f"{folder}: holds {len(runs)} runs; give one, such as '{runs[0].parent}'")
    found = next((f for f in (folder / BEST, folder / LAST) if (f / CONFIG).is_file()), folder)
    raise FormatError(f"'{found}' is no {kind}: {why_not(found) or f'it has no {model}'}")


def read_object(path: Path, format: str, version: int) -> dict[str, Any]:
    """What config.json holds, of a format and version.

    Raises:
        InputError: it cannot be read.
        FormatError: it is not JSON, or of another format or version.
    """
    where = f"{format}: {path}"
    values = read_json(path, where)
    if values.get("format") != format:
        raise FormatError(f"{where}: 'format' is {values.get('format')!r:.60}, expected {format!r}")
    if values.get("version") != version:
        raise FormatError(
            f"{where}: 'version' is {values.get('version')!r:.60}, expected {version}; a newer "
            "relmo may have written it"
        )
    return values


def why_not(folder: Path, format: str, version: int) -> str | None:
    """Why a folder holds nothing of a format and version, or None where it does."""
    if not folder.is_dir():
        return "it is not a folder"
    reason = lacks(folder, CONFIG)
    if reason is not None:
        return reason
    try:
        read_object(folder / CONFIG, format, version)
    except RelmoError as error:
        return str(error)
    return None


def check_keys(values: Mapping[str, object], expected: set[str], where: str) -> None:
    """Whether config.json has exactly these keys.

    Raises:
        ConfigError: one is missing or unknown.
    """
    for name in sorted(values.keys() ^ expected):
        problem = "is missing" if name in expected else "is unknown"
        raise ConfigError(f"{where}: the key {name!r} {problem}; expected {', '.join(expected)}")


def names(values: object, key: str, where: str) -> tuple[str, ...]:
    """Different strings, at least one, such as tags.

    Raises:
        ConfigError: anything else.
    """
    if not isinstance(values, list) or not all(isinstance(name, str) for name in values):
        raise ConfigError(f"{where}: {key!r} is {values!r:.60}, expected a list of strings")
    if not values or len(set(values)) < len(values):
        raise ConfigError(
            f"{where}: {key!r} is {values!r:.60}, expected different ones, at least 1"
        )
    return tuple(values)


def read_words(folder: Path, config: TokenConfig, sha256: object, where: str) -> Vocabulary | None:
    """The words of a network's own vectors, if it has such.

    Args:
        folder: of the network.
        config: its shape.
        sha256: of the words, as config.json says.
        where: that is config.json.

    Raises:
        ConfigError: a checksum without words, or words without one.
        InputError: the file cannot be read.
        FormatError: they are others.
    """
    if (sha256 is None) == bool(config.word_dim):
        raise ConfigError(f"{where}: 'words_sha256' is {sha256!r:.60}, but word_dim "
                          f"{config.word_dim}")  # fmt: skip
    if not config.word_dim:
        return None
    words = read_model_vocab(folder / VOCAB)
    if words.sha256() != sha256:
        raise FormatError(
            f"{folder / VOCAB}: not the words of {CONFIG}: expected such of sha256 "
            f"{sha256!s:.12}..., got {len(words)} words of {words.sha256():.12}...; it was cut off "
            "or changed"
        )
    return words


def elmo_reference(values: object, where: str) -> ElmoReference | None:
    """The biLM that config.json names, if it does.

    Raises:
        ConfigError: it is none that can be.
    """
    if values is None:
        return None
    kinds = ElmoReference.__annotations__
    if not isinstance(values, Mapping) or values.keys() != kinds.keys():
        raise ConfigError(f"{where}: 'elmo' is {values!r:.60}, expected null or an object of "
                          f"{', '.join(kinds)}")  # fmt: skip
    for name, kind in kinds.items():
        value = values[name]
        if type(value) is not kind or (kind is int and not 0 < value <= _MOST_WIDTH):
            raise ConfigError(f"{where}: elmo.{name} is {value!r:.60}, which cannot be")
    return ElmoReference(**values)


def elmo_source(elmo: Elmo) -> str:
    """How a folder names a biLM."""
    if elmo.checkpoint_info is None:
        return HERE
    source = elmo.checkpoint_info.source.resolve()
    return BOXED if source == BOX.resolve() else str(source)


def referred_elmo(
    expected: ElmoReference, folder: Path, elmo: Elmo | None, config: TokenConfig
) -> Elmo:
    """The biLM that a folder names.

    Args:
        expected: what the folder says of it.
        folder: the folder.
        elmo: one that is there already; None: it is loaded.
        config: what the network reads of it.

    Raises:
        InputError: it is no longer where it was.
        FormatError: it is another one.
    """
    elmo = _loaded(expected, folder) if elmo is None else elmo
    found = elmo_sha256(elmo, softmax=config.softmax_words)
    if found != expected.sha256:
        raise FormatError(
            f"{folder}: was trained on a biLM of sha256 {expected.sha256:.12}..., got one of "
            f"{found:.12}...: {elmo!r}"
        )
    if (elmo.n_layers, elmo.dim) != (expected.n_layers, expected.dim):
        raise FormatError(
            f"{folder}: says of its biLM {expected.n_layers} layers of {expected.dim}, it has "
            f"{elmo.n_layers} of {elmo.dim}"
        )
    return elmo


def _loaded(reference: ElmoReference, folder: Path) -> Elmo:
    if reference.source == BOXED:
        return load()
    if reference.source == HERE:
        return load(folder / ELMO)
    path = Path(reference.source)
    if not path.exists():
        raise InputError(
            f"{folder}: the biLM it was trained on is no longer at '{path}'; give it as elmo="
        )
    return load(path)
