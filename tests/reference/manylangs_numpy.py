"""A slow, obvious ELMoForManyLangs in numpy: the oracle that relmo's reading of it is held against.

Written from the description of its files alone: tensors by the names in its pickles, words and
characters by id. One token, one character and one time step after another, in float64. For the
LSTM over characters it is what was meant, not what was written, which cannot run: a token's own
two last states, of its own characters.

    from tests.reference.manylangs_numpy import layers, random_model, save_model

    model = random_model(seed=1, kind="lstm")
    layers(model, ["the", "cat"])   # (3, 2, 2P)
    save_model(folder, model)
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.reference.bilm_numpy import sigmoid

Array = np.ndarray

WORDS = ["<oov>", "<bos>", "<eos>", "<pad>", "the", "cat", "naïve", "東京"]
CHARACTERS = [*"<bos>eatch東京", *["<bos>", "<eos>", "<oov>", "<pad>", "<bow>", "<eow>"]]


@dataclass
class Model:
    """What the files of a model hold."""

    settings: dict[str, Any]
    tokens: dict[str, Array]
    encoder: dict[str, Array]
    words: list[str]
    characters: list[str]


def character_ids(model: Model, token: str) -> list[int]:
    """From the mark that stands before a word to the one behind it; no padding."""
    ids = {name: number for number, name in enumerate(model.characters)}
    inside = [token] if token in ("<bos>", "<eos>") else list(token)
    return [ids["<eow>"], *(ids.get(c, ids["<oov>"]) for c in inside), ids["<bow>"]]


def convolved(model: Model, ids: list[int]) -> Array:
    """What convolutions and highway layers make of a word."""
    shape, arrays = model.settings["token_embedder"], model.tokens
    pad = model.characters.index("<pad>")
    ids = ids + [pad] * (shape["max_characters_per_token"] - len(ids))
    vectors = arrays["char_emb_layer.embedding.weight"][ids]  # (characters, C)
    activation = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}[shape["activation"]]
    parts = []
    for i, (width, _) in enumerate(shape["filters"]):
        kernel = arrays[f"convolutions.{i}.weight"]  # (number, C, width)
        responses = [
            np.einsum("ncw,wc->n", kernel, vectors[start : start + width])
            for start in range(len(vectors) - width + 1)
        ]
        parts.append(activation(np.max(responses, axis=0) + arrays[f"convolutions.{i}.bias"]))
    x = np.concatenate(parts)
    for k in range(shape["n_highway"]):
        name = f"highways._layers.{k}"
        changed, gate = np.split(arrays[f"{name}.weight"] @ x + arrays[f"{name}.bias"], 2)
        gate = sigmoid(gate)
        x = gate * x + (1 - gate) * np.maximum(changed, 0)
    return x


def read_by_lstm(model: Model, ids: list[int]) -> Array:
    """The last state of each direction."""
    arrays, ends = model.tokens, []
    for direction, order in (("", ids), ("_reverse", ids[::-1])):
        w_x, w_h, b_x, b_h = (
            arrays[f"char_lstm.{part}_l0{direction}"]
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        h = c = np.zeros(w_h.shape[1])
        for number in order:
            x = arrays["char_emb_layer.embedding.weight"][number]
            i, f, g, o = np.split(w_x @ x + b_x + w_h @ h + b_h, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        ends.append(h)
    return np.concatenate(ends)


def token_vector(model: Model, token: str) -> Array:
    """One token's vector (P,)."""
    shape, arrays = model.settings["token_embedder"], model.tokens
    if token not in ("<bos>", "<eos>") and "max_characters_per_token" in shape:
        token = token[: shape["max_characters_per_token"] - 2]
    parts = []
    if shape["word_dim"]:
        row = model.words.index(token if token in model.words else "<oov>")
        parts.append(arrays["word_emb_layer.embedding.weight"][row])
    if shape["char_dim"]:
        read = convolved if shape["name"] == "cnn" else read_by_lstm
        parts.append(read(model, character_ids(model, token)))
    return arrays["projection.weight"] @ np.concatenate(parts) + arrays["projection.bias"]


def layers(model: Model, sentence: Sequence[str]) -> Array:
    """All layers of one sentence, (n_layers + 1, T, 2P), the boundary marks removed."""
    shape, arrays = model.settings["encoder"], model.encoder
    vectors = np.stack([token_vector(model, t) for t in ["<bos>", *sentence, "<eos>"]])
    found = [np.concatenate([vectors, vectors], axis=1)]
    directions = {"forward": vectors, "backward": vectors[::-1]}
    for layer in range(shape["n_layers"]):
        for direction, inputs in directions.items():
            cell = f"{direction}_layer_{layer}"
            h, c, outputs = np.zeros(shape["projection_dim"]), np.zeros(shape["dim"]), []
            for x in inputs:
                z = arrays[f"{cell}.input_linearity.weight"] @ x
                z = z + arrays[f"{cell}.state_linearity.weight"] @ h
                i, f, g, o = np.split(z + arrays[f"{cell}.state_linearity.bias"], 4)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                c = np.clip(c, -shape["cell_clip"], shape["cell_clip"])
                h = arrays[f"{cell}.state_projection.weight"] @ (sigmoid(o) * np.tanh(c))
                h = np.clip(h, -shape["proj_clip"], shape["proj_clip"])
                outputs.append(h)
            directions[direction] = np.stack(outputs) + (inputs if layer else 0)
        found.append(np.concatenate([directions["forward"], directions["backward"][::-1]], axis=1))
    return np.stack(found)[:, 1:-1]


