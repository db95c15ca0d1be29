"""relmo folders that are broken, foreign or lying, and disks that refuse."""

import dataclasses
import errno
import json
import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from relmo import _files
from relmo.errors import ConfigError, FormatError, InputError, RelmoError
from relmo.formats import bilm_hdf5, detect, relmo_format
from relmo.formats.checkpoint import Checkpoint
from relmo.text.vocab import Vocabulary
from tests.formats.helpers import assert_same, random_checkpoint
from tests.reference.bilm_numpy import random_words

BIAS = "forward_lstm.layers.1.bias"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    plain = random_checkpoint(tmp_path / "source")
    softmax = {"weight": torch.ones(9, 6), "bias": torch.ones(9)}
    vocab = Vocabulary(random_words(9))
    return dataclasses.replace(plain, vocab=vocab, softmax=softmax, card="# Card\n")


@pytest.fixture
def model(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    relmo_format.write(checkpoint, tmp_path / "model")
    return tmp_path / "model"


def expect(error: type[RelmoError], folder: Path, *parts: str) -> None:
    with pytest.raises(error) as caught:
        relmo_format.read(folder)
    assert type(caught.value) is error
    message = str(caught.value)
    assert "\n" not in message
    for part in (str(folder), *parts):
        assert part in message, message


# --- config.json ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "parts"),
    [
        ({"format": "elmo"}, FormatError, ("'format' is 'elmo'", "expected 'relmo'")),
        ({"version": 2}, FormatError, ("'version' is 2", "expected 1", "newer")),
        ({"version": None}, FormatError, ("'version' is None", "expected 1")),
        ({"colour": "blue"}, ConfigError, ("unknown key 'colour'", "bilm")),
        ({"bilm": [1]}, ConfigError, ("'bilm' is [1]", "expected an object")),
        ({"bilm": {"dims": 3}}, ConfigError, ("unknown key 'dims'", "lstm_dim")),
        ({"bilm": {}}, ConfigError, ("lstm_dim",)),
    ],
)
def test_a_config_that_relmo_does_not_know(
    changes: dict[str, Any], error: type[RelmoError], parts: tuple[str, ...], model: Path
):
    values = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(values | changes))
    expect(error, model, "config.json", *parts)


@pytest.mark.parametrize(
    ("changes", "error", "parts"),
    [
        (
            {"lstm_dim": 13},
            FormatError,
            ("layers.0.input_weight'", "(6, 48)", "(6, 52)", "config.json"),
        ),
        ({"lstm_dim": 10**9}, FormatError, ("model.safetensors", "(6, 48)", "(6, 4000000000)")),
        ({"n_layers": 1}, FormatError, (f"'{BIAS}'", "not expected from config.json")),
        ({"n_layers": 3}, FormatError, ("'forward_lstm.layers.2.bias'", "missing")),
        ({"n_layers": 10**9}, FormatError, ("'forward_lstm.layers.2.bias'", "and more missing")),
        ({"projection_dim": 12}, FormatError, ("projection_weight' not expected",)),
        ({"projection_dim": 13}, ConfigError, ("13", "larger than", "12")),
        ({"colour": "blue"}, ConfigError, ("unknown key 'colour'",)),
        ({"char_cnn": None}, ConfigError, ("char_cnn or n_words",)),
        ({"char_cnn": None, "n_words": 9}, FormatError, ("'token_encoder.embedding' missing",)),
        ({"char_cnn": None, "n_words": 8}, FormatError, ("'token_encoder.embedding' missing",)),
    ],
)
def test_a_config_that_contradicts_the_tensors(
    changes: dict[str, Any], error: type[RelmoError], parts: tuple[str, ...], model: Path
):
    values = json.loads((model / "config.json").read_text())
    values["bilm"] |= changes
    (model / "config.json").write_text(json.dumps(values))
    expect(error, model, *parts)


@pytest.mark.parametrize(
    ("tensors", "parts"),
    [
        ({"weight": torch.ones(9, 6, dtype=torch.int8)}, ("'weight.scale' missing",)),
        ({"weight.scale": torch.ones(9)}, ("'weight.scale' not expected",)),
        (
            {"weight": torch.ones(9, 6, dtype=torch.int8), "weight.scale": torch.ones(9, 1)},
            ("'weight.scale' has shape (9, 1), expected (9,)",),
        ),
        (
            {"weight": torch.ones(9, 6, dtype=torch.int8), "weight.scale": torch.full((9,), 1e999)},
            ("'weight.scale'", "NaN or infinite"),
        ),
        (
            {"weight": torch.full((9, 6), 127, dtype=torch.int8),
             "weight.scale": torch.full((9,), 3e38)},
            ("'weight'", "NaN or infinite"),
        ),
        ({"weight": torch.ones(9, 6, dtype=torch.int16)}, ("'weight' is I16",)),
    ],
)  # fmt: skip
def test_a_softmax_in_whole_numbers_that_is_not_whole(
    tensors: dict[str, torch.Tensor], parts: tuple[str, ...], model: Path
):
    path = model / "softmax.safetensors"
    save_file({**load_file(path), **tensors}, path)
    expect(FormatError, model, "softmax.safetensors", *parts)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ("is not JSON",)),
        (b'{"format": "relmo",', ("is not JSON", "line 1")),
        (b'"relmo"', ("expected a JSON object", "str")),
        (b'{"format": "\xe9"}', ("is not UTF-8", "byte 12")),
        (b"[" * 100_000, ("is not JSON",)),
    ],
)
def test_a_config_that_is_no_json_object(content: bytes, parts: tuple[str, ...], model: Path):
    (model / "config.json").write_bytes(content)
    expect(FormatError, model, "config.json", *parts)
    with pytest.raises(FormatError, match=r"relmo: config\.json: .*; bilm_hdf5: it has no"):
        detect.read(model)


