"""Folders and patterns stand for their files: all of them, once, sorted, the hidden ones left."""

import os
from pathlib import Path

import pytest

from relmo._read import expand
from relmo.data.corpora import Corpus
from relmo.errors import InputError

NAMES = ["b.txt", "a.txt", "2/c.txt", "10/d.jsonl", "10/.part.txt", ".git/config", ".hidden"]
SEEN = ["10/d.jsonl", "2/c.txt", "a.txt", "b.txt"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        path = tmp_path / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"text": "d"}' if name.endswith("jsonl") else f"{path.stem} x\n{name}\n")
    return tmp_path / "corpus"


def test_a_folder_is_its_files_in_order(folder: Path) -> None:
    files = [folder / name for name in SEEN]
    assert expand([folder]) == tuple(files)
    assert expand([folder / "b.txt", str(folder / "2")]) == (folder / "b.txt", folder / "2/c.txt")
    assert list(Corpus(folder)) == list(Corpus(files))
    assert list(Corpus(folder)) == [sentence for file in files for sentence in Corpus(file)]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.txt", ["a.txt", "b.txt"]),
        ("[b-z].txt", ["b.txt"]),
        ("?.txt", ["a.txt", "b.txt"]),
        ("**/*.txt", ["2/c.txt", "a.txt", "b.txt"]),
        ("**", SEEN),  # which finds folders, and what is in them
        ("*", SEEN),
        ("1?", ["10/d.jsonl"]),
    ],
)
def test_a_pattern_is_what_it_matches_each_file_once(
    folder: Path, pattern: str, names: list[str]
) -> None:
    assert expand([folder / pattern]) == tuple(folder / name for name in names)


def test_the_shards_of_the_one_billion_words_are_read_in_order(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        name = f"news.en-{number:05}-of-00100"
        (tmp_path / name).write_text(f"shard {number}\n")
    numbers = [sentence[1] for sentence in Corpus(tmp_path)]
    assert numbers == ["1", "2", "10"]
    assert list(Corpus(tmp_path / "news.en-*")) == list(Corpus(tmp_path))


def test_a_file_that_has_a_patterns_name_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "a[1].txt").write_text("itself")
    (tmp_path / "a1.txt").write_text("another")
    assert list(Corpus(tmp_path / "a[1].txt")) == [["itself"]]


def test_a_file_given_twice_is_read_twice(folder: Path) -> None:
    assert expand([folder / "a.txt"] * 2) == (folder / "a.txt",) * 2


def test_links_are_read_and_linked_folders_left(folder: Path) -> None:
    (folder / "e.txt").symlink_to(folder / "a.txt")
    (folder / "2" / "again").symlink_to(folder)  # without end, if it were followed
    assert expand([folder]) == tuple(folder / name for name in [*SEEN, "e.txt"])


def test_where_there_is_no_file_it_is_said(folder: Path) -> None:
    for what, message in [
        (folder / ".git" / "..." / "a", r"\.\.\./a: no such file"),
        (folder / "*.xz", r"\*\.xz: no file matches"),
        (folder / ("x" * 5000), "no such file"),
    ]:
        with pytest.raises(InputError, match=message):
            expand([what])
    (folder / "empty" / "inside").mkdir(parents=True)
    (folder / "empty" / ".hidden").write_text("x")
    with pytest.raises(InputError, match="empty: a folder without a file in it"):
        expand([folder / "empty"])
    (folder / "lost.txt").symlink_to(folder / "nowhere")
    with pytest.raises(InputError, match=r"lost\.txt: no such file"):
        list(Corpus(folder))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_an_error(folder: Path) -> None:
    (folder / "2").chmod(0)
    try:
        with pytest.raises(InputError, match="2: cannot be read"):
            expand([folder])
    finally:
        (folder / "2").chmod(0o700)
