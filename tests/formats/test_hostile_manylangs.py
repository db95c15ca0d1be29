"""ELMoForManyLangs folders that are broken, foreign, lying or meant ill."""

import json
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from relmo.errors import ConfigError, FormatError, InputError, RelmoError
from relmo.formats import detect, manylangs
from tests.formats.helpers import assert_same
from tests.reference.manylangs_numpy import WORDS, random_model, save_dic, save_model, save_tensors

PICKLES = ("encoder.pkl", "token_embedder.pkl")
BIAS = "forward_layer_1.state_linearity.bias"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_model(tmp_path / "m", random_model(1))


def expect(error: type[RelmoError], folder: Path, *parts: str) -> None:
    with pytest.raises(error) as caught:
        manylangs.read(folder)
    assert type(caught.value) is error
    message = str(caught.value)
    assert "\n" not in message
    for part in ("manylangs: ", str(folder), *parts):
        assert part in message, message


def change(path: Path, how: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = torch.load(path, weights_only=True)
    how(tensors)
    torch.save(tensors, path)


# --- tensors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", PICKLES)
def test_a_file_cut_anywhere(name: str, legacy: bool, tmp_path: Path):
    model = save_model(tmp_path / "m", random_model(1), legacy=legacy)
    whole = manylangs.read(model)
    data = (model / name).read_bytes()
    for size in (0, 1, 4, 100, len(data) // 3, len(data) // 2, len(data) - 30, len(data) - 1):
        (model / name).write_bytes(data[:size])
        if zipfile.is_zipfile(model / name):  # cut within the comment at its end: nothing lost
            assert_same(manylangs.read(model), whole)
        else:
            expect(FormatError, model, name, "cannot be read as tensors")


@pytest.mark.parametrize("data", [b"\x89HDF\r\n\x1a\n", b"not a pickle", b"\x80\x02}q\x00.", b"PK"])
def test_a_file_of_another_kind(model: Path, data: bytes):
    (model / "encoder.pkl").write_bytes(data)
    expect(FormatError, model, "encoder.pkl", "cannot be read as tensors")


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("name", [*PICKLES, "classifier.pkl"])
@pytest.mark.parametrize("kind", ["zip", "legacy", "bare"])
def test_code_in_a_pickle_is_not_run(model: Path, name: str, kind: str, tmp_path: Path):
    value = {BIAS: Evil(tmp_path / "ran")}
    if kind == "bare":
        (model / name).write_bytes(pickle.dumps(value))
    else:
        torch.save(value, model / name, _use_new_zipfile_serialization=kind == "zip")
    said = ("nothing in it was run", "mkdir") if kind != "bare" else ("cannot be read as tensors",)
    expect(FormatError, model, name, *said)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ([torch.zeros(2)], ("holds a list, expected tensors by name",)),
        ({"a": 3}, ("'a' is a int, expected tensors by name",)),
        ({1: torch.zeros(2)}, ("1 is a Tensor, expected tensors by name",)),
        ({"a": torch.zeros(2, dtype=torch.int64)}, ("'a' is torch.int64", "expected float32")),
        ({"a": torch.eye(2).to_sparse()}, ("'a' is torch.sparse_coo",)),
        ({}, ("'forward_layer_0.input_linearity.weight'", "missing")),
    ],
)
def test_what_is_no_tensors_by_name(model: Path, value: object, parts: tuple[str, ...]):
    torch.save(value, model / "encoder.pkl")
    expect(FormatError, model, "encoder.pkl", *parts)


def test_parameters_in_an_ordered_dict_are_tensors_too(model: Path):
    whole = manylangs.read(model)
    change(model / "encoder.pkl", lambda t: t.update({BIAS: torch.nn.Parameter(t[BIAS])}))
    torch.save(OrderedDict(torch.load(model / "encoder.pkl", weights_only=True)),
               model / "encoder.pkl")  # fmt: skip
    assert_same(manylangs.read(model), whole)


