"""Reading datasets in parts: every way of storing gives the numbers that are in the file."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from relmo.errors import FormatError
from relmo.formats import _hdf5, _tensors

VALUES = np.random.default_rng(0).standard_normal((7, 12)).astype(np.float32)
STORED = {
    "as it is": {},
    "in chunks": {"chunks": (2, 5)},
    "compressed": {"compression": "gzip"},
    "big end first": {"dtype": ">f4"},
    "double": {"dtype": "<f8"},
}


def write(path: Path, values: np.ndarray = VALUES, **options: object) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("before", data=np.ones(3))
        file.create_dataset("x", data=values, **options)
    return path


def read(path: Path, *arguments: object) -> list[torch.Tensor]:
    with _hdf5.opened(path, "where") as file:
        return _hdf5.read_parts(file["x"], *arguments, "x", "where")


@pytest.mark.parametrize("together", [1, 50, 200, 2**20])
@pytest.mark.parametrize("options", STORED.values(), ids=STORED.keys())
def test_rows_are_cut_and_their_blocks_put_in_order(
    options: dict[str, object], together: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_tensors, "TOGETHER_BYTES", together)
    path = write(tmp_path / "x.h5", **options)
    blocks = VALUES.reshape(7, 4, 3)[:, [2, 0, 3, 1]].reshape(7, 12)
    for counts, order, expected in (((7,), (0,), VALUES), ((3, 4), (2, 0, 3, 1), blocks)):
        parts = read(path, counts, order)
        assert [len(part) for part in parts] == list(counts)
        assert {part.dtype for part in parts} == {
            torch.float64 if options.get("dtype") == "<f8" else torch.float32
        }
        np.testing.assert_array_equal(torch.cat(parts), expected)


@pytest.mark.parametrize("shape", [(5,), (5, 2, 3), (1,)])
def test_any_number_of_axes(shape: tuple[int, ...], tmp_path: Path):
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    (found,) = read(write(tmp_path / "x.h5", values), (shape[0],), (0,))
    np.testing.assert_array_equal(found, values)


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="the system cannot scatter what it reads")
def test_where_the_system_cannot_scatter_the_numbers_are_the_same(tmp_path: Path, monkeypatch):
    path = write(tmp_path / "x.h5")
    (expected,) = read(path, (7,), (2, 0, 3, 1))
    monkeypatch.delattr(os, "preadv")
    torch.testing.assert_close(read(path, (7,), (2, 0, 3, 1))[0], expected, rtol=0, atol=0)


@pytest.mark.parametrize("options", [{}, {"chunks": (2, 5)}])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_found_wherever_it_is(
    bad: float, options: dict[str, object], tmp_path: Path
):
    for place in ((0, 0), (3, 7), (6, 11)):
        values = VALUES.copy()
        values[place] = bad
        path = write(tmp_path / "x.h5", values, **options)
        with pytest.raises(FormatError, match="where: 'x' holds 1 numbers that are NaN"):
            read(path, (3, 4), (0,))


def test_numbers_whose_sum_is_too_large_are_finite(tmp_path: Path):
    values = np.full((7, 12), 3e38, np.float32)
    np.testing.assert_array_equal(read(write(tmp_path / "x.h5", values), (7,), (0,))[0], values)


@pytest.mark.parametrize("shape", [(7, 12), (100,), (), (0, 3)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_copy_is_made_piece_by_piece(
    dtype: torch.dtype, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_tensors, "TOGETHER_BYTES", 40)
    tensor = torch.randn(shape).to(dtype)
    found = _tensors.copied("x", tensor, "where")
    kept = torch.float64 if dtype == torch.float64 else torch.float32
    torch.testing.assert_close(found, tensor.to(kept), rtol=0, atol=0)
    assert (
        found.untyped_storage().data_ptr() != tensor.untyped_storage().data_ptr()
        or not tensor.numel()
    )
    if tensor.numel():
        tensor.view(-1)[-1] = torch.nan
        with pytest.raises(FormatError, match="'x' holds 1 numbers"):
            _tensors.copied("x", tensor, "where")
