"""What a run, a tagger or a cache is made of is a regular file too: nobody waits at a pipe."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from relmo._files import lacks, locked, read_json, read_regular
from relmo.cli import _config_file
from relmo.cli._config_file import ConfigFile
from relmo.errors import FormatError, InputError, RelmoError
from relmo.hub import _cache
from relmo.tasks import senses
from relmo.tasks.layer_cache import stored
from relmo.tasks.tagger import SHIPPED, Tagger
from relmo.train.folder import METRICS, RUN, RunFolder
from tests.helpers import tiny_elmo, within

pytestmark = pytest.mark.skipif(
    not hasattr(os, "mkfifo"), reason="the system has no named pipes"
)  # fmt: skip
PIPE = "it is a named pipe, expected a regular file"


def in_place_of(path: Path) -> Path:
    """A named pipe where a file may have been."""
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    return path


def test_a_pipe_in_the_folder_of_a_tagger_is_an_error_at_once(tmp_path: Path):
    for name in ("config.json", "tagger.safetensors", "vocab.txt", "README.md"):
        shutil.copytree(SHIPPED / "pos", tmp_path / name)
        in_place_of(tmp_path / name / name)
        with (
            within(10),
            pytest.raises(RelmoError, match=f"{name}.* is a named pipe, expected a regular file"),
        ):
            Tagger.load(tmp_path / name)


@pytest.mark.parametrize("name", [RUN, METRICS])
def test_a_pipe_in_the_folder_of_a_run_is_an_error_at_once(name: str, tmp_path: Path):
    in_place_of(tmp_path / name)
    folder = RunFolder(tmp_path)
    with within(10), pytest.raises(RelmoError, match=f"{name}: cannot be read: .*{PIPE}"):
        folder.description() if name == RUN else folder.metrics()


def test_a_lock_that_is_a_pipe_is_an_error_at_once(tmp_path: Path):
    with (
        within(10),
        pytest.raises(InputError, match=f"cannot write '.*lock': {PIPE}"),
        locked(in_place_of(tmp_path / "lock"), "busy"),
    ):
        pass


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_run_json_as_deep_as_can_be_is_an_error(text: str, tmp_path: Path):
    (tmp_path / RUN).write_text(text)
    with pytest.raises(FormatError, match=r"run\.json: is not JSON"):
        RunFolder(tmp_path).description()
    (tmp_path / METRICS).write_text('{"step": 1}\n' + text)
    assert RunFolder(tmp_path).metrics() == [{"step": 1}]
    assert _cache.read_notes(tmp_path / RUN) == {}


def test_a_configuration_comes_through_a_pipe_as_any_text_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_config_file, "_MOST_BYTES", 2**15)
    for text in ("steps = 3\n", "steps = 3\n" * 2**12):
        read, write = os.pipe()  # as a shell makes of <(...)
        os.write(write, text.encode())
        os.close(write)
        try:
            if len(text) < 2**15:
                assert ConfigFile.read(f"/dev/fd/{read}").values == {"steps": 3}
            else:
                with pytest.raises(InputError, match="longer than 32768 bytes"):
                    ConfigFile.read(f"/dev/fd/{read}")
        finally:
            os.close(read)


@pytest.mark.parametrize("reader", [read_regular, read_json])
def test_what_is_longer_than_it_may_be_is_not_read(reader: Callable[..., object], tmp_path: Path):
    (tmp_path / "x").write_text('{"a": 1}')
    assert reader(tmp_path / "x", limit=8) in (b'{"a": 1}', {"a": 1})
    with pytest.raises(FormatError, match="x: has more than 7 bytes, expected at most that"):
        reader(tmp_path / "x", limit=7)


def test_a_folder_says_what_stands_in_place_of_its_file(tmp_path: Path):
    assert lacks(tmp_path, "x") == "it has no x"
    (tmp_path / "x").mkdir()
    assert lacks(tmp_path, "x") == "its x is a folder, expected a regular file"
    (tmp_path / "x").rmdir()
    in_place_of(tmp_path / "x")
    assert lacks(tmp_path, "x") == "its x is a named pipe, expected a regular file"
    (tmp_path / "link").symlink_to(tmp_path / "y")
    assert lacks(tmp_path, "link") == "it has no link"
    (tmp_path / "y").touch()
    assert lacks(tmp_path, "link") is None


def test_averages_of_senses_that_are_a_pipe_are_an_error_at_once(tmp_path: Path):
    with within(10), pytest.raises(InputError, match=f"s: cannot be read: {PIPE}"):
        senses.load(in_place_of(tmp_path / "s"), tiny_elmo())


def test_what_the_cache_notes_of_a_file_is_nothing_where_it_is_a_pipe(tmp_path: Path):
    (tmp_path / "a").write_text(json.dumps({"bytes": 3}))
    assert _cache.read_notes(tmp_path / "a") == {"bytes": 3}
    with within(10):
        assert _cache.read_notes(in_place_of(tmp_path / "a")) == {}
    with within(10), pytest.raises(OSError, match=PIPE):
        _cache.sha256_of(tmp_path / "a")


def test_layers_that_are_a_pipe_are_written_anew(tmp_path: Path):
    sentences = [["a", "cat"]]
    path = stored(tiny_elmo(), sentences, tmp_path).path
    in_place_of(path)
    with within(10):
        assert stored(tiny_elmo(), sentences, tmp_path).path == path
    assert path.is_file()
