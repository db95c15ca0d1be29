"""Addresses that are not http: any file system of fsspec, and what is missing or wrong."""

import json
import sys
from pathlib import Path

import fsspec
import pytest

from relmo import hub
from relmo.errors import InputError, MissingExtraError
from tests.hub.server import Page, Server

BODY = bytes(range(256)) * 4000


def everything(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_any_file_system_of_fsspec_serves(home: Path):
    files = fsspec.filesystem("memory")
    files.pipe({"/m/options.json": b"{}", "/m/deep/weights.hdf5": b"1", "/m/.git": b"no"})
    folder = hub.fetch("memory://m")
    assert sorted(str(p.relative_to(folder)) for p in hub.verify(folder)) == [
        "deep/weights.hdf5",
        "options.json",
    ]
    assert hub.fetch("memory://m/options.json").read_bytes() == b"{}"
    files.rm("/m", recursive=True)
    assert hub.fetch("memory://m", offline=True) == folder


def test_a_folder_that_changed_between_attempts_is_fetched_anew(home: Path):
    files = fsspec.filesystem("memory")
    files.pipe({"/c/options.json": b"old", "/c/weights.hdf5": BODY})
    with pytest.raises(InputError, match="expected at most 100"):
        hub.fetch("memory://c", max_bytes=100)  # the first file came, the second did not
    (first,) = home.rglob("options.json")
    assert hub.fetch("memory://c") != first.parent
    files.pipe("/d/options.json", b"old")
    files.pipe("/d/weights.hdf5", BODY)
    with pytest.raises(InputError, match="expected at most 100"):
        hub.fetch("memory://d", max_bytes=100)
    files.pipe({"/d/options.json": b"new", "/d/weights.hdf5": b"new too"})
    folder = hub.fetch("memory://d")
    assert (folder / "options.json").read_bytes() == b"new"
    assert everything(folder) == [
        ".options.json.relmo.json",
        ".weights.hdf5.relmo.json",
        "options.json",
        "weights.hdf5",
    ]


def test_a_repository_of_the_hugging_face_hub_is_a_folder(
    server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
):
    """huggingface_hub's own file system, asking a server that answers as the hub does."""
    pytest.importorskip("huggingface_hub")
    files = {"options.json": b"{}", "weights.hdf5": BODY, ".gitattributes": b"no"}
    tree = [
        {"type": "file", "oid": f"{number:040}", "size": len(body), "path": name}
        for number, (name, body) in enumerate(files.items())
    ]
    about = {"id": "org/name", "sha": "a" * 40, "siblings": [], "private": False, "tags": []}
    json_type = {"Content-Type": "application/json"}
    server.pages["/api/models/org/name"] = Page(json.dumps(about).encode(), headers=json_type)
    server.pages["/api/models/org/name/tree/main"] = Page(
        json.dumps(tree).encode(), headers=json_type
    )
    for name, body in files.items():
        server.pages[f"/org/name/resolve/main/{name}"] = Page(body)
    monkeypatch.setitem(fsspec.config.conf, "hf", {"endpoint": server.url("")})
    folder = hub.fetch("hf://org/name")
    assert [path.name for path in hub.verify(folder)] == ["options.json", "weights.hdf5"]
    assert (folder / "weights.hdf5").read_bytes() == BODY
    n_asked = len(server.log)
    assert hub.fetch("hf://org/name", offline=True) == hub.fetch("hf://org/name") == folder
    assert len(server.log) == n_asked
    with pytest.raises(InputError, match=r"hf://org/none: .*404 Not Found"):
        hub.fetch("hf://org/none")
    assert len(server.log) <= n_asked + 2  # not again and again


def test_another_file_system_resumes_what_has_not_changed(home: Path):
    fsspec.filesystem("memory").pipe("/r/a.bin", BODY)
    path = hub.fetch("memory://r/a.bin")
    part = path.with_name(".a.bin.part")
    version = fsspec.filesystem("memory").ukey("/r/a.bin")
    notes = {"url": "memory://r/a.bin", "version": version, "bytes": len(BODY)}
    for version_then, start in ((version, b"\0" * 9), ("another", b"")):
        path.unlink()
        part.write_bytes(b"\0" * 9)
        part.with_name(".a.bin.part.json").write_text(
            json.dumps({**notes, "version": version_then})
        )
        assert hub.fetch("memory://r/a.bin").read_bytes() == start + BODY[len(start) :]
        path.with_name(".a.bin.relmo.json").unlink()


def test_a_file_address_is_where_it_is(tmp_path: Path):
    path = tmp_path / "a b.zip"
    path.touch()
    assert hub.fetch(path.as_uri()) == path
    assert hub.fetch(tmp_path.as_uri()) == tmp_path
    with pytest.raises(InputError, match="no such file or folder on this machine"):
        hub.fetch((tmp_path / "no").as_uri())


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nothing://here", "fsspec knows no such addresses"),
        ("memory://nothing/there", "there is no such file"),
        ("s3://bucket/model", "a library for s3:// is not installed"),
        ("http://", "not an address"),
        ("http://[", "not an address: Invalid IPv6 URL"),
        ("http://a..b/c", "not an address"),
        ("http://localhost:port/c", "not an address"),
    ],
)
def test_addresses_that_lead_nowhere_are_input_errors(url: str, said: str):
    if url.startswith("s3") and "s3fs" in sys.modules:
        pytest.skip("s3fs is here")
    with pytest.raises(InputError, match=said):
        hub.fetch(url)


def test_an_unknown_name_is_an_input_error():
    with pytest.raises(InputError, match="did you mean 'original'"):
        hub.fetch("orignal")


def test_http_needs_no_other_library(server: Server, monkeypatch: pytest.MonkeyPatch):
    for library in ("aiohttp", "filelock", "fsspec", "fsspec.core", "huggingface_hub"):
        monkeypatch.setitem(sys.modules, library, None)
    server.pages["/a.bin"] = Page(BODY)
    assert hub.fetch(server.url("/a.bin")).read_bytes() == BODY
    with pytest.raises(InputError, match=r"a library for s3:// is not installed: .*fsspec"):
        hub.fetch("s3://bucket/model")


def test_without_huggingface_hub_its_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "hf", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'relmo\[hf\]'"):
        hub.fetch("hf://org/name")
