"""The layer of Keras: vectors, masks and gradients; models that Keras fits and makes again."""

import builtins
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch

from relmo.config import LayerMix
from relmo.elmo.model import Elmo, load
from relmo.errors import ConfigError, InputError, MissingExtraError
from relmo.integrations import keras as relmo_keras
from relmo.integrations.keras import ElmoLayer, code_points
from tests.helpers import tiny_elmo, tiny_model

ROWS = [["the", "cat", "sat"], ["dogs", "bark", "__PAD__"]]
MASK = [[True, True, True], [True, True, False]]


@pytest.fixture
def layer() -> ElmoLayer:
    return ElmoLayer(tiny_elmo())


def assert_is_embed(layer: ElmoLayer, vectors: torch.Tensor) -> None:
    """The two sentences of ROWS, averaged over the layers, zeros at the padding."""
    cat, dogs = layer.elmo.embed([ROWS[0], ROWS[1][:2]])
    expected = np.stack([cat, np.concatenate([dogs, np.zeros((1, 8), np.float32)])])
    np.testing.assert_allclose(vectors.detach().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    "given",
    [
        lambda: ROWS,
        lambda: [["the", "cat", "sat"], ["dogs", "bark"]],
        lambda: [["the", "cat", "sat"], ("dogs", "bark", "")],
        lambda: np.array(ROWS, object),
        lambda: np.array(ROWS),
        lambda: code_points(ROWS),
        lambda: torch.from_numpy(code_points(ROWS, width=9)),
        lambda: code_points(ROWS).astype(np.int64),
    ],
    ids=["lists", "unequal", "empty token", "objects", "strings", "codes", "tensor", "int64"],
)
def test_tokens_in_any_form_have_the_vectors_of_embed_and_a_mask(
    given: Callable[[], Any], layer: ElmoLayer
):
    vectors = layer(given())
    assert_is_embed(layer, vectors)
    assert vectors._keras_mask.tolist() == MASK
    assert layer.compute_mask(given()).tolist() == MASK


def test_padding_is_left_out_wherever_it_is(layer: ElmoLayer):
    pad = "__PAD__"
    rows = [[pad, "the", pad, "cat", "sat"], [pad, pad, pad, "dogs", "bark"], [pad] * 5]
    vectors = layer(rows)
    assert_is_embed(layer, torch.stack([vectors[0, [1, 3, 4]], vectors[1, [3, 4, 0]]]))
    assert layer.compute_mask(rows).tolist() == [[token != pad for token in row] for row in rows]
    assert vectors[2].abs().sum() == 0


def test_code_points_are_those_of_the_words_and_cut_only_when_asked():
    rows = [["né", "__PAD__"], ["👩‍🔬x", ""]]
    coded = code_points(rows)
    assert coded.shape == (2, 2, 4)
    assert coded[0, 0].tolist() == [ord("n"), ord("é"), 0, 0]
    assert "".join(map(chr, coded[1, 0])) == "👩‍🔬x"
    assert coded[:, 1].sum() == 0
    assert code_points(rows, width=1)[1, 0].tolist() == [ord("👩")]
    assert code_points([]).shape == (0, 0, 1)


def test_empty_batches_have_their_shapes(layer: ElmoLayer):
    assert layer([]).shape == (0, 0, 8)
    assert layer([[], []]).shape == (2, 0, 8)
    assert layer(np.zeros((2, 3, 4), np.int32)).shape == (2, 3, 8)


def test_the_mix_is_the_layers_weights_and_the_bilm_is_not():
    source = tiny_elmo()
    mix = LayerMix(weights=(0.3, -0.2, 0.1), gamma=1.7)
    layer = ElmoLayer(Elmo(source.bilm, mixes=(mix,)))
    assert [tuple(weight.shape) for weight in layer.trainable_weights] == [(3,), ()]
    expected = layer.elmo.embed(ROWS[:1], layers="mix")[0]
    np.testing.assert_allclose(layer(ROWS[:1])[0].detach().numpy(), expected, atol=1e-6)
    layer(ROWS).square().sum().backward()
    assert layer.gamma.value.grad.abs() > 0
    assert layer.mix_weights.value.grad.abs().min() > 0
    frozen = ElmoLayer(tiny_elmo(), trainable=False)
    assert not frozen.trainable_weights