@pytest.mark.parametrize(
    ("name", "how", "parts"),
    [
        ("encoder.pkl", lambda t: t.pop(BIAS), (f"{BIAS!r} missing", "shape.json asks for")),
        ("encoder.pkl", lambda t: t.update(x=t[BIAS]), ("'x' not expected from", "shape.json")),
        (
            "encoder.pkl",
            lambda t: t.update({BIAS: t[BIAS][1:]}),
            (f"{BIAS!r} has shape (31,), expected (32,) from", "shape.json encoder.dim"),
        ),
        ("encoder.pkl", lambda t: t[BIAS].fill_(torch.nan), (f"{BIAS!r} holds 32 numbers", "NaN")),
        ("token_embedder.pkl", lambda t: t.pop("projection.bias"), ("'projection.bias' missing",)),
        (
            "token_embedder.pkl",
            lambda t: t.update({"char_lstm.weight_ih_l0": torch.zeros(16, 4)}),
            ("'char_lstm.weight_ih_l0' not expected",),
        ),
        (
            "token_embedder.pkl",
            lambda t: t.update({"highways._layers.0.weight": torch.zeros(15, 15)}),
            ("has shape (15, 15), expected (30, 15) from", "the sum of token_embedder.filters"),
        ),
    ],
)
def test_tensors_that_do_not_fit(
    model: Path, name: str, how: Callable[[Any], object], parts: tuple[str, ...]
):
    change(model / name, how)
    expect(FormatError, model, name, *parts)


@pytest.mark.parametrize("legacy", [False, True])
def test_numbers_that_are_declared_only(model: Path, legacy: bool):
    huge = torch.zeros(1).expand(2**20, 2**20)
    tensors = torch.load(model / "encoder.pkl", weights_only=True) | {BIAS: huge}
    torch.save(tensors, model / "encoder.pkl", _use_new_zipfile_serialization=not legacy)
    expect(
        FormatError, model, "encoder.pkl", f"{BIAS!r} has shape (1048576, 1048576)", "enough bytes"
    )


class Lying:
    """A tensor of more numbers than its storage has."""

    def __reduce__(self) -> Any:
        rebuild, size = torch._utils._rebuild_tensor_v2, 2**17
        storage = torch.zeros(3).storage()
        return rebuild, (storage, 0, (size, size), (size, 1), False, OrderedDict())


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_a_tensor_larger_than_its_storage(model: Path, legacy: bool):
    tensors = torch.load(model / "encoder.pkl", weights_only=True) | {BIAS: Lying()}
    torch.save(tensors, model / "encoder.pkl", _use_new_zipfile_serialization=not legacy)
    expect(FormatError, model, "encoder.pkl")


def test_a_storage_beyond_the_end_of_the_file(model: Path):
    path = model / "encoder.pkl"
    with zipfile.ZipFile(path) as archive:
        entries = {item.filename: archive.read(item) for item in archive.infolist()}
    last = max((name for name in entries if "/data/" in name), key=lambda n: int(n.split("/")[-1]))
    entries[last] = b""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    expect(FormatError, model, "encoder.pkl", "there are not enough bytes in the file")


def test_a_compressed_archive_is_refused(model: Path):
    path = model / "encoder.pkl"
    with zipfile.ZipFile(path) as archive:
        entries = {item.filename: archive.read(item) for item in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    expect(FormatError, model, "encoder.pkl", "is compressed, expected it stored")


# --- lexicons -------------------------------------------------------------------------------------


def test_the_files_of_two_models(model: Path):
    save_dic(model / "word.dic", [*WORDS, "dog"])
    expect(
        FormatError, model,
        "token_embedder.pkl: 'word_emb_layer.embedding.weight' has shape (8, 3)",
        "expected (9, 3) from", "the 9 words of word.dic and token_embedder.word_dim",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "data", "parts"),
    [
        ("word.dic", b"<oov>\t0\nthe\n", ("word.dic: line 2: expected a name, a tab and an id",)),
        ("char.dic", b"a\t1\nb\t0\nc\t7\n", ("char.dic: line 3: the id of 'c' is 7",)),
        ("char.dic", b"\xff\t0\n", ("char.dic: line 1: is not UTF-8",)),
        ("char.dic", b"a\t0\n", ("no '<bos>' among the 1 characters",)),
        ("word.dic", b"the\t0\n", ("no '<oov>' among the 1 words",)),
        ("word.dic", b"", ("no '<oov>' among the 0 words",)),
        ("word.dic", None, ("has no word.dic, word_dim being 3",)),
        ("char.dic", None, ("has no char.dic, char_dim being 4",)),
    ],
)
def test_a_lexicon_that_is_none(model: Path, name: str, data: bytes | None, parts: tuple[str, ...]):
    if data is None:
        (model / name).unlink()
    else:
        (model / name).write_bytes(data)
    with pytest.raises(FormatError) as caught:
        manylangs.read(model)
    for part in (str(model), *parts):
        assert part in str(caught.value)


