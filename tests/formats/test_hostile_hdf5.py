"""Options and HDF5 files that are broken, foreign or lying: one clear error each, no memory."""

import json
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from relmo.errors import ConfigError, FormatError, InputError, RelmoError
from relmo.formats import bilm_hdf5, detect
from tests.formats.helpers import save_random
from tests.reference.bilm_numpy import random_model, random_words, save_model

Options = dict[str, Any]
Arrays = dict[str, np.ndarray]
CELL = "RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell"
ABSENT = object()


def expect(error: type[RelmoError], folder: Path, *parts: str) -> None:
    """Reading the folder is that error, on one line that says all the parts, at once."""
    tracemalloc.start()
    started = time.monotonic()
    with pytest.raises(error) as caught:
        detect.read(folder)
    seconds, (_, peak) = time.monotonic() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    message = str(caught.value)
    assert type(caught.value) is error
    assert "\n" not in message
    for part in (str(folder), *parts):
        assert part in message, message
    assert peak < 2e7
    assert seconds < 30  # a loop over a billion layers would take hours


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "error", "parts"),
    [
        # contradictions with the tensors: file, key, got, expected, and the option
        ("lstm.dim", 13, FormatError, (f"{CELL}/W_0", "(12, 48)", "(12, 52)", "lstm.dim")),
        ("lstm.dim", 10**9, FormatError, (f"{CELL}/W_0", "(12, 48)", "(12, 4000000000)")),
        ("lstm.dim", 10**30, FormatError, (f"{CELL}/W_0", "(12, 48)", "4" + "0" * 30)),
        ("lstm.projection_dim", 5, FormatError, ("CNN_proj/W_proj", "(15, 6)", "(15, 5)")),
        (
            "lstm.projection_dim",
            12,
            FormatError,
            (f"{CELL}/W_P_0'", "not expected", "options.json"),
        ),
        ("lstm.projection_dim", 13, ConfigError, ("options.json", "13", "larger than", "12")),
        ("lstm.projection_dim", 16, ConfigError, ("options.json", "16", "larger than", "12")),
        (
            "lstm.n_layers",
            1,
            FormatError,
            ("RNN_0/", "RNN_1/", "Cell1/LSTMCell/W_0'", "not expected"),
        ),
        ("lstm.n_layers", 3, FormatError, ("RNN_0/", "RNN_1/", "Cell2/LSTMCell/W_0'", "missing")),
        ("lstm.n_layers", 10**9, FormatError, ("Cell2/LSTMCell/W_0", "and more missing")),
        ("char_cnn.n_highway", 1, FormatError, ("'CNN_high_1/W_carry'", "not expected")),
        ("char_cnn.n_highway", 10**9, FormatError, ("CNN_high_2/W_transform", "and more missing")),
        (
            "char_cnn.filters",
            [[1, 4], [2, 5], [3, 7]],
            FormatError,
            ("'CNN/W_cnn_2'", "(1, 3, 4, 6)", "(1, 3, 4, 7)", "options.json char_cnn.filters[2]"),
        ),
        ("char_cnn.filters", [[1, 4], [2, 5]], FormatError, ("'CNN/W_cnn_2'", "not expected")),
        ("char_cnn.filters", [[1, 10**9]], FormatError, ("'CNN/W_cnn_1'",)),
        ("char_cnn.filters", [[51, 15]], ConfigError, ("width 51", "50")),
        ("char_cnn.embedding.dim", 5, FormatError, ("'char_embed'", "(261, 4)", "(261, 5)")),
        ("char_cnn.embedding.dim", 10**9, FormatError, ("'char_embed'", "(261, 4)", "10000000")),
        ("char_cnn", ABSENT, FormatError, ("'embedding' missing", "no 'char_cnn'", "'CNN/W_cnn_")),
        # values that cannot be
        ("char_cnn.n_characters", 263, ConfigError, ("n_characters", "261 or 262", "got 263")),
        ("char_cnn.n_characters", "262", ConfigError, ("n_characters", "261 or 262", "'262'")),
        ("char_cnn.activation", "gelu", ConfigError, ("char_cnn.activation", "'relu'", "'gelu'")),
        (
            "char_cnn.max_characters_per_token",
            2,
            ConfigError,
            ("max_characters_per_token must be at least 3", "got 2"),
        ),
        ("char_cnn.max_characters_per_token", 0, ConfigError, ("max_characters", "got 0")),
        ("char_cnn.filters", [], ConfigError, ("char_cnn.filters", "got []")),
        ("char_cnn.filters", [[1, 4], [2]], ConfigError, ("char_cnn.filters", "[2]")),
        ("char_cnn.filters", [[1, 4.5]], ConfigError, ("char_cnn.filters", "4.5")),
        ("char_cnn.filters", [[0, 4]], ConfigError, ("filters[0][0] must be at least 1", "got 0")),
        ("char_cnn", [], ConfigError, ("char_cnn: expected an object", "got []")),
        ("char_cnn.embedding", 16, ConfigError, ("char_cnn.embedding: expected an object", "16")),
        ("lstm", "big", ConfigError, ("lstm: expected an object", "'big'")),
        ("lstm.dim", "12", ConfigError, ("lstm.dim", "whole number", "got '12'")),
        ("lstm.dim", 12.0, ConfigError, ("lstm.dim", "whole number", "got 12.0")),
        ("lstm.dim", True, ConfigError, ("lstm.dim", "whole number", "got True")),
        ("lstm.dim", None, ConfigError, ("lstm.dim", "whole number", "got None")),
        ("lstm.n_layers", 0, ConfigError, ("lstm.n_layers", "at least 1", "got 0")),
        ("lstm.cell_clip", "3", ConfigError, ("lstm.cell_clip", "number", "got '3'")),
        ("lstm.cell_clip", -3, ConfigError, ("lstm.cell_clip", "at least 0", "got -3")),
        ("lstm.proj_clip", float("nan"), ConfigError, ("lstm.proj_clip", "got nan")),
        ("lstm.proj_clip", float("inf"), ConfigError, ("lstm.proj_clip", "got inf")),
        ("lstm.proj_clip", 10**400, ConfigError, ("lstm.proj_clip", "got 1000")),
        ("lstm.use_skip_connections", 1, ConfigError, ("use_skip_connections", "true or false")),
        ("bidirectional", False, ConfigError, ("bidirectional is False",)),
        ("projection_after_highway", False, ConfigError, ("projection_after_highway is False",)),
        # keys that have to be there
        ("lstm", ABSENT, ConfigError, ("lstm", "the key is missing")),
        ("lstm.dim", ABSENT, ConfigError, ("lstm.dim", "the key is missing")),
        ("lstm.projection_dim", ABSENT, ConfigError, ("lstm.projection_dim", "key is missing")),
        ("lstm.use_skip_connections", ABSENT, ConfigError, ("use_skip", "the key is missing")),
        ("char_cnn.activation", ABSENT, ConfigError, ("char_cnn.activation", "key is missing")),
        ("char_cnn.embedding", ABSENT, ConfigError, ("char_cnn.embedding", "key is missing")),
        ("char_cnn.embedding.dim", ABSENT, ConfigError, ("embedding.dim", "the key is missing")),
        ("char_cnn.filters", ABSENT, ConfigError, ("char_cnn.filters", "the key is missing")),
        (
            "char_cnn.max_characters_per_token",
            ABSENT,
            ConfigError,
            ("char_cnn.max_characters_per_token", "the key is missing"),
        ),
    ],
)
def test_options_that_contradict_or_lack_something(
    key: str, value: object, error: type[RelmoError], parts: tuple[str, ...], tmp_path: Path
):
    options, arrays = random_model(1)
    *sections, last = key.split(".")
    section = options
    for name in sections:
        section = section[name]
    section.pop(last, None)
    if value is not ABSENT:
        section[last] = value
    expect(error, save_model(tmp_path / "m", options, arrays), *parts)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ("is not JSON",)),
        (b'{"lstm": ', ("is not JSON", "line 1")),
        (b"dim: 12", ("is not JSON",)),
        (b"[1, 2]", ("expected a JSON object", "list")),
        (b"null", ("expected a JSON object", "NoneType")),
        (b'{"lstm": "\xff"}', ("is not UTF-8", "byte 10")),
        (b'{"a":' * 100_000, ("is not JSON",)),
        (b'{"a": ' + b"9" * 5000 + b"}", ("is not JSON",)),
        (b" " * (2**24 + 1), ("more than 16777216 bytes",)),
        (b"\x89HDF\r\n\x1a\n" * 10, ("is not UTF-8",)),
    ],
)
def test_options_that_are_no_json_object(content: bytes, parts: tuple[str, ...], tmp_path: Path):
    folder = save_random(tmp_path / "m")
    (folder / "options.json").write_bytes(content)
    with pytest.raises(FormatError) as caught:
        detect.read(folder)
    for part in (str(folder / "options.json"), *parts):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


