from dataclasses import replace

import numpy as np
import pytest

import relmo
from relmo.config import LayerMix
from relmo.errors import ConfigError, FormatError, InputError
from relmo.formats import relmo_format
from tests.helpers import tiny_elmo

MIX = LayerMix(weights=(0.3, -0.2, 0.1), gamma=1.7)


def mixed_elmo():
    return relmo.Elmo.from_checkpoint(replace(tiny_elmo().checkpoint(), mixes=(MIX,)))


def test_a_mix_is_gamma_times_the_softmax_of_its_weights():
    elmo = mixed_elmo()
    layers = elmo.embed(["a b c"], layers="all")[0]
    shares = np.exp(MIX.weights) / np.exp(MIX.weights).sum()
    expected = 1.7 * np.tensordot(shares, layers, axes=1)
    for asked in ("mix", MIX):
        np.testing.assert_allclose(elmo.embed(["a b c"], layers=asked)[0], expected, atol=1e-6)


def test_a_model_without_a_mix_says_so():
    with pytest.raises(InputError, match="learned mix"):
        tiny_elmo().embed(["a"], layers="mix")


def test_mixes_are_saved_and_read_back(tmp_path):
    mixed_elmo().save(tmp_path / "model")
    assert relmo.load(tmp_path / "model").mixes == (MIX,)


def test_a_mix_for_another_number_of_layers_is_not_written(tmp_path):
    wrong = replace(tiny_elmo().checkpoint(), mixes=(LayerMix(weights=(1.0, 2.0)),))
    with pytest.raises(FormatError, match=r"mixes\[0\] has 2 weights, expected 3"):
        relmo_format.write(wrong, tmp_path / "model")


@pytest.mark.parametrize(
    "values",
    [[], {}, {"weights": "x"}, {"weights": []}, {"weights": [None]}, {"weights": [1], "gama": 1}],
)
def test_what_is_no_mix_is_an_error(values):
    with pytest.raises(ConfigError, match=r"^here: "):
        LayerMix.from_dict(values, "here")


def test_a_mix_is_finite():
    with pytest.raises(ConfigError, match="finite"):
        LayerMix(weights=(float("nan"), 1.0))
