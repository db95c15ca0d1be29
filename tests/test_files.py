"""Written aside and renamed: all or nothing, for a file and for a folder."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from relmo import _files
from relmo._files import locked, remove_leftovers, replacing_file, replacing_folder
from relmo.errors import InputError


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_file_appears_at_the_end_only_and_replaces_the_earlier_one(tmp_path: Path):
    for text in ("first", "second"):
        before = content(tmp_path)
        with replacing_file(tmp_path / "a.txt") as aside:
            assert (aside.parent, aside.suffix) == (tmp_path, ".txt")
            assert not aside.exists()
            aside.write_text(text)
            assert {**content(tmp_path), aside.name: ""} == {**before, aside.name: ""}
        assert content(tmp_path) == {"a.txt": text}


def test_a_folder_appears_at_the_end_only_and_replaces_the_earlier_one_whole(tmp_path: Path):
    for name in ("first", "second"):
        with replacing_folder(tmp_path / "deep" / "a") as aside:
            (aside / "sub").mkdir()
            (aside / "sub" / name).write_text(name)
        assert content(tmp_path) == {f"deep/a/sub/{name}": name}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a"]


@pytest.mark.parametrize("raised", [KeyError("x"), KeyboardInterrupt(), InputError("no")])
def test_any_error_passes_and_leaves_no_trace(raised: BaseException, tmp_path: Path):
    (tmp_path / "file").write_text("earlier")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("earlier")
    before = content(tmp_path)

    def write_file() -> None:
        with replacing_file(tmp_path / "file") as aside:
            aside.write_text("half")
            raise raised

    def write_folder() -> None:
        with replacing_folder(tmp_path / "folder") as aside:
            (aside / "file").write_text("half")
            raise raised

    for write in (write_file, write_folder):
        with pytest.raises(type(raised)) as caught:
            write()
        assert caught.value is raised
    assert content(tmp_path) == before
    assert len(list(tmp_path.iterdir())) == 2


def test_an_error_of_the_system_is_an_input_error_that_names_the_path(tmp_path: Path):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for replacing in (replacing_file, replacing_folder):
        with (
            pytest.raises(InputError, match=r"cannot write '.*out': No space left on device"),
            replacing(tmp_path / "out"),
        ):
            raise full
    assert list(tmp_path.iterdir()) == []


def test_a_missing_or_impossible_place_is_an_input_error(tmp_path: Path):
    with (
        pytest.raises(InputError, match=r"nowhere/a': No such file"),
        replacing_file(tmp_path / "nowhere" / "a") as aside,
    ):
        aside.write_text("x")
    (tmp_path / "file").write_text("mine")
    for replacing in (replacing_file, replacing_folder):
        with (
            pytest.raises(InputError, match=r"file/a': (Not a directory|File exists)"),
            replacing(tmp_path / "file" / "a") as aside,
        ):
            aside.write_text("x")
    (tmp_path / "folder").mkdir()
    with (
        pytest.raises(InputError, match=r"folder': Is a directory"),
        replacing_file(tmp_path / "folder") as aside,
    ):
        aside.write_text("x")
    with pytest.raises(InputError, match="file of that name"), replacing_folder(tmp_path / "file"):
        pass
    assert content(tmp_path) == {"file": "mine"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_where_nothing_can_be_exchanged_a_failed_renaming_brings_the_earlier_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_files, "_exchange", lambda one, other: False)
    with replacing_folder(tmp_path / "a") as aside:
        (aside / "file").write_text("first")
    with replacing_folder(tmp_path / "a") as aside:
        (aside / "file").write_text("second")
    assert content(tmp_path) == {"a/file": "second"}
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_text("earlier")
    rename = Path.rename

    def fail_for_the_new_one(path: Path, target: Path) -> Path:
        if (path / "new").exists():
            raise PermissionError(errno.EACCES, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new_one)
    with (
        pytest.raises(InputError, match="Permission denied"),
        replacing_folder(tmp_path / "a") as aside,
    ):
        (aside / "new").write_text("later")
    assert content(tmp_path) == {"a/file": "earlier"}


def test_permissions_are_those_of_any_new_file(tmp_path: Path):
    (tmp_path / "plain").write_text("x")
    (tmp_path / "plain folder").mkdir()
    with replacing_file(tmp_path / "a") as aside:
        aside.write_text("x")
    with replacing_folder(tmp_path / "b"):
        pass
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "b").stat().st_mode == (tmp_path / "plain folder").stat().st_mode


def test_links_are_followed_and_long_names_have_room(tmp_path: Path):
    (tmp_path / "real").write_text("earlier")
    (tmp_path / "link").symlink_to("real")
    with replacing_file(tmp_path / "link") as aside:
        aside.write_text("later")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "later"
    with replacing_file(tmp_path / ("x" * 250 + ".txt")) as aside:
        aside.write_text("x")


def test_what_is_written_is_flushed_before_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    flushed: list[Path] = []
    monkeypatch.setattr(_files, "_flush", flushed.append)
    with replacing_folder(tmp_path / "a") as aside:
        (aside / "sub").mkdir()
        for name in ("one", "sub/two"):
            (aside / name).write_text("x")
    assert sorted(path.name for path in flushed) == ["one", "two"]


@pytest.mark.skipif(sys.platform != "linux", reason="renameat2 is Linux's")
def test_two_folders_change_names_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(f"once {name}")
    assert _files._exchange(tmp_path / "a", tmp_path / "b")
    assert content(tmp_path) == {"a/file": "once b", "b/file": "once a"}
    with pytest.raises(FileNotFoundError):
        _files._exchange(tmp_path / "a", tmp_path / "nothing")

    def never(path: Path, target: Path) -> Path:
        raise AssertionError("a moment without the folder")

    monkeypatch.setattr(Path, "rename", never)
    with replacing_folder(tmp_path / "a") as aside:
        (aside / "file").write_text("new")
    assert content(tmp_path) == {"a/file": "new", "b/file": "once a"}


def test_if_the_exchange_fails_the_earlier_folder_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_text("earlier")

    def refuse(one: Path, other: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(_files, "_exchange", refuse)
    with (
        pytest.raises(InputError, match=r"cannot write '.*a': Permission denied"),
        replacing_folder(tmp_path / "a") as aside,
    ):
        (aside / "file").write_text("later")
    assert content(tmp_path) == {"a/file": "earlier"}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path: Path):
    for replacing, name in ((replacing_file, "a.txt"), (replacing_folder, "b")):
        with replacing(tmp_path / name) as aside:
            (aside / "x" if replacing is replacing_folder else aside).write_text("whole")
    left = [_files._beside(tmp_path / name) for name in ("a.txt", "b")]
    left.append(_files._beside(left[1]))  # a model written aside within a checkpoint
    left[0].write_text("half")
    for folder in left[1:]:
        folder.mkdir()
        (folder / "x").write_text("half")
    others = ["a.txt.aside", ".a.0123456789ab.aside", ".b2.0123456789ab.aside", ".b.aside"]
    for name in others:
        (tmp_path / name).write_text("mine")
    for name in ("a.txt", "b"):
        remove_leftovers(tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", "b", *others}


def test_a_leftover_stays_where_it_may_be_all_there_is(tmp_path: Path):
    left = _files._beside(tmp_path / "a")
    left.mkdir()
    remove_leftovers(tmp_path / "a")
    assert left.exists()


HOLDER = """
import pathlib, sys
from relmo._files import locked
with locked(pathlib.Path(sys.argv[1]), "never"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_keeps_every_other_process_out_until_its_own_is_killed(tmp_path: Path):
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="held by another"), locked(path, "held by another"):
            pytest.fail("both have it")
        holder.send_signal(signal.SIGKILL)
    for _ in range(2):  # nothing has to be removed by hand
        with (
            locked(path, "held by another"),
            pytest.raises(InputError, match="in this one"),
            locked(path, "in this one"),
        ):
            pytest.fail("both have it")


def test_where_the_file_system_has_no_locks_the_block_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def without(descriptor: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(_files, "_lock", without)
    with locked(tmp_path / "lock", "held by another"):
        pass
    with pytest.raises(InputError, match=r"cannot write '.*no/lock': No such file"):
        locked(tmp_path / "no" / "lock", "held by another").__enter__()
