"""Word vectors are those of the file, in any of its formats, or an error says where not."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from relmo import _read
from relmo.data import word_vectors
from relmo.data.word_vectors import WordVectors, read
from relmo.errors import InputError

VECTORS = {"the": [1.0, 2.5, -3.0], "Ünï": [0.25, 0.5, 0.125], "cat": [7.0, -8.0, 9.0]}
WANTED = ["cat", "ornithopter", "Ünï"]


def as_text(end: str = "") -> str:
    return "".join(f"{w} {' '.join(map(str, v))}{end}\n" for w, v in VECTORS.items())


def as_binary(end: bytes = b"") -> bytes:
    records = (w.encode() + b" " + struct.pack("<3f", *v) + end for w, v in VECTORS.items())
    return b"3 3\n" + b"".join(records)


KINDS = {
    "glove": as_text().encode(),
    "word2vec text": b"3 3\n" + as_text(end=" ").encode(),  # word2vec ends its lines so
    "tabs": as_text().replace(" ", "\t").encode(),
    "binary": as_binary(),
    "binary with line feeds": as_binary(b"\n"),
}


def assert_right(found: WordVectors) -> None:
    assert found.mask.tolist() == [True, False, True]
    assert found.n_found == 2
    expected = [VECTORS["cat"], [0, 0, 0], VECTORS["Ünï"]]
    np.testing.assert_array_equal(found.matrix, np.array(expected, np.float32))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_words_wanted_are_found_in_every_kind_of_file(kind: str, packed: bool, tmp_path: Path):
    path = tmp_path / ("vectors.gz" if packed else "vectors")
    path.write_bytes(gzip.compress(KINDS[kind]) if packed else KINDS[kind])
    assert_right(read(path, WANTED, dim=3))
    assert_right(read(path, WANTED))


@pytest.mark.parametrize("size", [5, 7, 16])
def test_a_binary_file_is_read_in_pieces_of_any_size(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "v.bin").write_bytes(as_binary())
    monkeypatch.setattr(_read, "_CHUNK_BYTES", size)
    monkeypatch.setattr(word_vectors, "_BEGINNING_BYTES", 30)
    assert_right(read(tmp_path / "v.bin", WANTED))


def test_a_word_may_hold_spaces_and_the_first_of_two_counts(tmp_path: Path):
    path = tmp_path / "glove.txt"
    path.write_text("the 1 2\n. . . 3 4\nthe 5 6\n. 7 8\nat\u00a0x 9 9\n")
    found = read(path, ["the", ".", ". . .", "at\u00a0x"])
    assert found.matrix.tolist() == [[1, 2], [7, 8], [3, 4], [9, 9]]


def test_what_gensim_writes_is_read(tmp_path: Path):
    models = pytest.importorskip("gensim.models")
    vectors = models.KeyedVectors(3)
    vectors.add_vectors(list(VECTORS), np.array(list(VECTORS.values()), np.float32))
    for binary in (False, True):
        vectors.save_word2vec_format(tmp_path / "v", binary=binary)
        assert_right(read(tmp_path / "v", WANTED, dim=3))


def test_no_word_found_is_a_matrix_of_zeros(tmp_path: Path):
    (tmp_path / "v").write_bytes(KINDS["glove"])
    found = read(tmp_path / "v", ["none"], dim=3)
    assert (found.n_found, found.matrix.shape) == (0, (1, 3))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"the 1 2 3\ncat 1 2\n", "line 2: 2 numbers, expected 3"),
        (b"the 1 2 3\ncat 1 2 3 4\n", "line 2: 4 numbers, expected 3"),
        (b"the 1 2 3\n\ncat 1 2 3\n", "line 2: 0 numbers, expected 3"),
        (b"the 1 2 3\ncat 1 x 3\n", "line 2: not a number: .*'x'"),
        (b"the 1 2 3\ncat 1 nan 3\n", "line 2: a number is NaN, infinite or too large"),
        (b"the 1 2 3\ncat 1 1e99 3\n", "line 2: a number is NaN, infinite or too large"),
        (b"the 1 2 3\ncat\xff 1 2 3\n", "line 2: not UTF-8"),
        (b"the 1 2\ncat 1 2\n", "line 1: vectors of width 2, expected 3"),
        (b"the\n", "line 1: vectors of width 0, expected 3"),
        (b"2 2\nthe 1 2\ncat 1 2\n", "vectors of width 2, expected 3"),
        (b"3 3\nthe 1 2 3\ncat 1 2 3\n", "2 vectors, expected 3 as its first line says"),
        (b"1 3\nthe 1 2 3\ncat 1 2 3\n", "2 vectors, expected 1 as its first line says"),
        (b"999999999999999999 3\n" + as_binary()[4:], "word 4 of .*: the file ends in it"),
        (as_binary()[:-1], "word 3 of 3: the file ends in it"),
        (b"2 3\n" + as_binary()[4:], "more behind its 2 vectors"),
        (b"1 3\n" + b"\x01" * 100_000, "word 1 of 1: no space behind it"),
        (b"1 99999999\n\x00", "vectors of width 99999999, expected 3"),
    ],
)
def test_a_damaged_file_is_an_error_that_says_where(content: bytes, message: str, tmp_path: Path):
    path = tmp_path / "vectors.bin"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read(path, ["cat", "the"], dim=3)
    assert str(path) in str(caught.value)


def test_an_absurd_width_takes_no_memory(tmp_path: Path):
    (tmp_path / "v").write_bytes(b"1 999999999999\n\x00")
    with pytest.raises(InputError, match="width 999999999999, expected 1 to 100000"):
        read(tmp_path / "v", ["the"])


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "none.txt", ["the"])