def tagger(layer: ElmoLayer) -> keras.Model:
    inputs = keras.Input((None, None), dtype="int32")
    hidden = keras.layers.LSTM(3, return_sequences=True)(layer(inputs))
    return keras.Model(inputs, keras.layers.Dense(2)(hidden))


def test_keras_fits_a_model_with_it_and_the_mix_learns(layer: ElmoLayer):
    model = tagger(layer)
    assert model.count_params() == 4 + 4 * 3 * (8 + 3 + 1) + 2 * (3 + 1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.05), loss)
    tags = np.array([[0, 1, 0], [1, 0, 0]])
    losses = model.fit(code_points(ROWS), tags, epochs=5, verbose=0).history["loss"]
    assert float(losses[-1]) < float(losses[0])
    assert layer.mix_weights.value.abs().min() > 0


def test_what_is_in_padding_and_how_wide_it_is_change_nothing_behind_the_layer(layer: ElmoLayer):
    model = tagger(layer)
    narrow = model(code_points(ROWS)).detach()
    wider = [[*row, "__PAD__", "__PAD__"] for row in ROWS]
    wide = model(code_points(wider, width=12)).detach()
    torch.testing.assert_close(wide[:, :3], narrow)
    alone = model(code_points([ROWS[1][:2]])).detach()
    torch.testing.assert_close(wide[1:, :2], alone)


def test_a_layer_is_made_again_from_where_its_model_lies(tmp_path: Path):
    folder = tiny_model(tmp_path / "model")
    for layer in (ElmoLayer(model=folder, name="elmo"), ElmoLayer(load(folder))):
        again = ElmoLayer.from_config(layer.get_config())
        assert again.name == layer.name
        torch.testing.assert_close(again(ROWS), layer(ROWS))
    nowhere = ElmoLayer(Elmo(tiny_elmo().bilm))
    with pytest.raises(ConfigError, match="its model lies nowhere; save it"):
        nowhere.get_config()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own
def test_keras_saves_and_loads_a_model_with_it_by_its_own_means(tmp_path: Path):
    model = tagger(ElmoLayer(str(tiny_model(tmp_path / "model"))))
    model.save(tmp_path / "tagger.keras")
    again = keras.models.load_model(tmp_path / "tagger.keras")
    torch.testing.assert_close(again(code_points(ROWS)), model(code_points(ROWS)))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("the cat", "expected rows of tokens or code_points, got 'the cat'"),
        (["the cat"], "row 0: expected a list of strings, got 'the cat'"),
        ([["the"], [1]], r"row 1: expected a list of strings, got \[1\]"),
        (np.zeros((2, 3), np.int32), r"\(batch, time, width\), got shape \(2, 3\)"),
        (np.full((1, 1, 1), -1, np.int32), "is no code point"),
        (np.full((1, 1, 1), 0x110000, np.int32), "is no code point"),
    ],
)
def test_inputs_of_another_kind(inputs: Any, message: str, layer: ElmoLayer):
    with pytest.raises(InputError, match=message):
        layer.call(inputs)


def test_another_backend_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(keras.backend, "backend", lambda: "jax")
        with pytest.raises(ConfigError, match=r"set KERAS_BACKEND=torch before .*'jax'"):
            importlib.reload(relmo_keras)


@pytest.mark.parametrize(
    ("missing", "error", "message"),
    [
        ("keras", MissingExtraError, r"keras is not installed; run: pip install 'relmo\[keras\]'"),
        ("tensorflow", ConfigError, "set KERAS_BACKEND=torch before .*it asks for 'tensorflow'"),
    ],
)
def test_what_keras_lacks_is_said(
    missing: str, error: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
):
    real = builtins.__import__

    def fail(name: str, *rest: Any) -> Any:
        if name == "keras":
            raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)
        return real(name, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", fail)
        with pytest.raises(error, match=message):
            importlib.reload(relmo_keras)
