"""The git revision: there or not, clean or not, and nothing of the folder's is started."""

import subprocess
from pathlib import Path

import pytest

from relmo.errors import InputError
from relmo.train import description
from relmo.train.description import checksums, git_revision


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    ran = subprocess.run(
        ["git", "-C", folder, *who, *arguments], capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with one commit."""
    folder = tmp_path / "work"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "a.txt").write_text("a\n")
    git(folder, "add", "a.txt")
    git(folder, "commit", "--quiet", "-m", "a")
    return folder


def test_a_checkout_is_clean_until_a_tracked_file_changes(checkout: Path):
    inside = checkout / "inside"
    inside.mkdir()
    (inside / "new.txt").write_text("untracked")
    clean = {"folder": str(checkout), "revision": git(checkout, "rev-parse", "HEAD"),
             "dirty": False}  # fmt: skip
    assert git_revision(checkout) == git_revision(inside) == clean
    (checkout / "a.txt").write_text("b\n")
    assert git_revision(inside) == {**clean, "dirty": True}


def test_without_a_checkout_a_commit_a_folder_or_git_there_is_none(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "--quiet")
    for folder in (tmp_path, tmp_path / "empty", tmp_path / "missing", checkout / "a.txt"):
        assert git_revision(folder) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_revision(checkout) is None


def test_a_git_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\nexec sleep 30\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(description, "_GIT_SECONDS", 0.05)
    assert git_revision(tmp_path) is None


def test_no_program_that_the_checkout_names_is_started(checkout: Path, tmp_path: Path):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(0o755)
    git(checkout, "config", "core.fsmonitor", str(program))
    hook = checkout / ".git" / "hooks" / "post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.symlink_to(program)
    (checkout / "a.txt").touch()
    assert git_revision(checkout) is not None
    assert not (tmp_path / "started").exists()


def test_a_file_that_is_gone_is_an_error(tmp_path: Path):
    with pytest.raises(InputError, match=r"gone\.txt: cannot be read: No such file"):
        checksums([tmp_path / "gone.txt"])