# --- tensors --------------------------------------------------------------------------------------


def without(tensors: dict[str, torch.Tensor]) -> None:
    del tensors[BIAS]


def superfluous(tensors: dict[str, torch.Tensor]) -> None:
    tensors["optimizer.step"] = torch.zeros(1)


def reshaped(tensors: dict[str, torch.Tensor]) -> None:
    tensors[BIAS] = tensors[BIAS].reshape(4, 12)


def integer(tensors: dict[str, torch.Tensor]) -> None:
    tensors[BIAS] = tensors[BIAS].int()


def not_a_number(tensors: dict[str, torch.Tensor]) -> None:
    tensors[BIAS][7] = float("nan")


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (without, (f"'{BIAS}' missing", "config.json")),
        (superfluous, ("'optimizer.step' not expected from config.json",)),
        (reshaped, (f"'{BIAS}' has shape (4, 12), expected (48,) from config.json",)),
        (integer, (f"'{BIAS}' is I32, expected one of BF16, F16, F32, F64",)),
        (not_a_number, (f"'{BIAS}' holds 1 number", "NaN")),
    ],
)
def test_tensors_that_the_config_does_not_ask_for(
    spoil: Callable[[dict[str, torch.Tensor]], None], parts: tuple[str, ...], model: Path
):
    tensors = load_file(model / "model.safetensors")
    spoil(tensors)
    save_file(tensors, model / "model.safetensors")
    expect(FormatError, model, "model.safetensors", *parts)


@pytest.mark.parametrize("name", ["model.safetensors", "softmax.safetensors"])
@pytest.mark.parametrize("kept", [0, 4, 8, 200, 0.5, -1])
def test_truncated_safetensors(name: str, kept: float, model: Path):
    data = (model / name).read_bytes()
    n_bytes = int(kept * len(data)) if isinstance(kept, float) else kept
    (model / name).write_bytes(data[:n_bytes])
    expect(FormatError, model, name, "cannot be read as safetensors")


@pytest.mark.parametrize(
    "content",
    [
        b"just text, and a little more of it\n",
        b"\x89HDF\r\n\x1a\n" + b"\0" * 3000,
        b"\xff" * 8 + b"{}",
        (10**15).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
    ],
)
def test_foreign_files_named_safetensors(content: bytes, model: Path):
    (model / "model.safetensors").write_bytes(content)
    expect(FormatError, model, "model.safetensors", "cannot be read as safetensors")


def test_files_that_are_not_there(model: Path, tmp_path: Path):
    (model / "vocab.txt").unlink()
    expect(FormatError, model, "softmax.safetensors", "expected vocab.txt beside it")
    (model / "model.safetensors").unlink()
    expect(FormatError, model, "has no model.safetensors")
    (model / "config.json").unlink()
    expect(FormatError, model, "has no config.json")
    expect(InputError, tmp_path / "nowhere", "is not a folder")


def test_what_comes_with_a_model_has_to_fit_too(model: Path):
    (model / "vocab.txt").write_text("\n".join(random_words(8)))
    expect(FormatError, model, "'weight' has shape (9, 6), expected (8, 6)", "softmax.safetensors")
    (model / "vocab.txt").write_bytes(b"<S>\n</S>\n\xff\n")
    expect(InputError, model, "vocab.txt", "line 3")
    (model / "vocab.txt").write_text("\n".join(random_words(9)))
    (model / "README.md").write_bytes(b"# \xff")
    expect(FormatError, model, "README.md", "is not UTF-8 at byte 2")


ADAPTIVE = {
    "head.weight": (6, 6), "head.bias": (6,),
    "tails.0.projection": (6, 1), "tails.0.weight": (2, 1), "tails.0.bias": (2,),
    "tails.1.projection": (6, 1), "tails.1.weight": (3, 1), "tails.1.bias": (3,),
}  # fmt: skip
"""Of 9 words: 4 in the head, which has a row for each of two tails."""


def with_adaptive(model: Path, changes: dict[str, tuple[int, ...] | None]) -> None:
    shapes = {name: shape for name, shape in {**ADAPTIVE, **changes}.items() if shape is not None}
    tensors = {name: torch.ones(shape) for name, shape in shapes.items()}
    save_file(tensors, model / "softmax.safetensors")