# --- models made up for tests ---------------------------------------------------------------------


def random_model(
    seed: int,
    *,
    kind: str = "cnn",
    word_dim: int = 3,
    char_dim: int = 4,
    filters: Sequence[tuple[int, int]] = ((1, 4), (2, 5), (3, 6)),
    n_highway: int = 2,
    activation: str = "relu",
    max_characters: int | None = 20,
    dim: int = 8,
    projection_dim: int = 5,
    n_layers: int = 2,
    clip: float = 3.0,
    words: Sequence[str] = WORDS,
    characters: Sequence[str] = CHARACTERS,
) -> Model:
    """A model with random numbers."""
    random = np.random.default_rng(seed)

    def normal(*shape: int) -> Array:
        scale = np.prod(shape[1:]) ** 0.5
        return (random.standard_normal(shape) / scale).astype(np.float32).astype(np.float64)

    names = list(dict.fromkeys(characters))
    tokens: dict[str, Array] = {}
    f, p = sum(number for _, number in filters), projection_dim
    if word_dim:
        tokens["word_emb_layer.embedding.weight"] = normal(len(words), word_dim)
    if char_dim:
        tokens["char_emb_layer.embedding.weight"] = normal(len(names), char_dim)
    if char_dim and kind == "cnn":
        for i, (width, number) in enumerate(filters):
            tokens[f"convolutions.{i}.weight"] = normal(number, char_dim, width)
            tokens[f"convolutions.{i}.bias"] = normal(number)
        for k in range(n_highway):
            tokens[f"highways._layers.{k}.weight"] = normal(2 * f, f)
            tokens[f"highways._layers.{k}.bias"] = normal(2 * f)
    elif char_dim:
        for direction in ("", "_reverse"):
            for part in ("ih", "hh"):
                tokens[f"char_lstm.weight_{part}_l0{direction}"] = normal(4 * char_dim, char_dim)
                tokens[f"char_lstm.bias_{part}_l0{direction}"] = normal(4 * char_dim)
    read = 0 if not char_dim else f if kind == "cnn" else 2 * char_dim
    tokens["projection.weight"] = normal(p, word_dim + read)
    tokens["projection.bias"] = normal(p)
    encoder: dict[str, Array] = {}
    for layer in range(n_layers):
        for direction in ("forward", "backward"):
            cell = f"{direction}_layer_{layer}"
            encoder[f"{cell}.input_linearity.weight"] = normal(4 * dim, p)
            encoder[f"{cell}.state_linearity.weight"] = normal(4 * dim, p)
            encoder[f"{cell}.state_linearity.bias"] = normal(4 * dim)
            encoder[f"{cell}.state_projection.weight"] = normal(p, dim)
    embedder: dict[str, Any] = {"name": kind, "word_dim": word_dim, "char_dim": char_dim,
                                "activation": activation, "n_highway": n_highway,
                                "filters": [list(pair) for pair in filters]}  # fmt: skip
    if max_characters is not None:
        embedder["max_characters_per_token"] = max_characters
    settings = {
        "encoder": {"name": "elmo", "dim": dim, "projection_dim": p, "n_layers": n_layers,
                    "cell_clip": clip, "proj_clip": clip},
        "token_embedder": embedder,
        "classifier": {"name": "sampled_softmax", "n_samples": 64},
        "dropout": 0.1,
    }  # fmt: skip
    return Model(settings, tokens, encoder, list(words), names)


def save_model(
    folder: Path, model: Model, *, legacy: bool = False, shape_file: str | None = "shape.json"
) -> Path:
    """Write the folder as the original does; `legacy` as torch did before 1.6."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"seed": 1, "config_path": f"/home/someone/configs/{shape_file or 'gone.json'}"}
    (folder / "config.json").write_text(json.dumps(config))
    if shape_file is not None:
        (folder / shape_file).write_text(json.dumps(model.settings))
    for name, arrays in (("encoder.pkl", model.encoder), ("token_embedder.pkl", model.tokens)):
        save_tensors(folder / name, arrays, legacy=legacy)
    for file, names in (("word.dic", model.words), ("char.dic", model.characters)):
        save_dic(folder / file, names)
    return folder


def save_tensors(path: Path, arrays: dict[str, Array], *, legacy: bool = False) -> None:
    tensors = {name: torch.from_numpy(array).float() for name, array in arrays.items()}
    torch.save(tensors, path, _use_new_zipfile_serialization=not legacy)


def save_dic(path: Path, names: Sequence[str]) -> None:
    lines = "".join(f"{name}\t{number}\n" for number, name in enumerate(names))
    path.write_bytes(lines.encode())


def read_model(folder: Path) -> Model:
    """The files of a folder whose .dic files hold no surprise."""
    (shape_file,) = (path for path in folder.glob("*.json") if path.name.startswith("cnn"))
    arrays = [
        {name: tensor.double().numpy() for name, tensor in
         torch.load(folder / name, weights_only=True).items()}
        for name in ("token_embedder.pkl", "encoder.pkl")
    ]  # fmt: skip
    dics = []
    for name in ("word.dic", "char.dic"):
        pairs = [line.split("\t") for line in (folder / name).read_text().split("\n") if line]
        dics.append([word for word, _ in sorted(pairs, key=lambda pair: int(pair[1]))])
    return Model(json.loads(shape_file.read_text()), *arrays, *dics)