# --- the shape file -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "changes", "error", "parts"),
    [
        ("encoder", {"name": "lstm"}, FormatError, ("expected 'elmo'", "got 'lstm'")),
        ("encoder", {"name": None}, FormatError, ("encoder.name: expected 'elmo'",)),
        ("encoder", {"dim": "8"}, ConfigError, ("encoder.dim: expected a whole number",)),
        ("encoder", {"dim": 5}, FormatError, ("projection_dim and encoder.dim are both 5",)),
        ("encoder", {"dim": 4}, ConfigError, ("projection_dim 5 is larger than lstm_dim 4",)),
        ("encoder", {"cell_clip": -1}, ConfigError, ("encoder.cell_clip: expected a number",)),
        ("encoder", {"n_layers": 3}, FormatError, ("'forward_layer_2.input_linearity.weight'",)),
        ("encoder", {"n_layers": 10**9}, FormatError, ("and more missing",)),
        ("token_embedder", {"name": "gru"}, FormatError, ("expected 'cnn' or 'lstm', got 'gru'",)),
        ("token_embedder", {"filters": [[1]]}, ConfigError, ("token_embedder.filters: expected",)),
        ("token_embedder", {"filters": [[30, 4]]}, ConfigError, ("a filter of width 30 is wider",)),
        ("token_embedder", {"activation": "gelu"}, ConfigError, ("expected 'relu' or 'tanh'",)),
        ("token_embedder", {"word_dim": 4}, FormatError, ("has shape (8, 3), expected (8, 4)",)),
        ("token_embedder", {"char_dim": 0, "word_dim": 0}, FormatError, ("got neither",)),
        ("token_embedder", {"char_dim": None}, ConfigError, ("token_embedder.char_dim: expected",)),
        (
            "token_embedder", {"max_characters_per_token": 10**12}, ConfigError,
            ("max_characters_per_token must be at least 3 and at most 1000, got 1000000000000",),
        ),
    ],
)  # fmt: skip
def test_a_shape_that_is_not_that_of_the_tensors(
    model: Path, section: str, changes: dict[str, Any], error: type[RelmoError], parts: Any
):
    settings = json.loads((model / "shape.json").read_text())
    settings[section] |= changes
    (model / "shape.json").write_text(json.dumps(settings))
    expect(error, model, *parts)


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"encoder": 3}', "\x00"])
def test_a_shape_file_that_is_none(model: Path, text: str):
    (model / "shape.json").write_text(text)
    with pytest.raises((FormatError, ConfigError), match=r"shape\.json"):
        manylangs.read(model)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"config_path": 3}', "'config_path' is 3, expected a path"),
        ("{}", "the key 'config_path' is missing"),
        ("[]", "expected a JSON object"),
        ('{"config_path": "' + "x" * 5000 + '"}', "cannot be read: File name too long"),
    ],
)
def test_a_config_that_is_none(model: Path, text: str, message: str):
    (model / "config.json").write_text(text)
    with pytest.raises((FormatError, InputError), match=message):
        manylangs.read(model)


@pytest.mark.parametrize("path", ["", ".", "..", "/", "a\0b", "config.json", "x/config.json"])
def test_a_path_to_nothing_is_a_shape_file_that_is_missing(model: Path, path: str):
    told = manylangs.read(model)
    (model / "config.json").write_text(json.dumps({"config_path": path}))
    inferred = manylangs.read(model)
    assert inferred.config.lstm_dim == told.config.lstm_dim


@pytest.mark.parametrize("name", PICKLES)
def test_tensors_that_no_shape_fits(tmp_path: Path, name: str):
    model = save_model(tmp_path / "m", random_model(1), shape_file=None)
    shapes = {"forward_layer_0.input_linearity.weight": (4,), "convolutions.0.weight": ()}
    change(model / name, lambda t: t.update(
        {key: torch.zeros(shape) for key, shape in shapes.items() if key in t}
    ))  # fmt: skip
    with pytest.raises((FormatError, ConfigError)) as caught:
        manylangs.read(model)
    assert str(caught.value).startswith("manylangs: ")
    assert str(model) in str(caught.value)


# --- the folder -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.json", *PICKLES])
def test_a_file_that_is_missing(model: Path, name: str):
    (model / name).unlink()
    expect(FormatError, model, f"it has no {name}")
    with pytest.raises(FormatError, match=f"manylangs: it has no {name}"):
        detect.read(model)


def test_a_classifier_that_is_broken(model: Path):
    save_tensors(model / "classifier.pkl", {})
    (model / "classifier.pkl").write_bytes((model / "classifier.pkl").read_bytes()[:50])
    expect(FormatError, model, "classifier.pkl", "cannot be read as tensors")


def test_a_file_is_no_folder(model: Path):
    with pytest.raises(FormatError, match="it is not a folder"):
        manylangs.read(model / "config.json")
