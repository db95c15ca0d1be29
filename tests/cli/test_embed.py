import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.helpers import relmo, tiny_elmo, tiny_model

LINES = "The cat sat .\n\n  I love\tit \nThe cat sat .\n"
SENTENCES = ["The cat sat .", "", "I love\tit", "The cat sat ."]


def here() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def stored(name: str) -> list[np.ndarray]:
    if name.endswith(".npz"):
        with np.load(name) as arrays:
            return [arrays[str(n)] for n in range(len(arrays["sentences"]))]
    with h5py.File(name) as file:
        return [file[str(n)][()] for n in range(len(file) - 1)]


def assert_equal(arrays: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(arrays) == len(expected)
    for array, wanted in zip(arrays, expected, strict=True):
        assert array.dtype == wanted.dtype
        np.testing.assert_allclose(array, wanted, atol=1e-6)


@pytest.mark.parametrize("name", ["v.h5", "v.hdf5", "v.npz"])
def test_a_file_of_lines_becomes_arrays_under_their_line_numbers(name, model):
    Path("in.txt").write_text(LINES)
    ran = relmo("embed", "in.txt", "-o", name, "--model", model)
    size = Path(name).stat().st_size
    said = f"{size / 1000:.1f} kB"
    assert ran == (0, f"{name}: 4 sentences, 11 tokens in X s (X tokens/s), {said}\n", "")
    assert_equal(stored(name), tiny_elmo().embed(SENTENCES))


def test_arguments_files_and_standard_input_give_the_same(model):
    Path("in.txt").write_text(LINES)
    relmo("embed", "in.txt", "-o", "file.h5", "--model", model)
    relmo("embed", "-", "-o", "stdin.h5", "--model", model, stdin=LINES)
    relmo("embed", *SENTENCES, "-o", "arguments.h5", "--model", model)
    for other in ("stdin.h5", "arguments.h5"):
        assert_equal(stored(other), stored("file.h5"))
        with h5py.File("file.h5") as a, h5py.File(other) as b:
            assert a["sentence_to_index"][0] == b["sentence_to_index"][0]


def test_several_arguments_are_numbered_through(model):
    Path("in.txt").write_text("a b\n")
    ran = relmo("embed", "in.txt", "c d e", "-", "-o", "v.h5", "--model", model, stdin="f")
    assert ran.out.startswith("v.h5: 3 sentences, 6 tokens in ")
    with h5py.File("v.h5") as file:
        assert json.loads(file["sentence_to_index"][0]) == {"a b": "0", "c d e": "1", "f": "2"}


def test_the_file_is_in_the_layout_of_allennlp(model):
    relmo("embed", *SENTENCES, "-o", "v.h5", "--model", model, "--layers", "all")
    with h5py.File("v.h5") as file:
        assert sorted(file) == ["0", "1", "2", "3", "sentence_to_index"]
        assert [file[str(n)].shape for n in range(4)] == [
            (3, 4, 8),
            (3, 0, 8),
            (3, 3, 8),
            (3, 4, 8),
        ]
        assert file["0"].dtype == np.float32
        index = file["sentence_to_index"]
        assert index.shape == (1,)
        assert h5py.check_string_dtype(index.dtype) == ("utf-8", None)
        assert json.loads(index[0]) == {"The cat sat .": "3", "": "1", "I love\tit": "2"}


@pytest.mark.parametrize("layers", ["all", "top", "token", "average", "0", "2", "-1"])
def test_layers_are_those_of_the_library(layers, model):
    relmo("embed", *SENTENCES, "-o", "v.npz", "--model", model, f"--layers={layers}")
    chosen = int(layers) if layers.lstrip("-").isdigit() else layers
    assert_equal(stored("v.npz"), tiny_elmo().embed(SENTENCES, chosen))


def test_float16_halves_the_numbers(model):
    relmo("embed", "a b", "-o", "v.npz", "--model", model, "--dtype", "float16")
    (array,) = stored("v.npz")
    assert array.dtype == np.float16
    np.testing.assert_allclose(array, tiny_elmo().embed(["a b"])[0], atol=2e-3)


def test_a_small_token_budget_changes_nothing(model):
    relmo("embed", *SENTENCES, "-o", "v.npz", "--model", model, "--token-budget", "1")
    assert_equal(stored("v.npz"), tiny_elmo().embed(SENTENCES))


def test_forget_sentences_leaves_the_vectors_alone_in_the_file(model):
    relmo("embed", "a b", "-o", "v.h5", "--model", model, "--forget-sentences")
    with h5py.File("v.h5") as file:
        assert list(file) == ["0"]


def test_a_sentence_longer_than_a_file_name_is_a_sentence(model):
    ran = relmo("embed", "word " * 2000, "-o", "v.npz", "--model", model)
    assert ran.out.startswith("v.npz: 1 sentence, 2,000 tokens in ")


BAD_ARGUMENTS = {
    "missing.txt": "missing.txt: no such file (a sentence that looks like a file's name can be "
    "given on standard input, with -)",
    "some/where": "some/where: no such file (a sentence that looks like a file's name can be "
    "given on standard input, with -)",
    "my notes.txt": "my notes.txt: no such file (a sentence that looks like a file's name can be "
    "given on standard input, with -)",
    "folder": "folder: a folder, expected a text file",
    "latin1.txt": "latin1.txt: line 2: not UTF-8: byte 0xe9 at column 4 (unexpected end of data); "
    "convert the file to UTF-8",
    "cut.gz": None,
    "empty.txt": "no token in the input; expected one tokenized sentence per line",
    "blank.txt": "no token in the input; expected one tokenized sentence per line",
    "caf\udce9": "argument 'caf\\udce9': not UTF-8",
}


@pytest.mark.parametrize("argument", BAD_ARGUMENTS)
@pytest.mark.parametrize("name", ["v.h5", "v.npz"])
def test_bad_input_is_one_line_and_leaves_the_earlier_output(argument, name, model):
    Path("folder").mkdir()
    Path("latin1.txt").write_bytes(b"fine\ncaf\xe9\n")
    Path("cut.gz").write_bytes(bytes.fromhex("1f8b0800000000000003"))
    Path("empty.txt").touch()
    Path("blank.txt").write_text("\n \n")
    Path(name).write_text("earlier")
    before = here()
    ran = relmo("embed", argument, "-o", name, "--model", model)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("relmo: error: ")
    assert ran.err.count("\n") == 1
    if expected := BAD_ARGUMENTS[argument]:
        assert ran.err == f"relmo: error: {expected}\n"
    assert Path(name).read_text() == "earlier"
    assert here() == before


def test_standard_input_that_is_not_utf8_is_named_with_its_line(model):
    ran = relmo("embed", "-", "-o", "v.h5", "--model", model, stdin=b"fine\nok\ncaf\xe9\n")
    assert ran == (
        2, "", "relmo: error: standard input: line 3: not UTF-8: byte 0xe9 at column 4\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-o", "v.txt"], "v.txt: the name must end in .h5, .hdf5, .npz"),
        (["-o", "no/folder/v.h5"], "no/folder/v.h5: cannot be written: No such file or directory"),
        (["-o", "v.h5", "--layers", "7"], "layers: expected a number below 3, got 7"),
        (
            ["-o", "v.h5", "--model", "no/where"],
            "'no/where': there is no such model folder; `relmo models` lists the models known by "
            "name",
        ),
    ],
)
def test_bad_options_are_one_line(arguments, expected, model):
    if "--model" not in arguments:
        arguments = [*arguments, "--model", str(model)]
    assert relmo("embed", "a b", *arguments) == (2, "", f"relmo: error: {expected}\n")
    assert here() == []


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a b"],
        ["a b", "-o", "v.h5", "--layers", "some"],
        ["a b", "-o", "v.h5", "--dtype", "int8"],
        ["a b", "-o", "v.h5", "--token-budget", "0"],
    ],
)
def test_wrong_usage_exits_2(arguments, model):
    ran = relmo("embed", *arguments, "--model", model)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("relmo: error: ")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("name", ["v.h5", "v.npz"])
def test_a_full_disk_is_one_line_and_leaves_the_earlier_output(name, model):
    """A limit on the size of files stands in for a full disk."""
    Path(name).write_text("earlier")
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "sys.dont_write_bytecode = True; "  # a compiled module cut off would stay so
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)); "
        "from relmo.cli.main import run; run()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, "embed", "-", "-o", name, "--model", str(model)],
        input="a b c d e f g h\n" * 1000,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == f"relmo: error: {name}: cannot be written: File too large\n"
    assert here() == [name]
    assert Path(name).read_text() == "earlier"
