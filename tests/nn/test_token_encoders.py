"""The character CNN cuts and groups its rows; neither changes a number."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from relmo.nn import token_encoders
from relmo.nn.token_encoders import CharCNN
from relmo.text import chars
from relmo.text.chars import CharSpace
from tests.nn.helpers import char_config, randomise

TOKENS = [
    "", "a", "the", "<S>", "</S>", "<s>", "é" * 30, "x" * 46, "x" * 47, "x" * 48, "x" * 49,
    "x" * 10_000, "\ud800", "\0", "语言模型", "the", *("y" * n for n in range(2, 46)),
]  # fmt: skip
SHAPES: dict[str, dict[str, Any]] = {
    "relu": {},
    "tanh, no highway": {"activation": "tanh", "n_highway": 0},
    "two highways, wide filters": {"filters": ((7, 5), (1, 2), (30, 4)), "n_highway": 2},
    "no projection": {"filters": ((2, 3), (3, 2))},
    "a filter as wide as a row": {"filters": ((50, 6), (3, 2))},
}


def encoder(seed: int = 0, dtype: torch.dtype = torch.float64, **changes: Any) -> CharCNN:
    """Of projection_dim 5; the padding's vector matters here as much as any."""
    cnn = CharCNN(char_config(**changes), 5).to(dtype)
    randomise(cnn, seed)
    return cnn


def ids(tokens: list[str], size: int = 50) -> Tensor:
    return torch.from_numpy(CharSpace(size).encode(tokens)).long()


def direct(cnn: CharCNN, characters: Tensor) -> Tensor:
    """All rows at full width, by torch's own convolution, written from the description."""
    vectors = cnn.char_embedding[characters].transpose(1, 2)  # (n, C, characters)
    act = torch.relu if cnn.config.activation == "relu" else torch.tanh
    x = torch.cat(
        [act(F.conv1d(vectors, conv.weight.permute(2, 1, 0), conv.bias)).amax(2)
         for conv in cnn.convolutions], dim=1,
    )  # fmt: skip
    for high in cnn.highways:
        gate = torch.sigmoid(x @ high.gate_weight + high.gate_bias)
        x = gate * torch.relu(x @ high.transform_weight + high.transform_bias) + (1 - gate) * x
    if cnn.projection is not None:
        x = x @ cnn.projection.weight + cnn.projection.bias
    return x


def gradients(cnn: CharCNN, vectors: Tensor) -> dict[str, Tensor]:
    reader = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(7)).to(vectors)
    named = dict(cnn.named_parameters())
    numbers = torch.autograd.grad((vectors * reader).sum(), list(named.values()))
    return dict(zip(named, numbers, strict=True))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_values_and_gradients_equal_a_direct_computation(shape: dict[str, Any]):
    cnn, characters = encoder(**shape), ids(TOKENS)
    expected, found = direct(cnn, characters), cnn(characters)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        gradients(cnn, found), gradients(cnn, expected), rtol=1e-11, atol=1e-11
    )


@pytest.mark.parametrize("size", [5, 6, 9])
def test_short_rows_equal_a_direct_computation(size: int):
    cnn = encoder(max_characters_per_token=size, filters=((5, 4), (1, 3)))
    characters = ids(TOKENS, size)
    torch.testing.assert_close(cnn(characters), direct(cnn, characters), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("numbers", [1, 500, 3000])
def test_how_many_rows_are_computed_together_changes_nothing(numbers: int, monkeypatch):
    cnn, characters = encoder(), ids(TOKENS * 3)
    expected = direct(cnn, characters)
    monkeypatch.setattr(token_encoders, "_CHUNK_NUMBERS", numbers)
    spans = cnn._spans(sorted((characters != token_encoders.PAD).sum(1).tolist()))
    assert len(spans) > 16
    torch.testing.assert_close(cnn(characters), expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=40)
@given(st.lists(st.text(st.characters(), max_size=60), max_size=12), st.randoms())
def test_a_token_has_the_same_vector_in_any_company(tokens: list[str], random: Any):
    cnn = encoder()
    alone = [cnn(ids([token]))[0] for token in tokens]
    order = random.sample(range(len(tokens)), len(tokens))
    together = cnn(ids([tokens[number] for number in order]))
    assert together.shape == (len(tokens), 5)
    for number, vector in zip(order, together, strict=True):
        torch.testing.assert_close(vector, alone[number], rtol=1e-12, atol=1e-12)


def test_the_padding_inside_a_token_is_read():
    cnn, characters = encoder(), ids(["cat"])
    before = cnn(characters)
    with torch.no_grad():
        cnn.char_embedding[token_encoders.PAD] += 3
    assert not torch.allclose(before, cnn(characters))


def test_bfloat16_is_near_float32_and_comes_out_as_float32():
    cnn, characters = encoder(dtype=torch.float32), ids(TOKENS)
    with torch.autocast("cpu", torch.bfloat16):
        rough = cnn(characters)
    assert rough.dtype == torch.float32
    assert (rough - cnn(characters)).abs().max() < 0.1


def test_no_tokens_give_no_vectors():
    assert encoder()(ids([])).shape == (0, 5)


def test_the_characters_are_those_of_the_text_floor():
    assert (token_encoders.N_CHARACTERS, token_encoders.PAD) == (chars.N_CHARACTERS, chars.PAD)