# --- tensors --------------------------------------------------------------------------------------


def missing(arrays: Arrays) -> None:
    del arrays[f"{CELL}/B"], arrays["CNN/b_cnn_1"]


def superfluous(arrays: Arrays) -> None:
    arrays["softmax/W"] = np.zeros((3, 6), np.float32)


def renamed(arrays: Arrays) -> None:
    arrays[f"{CELL}/bias"] = arrays.pop(f"{CELL}/B")


def transposed(arrays: Arrays) -> None:
    arrays["CNN_proj/W_proj"] = arrays["CNN_proj/W_proj"].T


def scalar(arrays: Arrays) -> None:
    arrays["CNN_proj/b_proj"] = np.float32(1)


def empty(arrays: Arrays) -> None:
    arrays["CNN_proj/b_proj"] = np.zeros(0, np.float32)


def without_dataspace(arrays: Arrays) -> None:
    arrays["CNN_proj/b_proj"] = h5py.Empty("f4")


def integer(arrays: Arrays) -> None:
    arrays["CNN_proj/b_proj"] = np.zeros(6, np.int32)


def text(arrays: Arrays) -> None:
    arrays["CNN_proj/b_proj"] = np.array([b"x"] * 6)


def not_a_number(arrays: Arrays) -> None:
    arrays["CNN_proj/b_proj"][2] = np.nan


