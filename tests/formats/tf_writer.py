"""Checkpoints of TensorFlow, written without it: whole ones, several shards, and hostile ones."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relmo.formats._tensorflow import MAGIC, crc32c_masked
from tests.reference.bilm_numpy import random_model, random_words

Arrays = Mapping[str, np.ndarray]
Entries = dict[bytes, bytes]

TYPES = {"float32": 1, "float64": 2, "int32": 3, "int64": 9, "float16": 19}
TRAINED = "RNN_{0}/rnn/multi_rnn_cell/cell_{1}/lstm_cell"
TRAINED_ONE = "RNN_{0}/rnn/lstm_cell"
HUB = "RNN_{0}/RNN/MultiRNNCell/Cell{1}/rnn/lstm_cell"
PARTS = {"W_0": "kernel", "B": "bias", "W_P_0": "projection/kernel"}


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: int | bytes) -> bytes:
    """A field of a protocol buffer: a number, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def entry(
    shape: Sequence[int], size: int, *, dtype: int = 1, shard: int = 0, offset: int = 0
) -> bytes:
    """A BundleEntryProto."""
    axes = b"".join(field(2, field(1, axis)) for axis in shape)
    return (
        field(1, dtype) + field(2, axes) + field(3, shard) + field(4, offset) + field(5, size)
        + b"\x35\0\0\0\0"  # the CRC of the numbers, fixed32
    )  # fmt: skip


def block(items: Sequence[tuple[bytes, bytes]], compression: int = 0) -> bytes:
    """A block and its trailer; each key shares what it can with the one before."""
    out, before = b"", b""
    for key, value in items:
        shared = 0
        while shared < min(len(key), len(before)) and key[shared] == before[shared]:
            shared += 1
        own = key[shared:]
        out += varint(shared) + varint(len(own)) + varint(len(value)) + own + value
        before = key
    return sealed(out + (0).to_bytes(4, "little") + (1).to_bytes(4, "little"), compression)


def sealed(content: bytes, compression: int = 0) -> bytes:
    typed = content + bytes([compression])
    return typed + crc32c_masked(typed).to_bytes(4, "little")


def table(entries: Entries, *, per_block: int = 7, compression: int = 0) -> bytes:
    """A table file."""
    items = sorted(entries.items())
    out, handles = b"", []
    for start in range(0, len(items), per_block):
        piece = items[start : start + per_block]
        written = block(piece, compression)
        handles.append((piece[-1][0], varint(len(out)) + varint(len(written) - 5)))
        out += written
    return out + footer(len(out), block(handles))


def footer(index_at: int, index: bytes) -> bytes:
    """The index block and what follows it."""
    pointers = varint(0) + varint(0) + varint(index_at) + varint(len(index) - 5)
    return index + pointers.ljust(40, b"\0") + MAGIC


def write_bundle(
    prefix: Path,
    arrays: Arrays,
    *,
    n_shards: int = 1,
    edit: Callable[[Entries], object] = lambda entries: None,
    **how: int,
) -> Path:
    """PREFIX.index and its data files; variables go to the shards in turn.

    Args:
        prefix: the files' common beginning.
        arrays: the variables.
        n_shards: data files.
        edit: changes the entries before they are written.
        how: see `table`.
    """
    prefix.parent.mkdir(parents=True, exist_ok=True)
    data = [b""] * n_shards
    entries: Entries = {b"": field(1, n_shards) + field(3, field(1, 1))}
    for number, (name, array) in enumerate(sorted(arrays.items())):
        shard, stored = number % n_shards, np.asarray(array).tobytes()
        entries[name.encode()] = entry(
            array.shape, len(stored), dtype=TYPES[array.dtype.name], shard=shard,
            offset=len(data[shard]),
        )  # fmt: skip
        data[shard] += stored
    edit(entries)
    prefix.with_name(prefix.name + ".index").write_bytes(table(entries, **how))
    for shard, content in enumerate(data):
        name = f"{prefix.name}.data-{shard:05d}-of-{n_shards:05d}"
        prefix.with_name(name).write_bytes(content)
    return prefix


def renamed(arrays: Arrays, scope: str, cell: str) -> dict[str, np.ndarray]:
    """The datasets of bilm-tf's HDF5 under the names of its variables."""

    def named(match: re.Match[str]) -> str:
        return f"{cell.format(match[1], match[2])}/{PARTS[match[3]]}"

    pattern = r"RNN_(\d)/RNN/MultiRNNCell/Cell(\d)/LSTMCell/(\w+)"
    return {scope + re.sub(pattern, named, name): array for name, array in arrays.items()}


def training(seed: int, **shape: Any) -> tuple[dict[str, Any], dict[str, np.ndarray], list[str]]:
    """Options, variables and vocabulary as a training of bilm-tf leaves them."""
    options, arrays = random_model(seed, **shape)
    cell = TRAINED if options["lstm"]["n_layers"] > 1 else TRAINED_ONE
    n_words, dim = shape.get("n_words", 9), options["lstm"]["projection_dim"]
    random = np.random.default_rng(seed)
    model = renamed(arrays, "lm/", cell)
    model["lm/softmax/W"] = random.standard_normal((n_words, dim)).astype(np.float32)
    model["lm/softmax/b"] = random.standard_normal(n_words).astype(np.float32)
    slots = {f"{name}/Adagrad": np.ones_like(array) for name, array in model.items()}
    counters = {
        "global_step": np.array(1234, np.int64),
        "train_perplexity": np.array(40, np.float32),
    }
    return options, model | slots | counters, random_words(n_words)


def save_training(
    folder: Path, seed: int = 1, *, words: bool = True, **shape: Any
) -> tuple[Path, dict[str, np.ndarray]]:
    """A folder of a training, and its variables."""
    options, variables, vocabulary = training(seed, **shape)
    write_bundle(folder / "model.ckpt-7", variables)
    (folder / "options.json").write_text(json.dumps(options))
    (folder / "checkpoint").write_text('model_checkpoint_path: "/home/them/model.ckpt-7"\n')
    if words:
        (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    return folder, variables


def hub(seed: int, **shape: Any) -> dict[str, np.ndarray]:
    """The variables of a TF-Hub module."""
    _, arrays = random_model(seed, **shape)
    n_layers = shape.get("n_layers", 2)
    return renamed(arrays, "bilm/", HUB) | {
        "aggregation/weights": np.arange(n_layers + 1, dtype=np.float32) / 4,
        "aggregation/scaling": np.array(1.5, np.float32),
    }


def save_hub(folder: Path, variables: Arrays, **how: Any) -> Path:
    """A module's folder."""
    write_bundle(folder / "variables" / "variables", variables, **how)
    (folder / "saved_model.pb").write_bytes(b"")
    return folder
