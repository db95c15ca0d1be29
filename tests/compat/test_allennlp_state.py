"""A `state_dict` that AllenNLP saved: its golden layers and mixes, and what does not fit."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from relmo.compat.allennlp import Elmo, batch_to_ids
from tests.formats.allennlp_state import elmo_state
from tests.reference.bilm_numpy import read_arrays


def files(goldens: Path) -> tuple[str, str]:
    folder = goldens / "allennlp"
    return str(folder / "options.json"), str(folder / "lm_weights.hdf5")


def trained(goldens: Path, prefix: str) -> dict[str, Tensor]:
    """What AllenNLP saved of a task's model with the golden biLM in it, and two mixes."""
    folder = goldens / "allennlp"
    options = json.loads((folder / "options.json").read_text())
    mixes = [[0.3, -0.2, 0.1, 1.7], [0.0, 1.0, -1.0, 0.5]]
    return elmo_state(options, read_arrays(folder / "lm_weights.hdf5"), mixes, prefix)


def test_what_allennlp_saved_is_loaded_alone_or_in_a_task_s_model(goldens: Path):
    streams = json.loads((goldens / "allennlp" / "sentences.json").read_text())
    ids = batch_to_ids([streams[0][4].split()])
    layers = np.load(goldens / "allennlp" / "zero_state_layers.npz")["0_4"]
    for prefix in ("", "task.elmo."):
        elmo = Elmo(*files(goldens), 2, dropout=0)
        with torch.no_grad():
            for parameter in elmo.parameters():
                parameter.zero_()
        model = nn.ModuleDict({"task": nn.ModuleDict({"elmo": elmo})}) if prefix else elmo
        state = trained(goldens, prefix)
        before = dict(state)
        assert not any(model.load_state_dict(state))
        assert state.keys() == before.keys()
        first, second = elmo(ids)["elmo_representations"]
        for found, weights, gamma in ((first, [0.3, -0.2, 0.1], 1.7), (second, [0.0, 1, -1], 0.5)):
            shares = np.exp(weights) / np.exp(weights).sum()
            mixed = gamma * np.tensordot(shares, layers, 1)
            np.testing.assert_allclose(found[0].detach(), mixed, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("scalar_mix_1.scalar_parameters.2", None, "scalar_mix_1.weights"),
        ("_elmo_lstm._token_embedder._projection.bias", None, "token_encoder.projection.bias"),
        ("_elmo_lstm._token_embedder._projection.bias", torch.ones(3), "token_embedder._project"),
        ("_elmo_lstm.more", torch.ones(3), "_elmo_lstm.more"),
    ],
)
def test_a_saved_model_that_does_not_fit_is_an_error(name, value, said, goldens: Path):
    state = trained(goldens, "") | {name: value}
    state = {name: tensor for name, tensor in state.items() if tensor is not None}
    with pytest.raises(RuntimeError, match=said):
        Elmo(*files(goldens), 2).load_state_dict(state)