def infinite(arrays: Arrays) -> None:
    arrays[f"{CELL}/W_0"][3, 4] = -np.inf


def characters_short(arrays: Arrays) -> None:
    arrays["char_embed"] = arrays["char_embed"][:260]


def words_instead(arrays: Arrays) -> None:
    for name in list(arrays):
        if not name.startswith("RNN"):
            del arrays[name]
    arrays["embedding"] = np.zeros((9, 6), np.float32)


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (missing, (f"'CNN/b_cnn_1', '{CELL}/B' missing", "options.json")),
        (superfluous, ("'softmax/W' not expected from options.json",)),
        (renamed, (f"'{CELL}/B' missing", f"'{CELL}/bias' not expected")),
        (transposed, ("'CNN_proj/W_proj' has shape (6, 15), expected (15, 6) from options.json",)),
        (scalar, ("'CNN_proj/b_proj' has shape (), expected (6,)",)),
        (empty, ("'CNN_proj/b_proj' has shape (0,), expected (6,)",)),
        (without_dataspace, ("'CNN_proj/b_proj' has shape None, expected (6,)",)),
        (integer, ("'CNN_proj/b_proj' is int32, expected float32",)),
        (text, ("'CNN_proj/b_proj' is |S1, expected float32",)),
        (not_a_number, ("'CNN_proj/b_proj' holds 1 number", "NaN")),
        (infinite, (f"'{CELL}/W_0' holds 1 number", "infinite")),
        (characters_short, ("'char_embed' has shape (260, 4), expected (261, 4)",)),
        (words_instead, ("'char_embed'", "and more missing")),
    ],
)
def test_datasets_that_options_do_not_ask_for(
    spoil: Callable[[Arrays], None], parts: tuple[str, ...], tmp_path: Path
):
    options, arrays = random_model(1)
    spoil(arrays)
    folder = save_model(tmp_path / "m", options, arrays)
    expect(FormatError, folder, str(folder / "weights.hdf5"), *parts)


@pytest.mark.parametrize("shape", [(9,), (0, 6), (9, 5), (9, 6, 1)])
def test_word_embeddings_of_another_shape(shape: tuple[int, ...], tmp_path: Path):
    options, arrays = random_model(1, n_words=9)
    arrays["embedding"] = np.zeros(shape, np.float32)
    expect(FormatError, save_model(tmp_path / "m", options, arrays), "'embedding'", str(shape))


@pytest.mark.parametrize(
    ("data", "error", "parts"),
    [
        ("\n".join(random_words(8)).encode(), FormatError, ("8 words", "expected 9")),
        (b"<S>\n</S>\n<S>\n", FormatError, ("line 3", "'<S>'")),
        (b"<S>\n\xff\n", InputError, ("line 2", "UTF-8")),
    ],
)
def test_a_vocabulary_that_does_not_fit(
    data: bytes, error: type[RelmoError], parts: tuple[str, ...], tmp_path: Path
):
    folder = save_random(tmp_path / "m", n_words=9)
    (folder / "vocab.txt").write_bytes(data)
    expect(error, folder, "vocab.txt", *parts)


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0, 1, 8, 100, 2048, 0.5, 0.99, -1])
def test_truncated_hdf5(kept: float, tmp_path: Path):
    folder = save_random(tmp_path / "m")
    data = (folder / "weights.hdf5").read_bytes()
    n_bytes = int(kept * len(data)) if isinstance(kept, float) else kept
    (folder / "weights.hdf5").write_bytes(data[:n_bytes])
    expect(FormatError, folder, str(folder / "weights.hdf5"), "cannot be read as HDF5")