def test_an_adaptive_softmax_is_read_back_as_written(model: Path, tmp_path: Path):
    with_adaptive(model, {})
    checkpoint = relmo_format.read(model)
    assert checkpoint.softmax is not None
    assert {name: tuple(t.shape) for name, t in checkpoint.softmax.items()} == ADAPTIVE
    relmo_format.write(checkpoint, tmp_path / "again")
    assert_same(relmo_format.read(tmp_path / "again"), checkpoint)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tails.1.bias": None}, "'tails.1.bias' missing"),
        ({"tails.0.projection": None}, "'tails.0.projection' missing"),
        ({"tails.0.weight": None}, "'tails.0.weight' missing"),
        ({"head.bias": None}, "'head.bias' missing"),
        ({"head.weight": None}, "'weight', 'bias' missing"),
        ({"tails.2.bias": (1,)}, "'tails.2.bias' not expected"),
        ({"tails.7.weight": (1, 1), "tails.7.bias": (1,), "tails.7.projection": (6, 1)},
         "'tails.2.projection', 'tails.2.weight', 'tails.2.bias' missing"),
        ({"weight": (9, 6)}, "'weight' not expected"),
        ({"head.weight": (7, 6)}, r"'head.bias' has shape \(6,\), expected \(7,\)"),
        ({"head.weight": (6, 5)}, r"'head.weight' has shape \(6, 5\), expected \(6, 6\)"),
        ({"head.weight": ()}, r"'head.weight' has shape \(\), expected \(3, 6\)"),
        ({"head.weight": (0, 6)}, r"'head.weight' has shape \(0, 6\), expected \(3, 6\)"),
        ({"tails.0.weight": (1, 1), "tails.0.bias": (1,)},
         r"'tails.1.weight' has shape \(3, 1\), expected \(4, 1\)"),
        ({"tails.0.weight": (9, 1), "tails.0.bias": (9,)}, "'tails.1.weight' has shape"),
        ({"tails.0.weight": (0, 1), "tails.0.bias": (0,), "tails.1.weight": (5, 1),
          "tails.1.bias": (5,)}, r"'tails.0.weight' has shape \(0, 1\), expected \(1, 1\)"),
        ({"tails.0.weight": (2, 2), "tails.0.projection": (6, 2)},
         r"'tails.0.projection' has shape \(6, 2\), expected \(6, 1\)"),
        ({"tails.0.weight": ()}, "'tails.0.weight' has shape"),
    ],
)  # fmt: skip
def test_an_adaptive_softmax_that_does_not_fit(
    model: Path, changes: dict[str, tuple[int, ...] | None], message: str
):
    with_adaptive(model, changes)
    with pytest.raises(FormatError, match=message) as caught:
        relmo_format.read(model)
    assert "softmax.safetensors" in str(caught.value)


def test_a_folder_that_may_not_be_searched(model: Path, monkeypatch: pytest.MonkeyPatch):
    def locked(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "is_file", locked)
    for read in (relmo_format.read, detect.read):
        with pytest.raises(InputError, match=r"model': cannot be read: Permission denied"):
            read(model)


# --- disks ----------------------------------------------------------------------------------------

WRITERS = [relmo_format.write, bilm_hdf5.write]


@contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    """The system refuses to write further, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    sys.dont_write_bytecode = True  # a compiled module that is cut off would stay so
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        sys.dont_write_bytecode = False


def refuse(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("n_bytes", [10, 1000, 5000, 15_000])
def test_a_full_disk_is_an_input_error_and_leaves_the_earlier_model(
    write: Callable[..., None], n_bytes: int, checkpoint: Checkpoint, tmp_path: Path
):
    plain = dataclasses.replace(checkpoint, softmax=None, card=None)
    write(plain, tmp_path / "model")
    before = sorted(path.name for path in tmp_path.iterdir())
    other = dataclasses.replace(plain, tensors={k: 2 * v for k, v in plain.tensors.items()})
    for folder in (tmp_path / "model", tmp_path / "new"):
        with pytest.raises(InputError) as caught, files_of_at_most(n_bytes):
            write(other, folder)
        assert f"cannot write '{folder}'" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert_same(detect.read(tmp_path / "model"), plain)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("call", ["_flush", "_swap"])
def test_a_failure_at_the_very_end_leaves_the_earlier_model_too(
    write: Callable[..., None],
    call: str,
    checkpoint: Checkpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    plain = dataclasses.replace(checkpoint, softmax=None, card=None)
    write(plain, tmp_path / "model")
    monkeypatch.setattr(_files, call, refuse)
    with pytest.raises(
        InputError, match=r"cannot write '.*/model(/vocab\.txt)?': No space left on device"
    ):
        write(plain, tmp_path / "model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "source"]
    assert_same(detect.read(tmp_path / "model"), plain)


@pytest.mark.parametrize("write", WRITERS)
def test_a_folder_below_a_file_cannot_be_written(
    write: Callable[..., None], checkpoint: Checkpoint, tmp_path: Path
):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"cannot write '.*file/model'"):
        write(checkpoint, tmp_path / "file" / "model")


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_cannot_be_written(
    write: Callable[..., None], checkpoint: Checkpoint, tmp_path: Path
):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(InputError, match=r"cannot write '.*locked/model': Permission denied"):
        write(checkpoint, tmp_path / "locked" / "model")
