"""What was computed from weights is computed again when they have changed, however they were."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from relmo.nn.weight_cache import WeightCache, weights_version


class Layer(nn.Module):
    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.matrix = nn.Parameter(torch.randn(6, 5, generator=generator).to(dtype))
        self.bias = nn.Parameter(torch.randn(3, generator=generator).to(dtype))


def written_through_data(layer: Layer) -> None:
    layer.matrix.data.copy_(layer.matrix.data * 0.5)


def one_number_through_data(layer: Layer) -> None:
    layer.bias.data[1] = torch.nextafter(layer.bias.data[1].float(), torch.tensor(9.0)).item() + 0.1


def negated_through_data(layer: Layer) -> None:
    layer.matrix.data.neg_()


def swapped_back_and_forth(layer: Layer) -> None:
    """As an averaging loop does: the memory of the first tensor may serve for the third."""
    for _ in range(2):
        layer.matrix.data = layer.matrix.data * 0.9


def through_numpy(layer: Layer) -> None:
    view = layer.matrix.data.view(torch.int16).numpy()
    view[0, 0] ^= 1


def flipped_through_data(layer: Layer) -> None:
    layer.matrix.data.copy_(layer.matrix.data.flip(0))


def two_rows_swapped_through_data(layer: Layer) -> None:
    layer.matrix.data[[1, 3]] = layer.matrix.data[[3, 1]]


def two_numbers_swapped_through_data(layer: Layer) -> None:
    layer.bias.data[[0, 2]] = layer.bias.data[[2, 0]]


WRITES = [
    written_through_data,
    one_number_through_data,
    negated_through_data,
    swapped_back_and_forth,
    through_numpy,
    flipped_through_data,
    two_rows_swapped_through_data,
    two_numbers_swapped_through_data,
]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_a_write_that_autograd_does_not_see_is_noticed_where_weights_are_trained(
    write: Callable[[Layer], None], dtype: torch.dtype
):
    layer = Layer(dtype)
    before = weights_version(layer.parameters())
    assert weights_version(layer.parameters()) == before
    write(layer)
    assert weights_version(layer.parameters()) != before


def test_parts_of_a_larger_tensor_and_transposed_ones_are_read_too():
    memory = torch.arange(40.0)
    for view in (memory[3:10], memory.view(8, 5).t(), memory.view(8, 5)[:, 1:3], memory[:0]):
        parameter = nn.Parameter(view)
        before = weights_version([parameter])
        parameter.data += 1
        assert (weights_version([parameter]) != before) is (view.numel() > 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_numbers_that_change_places_in_a_large_matrix_are_noticed(dtype: torch.dtype):
    # Larger than a row of what is multiplied together; some differ in their sign alone.
    weight = nn.Parameter(torch.randn(300, 200).to(dtype))
    flat = weight.data.view(-1)
    flat[-1] = -flat[0]
    flat[2] = -flat[7]
    for one, other in ((0, 1), (0, 59_999), (2, 7), (3, 40_000), (16_383, 16_384), (1, 16_384)):
        before = weights_version([weight])
        flat[[one, other]] = flat[[other, one]]
        assert weights_version([weight]) != before
    before = weights_version([weight])
    weight.data.copy_(weight.data.roll(1, 0))
    assert weights_version([weight]) != before


def test_weights_that_are_not_numbers_equal_themselves():
    layer = Layer()
    layer.matrix.data[2, 2] = torch.nan
    layer.bias.data[0] = torch.inf
    before = weights_version(layer.parameters())
    assert weights_version(layer.parameters()) == before
    layer.matrix.data[0, 0] += 1
    assert weights_version(layer.parameters()) != before


def test_weights_made_in_inference_mode_are_read_as_they_have_no_version():
    with torch.inference_mode():
        layer = Layer().requires_grad_(False)
        before = weights_version(layer.parameters())
    assert weights_version(layer.parameters()) == before
    with torch.inference_mode():
        layer.bias.add_(1)
        assert weights_version(layer.parameters()) != before
    assert weights_version(layer.parameters()) != before


def test_frozen_weights_are_not_read():
    layer = Layer().requires_grad_(False)
    before = weights_version(layer.parameters())
    written_through_data(layer)
    assert weights_version(layer.parameters()) == before
    with torch.no_grad():
        layer.bias.add_(1)
    assert weights_version(layer.parameters()) != before


def test_a_value_is_computed_once_until_the_weights_change_or_it_is_forgotten():
    layer, cache = Layer(), WeightCache[float]()
    calls = []

    def value() -> float:
        calls.append(1)
        return float(layer.bias.detach().sum())

    first = cache.get(layer.parameters(), value)
    assert cache.get(layer.parameters(), value) == first
    assert len(calls) == 1
    layer.bias.data += 1
    assert cache.get(layer.parameters(), value) == pytest.approx(first + 3)
    cache.clear()
    cache.get(layer.parameters(), value)
    assert len(calls) == 3


def test_a_value_that_could_not_be_computed_is_asked_for_again():
    layer, cache = Layer(), WeightCache[int]()
    with pytest.raises(ZeroDivisionError):
        cache.get(layer.parameters(), lambda: 1 // 0)
    assert cache.get(layer.parameters(), lambda: 7) == 7
