"""What a model is made of is a regular file: a pipe in its place is an error, and nobody waits."""

import ast
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from relmo._files import open_regular
from relmo.errors import InputError, RelmoError
from relmo.formats import bilm_hdf5, detect, token_embeddings
from relmo.text.vocab import Vocabulary
from tests.formats.allennlp_state import elmo_state
from tests.formats.helpers import save_random
from tests.helpers import relmo, tiny_model, within
from tests.reference.bilm_numpy import random_model

pytestmark = pytest.mark.skipif(
    not hasattr(os, "mkfifo"), reason="the system has no named pipes"
)  # fmt: skip
GOLDENS = Path(__file__).parents[1] / "goldens"
FORMATS = Path(__file__).parents[2] / "src" / "relmo" / "formats"


def golden(name: str) -> Callable[[Path], object]:
    return lambda folder: shutil.copytree(GOLDENS / name, folder)


def trained(folder: Path) -> None:
    """As AllenNLP unpacks it."""
    options, arrays = random_model(1)
    (folder / "fta").mkdir(parents=True)
    save_random(folder / "other")
    (folder / "other" / "options.json").rename(folder / "fta" / "elmo.options_file")
    shutil.rmtree(folder / "other")
    torch.save(elmo_state(options, arrays, [], "elmo."), folder / "weights.th")


def with_softmax(folder: Path) -> None:
    tiny_model(folder, words=("<S>", "</S>", "<UNK>", "cat"))


MODELS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "relmo": (with_softmax, ("config.json", "model.safetensors", "vocab.txt", "README.md",
                             "softmax.safetensors")),
    "bilm_hdf5": (lambda folder: save_random(folder, n_words=11),
                  ("options.json", "weights.hdf5", "vocab.txt")),
    "bilm_tf": (golden("tf_checkpoint"), (
        "checkpoint", "model.ckpt-1234.index", "model.ckpt-1234.data-00000-of-00001",
        "options.json", "vocab.txt")),
    "tfhub": (golden("tfhub_module"), (
        "variables/variables.index", "variables/variables.data-00000-of-00001")),
    "manylangs": (golden("manylangs"), (
        "config.json", "encoder.pkl", "token_embedder.pkl", "word.dic", "char.dic")),
    "allennlp": (trained, ("weights.th", "fta/elmo.options_file")),
}  # fmt: skip
PASSED_OVER = ("checkpoint",)
"""Files that a model does without."""


@pytest.mark.parametrize(
    ("name", "file"), [(name, file) for name, (_, files) in MODELS.items() for file in files]
)
def test_a_pipe_in_a_model_is_an_error_at_once(name: str, file: str, tmp_path: Path):
    model = tmp_path / "m"
    MODELS[name][0](model)
    assert detect.read(model).format == name
    (model / file).unlink()
    os.mkfifo(model / file)
    with within(10):
        if file in PASSED_OVER:
            assert detect.read(model).format == name
            return
        with pytest.raises(RelmoError) as caught:
            detect.read(model)
    message = str(caught.value)
    assert "\n" not in message
    assert str(model) in message
    assert f"{Path(file).name}" in message, message
    assert "named pipe, expected a regular file" in message, message


@pytest.mark.parametrize("name", ["model.zip", "model.tar.gz", "weights.th", "model"])
def test_a_pipe_in_place_of_a_model_is_an_error_at_once(name: str, tmp_path: Path):
    os.mkfifo(tmp_path / name)
    with (
        within(10),
        pytest.raises(RelmoError, match=f"{name}'?: cannot be read: it is a named pipe"),
    ):
        detect.read(tmp_path / name)


def test_a_pipe_among_files_that_are_given_is_an_error_at_once(tmp_path: Path):
    model = save_random(tmp_path / "m", n_words=11)
    os.mkfifo(tmp_path / "pipe")
    given = {name: model / name for name in ("options.json", "weights.hdf5", "vocab.txt")}
    for name in given:
        files = {**given, name: tmp_path / "pipe"}
        with within(10), pytest.raises(InputError, match="pipe: cannot be read: it is a named pi"):
            bilm_hdf5.read(*files.values())
    with within(10), pytest.raises(InputError, match="pipe: cannot be read: it is a named pipe"):
        token_embeddings.read(tmp_path / "pipe", Vocabulary(["a"]), 3)


def test_the_spare_vocabulary_of_a_model_of_characters_is_left_if_it_is_a_pipe(tmp_path: Path):
    model = save_random(tmp_path / "m")
    os.mkfifo(model / "vocab.txt")
    with within(10):
        assert detect.read(model).vocab is None


def test_sockets_and_devices_are_not_opened_either(tmp_path: Path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        for path, kind in ((tmp_path / "s", "socket"), (Path("/dev/zero"), "device")):
            with within(10), pytest.raises(OSError, match=f"it is a {kind}, expected a regular"):
                open_regular(path)


def test_a_pipe_put_in_place_of_a_file_while_it_is_opened_is_refused(tmp_path: Path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(b"data")
    really = os.open

    def swapping(name: str, *arguments: int) -> int:
        path.unlink()
        os.mkfifo(path)
        return really(name, *arguments)

    monkeypatch.setattr(os, "open", swapping)
    with within(10), pytest.raises(OSError, match="it is a named pipe, expected a regular file"):
        open_regular(path)


def test_a_link_to_a_regular_file_is_read(tmp_path: Path):
    (tmp_path / "x").write_bytes(b"data")
    (tmp_path / "link").symlink_to(tmp_path / "x")
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"data"
    for path, error in ((tmp_path, IsADirectoryError), (tmp_path / "none", FileNotFoundError)):
        with pytest.raises(error):
            open_regular(path)


def test_readers_of_models_open_files_in_no_other_way():
    ways = ("open", "read_bytes", "read_text")
    found = {
        ast.unparse(node)
        for path in FORMATS.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and (node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func))
        in ways
    }
    # what is unpacked is written, and what is in an archive or an HDF5 file is no file
    assert found == {
        "target.open('xb')",
        "archive.open(member)",
        "tarfile.open(fileobj=source, mode='r:')",
        "h5py.h5o.open(group, _encoded(name))",
    }


def test_a_text_is_read_through_a_pipe_and_a_model_is_not(tmp_path: Path):
    tiny_model(tmp_path / "m")
    read, write = os.pipe()  # as a shell makes of <(...)
    os.write(write, b"a cat sat\n")
    os.close(write)
    try:
        ran = relmo("embed", f"/dev/fd/{read}", "--model", tmp_path / "m", "-o", tmp_path / "v.npz")
    finally:
        os.close(read)
    assert ran.code == 0, ran.err
    assert (tmp_path / "v.npz").is_file()
    os.mkfifo(tmp_path / "pipe")
    with within(10):
        ran = relmo(
            "embed", "-", "--model", tmp_path / "pipe", "-o", tmp_path / "w.npz", stdin="a cat\n"
        )
    assert ran.code == 2
    assert "pipe': cannot be read: it is a named pipe" in ran.err
