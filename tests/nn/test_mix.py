"""The scalar mix is equation 1 of Peters et al. 2018."""

import numpy as np
import pytest
import torch

from relmo.errors import ShapeError
from relmo.nn.mix import ScalarMix

WEIGHTS, GAMMA = [0.3, -1.0, 2.0], 1.7


def mix(layer_norm: bool = False) -> ScalarMix:
    module = ScalarMix(3, layer_norm=layer_norm).double()
    with torch.no_grad():
        module.weights.copy_(torch.tensor(WEIGHTS))
        module.gamma.fill_(GAMMA)
    return module


def layers(*size: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [3 * torch.randn(size, generator=generator).double() + k for k in range(3)]


@pytest.mark.parametrize("size", [(4,), (5, 4), (2, 5, 4), (0, 4)])
def test_a_mix_is_equation_1(size: tuple[int, ...]):
    given = layers(*size)
    shares = np.exp(WEIGHTS) / np.exp(WEIGHTS).sum()
    expected = GAMMA * sum(s * layer.numpy() for s, layer in zip(shares, given, strict=True))
    np.testing.assert_allclose(mix()(given).detach().numpy(), expected, rtol=1e-6)


def test_layer_norm_brings_each_layer_to_mean_0_and_variance_1_over_all_numbers():
    given = layers(5, 4)
    normal = [(layer - layer.mean()) / layer.std(correction=0) for layer in given]
    torch.testing.assert_close(mix(layer_norm=True)(given), mix()(normal))
    assert mix(layer_norm=True)(layers(0, 4)).shape == (0, 4)
    assert torch.isfinite(mix(layer_norm=True)([torch.ones(2, 4)] * 3)).all()


def test_a_new_mix_is_the_mean_of_the_layers():
    given = layers(5, 4)
    torch.testing.assert_close(ScalarMix(3).double()(given), torch.stack(given).mean(0))


def test_the_penalty_is_the_sum_of_squared_weights():
    module = mix()
    assert module.penalty().item() == pytest.approx(0.09 + 1 + 4)
    module.penalty().backward()
    torch.testing.assert_close(module.weights.grad, 2 * module.weights.detach())


@pytest.mark.parametrize("layer_norm", [False, True])
def test_gradients_reach_weights_gamma_and_layers(layer_norm: bool):
    module = mix(layer_norm)
    given = [layer.requires_grad_(True) for layer in layers(2, 3)]

    def mixed(weights, gamma, *tensors):
        return torch.func.functional_call(module, {"weights": weights, "gamma": gamma}, (tensors,))

    assert torch.autograd.gradcheck(mixed, (module.weights, module.gamma, *given))


@pytest.mark.parametrize("n", [0, 2, 4])
def test_another_number_of_layers_is_an_error(n: int):
    with pytest.raises(ShapeError, match=f"ScalarMix: expected 3 layers, got {n}"):
        mix()([torch.zeros(2, 4)] * n)
