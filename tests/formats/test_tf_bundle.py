"""The table and the checkpoint of TensorFlow: TensorFlow's own, ours, and ill-meant ones."""

import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relmo.errors import FormatError
from relmo.formats import _tensorflow
from relmo.formats._tensorflow import Bundle
from tests.formats import tf_writer
from tests.formats.tf_writer import Entries, block, entry, field, table, varint, write_bundle

ARRAYS = {
    "a/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a/kernel_b": np.arange(4, dtype=np.float64),
    "b": np.array(7, np.float32),
    "c": np.zeros((0, 3), np.float32),
    "c0": np.zeros((3, 0), np.float32),
    "d": np.array([0.5, -2], np.float16),
    "step": np.array(3, np.int64),
}


def read(folder: Path) -> Bundle:
    return Bundle(folder / "m.index", "test")


def read_all(folder: Path) -> None:
    bundle = read(folder)
    for name in bundle.variables:
        bundle.read(name)


def expect(folder: Path, *parts: str) -> None:
    """Opening it and reading everything is one FormatError on one line, at no cost."""
    tracemalloc.start()
    with pytest.raises(FormatError) as caught:
        read_all(folder)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    message = str(caught.value)
    for part in (f"test: {folder / 'm.index'}", *parts):
        assert part in message, message
    assert "\n" not in message
    assert peak < 1e7


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("scatters", [True, False])
def test_rows_are_cut_and_their_blocks_put_in_order(
    dtype: type, scatters: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if not scatters:
        monkeypatch.delattr("os.preadv", raising=False)
    values = np.random.default_rng(0).standard_normal((7, 12)).astype(dtype)
    write_bundle(tmp_path / "m", {"before": np.ones(3, np.float32), "x": values})
    blocks = values.reshape(7, 4, 3)[:, [2, 0, 3, 1]].reshape(7, 12)
    for counts, order, expected in (((7,), (0,), values), ((3, 4), (2, 0, 3, 1), blocks)):
        parts = read(tmp_path).read_parts("x", counts, order)
        assert [len(part) for part in parts] == list(counts)
        found = np.concatenate([part.numpy() for part in parts])
        assert found.dtype == (np.float64 if dtype is np.float64 else np.float32)
        np.testing.assert_array_equal(found, expected)


def test_the_check_value_of_crc32c():
    crc = 0xE3069283  # of "123456789", as its inventors give it
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    assert _tensorflow.crc32c_masked(b"123456789") == (rotated + 0xA282EAD8) & 0xFFFFFFFF


def test_a_file_that_tensorflow_wrote_is_read_and_written_the_same(goldens: Path, tmp_path: Path):
    index = goldens / "tf_checkpoint" / "model.ckpt-1234.index"
    entries = _tensorflow.read_table(index, "golden")
    assert len(entries) == 73
    (tmp_path / "copy").write_bytes(table(entries))
    assert _tensorflow.read_table(tmp_path / "copy", "copy") == entries


@pytest.mark.parametrize("n_shards", [1, 2, 5])
@pytest.mark.parametrize("per_block", [1, 2, 100])
def test_variables_come_back_from_one_or_several_files_and_blocks(
    n_shards: int, per_block: int, tmp_path: Path
):
    write_bundle(tmp_path / "m", ARRAYS, n_shards=n_shards, per_block=per_block)
    bundle = read(tmp_path)
    assert bundle.shapes == {name: array.shape for name, array in ARRAYS.items()}
    for name in set(ARRAYS) - {"step"}:
        np.testing.assert_array_equal(bundle.read(name).numpy(), ARRAYS[name])
    assert {bundle.read(name).dtype.itemsize for name in ("a/kernel", "d")} == {4}
    assert bundle.read("a/kernel_b").dtype.itemsize == 8


def test_every_truncated_index_is_an_error(tmp_path: Path):
    write_bundle(tmp_path / "m", ARRAYS)
    whole = (tmp_path / "m.index").read_bytes()
    for length in range(0, len(whole), 3):
        (tmp_path / "m.index").write_bytes(whole[:length])
        with pytest.raises(FormatError, match="truncated"):
            read(tmp_path)


def test_every_damaged_byte_of_an_index_is_an_error_or_changes_nothing(tmp_path: Path):
    write_bundle(tmp_path / "m", ARRAYS)
    expected = read(tmp_path).variables
    whole = (tmp_path / "m.index").read_bytes()
    unnoticed = 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x41
        (tmp_path / "m.index").write_bytes(damaged)
        try:
            assert read(tmp_path).variables == expected
            unnoticed += 1
        except FormatError:
            pass
    assert unnoticed < 40  # the footer's padding and where the metaindex is


@given(value=st.binary(max_size=40), key=st.binary(max_size=6))
def test_any_bytes_as_an_entry_are_a_format_error_or_a_variable(
    value: bytes, key: bytes, tmp_path_factory: pytest.TempPathFactory
):
    folder = tmp_path_factory.getbasetemp() / "entries"
    write_bundle(folder / "m", {}, edit=lambda entries: entries.update({key: value}))
    with suppress(FormatError):
        read_all(folder)


@given(content=st.binary(max_size=60))
def test_any_bytes_as_a_block_are_a_format_error(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
):
    data = tf_writer.sealed(content)
    index = block([(b"z", varint(0) + varint(len(content)))])
    folder = tmp_path_factory.getbasetemp()
    (folder / "m.index").write_bytes(data + tf_writer.footer(len(data), index))
    with pytest.raises(FormatError):
        read(folder)


def put(name: str, value: bytes) -> Callable[[Entries], object]:
    return lambda entries: entries.update({name.encode(): value})


@pytest.mark.parametrize(
    ("edit", "parts"),
    [
        (put("b", entry([2**62], 4)), ("'b' has shape (4611686018427387904,) in 4 bytes",)),
        (put("b", entry([2**40, 2**40], 4)), ("'b'", "in 4 bytes, expected 48357032784585166")),
        (put("b", entry([2**64 - 1], 4)), ("'b' has shape [18446744073709551615]",)),
        (put("b", entry([1] * 9, 4)), ("'b' has shape [1, 1, 1, 1, 1, 1, 1, 1, 1]",)),
        (put("b", entry([3], 4)), ("'b' has shape (3,) in 4 bytes, expected 12",)),
        (put("b", entry([1], 4, offset=10**12)), ("'b'", "1000000000000", "truncated?")),
        (put("b", entry([1], 4, offset=2**64 - 1)), ("'b'", "truncated?")),
        (put("b", entry([2**40], 2**42)), ("'b'", "has 72 bytes")),
        (put("b", entry([1], 4, shard=1)), ("'b' is in data file 1 of 1",)),
        (put("b", entry([1], 4, dtype=7)), ("'b' is of TensorFlow's type 7, expected 1",)),
        (put("b", entry([1], 4) + field(7, b"")), ("'b' is stored in slices",)),
        (put("\0slice", entry([1], 4)), ("stored in slices",)),
        (put("b", b"\x0a\x7f"), ("'b': is no protocol buffer",)),
        (put("b", b"\x80"), ("'b': a number at byte 1 does not end",)),
        (put("b", b"\x0c"), ("'b': is no protocol buffer",)),
        (put("", field(1, 0)), ("its header tells of 0 data files",)),
        (put("", field(1, 10**9)), ("its header tells of 1000000000 data files",)),
        (put("", field(1, 2)), ("expected m.data-00000-of-00002 beside it, found none",)),
        (put("", field(1, 1) + field(2, 1)), ("big-endian",)),
        (lambda entries: entries.pop(b""), ("has no header",)),
        (lambda entries: entries.update({b"\xff": entry([1], 4)}), ("is not UTF-8", "slices")),
    ],
)
def test_an_entry_that_lies(edit: Callable[[Entries], object], parts: tuple[str], tmp_path: Path):
    write_bundle(tmp_path / "m", ARRAYS, edit=edit)
    expect(tmp_path, *parts)


def test_variables_may_not_share_their_bytes(tmp_path: Path):
    # or a small file would ask for all memory
    def many(entries: Entries) -> None:
        entries |= {f"x{i}".encode(): entry([10], 40) for i in range(100)}

    write_bundle(tmp_path / "m", ARRAYS, edit=many)
    expect(tmp_path, "share bytes of m.data-00000-of-00001", "claim 112, it has 72")


def test_numbers_that_are_not_finite(tmp_path: Path):
    write_bundle(tmp_path / "m", {"b": np.array([1, np.nan], np.float32)})
    expect(tmp_path, "'b' holds 1 numbers that are NaN or infinite")


def test_a_data_file_that_is_cut_off(tmp_path: Path):
    write_bundle(tmp_path / "m", ARRAYS)
    data = tmp_path / "m.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1])
    expect(tmp_path, "'step'", "which has 71 bytes (truncated?)")


@pytest.mark.parametrize(("compression", "named"), [(1, "snappy"), (3, "type 3")])
def test_a_compressed_block(compression: int, named: str, tmp_path: Path):
    write_bundle(tmp_path / "m", ARRAYS, compression=compression)
    expect(tmp_path, f"the block at byte 0 is compressed ({named}), expected none")


@pytest.mark.parametrize(
    ("index", "part"),
    [
        (b"", "truncated, or another kind of file"),
        (b"x" * 100, "truncated, or another kind of file"),
        (b"x" * 2**22 + tf_writer.MAGIC, "has more than 4194304 bytes, expected at most that"),
        (b"\xff" * 40 + tf_writer.MAGIC, "does not end"),
        (b"\x7f" * 40 + tf_writer.MAGIC, "a block of bytes"),
    ],
)
def test_what_is_no_table(index: bytes, part: str, tmp_path: Path):
    (tmp_path / "m.index").write_bytes(index)
    expect(tmp_path, part)


def at_zero(content: bytes, *, handles: int = 1) -> bytes:
    """A table of one block, pointed at so many times."""
    data = tf_writer.sealed(content)
    handle = varint(0) + varint(len(content))
    index = block([(b"%05d" % i, handle) for i in range(handles)])
    return data + tf_writer.footer(len(data), index)


RESTARTS = b"\0\0\0\0\1\0\0\0"


@pytest.mark.parametrize(
    ("written", "part"),
    [
        (at_zero(b"\0\1\0a\1\1\0b" + RESTARTS, handles=2), "the block at byte 0 is out of order"),
        (at_zero(b"\0\1\0b\0\1\0a" + RESTARTS), "the key 'a' is out of order"),
        (at_zero(b"\0\1\0a\1\0\0" + RESTARTS), "the key 'a' is out of order"),
        (at_zero(b"\5\1\0a" + RESTARTS), "runs past its block"),
        (at_zero(b"\0\x7f\0a" + RESTARTS), "runs past its block"),
        (at_zero(b"\0\1\x7fa" + RESTARTS), "runs past its block"),
        (at_zero(b"\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\0a" + RESTARTS), "past its block"),
        (at_zero(b"\0\1\0a\xff\xff\xff\xff"), "has 4294967295 restart points in 8 bytes"),
        (at_zero(b"\0" + varint(1500) + b"\0" + b"a" * 1500 + RESTARTS), "runs past its block"),
        (table({b"%05d" % i: b"" for i in range(4097)}), "more than 4096 entries"),
    ],
)
def test_blocks_that_lie(written: bytes, part: str, tmp_path: Path):
    (tmp_path / "m.index").write_bytes(written)
    expect(tmp_path, part)
