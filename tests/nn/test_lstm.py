"""The LSTM stack: state in and out, skips, and weights repacked when they change."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from relmo.errors import ShapeError
from relmo.nn.lstm import LSTMLayer, LSTMStack, LSTMState, PackedDropout
from tests.nn.helpers import config, randomise

SIZES = (3, 2, 2, 1)


def stack(dtype: torch.dtype = torch.float32, dropout: float = 0.0, **changes: object) -> LSTMStack:
    lstm = LSTMStack(config(**changes), PackedDropout(dropout)).to(dtype)
    randomise(lstm)
    return lstm


def inputs(sizes: tuple[int, ...] = SIZES, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(sum(sizes), 5, generator=generator, dtype=torch.float64).to(dtype)


def outputs(lstm: LSTMStack) -> Tensor:
    with torch.no_grad():
        return torch.stack(lstm(inputs(), SIZES)[0])


def test_layers_above_the_first_add_their_input():
    lstm, x = stack(n_layers=3), inputs()
    plain = stack(n_layers=3, skip_connections=False)
    with torch.no_grad():
        first, second, third = lstm(x, SIZES)[0]
        torch.testing.assert_close(first, plain(x, SIZES)[0][0])
        for above, below, number in ((second, first, 1), (third, second, 2)):
            alone = LSTMStack(config(n_layers=1))
            alone.layers[0] = lstm.layers[number]
            torch.testing.assert_close(above, alone(below, SIZES)[0][0] + below)


@pytest.mark.parametrize("grad", [False, True])
def test_a_text_in_two_batches_equals_the_text_in_one(grad: bool):
    lstm, sizes = stack(torch.float64), (2,) * 6
    x = inputs(sizes, torch.float64)
    with torch.set_grad_enabled(grad):
        whole, last = lstm(x, sizes)
        head, state = lstm(x[:8], sizes[:4])
        tail, end = lstm(x[8:], sizes[4:], state)
    for layer, a, b in zip(whole, head, tail, strict=True):
        torch.testing.assert_close(torch.cat([a, b]), layer)
    torch.testing.assert_close((end.h, end.c), (last.h, last.c))


def test_each_row_stops_with_the_state_it_has_alone():
    lstm, x = stack(torch.float64), inputs(dtype=torch.float64)
    with torch.no_grad():
        _, state = lstm(x, SIZES)
        starts = [0, 3, 5, 7]
        for row in range(3):
            steps = [start for start, size in zip(starts, SIZES, strict=True) if row < size]
            _, alone = lstm(x[[start + row for start in steps]], (1,) * len(steps))
            picked = state.rows(torch.tensor([row]))
            torch.testing.assert_close((picked.h, picked.c), (alone.h, alone.c))


def test_gradients_go_through_the_state_until_it_is_detached():
    lstm, x = stack(), inputs((2, 2)).requires_grad_(True)
    _, state = lstm(x, (2, 2))
    later = lstm(inputs((2, 1)), (2, 1), state)[0][-1].sum()
    assert torch.autograd.grad(later, x)[0].abs().min() > 0
    cut = lstm(inputs((2, 1)), (2, 1), lstm(x, (2, 2))[1].detach())[0][-1].sum()
    assert torch.autograd.grad(cut, x, allow_unused=True) == (None,)


@pytest.mark.parametrize("name", [name for name, _ in LSTMLayer.of(config()).named_parameters()])
def test_one_weight_trained_alone_gets_its_gradient(name: str):
    lstm, x = stack(), inputs()
    torch.stack(lstm(x, SIZES)[0]).square().sum().backward()
    parameter = dict(lstm.layers[0].named_parameters())[name]
    expected = parameter.grad
    frozen = stack().requires_grad_(False)
    alone = dict(frozen.layers[0].named_parameters())[name].requires_grad_(True)
    torch.stack(frozen(x, SIZES)[0]).square().sum().backward()
    torch.testing.assert_close(alone.grad, expected)


def change_in_place(lstm: LSTMStack) -> None:
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.mul_(1.5)


def change_by_loading(lstm: LSTMStack) -> None:
    lstm.load_state_dict({name: 1.5 * value for name, value in lstm.state_dict().items()})


def change_by_assigning(lstm: LSTMStack) -> None:
    values = {name: 1.5 * value for name, value in lstm.state_dict().items()}
    lstm.load_state_dict(values, assign=True)


def change_by_optimizer(lstm: LSTMStack) -> None:
    for parameter in lstm.parameters():
        parameter.grad = -0.5 * parameter.detach()
    torch.optim.SGD(lstm.parameters(), lr=1.0).step()


CHANGES = [change_in_place, change_by_loading, change_by_assigning, change_by_optimizer]


@pytest.mark.parametrize("change", CHANGES)
def test_weights_that_change_are_packed_again(change: Callable[[LSTMStack], None]):
    lstm = stack()
    before = outputs(lstm)
    change(lstm)
    fresh = stack()
    change_in_place(fresh)
    torch.testing.assert_close(outputs(lstm), outputs(fresh))
    assert not torch.allclose(outputs(lstm), before)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda lstm: pickle.loads(pickle.dumps(lstm))])
def test_a_copy_of_a_used_stack_is_its_own(clone: Callable[[LSTMStack], LSTMStack]):
    lstm = stack()
    before = outputs(lstm)
    copied = clone(lstm)
    torch.testing.assert_close(outputs(copied), before, rtol=0, atol=0)
    change_in_place(copied)
    assert not torch.allclose(outputs(copied), before)
    torch.testing.assert_close(outputs(lstm), before, rtol=0, atol=0)


def test_dropout_falls_on_each_layers_input_in_training_mode_only():
    lstm = stack(dropout=0.5, n_layers=1)
    x = torch.ones(400, 5)
    seen: list[Tensor] = []
    lstm.dropout.register_forward_hook(lambda _module, _inputs, result: seen.append(result))
    torch.manual_seed(0)
    lstm.train()(x, (400,))
    assert set(seen[0].unique().tolist()) == {0.0, 2.0}
    lstm.eval()(x, (400,))
    assert torch.equal(seen[1], x)


def test_the_skip_adds_the_dropped_input():
    lstm = stack(dropout=0.5)
    with torch.no_grad():
        for parameter in lstm.layers[1].parameters():
            parameter.zero_()  # so that layer 2 adds nothing of its own
    seen: list[Tensor] = []
    lstm.dropout.register_forward_hook(lambda _module, _inputs, result: seen.append(result))
    layers, _ = lstm.train()(inputs(), SIZES)
    torch.testing.assert_close(layers[1], seen[1])
    assert not torch.allclose(layers[1], layers[0])


def test_no_rows_give_no_outputs_and_an_empty_state():
    layers, state = stack()(torch.zeros(0, 5), ())
    assert [tuple(layer.shape) for layer in layers] == [(0, 5), (0, 5)]
    assert (state.h.shape, state.c.shape) == ((2, 0, 5), (2, 0, 8))


@pytest.mark.parametrize(
    ("x", "state", "message"),
    [
        ((8, 4), None, r"LSTM input: expected \(N, projection_dim\) = \(8, 5\), got \(8, 4\)"),
        ((7, 5), None, r"LSTM input: expected .* \(8, 5\), got \(7, 5\)"),
        ((8, 5), ((2, 3, 4), (2, 3, 8)), r"LSTM state h: expected .* \(2, 3, 5\), got \(2, 3, 4\)"),
        ((8, 5), ((2, 3, 5), (2, 4, 8)), r"LSTM state c: expected .* \(2, 3, 8\), got \(2, 4, 8\)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(x, state, message):
    given = state and LSTMState(torch.zeros(state[0]), torch.zeros(state[1]))
    with pytest.raises(ShapeError, match=message):
        stack()(torch.zeros(x), SIZES, given)
