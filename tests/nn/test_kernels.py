"""The three kernels give the same numbers; the training kernel's gradient is the true one."""

from typing import Any

import pytest
import torch
from torch import Tensor

from relmo.config import BiLMConfig
from relmo.nn import kernels
from relmo.nn.kernels import LSTMWeights, PackedLSTM, inference, plain
from relmo.nn.lstm import LSTMLayer
from relmo.nn.lstm_autograd import training

BATCHES = [(1,), (1, 1, 1), (3,), (4, 4, 2, 1, 1), (5, 1), (2, 2, 2)]
SHAPES: dict[str, dict[str, Any]] = {
    "no clip": {},
    "clips that bite": {"cell_clip": 0.4, "projection_clip": 0.2},
    "cell clip alone": {"cell_clip": 0.4},
    "projection clip alone": {"projection_clip": 0.2},
    "no projection": {"projection": False, "cell_clip": 0.4, "projection_clip": 0.2},
}
ANEW = {"restarts": True, "cell_clip": 0.4, "projection_clip": 0.2}
"""Rows that start anew from a zero state on their way."""
EXACT = {"rtol": 1e-10, "atol": 1e-11}
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
DTYPES = [(torch.float64, EXACT), (torch.float32, CLOSE)]

every_batch = pytest.mark.parametrize("batch_sizes", BATCHES, ids=str)
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
every_shape_and_restarts = pytest.mark.parametrize(
    "shape", [*SHAPES.values(), ANEW], ids=[*SHAPES, "restarts"]
)
every_dtype = pytest.mark.parametrize(("dtype", "tolerance"), DTYPES, ids=["float64", "float32"])


class Case:
    """Inputs, a first state that is not zero, weights, and how the results become one number."""

    def __init__(
        self, batch_sizes: tuple[int, ...], dtype: torch.dtype, seed: int = 0, dim: int = 6,
        projection: bool = True, cell_clip: float | None = None,
        projection_clip: float | None = None, restarts: bool = False,
    ) -> None:  # fmt: skip
        generator = torch.Generator().manual_seed(seed)

        def normal(*size: int) -> Tensor:
            numbers = torch.randn(size, generator=generator, dtype=torch.float64)
            return numbers.to(dtype).requires_grad_(True)

        rows, n, p = batch_sizes[0], sum(batch_sizes), (dim - 2 if projection else dim)
        self.batch_sizes, self.clips = batch_sizes, (cell_clip, projection_clip)
        self.tensors = {
            "x": normal(n, 5), "h": normal(rows, p), "c": normal(rows, dim),
            "input": normal(5, 4 * dim), "recurrent": normal(p, 4 * dim), "bias": normal(4 * dim),
        }  # fmt: skip
        if projection:
            self.tensors["projection"] = normal(dim, p)
        self.readers = [normal(n, p), normal(rows, p), normal(rows, dim)]
        self.keep = (normal(n, 1) > 0).to(dtype) if restarts else None

    @property
    def weights(self) -> LSTMWeights:
        t = self.tensors
        return LSTMWeights(
            t["input"], t["recurrent"], t["bias"], t.get("projection"), *self.clips
        )  # fmt: skip

    def run(self, kernel: Any, weights: Any = None) -> tuple[Tensor, Tensor, Tensor]:
        t = self.tensors
        more = () if self.keep is None else (self.keep,)
        results: tuple[Tensor, Tensor, Tensor] = kernel(
            t["x"], self.batch_sizes, t["h"], t["c"], weights or self.weights, *more
        )
        return results

    def gradients(self, kernel: Any, used: tuple[int, ...] = (0, 1, 2)) -> dict[str, Tensor]:
        """By the results named in `used`: outputs, last outputs, last cell states."""
        results = self.run(kernel)
        loss = sum((results[i].to(self.readers[i].dtype) * self.readers[i]).sum() for i in used)
        assert isinstance(loss, Tensor)
        numbers = torch.autograd.grad(loss, list(self.tensors.values()))
        return dict(zip(self.tensors, numbers, strict=True))


def assert_close(actual: Any, expected: Any, tolerance: dict[str, float]) -> None:
    torch.testing.assert_close(actual, expected, **tolerance)


@every_dtype
@every_batch
@every_shape_and_restarts
def test_the_inference_kernel_gives_the_numbers_of_the_plain_one(
    batch_sizes, shape, dtype, tolerance
):
    case = Case(batch_sizes, dtype, **shape)
    expected = case.run(plain)
    with torch.no_grad():
        assert_close(case.run(inference, PackedLSTM(case.weights)), expected, tolerance)


@every_dtype
@every_batch
@every_shape_and_restarts
def test_the_training_kernel_has_the_gradients_of_the_plain_one(
    batch_sizes, shape, dtype, tolerance
):
    case = Case(batch_sizes, dtype, **shape)
    assert_close(case.run(training), case.run(plain), tolerance)
    expected = case.gradients(plain)
    size = max(float(gradient.abs().max()) for gradient in expected.values())
    scaled = {**tolerance, "atol": tolerance["atol"] * size}
    assert_close(case.gradients(training), expected, scaled)


@pytest.mark.parametrize("used", [(0,), (1,), (2,)], ids=["outputs", "last h", "last c"])
def test_each_result_alone_passes_its_gradient_on(used):
    case = Case((3, 2, 2, 1), torch.float64, cell_clip=0.7, projection_clip=0.3)
    assert_close(case.gradients(training, used), case.gradients(plain, used), EXACT)


