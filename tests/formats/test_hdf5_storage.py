"""HDF5 files that hold less than they claim, or unpack to more: refused before memory is taken."""

import resource
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from relmo.errors import FormatError
from relmo.formats import _hdf5, detect, token_embeddings
from relmo.text.vocab import Vocabulary
from tests.formats.helpers import assert_refused, save_random

WEIGHT = "CNN_high_0/W_carry"


def replaced(folder: Path, make: Callable[[h5py.File, np.ndarray], None]) -> Path:
    """A model folder in which one dataset is stored otherwise."""
    model = save_random(folder)
    with h5py.File(model / "weights.hdf5", "a") as file:
        values = file[WEIGHT][:]
        del file[WEIGHT]
        make(file, values)
    return model


@pytest.mark.parametrize("chunks", [(1, 8), (4, 15), (15, 4)], ids=str)
def test_a_dataset_of_which_some_chunks_were_written_is_refused(
    chunks: tuple[int, int], tmp_path: Path
):
    def half(file: h5py.File, values: np.ndarray) -> None:
        stored = file.create_dataset(WEIGHT, values.shape, "f4", chunks=chunks, fillvalue=7.0)
        stored[: chunks[0], : chunks[1]] = values[: chunks[0], : chunks[1]]

    n_chunks = -(-15 // chunks[0]) * -(-15 // chunks[1])
    assert_refused(
        replaced(tmp_path / "m", half),
        f"'{WEIGHT}' has 1 chunks in the file, expected {n_chunks} of its shape (15, 15)",
    )


def test_a_dataset_of_which_all_chunks_were_written_is_read(tmp_path: Path):
    def whole(file: h5py.File, values: np.ndarray) -> None:
        file.create_dataset(WEIGHT, data=values, chunks=(4, 7), maxshape=(None, 99), fillvalue=7.0)

    detect.read(replaced(tmp_path / "m", whole))


def test_token_vectors_that_were_not_written_to_the_end_are_refused(tmp_path: Path):
    with h5py.File(tmp_path / "v.hdf5", "w") as file:
        file.create_dataset("embedding", (3, 2), "f4", chunks=(1, 2))[0] = 1
    with pytest.raises(FormatError, match="'embedding' has 1 chunks in the file, expected 3"):
        token_embeddings.read(tmp_path / "v.hdf5", Vocabulary(["a", "b", "c"]), 2)


def test_a_contiguous_dataset_shorter_than_its_shape_is_refused(tmp_path: Path):
    with h5py.File(tmp_path / "v.hdf5", "w") as file:
        file.create_dataset("embedding", data=np.ones((3, 2), "f4"))
    data = (tmp_path / "v.hdf5").read_bytes()
    shape = np.array([3, 2], "<u8").tobytes()
    assert data.count(shape) >= 1
    longer = np.array([3000, 2], "<u8").tobytes()
    (tmp_path / "v.hdf5").write_bytes(data.replace(shape, longer))
    words = Vocabulary([f"w{i}" for i in range(3000)])
    with pytest.raises(FormatError, match=r"'embedding' has 24 bytes in the file, expected 24000|"
                                          "cannot be read as HDF5"):  # fmt: skip
        token_embeddings.read(tmp_path / "v.hdf5", words, 2)


def packed_twice(path: Path, chunks: tuple[int, int], codes: tuple[int, ...]) -> None:
    """A dataset of zeros in one chunk, packed by filters."""
    stored = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    stored.set_chunk(chunks)
    for code in codes:
        stored.set_filter(code, h5py.h5z.FLAG_OPTIONAL, (9,))
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple((8, 8), (h5py.h5s.UNLIMITED,) * 2)
        item = h5py.h5d.create(file.id, b"embedding", h5py.h5t.IEEE_F32LE, space, stored)
        item.write(h5py.h5s.ALL, h5py.h5s.ALL, np.zeros((8, 8), "f4"))


def peak_growth(call: Callable[[], object]) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    call()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


@pytest.mark.parametrize(
    ("chunks", "codes", "message"),
    [
        ((2**13, 2**10), (1,), "lies in chunks of 33554432 bytes, expected at most the 256 of its"),
        ((8, 8), (1, 1), r"is packed twice by filter 1 \(.*\), expected once"),
        ((8, 8), (2, 1, 2), r"is packed twice by filter 2 \(.*\), expected once"),
    ],
)
def test_a_chunk_that_unpacks_to_more_than_its_dataset_is_not_unpacked(
    chunks: tuple[int, int], codes: tuple[int, ...], message: str, tmp_path: Path
):
    packed_twice(tmp_path / "v.hdf5", chunks, codes)

    def refused() -> None:
        with pytest.raises(FormatError, match=message):
            token_embeddings.read(tmp_path / "v.hdf5", Vocabulary(list("abcdefgh")), 8)

    assert peak_growth(refused) < 2**24


def test_a_chunk_whose_bytes_unpack_to_more_than_it_is_refused(tmp_path: Path):
    stored = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    stored.set_chunk((8, 8))
    stored.set_deflate(9)
    with h5py.File(tmp_path / "v.hdf5", "w") as file:
        space = h5py.h5s.create_simple((8, 8))
        item = h5py.h5d.create(file.id, b"embedding", h5py.h5t.IEEE_F32LE, space, stored)
        item.write_direct_chunk((0, 0), zlib.compress(bytes(2**27), 9))

    def refused() -> None:
        with pytest.raises(FormatError, match=r"'embedding': the chunk at \(0, 0\) unpacks to"):
            token_embeddings.read(tmp_path / "v.hdf5", Vocabulary(list("abcdefgh")), 8)

    assert peak_growth(refused) < 2**24


def test_many_datasets_take_little_memory(tmp_path: Path):
    with h5py.File(tmp_path / "x.h5", "w", libver="latest") as file:
        for n in range(2_000):
            file.create_dataset(f"d{n}", (1,), "f4", chunks=(1,))

    def listed() -> None:
        with _hdf5.opened(tmp_path / "x.h5", "where") as file:
            assert len(_hdf5.datasets(file, "where")) == 2_000

    assert peak_growth(listed) < 2**26


def test_small_datasets_in_larger_chunks_are_read(tmp_path: Path):
    packed_twice(tmp_path / "v.hdf5", (2**10, 2**10), (2, 1))
    words = Vocabulary(list("abcdefgh"))
    assert not token_embeddings.read(tmp_path / "v.hdf5", words, 8).any()


@pytest.mark.parametrize("committed", [True, False])
def test_datasets_of_large_types_are_refused_at_the_first(committed: bool, tmp_path: Path):
    kind = np.dtype([(f"a field with a name of some length {n}", "f4") for n in range(1000)])
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver="latest") as file:
        if committed:
            file["kind"] = kind
            stored = file["kind"]
            del file["kind"]
        for n in range(300 if committed else 100):
            file.create_dataset(f"d{n:04}", (1,), stored if committed else kind)
    started = time.monotonic()
    with (
        pytest.raises(FormatError, match="where: 'd0000' is of HDF5's type class 6, expected flo"),
        _hdf5.opened(path, "where") as file,
    ):
        _hdf5.datasets(file, "where")
    assert time.monotonic() - started < 1
