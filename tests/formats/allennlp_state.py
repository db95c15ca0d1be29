"""What AllenNLP makes of the datasets of a biLM, written out in numpy: the state of its modules."""

from typing import Any

import numpy as np
import torch

Arrays = dict[str, np.ndarray]


def bilm_state(options: dict[str, Any], arrays: Arrays) -> Arrays:
    """The tensors below `_ElmoBiLm`, from the datasets of bilm-tf."""
    cnn, state = options["char_cnn"], {}
    encoder = "_token_embedder"
    characters = arrays["char_embed"]
    state[f"{encoder}._char_embedding_weights"] = np.vstack([0 * characters[:1], characters])
    for i in range(len(cnn["filters"])):
        state[f"{encoder}.char_conv_{i}.weight"] = arrays[f"CNN/W_cnn_{i}"][0].transpose(2, 1, 0)
        state[f"{encoder}.char_conv_{i}.bias"] = arrays[f"CNN/b_cnn_{i}"]
    for k in range(cnn["n_highway"]):
        high = {name: arrays[f"CNN_high_{k}/{name}"] for name in
                ("W_transform", "W_carry", "b_transform", "b_carry")}  # fmt: skip
        layer = f"{encoder}._highways._layers.{k}"
        state[f"{layer}.weight"] = np.vstack([high["W_transform"].T, -high["W_carry"].T])
        state[f"{layer}.bias"] = np.hstack([high["b_transform"], -high["b_carry"]])
    if "CNN_proj/W_proj" in arrays:
        state[f"{encoder}._projection.weight"] = arrays["CNN_proj/W_proj"].T
        state[f"{encoder}._projection.bias"] = arrays["CNN_proj/b_proj"]
    p = options["lstm"]["projection_dim"]
    for number, direction in enumerate(("forward", "backward")):
        for layer in range(options["lstm"]["n_layers"]):
            cell = f"RNN_{number}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
            to = f"_elmo_lstm.{direction}_layer_{layer}"
            weight, bias = gates(arrays[f"{cell}/W_0"].T), gates(arrays[f"{cell}/B"])
            d = len(bias) // 4
            bias[d : 2 * d] += 1
            state[f"{to}.input_linearity.weight"] = weight[:, :p]
            state[f"{to}.state_linearity.weight"] = weight[:, p:]
            state[f"{to}.state_linearity.bias"] = bias
            if f"{cell}/W_P_0" in arrays:
                state[f"{to}.state_projection.weight"] = arrays[f"{cell}/W_P_0"].T
    return state


def gates(x: np.ndarray) -> np.ndarray:
    """The blocks i, j, f, o of the first axis as i, f, j, o."""
    i, j, f, o = np.split(x, 4)
    return np.concatenate([i, f, j, o])


def elmo_state(
    options: dict[str, Any], arrays: Arrays, mixes: list[list[float]], prefix: str
) -> dict[str, torch.Tensor]:
    """The state of an `Elmo` in a task's model.

    Args:
        options: of the biLM.
        arrays: its datasets.
        mixes: for each mix the weights, then gamma.
        prefix: where in the model it is, such as "elmo.".
    """
    state = {f"_elmo_lstm.{name}": value for name, value in bilm_state(options, arrays).items()}
    for k, (*weights, gamma) in enumerate(mixes):
        state[f"scalar_mix_{k}.gamma"] = np.array([gamma])
        for j, weight in enumerate(weights):
            state[f"scalar_mix_{k}.scalar_parameters.{j}"] = np.array([weight])
    return {
        f"{prefix}{name}": torch.from_numpy(np.array(value, dtype=np.float32))
        for name, value in state.items()
    }
