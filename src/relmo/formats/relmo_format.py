"""relmo's own format: a folder.

config.json           {"format": "relmo", "version": 1, "bilm": {...}}, the fields of BiLMConfig;
                      "mixes": [{"weights": [...], "gamma": ...}, ...] where it has learned ones
model.safetensors     every parameter by its name in relmo.nn; half precision allowed
softmax.safetensors   the language model's output layer, "weight" (V, P) and "bias" (V,), or none;
                      of an adaptive softmax, n words in its head and t tails: "head.weight"
                      (n + t, P), "head.bias" (n + t,), and of each tail k of m words, P_k being
                      P // 4**(k + 1) or 1: "tails.k.projection" (P, P_k), "tails.k.weight"
                      (m, P_k), "tails.k.bias" (m,); its cutoffs are what the shapes say
                      in either, a matrix of whole numbers from -127 to 127 (int8) has beside it
                      "<name>.scale", what each of its rows is multiplied by
vocab.txt             one word a line, or none
lexicon.json          {"words": [...], "characters": [...]} in the order of their ids, either may
                      be null; of a model whose token encoder looks them up, and of no other
README.md             the model card, or none
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from relmo._files import check_regular, lacks, model_folder, read_json, read_regular, readable
from relmo.config import BiLMConfig, LayerMix
from relmo.errors import ConfigError, FormatError, InputError, RelmoError
from relmo.formats import _checks
from relmo.formats._tensors import copied
from relmo.formats.checkpoint import Checkpoint, Shape, parameter_shapes, read_model_vocab
from relmo.text.lexicon import Lexicon

__all__ = [
    "NAME",
    "VERSION",
    "find",
    "mismatch",
    "read",
    "read_card",
    "read_tensors",
    "write",
    "write_tensors",
]

NAME = "relmo"
VERSION = 1
CONFIG, MODEL, SOFTMAX = "config.json", "model.safetensors", "softmax.safetensors"
VOCAB, LEXICON, CARD = "vocab.txt", "lexicon.json", "README.md"
_MOST_LEXICON_BYTES, _MOST_CARD_BYTES = 2**28, 2**24
_STORED = {"F16", "BF16", "F32", "F64"}
_QUANTISED, _SCALE = "I8", ".scale"


def find(path: Path) -> Callable[[], Checkpoint]:
    """Return the reader of the model in a folder.

    Raises:
        FormatError, InputError: it is not a folder of this format; the message says why.
    """
    if not path.is_dir():
        raise FormatError("it is not a folder")
    reason = lacks(path, CONFIG)
    if reason is not None:
        raise FormatError(reason)
    values = read_json(path / CONFIG, CONFIG)
    if values.get("format") != NAME:
        raise FormatError(f"{CONFIG}: 'format' is {values.get('format')!r:.60}, expected {NAME!r}")
    return partial(_read, path, values)


def mismatch(path: Path) -> str | None:
    """Return why a path is not a model of this format, or None where it is one."""
    try:
        find(path)
    except RelmoError as error:
        return str(error)
    return None


def read(folder: str | os.PathLike[str]) -> Checkpoint:
    """Read a model folder.

    Raises:
        InputError: there is no such folder, or a file cannot be opened.
        ConfigError: config.json has an unknown, missing or impossible key.
        FormatError: a file is missing, truncated, foreign, or not what config.json says.
    """
    folder = Path(folder)
    with readable(f"{NAME}: '{folder}'"):
        if not folder.is_dir():
            raise InputError(f"{NAME}: '{folder}' is not a folder")
        reason = lacks(folder, CONFIG)
        if reason is not None:
            raise FormatError(f"{NAME}: '{folder}': {reason}")
        return _read(folder, read_json(folder / CONFIG, f"{NAME}: {folder / CONFIG}"))


def _read(folder: Path, values: dict[str, Any]) -> Checkpoint:
    config, mixes = _parse_config(values, f"{NAME}: {folder / CONFIG}")
    tensors = read_tensors(folder / MODEL, lambda _: parameter_shapes(config))
    vocab = read_model_vocab(folder / VOCAB) if (folder / VOCAB).exists() else None
    _checks.check_vocab(config, vocab, f"{NAME}: {folder / VOCAB}")
    softmax = None
    if (folder / SOFTMAX).exists():
        if vocab is None:
            raise FormatError(f"{NAME}: {folder / SOFTMAX}: expected {VOCAB} beside it, found none")
        n_words = len(vocab)
        softmax = read_tensors(
            folder / SOFTMAX, lambda found: _checks.softmax_shapes(config, n_words, found)
        )
    return Checkpoint(
        config=config,
        tensors=tensors,
        vocab=vocab,
        lexicon=_read_lexicon(folder / LEXICON, config),
        softmax=softmax,
        mixes=mixes,
        card=read_card(folder),
        format=NAME,
        source=folder,
    )


def write(
    checkpoint: Checkpoint,
    folder: str | os.PathLike[str],
    dtype: torch.dtype | None = None,
    *,
    softmax_dtype: torch.dtype | None = None,
    overwrite: bool = False,
) -> None:
    """Write a model folder: all of it or nothing.

    Args:
        checkpoint: the model.
        folder: where; nothing, an empty folder or an earlier relmo model may be there.
        dtype: floating-point type of the stored numbers, such as torch.float16; None: as they are.
        softmax_dtype: likewise of the softmax, or torch.int8: each of its rows in whole numbers of
            a 127th of the row's largest; None: as `dtype`.
        overwrite: replace any other folder too, with everything in it.

    Raises:
        FormatError: the checkpoint is not whole (see `Checkpoint`).
        InputError: something else stands there, a number is too large for `dtype`, or the folder
            cannot be written (disk full).
    """
    _check_dtype("dtype", dtype, _checks.STORED_DTYPES)
    _check_dtype("softmax_dtype", softmax_dtype, (*_checks.STORED_DTYPES, torch.int8))
    _checks.check_checkpoint(checkpoint, f"{NAME}: checkpoint for '{os.fspath(folder)}'")
    own = frozenset({CONFIG, MODEL, SOFTMAX, VOCAB, LEXICON, CARD})
    with model_folder(folder, own=own, why_not=mismatch, overwrite=overwrite) as aside:
        config = {"format": NAME, "version": VERSION, "bilm": checkpoint.config.to_dict()}
        if checkpoint.mixes:
            config["mixes"] = [mix.to_dict() for mix in checkpoint.mixes]
        text = json.dumps(config, indent=2) + "\n"
        (aside / CONFIG).write_text(text, encoding="utf-8")
        write_tensors(checkpoint.tensors, aside / MODEL, dtype, folder)
        if checkpoint.softmax is not None:
            softmax, stored = checkpoint.softmax, softmax_dtype or dtype
            if stored == torch.int8:
                softmax, stored = _quantised(softmax), None
            write_tensors(softmax, aside / SOFTMAX, stored, folder)
        if checkpoint.vocab is not None:
            checkpoint.vocab.write(aside / VOCAB)
        if checkpoint.lexicon is not None:
            names = {"words": checkpoint.lexicon.words, "characters": checkpoint.lexicon.characters}
            (aside / LEXICON).write_text(json.dumps(names) + "\n", encoding="utf-8")
        if checkpoint.card is not None:
            (aside / CARD).write_bytes(checkpoint.card.encode("utf-8"))


def _parse_config(values: dict[str, Any], where: str) -> tuple[BiLMConfig, tuple[LayerMix, ...]]:
    if values.get("format") != NAME:
        raise FormatError(f"{where}: 'format' is {values.get('format')!r:.60}, expected {NAME!r}")
    if values.get("version") != VERSION:
        raise FormatError(
            f"{where}: 'version' is {values.get('version')!r:.60}, expected {VERSION}; a newer "
            "relmo may have written it"
        )
    known = {"format", "version", "bilm", "mixes"}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(
            f"{where}: unknown key {unknown[0]!r}; expected {', '.join(sorted(known))}"
        )
    if not isinstance(values.get("bilm"), dict):
        raise ConfigError(f"{where}: 'bilm' is {values.get('bilm')!r:.60}, expected an object")
    config = BiLMConfig.from_dict(values["bilm"], f"{where}: bilm")
    return config, _read_mixes(values.get("mixes", []), config, where)


def _read_mixes(values: object, config: BiLMConfig, where: str) -> tuple[LayerMix, ...]:
    if not isinstance(values, list):
        raise ConfigError(f"{where}: 'mixes' is {values!r:.60}, expected a list")
    mixes = tuple(
        LayerMix.from_dict(mix, f"{where}: mixes[{number}]") for number, mix in enumerate(values)
    )
    _checks.check_mixes(config, mixes, where)
    return mixes


def _read_lexicon(path: Path, config: BiLMConfig) -> Lexicon | None:
    where = f"{NAME}: {path}"
    lexicon = None
    if path.exists():
        values = read_json(path, where, _MOST_LEXICON_BYTES)
        if values.keys() != {"words", "characters"}:
            raise FormatError(
                f"{where}: expected the keys 'words' and 'characters', got "
                f"{', '.join(map(repr, values)):.60}"
            )
        for key, names in values.items():
            if names is not None and not (
                isinstance(names, list) and all(isinstance(name, str) for name in names)
            ):
                raise FormatError(f"{where}: {key!r} is no list of strings, nor null")
        try:
            lexicon = Lexicon(values["words"], values["characters"])
        except FormatError as error:
            raise FormatError(f"{where}: {error}") from error
    _checks.check_lexicon(config, lexicon, where)
    return lexicon


def read_card(folder: Path) -> str | None:
    """What the README.md of a folder says, None where there is none.

    Raises:
        InputError, FormatError: it cannot be read, or is not UTF-8.
    """
    path = folder / CARD
    if not path.exists():
        return None
    data = read_regular(path, _MOST_CARD_BYTES, f"{NAME}: {path}")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"{NAME}: {path}: is not UTF-8 at byte {error.start}") from error


def read_tensors(
    path: Path, expected: Callable[[Mapping[str, Shape]], Iterable[tuple[str, Shape]]]
) -> dict[str, Tensor]:
    """The tensors of a safetensors file, looked at in its header before any is loaded.

    Args:
        path: the file.
        expected: from the shapes that are found to the names and shapes that are asked for.

    Raises:
        FormatError: it is no such file, or a tensor is missing, superfluous or of another shape.
    """
    where = f"{NAME}: {path}"
    reason = lacks(path.parent, path.name)
    if reason is not None:
        raise FormatError(f"{NAME}: '{path.parent}': {reason}")
    check_regular(path, where)
    with _opened(path, where) as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        shapes = {name: tuple(slice_.get_shape()) for name, slice_ in slices.items()}
        scales = {
            name: name + _SCALE
            for name, slice_ in slices.items()
            if slice_.get_dtype() == _QUANTISED and shapes[name]
        }
        rows = ((scale, shapes[name][:1]) for name, scale in scales.items())
        wanted = _checks.check_tensor_shapes(chain(expected(shapes), rows), shapes, where, CONFIG)
        for name, slice_ in slices.items():
            if slice_.get_dtype() not in _STORED and name not in scales:
                raise FormatError(
                    f"{where}: {name!r} is {slice_.get_dtype()}, expected one of "
                    f"{', '.join(sorted(_STORED))}"
                )
        tensors = {}
        for name in wanted:
            # a copy: what get_tensor gives may look into the file, which may be replaced
            tensors[name] = copied(name, file.get_tensor(name), where)
    for name, scale in scales.items():
        tensors[name].mul_(tensors.pop(scale).reshape(-1, *(1,) * (tensors[name].ndim - 1)))
        _checks.check_finite(name, tensors[name], where)
    return tensors


@contextmanager
def _opened(path: Path, where: str) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            yield file
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise FormatError(
            f"{where}: cannot be read as safetensors (truncated, or another kind of file): "
            f"{' '.join(str(error).split())}"
        ) from error


def _check_dtype(name: str, dtype: torch.dtype | None, known: Sequence[torch.dtype]) -> None:
    if dtype is not None and dtype not in known:
        expected = ", ".join(map(str, known))
        raise InputError(f"{NAME}: {name} is {dtype}, expected one of {expected}")


def _quantised(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each matrix in whole numbers, with what its rows are multiplied by."""
    stored = dict(tensors)
    for name, tensor in tensors.items():
        if tensor.ndim == 2:
            scale = tensor.detach().abs().amax(1).float() / 127
            shares = tensor.detach() / torch.where(scale == 0, 1, scale)[:, None]
            stored |= {name: torch.round(shares).to(torch.int8), name + _SCALE: scale}
    return stored


def write_tensors(
    tensors: Mapping[str, Tensor],
    path: Path,
    dtype: torch.dtype | None,
    folder: str | os.PathLike[str],
) -> None:
    """Write a safetensors file; `folder` is the one that an error names.

    Raises:
        InputError: a number is too large for `dtype`, or the file cannot be written.
    """
    stored = {}
    for name, tensor in tensors.items():
        value = tensor.detach().to("cpu", dtype or tensor.dtype)
        if bool((torch.isinf(value) & torch.isfinite(tensor.to("cpu"))).any()):
            raise InputError(
                f"cannot write '{os.fspath(folder)}' as {dtype}: {name!r} holds numbers of up to "
                f"{float(tensor.abs().max()):g}, expected at most {torch.finfo(value.dtype).max:g}"
            )
        stored[name] = value.clone(memory_format=torch.contiguous_format)  # no storage shared
    path.touch()
    mode = path.stat().st_mode  # as any file here is made; save_file lets only the owner read
    try:
        save_file(stored, path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise InputError(f"cannot write '{os.fspath(folder)}': {error}") from error
    path.chmod(mode)