def test_the_clips_of_these_cases_bite_and_leave_some_numbers_free():
    case = Case((4, 4, 2, 1, 1), torch.float64, **SHAPES["clips that bite"])
    outputs, _, cells = case.run(plain)
    for tensor, clip in ((outputs, 0.2), (cells, 0.4)):
        clipped = (tensor.abs() == clip).double().mean()
        assert 0.1 < clipped < 0.9


@pytest.mark.parametrize("shape", [*SHAPES.values(), ANEW], ids=[*SHAPES, "restarts"])
def test_finite_differences_agree_with_the_gradient(shape):
    case = Case((2, 2, 1), torch.float64, seed=3, dim=3, **shape)
    names = list(case.tensors)

    def kernel(*tensors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        case.tensors = dict(zip(names, tensors, strict=True))
        return case.run(training)

    assert torch.autograd.gradcheck(kernel, tuple(case.tensors.values()))


def test_a_gradient_taken_twice_is_the_same():
    case = Case((3, 2, 1), torch.float32, **SHAPES["clips that bite"])
    loss = sum(result.square().sum() for result in case.run(training))
    tensors = list(case.tensors.values())
    first = torch.autograd.grad(loss, tensors, retain_graph=True)
    assert_close(torch.autograd.grad(loss, tensors), first, {"rtol": 0, "atol": 0})


@every_shape
def test_training_in_bfloat16_stays_near_float32(shape):
    case = Case((8, 6, 6, 3, 1), torch.float32, dim=32, **shape)
    for name in ("input", "recurrent", "projection"):
        if name in case.tensors:
            case.tensors[name].data.div_(6)  # weights as trained ones are
    expected, gradients = case.run(training), case.gradients(training)
    with torch.autocast("cpu", torch.bfloat16):
        results, rough = case.run(training), case.gradients(training)
    for result, number in zip(results, expected, strict=True):
        assert result.dtype == torch.float32
        assert (result - number).abs().max() < 0.03
    for name, gradient in gradients.items():
        assert rough[name].dtype == torch.float32
        cosine = torch.cosine_similarity(rough[name].flatten(), gradient.flatten(), dim=0)
        assert cosine > 0.995, name


@pytest.mark.parametrize("rows", [1, 3, 5])
def test_steps_computed_together_or_apart_give_the_same(rows, monkeypatch):
    case = Case((4, 4, 2, 1, 1), torch.float64, **SHAPES["clips that bite"])
    packed = PackedLSTM(case.weights)
    with torch.no_grad():
        expected = case.run(inference, packed)
        monkeypatch.setattr(kernels, "_CHUNK_ROWS", rows)
        assert_close(case.run(inference, packed), expected, EXACT)


def test_no_kernel_changes_what_it_is_given():
    case = Case((3, 2, 1), torch.float32, **SHAPES["clips that bite"])
    before = {name: tensor.detach().clone() for name, tensor in case.tensors.items()}
    with torch.no_grad():
        case.run(inference, PackedLSTM(case.weights))
    case.gradients(training)
    after = {name: tensor.detach() for name, tensor in case.tensors.items()}
    assert_close(after, before, {"rtol": 0, "atol": 0})


def test_a_sequence_in_two_halves_equals_the_whole():
    case = Case((2,) * 6, torch.float64, cell_clip=0.7, projection_clip=0.3)
    outputs, h, c = case.run(plain)
    x, first_h, first_c = (case.tensors[name] for name in "xhc")
    for kernel in (plain, training):
        head, h_half, c_half = kernel(x[:6], (2,) * 3, first_h, first_c, case.weights)
        tail, h_last, c_last = kernel(x[6:], (2,) * 3, h_half, c_half, case.weights)
        assert_close((torch.cat([head, tail]), h_last, c_last), (outputs, h, c), EXACT)


def test_a_row_that_starts_anew_is_two_rows_from_zero():
    case = Case((1,) * 6, torch.float64, cell_clip=0.7, projection_clip=0.3)
    x, h, c = (case.tensors[name] for name in "xhc")
    keep = torch.tensor([[1.0], [1], [1], [0], [1], [1]], dtype=torch.float64)
    for kernel in (plain, training):
        head, _, _ = kernel(x[:3], (1,) * 3, h, c, case.weights)
        tail, h_last, c_last = kernel(x[3:], (1,) * 3, 0 * h, 0 * c, case.weights)
        results = kernel(x, (1,) * 6, h, c, case.weights, keep)
        assert_close(results, (torch.cat([head, tail]), h_last, c_last), EXACT)


def test_few_different_numbers_of_rows_are_computed():
    sizes = {rows: kernels.padded_rows(rows) for rows in range(1, 1025)}
    assert all(rows <= size < rows + 64 for rows, size in sizes.items())
    assert len(set(sizes.values())) <= 24  # oneDNN keeps some MB for each


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 9, 16, 17, 33, 65, 70])
def test_rows_computed_along_change_nothing(rows):
    config = BiLMConfig(lstm_dim=7, projection_dim=5, cell_clip=0.3, n_words=2)
    layer = LSTMLayer.of(config)
    sizes = (rows, rows, (rows + 1) // 2, 1)
    x, h, c = torch.randn(sum(sizes), 5), torch.randn(rows, 5), torch.randn(rows, 7)
    with torch.no_grad():
        fast = kernels.inference(x, sizes, h, c, layer.packed())
        slow = kernels.plain(x, sizes, h, c, layer.weights())
    for got, expected in zip(fast, slow, strict=True):
        torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)
