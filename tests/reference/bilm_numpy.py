"""A slow, obvious biLM in numpy: the oracle that the fast one is held against.

Written from the description of the format alone (options.json and HDF5 datasets, as bilm-tf wrote
them), one token and one time step after another, in float64 unless asked otherwise. It shares no
line with `relmo.nn`: where the two agree, both are right.

    from tests.reference.bilm_numpy import bilm_layers, random_model

    options, arrays = random_model(seed=1, n_layers=3, skip=False)
    layers, state = bilm_layers(options, arrays, ["a", "cat", "sat"])   # (4, 3, 2P)
    layers, state = bilm_layers(options, arrays, ["on", "it"], state=state)
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Array = np.ndarray
Options = Mapping[str, Any]
Arrays = Mapping[str, Array]
State = list[list[tuple[Array, Array]]]
"""state[direction][layer] = (c, h): cell (D,) and projected output (P',), before any skip."""

BOS, EOS = "<S>", "</S>"


# --- characters -----------------------------------------------------------------------------------


def char_ids(token: str, max_characters: int) -> list[int]:
    """The unshifted ids of one token: a begin mark, its bytes, an end mark, padding."""
    if token == BOS:
        middle = [256]
    elif token == EOS:
        middle = [257]
    else:
        middle = list(token.encode("utf-8", "ignore"))[: max_characters - 2]
    ids = [258, *middle, 259]
    return ids + [260] * (max_characters - len(ids))


# --- token encoder --------------------------------------------------------------------------------


def sigmoid(x: Array) -> Array:
    return (1 + np.tanh(x / 2)) / 2  # the same, and never an overflow


def char_vector(options: Options, arrays: Arrays, token: str) -> Array:
    """One token's vector (P,) by the character CNN, the highway layers and the projection."""
    cnn = options["char_cnn"]
    activation = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}[cnn["activation"]]
    table = arrays["char_embed"]
    if len(table) == 262:  # the first row is that of the mask
        table = table[1:]
    characters = table[char_ids(token, cnn["max_characters_per_token"])]  # (characters, C)

    parts = []
    for i, (width, number) in enumerate(cnn["filters"]):
        kernel = arrays[f"CNN/W_cnn_{i}"][0]  # (width, C, number)
        best = np.full(number, -np.inf, dtype=table.dtype)
        for start in range(len(characters) - width + 1):
            window = characters[start : start + width]  # (width, C)
            best = np.maximum(best, np.einsum("wc,wcn->n", window, kernel))
        parts.append(activation(best + arrays[f"CNN/b_cnn_{i}"]))
    x = np.concatenate(parts)  # (F,)

    for k in range(cnn.get("n_highway") or 0):
        high = f"CNN_high_{k}"
        gate = sigmoid(x @ arrays[f"{high}/W_carry"] + arrays[f"{high}/b_carry"])
        changed = x @ arrays[f"{high}/W_transform"] + arrays[f"{high}/b_transform"]
        x = gate * np.maximum(changed, 0) + (1 - gate) * x

    if len(x) != options["lstm"]["projection_dim"]:
        x = x @ arrays["CNN_proj/W_proj"] + arrays["CNN_proj/b_proj"]
    return x


def token_vectors(
    options: Options, arrays: Arrays, tokens: Sequence[str], words: Sequence[str] | None = None
) -> Array:
    """Context-free vectors (tokens, P); `words` lists the vocabulary of a word-input model."""
    if "char_cnn" in options:
        return np.stack([char_vector(options, arrays, token) for token in tokens])
    assert words is not None, "a word-input model needs its words"
    ids = [words.index(token if token in words else "<UNK>") for token in tokens]
    return arrays["embedding"][ids]


# --- LSTM -----------------------------------------------------------------------------------------


def lstm_layer(
    options: Options, arrays: Arrays, cell: str, inputs: Array, state: tuple[Array, Array]
) -> tuple[Array, tuple[Array, Array]]:
    """One layer in one direction: inputs (T, P) -> outputs (T, P), and the last state."""
    lstm = options["lstm"]
    c, h = state
    outputs = []
    for x in inputs:
        z = np.concatenate([x, h]) @ arrays[f"{cell}/W_0"] + arrays[f"{cell}/B"]
        i, j, f, o = np.split(z, 4)
        c = sigmoid(f + 1.0) * c + sigmoid(i) * np.tanh(j)
        if lstm.get("cell_clip"):
            c = np.clip(c, -lstm["cell_clip"], lstm["cell_clip"])
        h = sigmoid(o) * np.tanh(c)
        if lstm["projection_dim"] < lstm["dim"]:
            h = h @ arrays[f"{cell}/W_P_0"]
            if lstm.get("proj_clip"):
                h = np.clip(h, -lstm["proj_clip"], lstm["proj_clip"])
        outputs.append(h)
    return np.stack(outputs), (c, h)


def zero_state(options: Options, dtype: Any = np.float64) -> State:
    """What a sentence starts from unless it is told otherwise."""
    lstm = options["lstm"]

    def zero() -> tuple[Array, Array]:
        return np.zeros(lstm["dim"], dtype), np.zeros(lstm["projection_dim"], dtype)

    return [[zero() for _ in range(lstm.get("n_layers", 1))] for _ in range(2)]


# --- the whole model ------------------------------------------------------------------------------


