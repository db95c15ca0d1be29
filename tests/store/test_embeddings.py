import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relmo.errors import ConfigError, InputError
from relmo.store import embeddings
from relmo.store.embeddings import open_writer

NAMES = ["v.h5", "v.hdf5", "v.npz"]


def here() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def vectors(n_tokens: int) -> np.ndarray:
    return np.arange(3 * n_tokens * 2, dtype=np.float32).reshape(3, n_tokens, 2)


def write(name: str, sentences: list[str], **options) -> list[np.ndarray]:
    arrays = [vectors(len(sentence.split())) for sentence in sentences]
    with open_writer(name, **options) as writer:
        for sentence, array in zip(sentences, arrays, strict=True):
            writer.write(sentence, array)
    return arrays


def read(name: str) -> tuple[list[np.ndarray], dict[str, str]]:
    """The arrays in order, and each sentence's number: of equal ones the last."""
    if name.endswith(".npz"):
        with np.load(name, allow_pickle=False) as stored:
            sentences = stored["sentences"]
            arrays = [stored[str(n)] for n in range(len(sentences))]
            return arrays, {str(sentence): str(n) for n, sentence in enumerate(sentences)}
    with h5py.File(name) as file:
        index = json.loads(file["sentence_to_index"][0])
        return [file[str(n)][()] for n in range(len(file) - 1)], index


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20)
@given(st.lists(st.text(max_size=20).map(lambda text: text.rstrip("\0")), max_size=12))
def test_what_is_written_is_read_with_any_sentences(name, sentences):
    expected = write(name, sentences)
    arrays, index = read(name)
    assert index == {sentence: str(n) for n, sentence in enumerate(sentences)}
    assert len(arrays) == len(expected)
    for array, wanted in zip(arrays, expected, strict=True):
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, wanted)


@pytest.mark.parametrize("name", NAMES)
def test_many_sentences_wait_in_a_file_and_come_back_in_order(name, monkeypatch):
    monkeypatch.setattr(embeddings, "_SPILL_BYTES", 100)
    sentences = [f"sentence {n} \N{SNOWMAN}" for n in range(500)]
    write(name, sentences)
    assert list(read(name)[1]) == sentences
    assert here() == [name]


@pytest.mark.parametrize("name", NAMES)
def test_float16_is_the_nearest_half_precision_number(name):
    with open_writer(name, dtype="float16") as writer:
        writer.write("a", np.array([[0.1, -2.7]], np.float32))
    (array,), _ = read(name)
    np.testing.assert_array_equal(array, np.array([[0.1, -2.7]], np.float16))


@pytest.mark.parametrize("name", NAMES)
def test_a_number_too_large_for_float16_is_said_with_its_sentence(name):
    with open_writer(name, dtype="float16") as writer:
        writer.write("fine", np.ones((1, 2), np.float32))
        with pytest.raises(InputError, match=f"^{name}: sentence 1 holds a number beyond float16"):
            writer.write("large", np.full((1, 2), 1e5, np.float32))


def test_the_same_vectors_give_the_same_bytes_of_npz():
    write("a.npz", ["x y", "z"])
    write("b.npz", ["x y", "z"])
    assert Path("a.npz").read_bytes() == Path("b.npz").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_without_sentences_only_the_arrays_are_there(name):
    write(name, ["a b", "c"], keep_sentences=False)
    if name.endswith(".npz"):
        with np.load(name) as stored:
            assert stored.files == ["0", "1"]
    else:
        with h5py.File(name) as file:
            assert list(file) == ["0", "1"]


@pytest.mark.parametrize("name", NAMES)
def test_a_table_of_sentences_too_large_for_memory_is_left_out_and_said(name, monkeypatch, caplog):
    monkeypatch.setattr(embeddings, "MAX_TABLE_BYTES", 30)
    write(name, ["a b c d e f g h", "c"])
    assert "the sentences are left out" in caplog.text
    if name.endswith(".npz"):
        with np.load(name) as stored:
            assert stored.files == ["0", "1"]
    else:
        with h5py.File(name) as file:
            assert list(file) == ["0", "1"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("error", [RuntimeError("mine"), KeyboardInterrupt()])
def test_a_failure_half_way_leaves_the_earlier_file(name, error):
    Path(name).write_text("earlier")

    def fail_half_way() -> None:
        with open_writer(name) as writer:
            writer.write("a", vectors(1))
            raise error

    with pytest.raises(type(error)):
        fail_half_way()
    assert Path(name).read_text() == "earlier"
    assert here() == [name]


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_that_is_not_there_is_an_input_error(name):
    with (
        pytest.raises(InputError, match="cannot be written: No such file"),
        open_writer(f"no/{name}"),
    ):
        pass


def test_another_suffix_or_dtype_is_refused():
    with pytest.raises(InputError, match=r"v\.txt: the name must end in \.h5, \.hdf5, \.npz"):
        embeddings.check_path("v.txt")
    with (
        pytest.raises(ConfigError, match="'float32' or 'float16', got 'int8'"),
        open_writer("v.h5", dtype="int8"),
    ):
        pass
    assert here() == []
