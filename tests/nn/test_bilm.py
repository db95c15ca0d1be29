"""The two directions are independent, and layers are numbered from the tokens up."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from relmo.errors import ShapeError
from relmo.nn import packing as batching
from relmo.nn.bilm import BiLM, BiLMOutput, BiLMState
from tests.nn.helpers import tiny_bilm

LENGTHS = [5, 4, 4, 1]


def tokens(seed: int = 3) -> Tensor:
    return torch.randn(sum(LENGTHS), 5, generator=torch.Generator().manual_seed(seed))


def run(bilm: BiLM, x: Tensor, state: BiLMState | None = None) -> BiLMOutput:
    with torch.no_grad():
        output: BiLMOutput = bilm(x, batching.pack(LENGTHS), state)
    return output


def test_forward_halves_know_only_what_came_before_and_backward_halves_what_comes_after():
    bilm, x = tiny_bilm(), tokens()
    changed = x.clone()
    changed[2] += 1  # the middle of the first sentence, positions 0 to 4
    before, after = run(bilm, x).layers, run(bilm, changed).layers
    moved = [(a - b).abs().unflatten(1, (2, 5)).amax(2) > 1e-6 for a, b in
             zip(before, after, strict=True)]  # fmt: skip
    assert moved[0][:, 0].nonzero().flatten().tolist() == [2]
    for layer in moved[1:]:
        assert layer[:, 0].nonzero().flatten().tolist() == [2, 3, 4]
        assert layer[:, 1].nonzero().flatten().tolist() == [0, 1, 2]


def test_the_backward_direction_is_the_forward_one_on_reversed_sentences():
    bilm, x = tiny_bilm(), tokens()
    turned = copy.deepcopy(bilm)
    turned.forward_lstm, turned.backward_lstm = turned.backward_lstm, turned.forward_lstm
    starts = torch.tensor(LENGTHS).cumsum(0) - torch.tensor(LENGTHS)
    order = torch.cat([start + torch.arange(n - 1, -1, -1) for start, n in
                       zip(starts, LENGTHS, strict=True)])  # fmt: skip
    for a, b in zip(run(bilm, x).layers, run(turned, x[order]).layers, strict=True):
        forward, backward = a.chunk(2, dim=1)
        torch.testing.assert_close(torch.cat([backward, forward], dim=1)[order], b)


def test_the_token_layer_is_the_tokens_twice():
    x = tokens()
    assert torch.equal(run(tiny_bilm(), x).layer(0), torch.cat([x, x], dim=1))


def test_layers_are_numbered_from_both_ends():
    output = run(tiny_bilm(), tokens())
    assert len(output.layers) == 3
    for number in range(3):
        assert output.layer(number) is output.layer(number - 3)
    for number in (3, -4):
        with pytest.raises(ShapeError, match=f"layer {number} of a model with 3 layers"):
            output.layer(number)


def test_rows_of_a_state_are_the_sentences_in_decreasing_length():
    bilm, x = tiny_bilm(), tokens()
    state = run(bilm, x).state
    stop = 0
    for row, length in enumerate(LENGTHS):
        start, stop = stop, stop + length
        with torch.no_grad():
            alone = bilm(x[start:stop], batching.pack([length])).state
        picked = state.rows(torch.tensor([row]))
        for a, b in ((alone.forward, picked.forward), (alone.backward, picked.backward)):
            torch.testing.assert_close((a.h, a.c), (b.h, b.c))


def test_the_same_input_gives_the_same_output_and_a_state_another():
    bilm, x = tiny_bilm(), tokens()
    first = run(bilm, x)
    again, carried = run(bilm, x), run(bilm, x, first.state)
    assert all(torch.equal(a, b) for a, b in zip(first.layers, again.layers, strict=True))
    assert torch.equal(first.layer(0), carried.layer(0))
    assert not torch.allclose(first.layer(1), carried.layer(1))


def test_training_and_inference_agree():
    bilm, x = tiny_bilm(), tokens()
    trained = bilm(x, batching.pack(LENGTHS))
    assert all(layer.requires_grad for layer in trained.layers[1:])
    for a, b in zip(trained.layers, run(bilm, x).layers, strict=True):
        torch.testing.assert_close(a.detach(), b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("grad", [False, True], ids=["inference", "training"])
def test_sentences_end_to_end_in_a_row_do_not_know_each_other(grad):
    bilm, lengths = tiny_bilm(), [7, 4, 3, 3, 2, 1]
    x = torch.randn(sum(lengths), 5, generator=torch.Generator().manual_seed(3))
    packing = batching.pack_rows(lengths)
    assert packing.batch_sizes == (3, 3, 3, 3, 3, 3, 2)
    with torch.set_grad_enabled(grad):
        apart = bilm(x, batching.pack(lengths)).layers
        joined = bilm(x, packing).layers
    torch.testing.assert_close(joined, apart, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda bilm: pickle.loads(pickle.dumps(bilm))])
def test_a_copy_of_a_used_model_gives_the_same_numbers(clone):
    bilm, x = tiny_bilm(), tokens()
    expected = run(bilm, x).layers
    for a, b in zip(run(clone(bilm), x).layers, expected, strict=True):
        assert torch.equal(a, b)


def test_another_number_of_tokens_than_the_layout_is_an_error():
    with pytest.raises(ShapeError, match="tokens: expected 14 rows, got 13"):
        tiny_bilm()(tokens()[:-1], batching.pack(LENGTHS))


def test_a_network_to_be_filled_takes_no_memory_and_no_compiler():
    code = (
        "import sys; from relmo.nn.bilm import build_on_meta; "
        "from relmo.train.config import PRESETS; bilm = build_on_meta(PRESETS['original']); "
        "print({p.device.type for p in bilm.parameters()}, 'torch._dynamo' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout == "{'meta'} False\n"