def bilm_layers(
    options: Options,
    arrays: Arrays,
    tokens: Sequence[str],
    *,
    state: State | None = None,
    words: Sequence[str] | None = None,
    dtype: Any = np.float64,
) -> tuple[Array, State]:
    """All layers of one sentence.

    Args:
        options: what options.json holds.
        arrays: the datasets of the HDF5 file by their full names.
        tokens: the sentence, without boundary marks; T tokens.
        state: the state after the sentence before, else zeros.
        words: the vocabulary of a word-input model.
        dtype: in which all of it is computed.

    Returns:
        layers (n_layers + 1, T, 2P), the boundary marks removed, and the state after the sentence.
    """
    arrays = {name: np.asarray(value, dtype) for name, value in arrays.items()}
    state = zero_state(options, dtype) if state is None else state
    vectors = token_vectors(options, arrays, [BOS, *tokens, EOS], words)  # (T + 2, P)

    layers = [np.concatenate([vectors, vectors], axis=1)]
    directions = [vectors, vectors[::-1]]  # the backward one reads the real tokens from the end
    after: State = [[], []]
    for layer in range(options["lstm"].get("n_layers", 1)):
        for d in range(2):
            cell = f"RNN_{d}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
            outputs, last = lstm_layer(options, arrays, cell, directions[d], state[d][layer])
            if options["lstm"]["use_skip_connections"] and layer > 0:
                outputs = outputs + directions[d]
            directions[d] = outputs
            after[d].append(last)
        layers.append(np.concatenate([directions[0], directions[1][::-1]], axis=1))
    return np.stack(layers)[:, 1:-1], after


# --- models made up for tests ---------------------------------------------------------------------


def random_words(n_words: int) -> list[str]:
    """A vocabulary of that size for a word-input model, its marks first."""
    return [EOS, BOS, "<UNK>", *(f"w{i}" for i in range(3, n_words))][:n_words]


def random_model(seed: int, **shape: Any) -> tuple[dict[str, Any], dict[str, Array]]:
    """Options and float32 datasets of a biLM of any shape.

    Args:
        seed: of the numbers.
        **shape: any of `random_options`'s settings, and `scale`: the standard deviation of every
            matrix times the root of its inputs (1.0; larger values reach the clips).

    Returns:
        the options and the datasets by name, as `bilm_layers` and `save_model` take them.
    """
    scale = shape.pop("scale", 1.0)
    n_words = shape.get("n_words")
    options = random_options(**shape)
    random = np.random.default_rng(seed)

    def normal(*size: int) -> Array:
        inputs = int(np.prod(size[:-1]))
        return (random.standard_normal(size) * scale / np.sqrt(inputs)).astype(np.float32)

    p, d = options["lstm"]["projection_dim"], options["lstm"]["dim"]
    arrays: dict[str, Array] = {}
    if n_words is not None:
        arrays["embedding"] = random.standard_normal((n_words, p)).astype(np.float32)
    else:
        cnn = options["char_cnn"]
        c, f = cnn["embedding"]["dim"], sum(number for _, number in cnn["filters"])
        arrays["char_embed"] = random.uniform(-1, 1, (261, c)).astype(np.float32)
        for i, (width, number) in enumerate(cnn["filters"]):
            arrays[f"CNN/W_cnn_{i}"] = normal(1, width, c, number)
            arrays[f"CNN/b_cnn_{i}"] = 0.1 * normal(number)
        for k in range(cnn["n_highway"]):
            for part in ("carry", "transform"):
                arrays[f"CNN_high_{k}/W_{part}"] = normal(f, f)
                arrays[f"CNN_high_{k}/b_{part}"] = normal(f)
        if f != p:
            arrays["CNN_proj/W_proj"] = normal(f, p)
            arrays["CNN_proj/b_proj"] = normal(p)
    for direction in range(2):
        for layer in range(options["lstm"]["n_layers"]):
            cell = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
            arrays[f"{cell}/W_0"] = normal(2 * p, 4 * d)
            arrays[f"{cell}/B"] = normal(4 * d)
            if p < d:
                arrays[f"{cell}/W_P_0"] = normal(d, p)
    return options, arrays


def random_options(
    *,
    dim: int = 12,
    projection_dim: int = 6,
    n_layers: int = 2,
    skip: bool = True,
    cell_clip: float | None = 3.0,
    proj_clip: float | None = 3.0,
    n_words: int | None = None,
    filters: Sequence[tuple[int, int]] = ((1, 4), (2, 5), (3, 6)),
    char_dim: int = 4,
    n_highway: int = 2,
    activation: str = "relu",
    max_characters: int = 50,
) -> dict[str, Any]:
    """An options.json of that shape; `n_words` makes a word-input model, without characters."""
    options: dict[str, Any] = {
        "lstm": {
            "cell_clip": cell_clip,
            "proj_clip": proj_clip,
            "dim": dim,
            "projection_dim": projection_dim,
            "n_layers": n_layers,
            "use_skip_connections": skip,
        }
    }
    if n_words is None:
        options["char_cnn"] = {
            "activation": activation,
            "embedding": {"dim": char_dim},
            "filters": [list(pair) for pair in filters],
            "n_highway": n_highway,
            "n_characters": 262,
            "max_characters_per_token": max_characters,
        }
    return options


def save_model(
    folder: Path, options: Options, arrays: Arrays, words: Sequence[str] | None = None
) -> Path:
    """Write options.json, weights.hdf5 and, for word input, vocab.txt; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "options.json").write_text(json.dumps(options), encoding="utf-8")
    with h5py.File(folder / "weights.hdf5", "w") as file:
        for name, value in arrays.items():
            file[name] = value
    if words is not None:
        (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return folder


def read_arrays(path: Path) -> dict[str, Array]:
    """Every dataset of an HDF5 file by its full name."""
    arrays: dict[str, Array] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return arrays