@pytest.mark.parametrize(
    "content",
    [b"just text\n", b"version https://git-lfs.github.com/spec/v1\n", b"\0" * 5000, b"PK\x03\x04"],
)
def test_foreign_files_named_hdf5(content: bytes, tmp_path: Path):
    folder = save_random(tmp_path / "m")
    (folder / "weights.hdf5").write_bytes(content)
    expect(FormatError, folder, str(folder / "weights.hdf5"), "cannot be read as HDF5")


def test_an_hdf5_file_with_nothing_in_it(tmp_path: Path):
    folder = save_model(tmp_path / "m", random_model(1)[0], {})
    expect(FormatError, folder, "'char_embed'", "and more missing")


def test_datasets_beyond_all_memory_that_were_never_written(tmp_path: Path):
    options, arrays = random_model(1, n_words=9)
    options["lstm"]["dim"] = 10**9
    folder = save_model(tmp_path / "m", options, {})
    with h5py.File(folder / "weights.hdf5", "w") as file:
        for name, value in arrays.items():
            shape = tuple({12: 10**9, 48: 4 * 10**9}.get(n, n) for n in value.shape)
            shape = (12, 4 * 10**9) if name.endswith("W_0") else shape
            file.create_dataset(name, shape, "f4", chunks=True)
    expect(FormatError, folder, "never written")


def test_datasets_that_unpack_to_a_thousand_times_their_size(tmp_path: Path):
    options, arrays = random_model(1, n_words=1_000_000)
    folder = save_model(tmp_path / "m", options, {})
    with h5py.File(folder / "weights.hdf5", "w") as file:
        for name, value in arrays.items():
            data = np.zeros_like(value)
            file.create_dataset(name, data=data, chunks=data.shape, compression="gzip")
    expect(FormatError, folder, "declares", "bytes of numbers in")


def test_links_and_types_are_no_datasets(tmp_path: Path):
    folder = save_random(tmp_path / "m")
    with h5py.File(folder / "weights.hdf5", "a") as file:
        del file["char_embed"]
        file["char_embed"] = h5py.ExternalLink("/etc/passwd", "/")
    expect(FormatError, folder, "'char_embed' is an external link", "'/etc/passwd'")
    with h5py.File(folder / "weights.hdf5", "a") as file:
        del file["char_embed"]
        file["kind"] = np.dtype("f4")
    expect(FormatError, folder, "'kind' is a named datatype, expected a dataset")


@pytest.mark.parametrize("name", ["options.json", "weights.hdf5"])
def test_files_that_are_not_there(name: str, tmp_path: Path):
    folder = save_random(tmp_path / "m")
    (folder / name).unlink()
    pair = (folder / "options.json", folder / "weights.hdf5")
    with pytest.raises(InputError, match=rf"{name}: cannot be read: [nN]o such file"):
        bilm_hdf5.read(*pair)
    expect(FormatError, folder, "bilm_hdf5: it has no *")
    (folder / name).mkdir()
    with pytest.raises(InputError, match=rf"{name}: cannot be read: .*(folder|directory)"):
        bilm_hdf5.read(*pair)


def test_a_missing_vocabulary_that_was_given(tmp_path: Path):
    folder = save_random(tmp_path / "m")
    with pytest.raises(InputError, match="nowhere"):
        bilm_hdf5.read(folder / "options.json", folder / "weights.hdf5", folder / "nowhere.txt")


def test_several_files_of_a_kind_are_named(tmp_path: Path):
    folder = save_random(tmp_path / "m")
    for path in ("other.hdf5", "embeddings.h5"):
        (folder / path).write_bytes((folder / "weights.hdf5").read_bytes())
    expect(FormatError, folder, "3 files", "embeddings.h5, other.hdf5, weights.hdf5", "weights=")
    for path in ("other.hdf5", "embeddings.h5", "options.json"):
        (folder / path).unlink()
    for path in ("a_options.json", "b_options.json"):
        (folder / path).write_text(json.dumps(random_model(1)[0]))
    expect(FormatError, folder, "2 files", "a_options.json, b_options.json", "options=")
