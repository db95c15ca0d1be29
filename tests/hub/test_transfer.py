"""One file from an address to the disk; a server on loopback plays the world, good and bad."""

import hashlib
import re
import shutil
import sys
from pathlib import Path

import pytest

from relmo.errors import InputError
from relmo.hub import _download
from relmo.hub._download import download
from tests.hub.server import Page, Server

BODY = bytes(range(256)) * 4000  # 1 MB
SHA256 = hashlib.sha256(BODY).hexdigest()


def get(server: Server, folder: Path) -> str:
    return download(server.url("/a.bin"), folder / "a.bin", progress=server.watch)


def leftovers(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_comes_whole_with_its_checksum_and_progress(server: Server, tmp_path: Path):
    server.pages["/a.bin"] = Page(BODY)
    told: list[tuple[str, int, int | None]] = []
    path = tmp_path / "a.bin"
    sha256 = download(server.url("/a.bin"), path, progress=lambda *said: told.append(said))
    assert (sha256, path.read_bytes()) == (SHA256, BODY)
    assert told[0] == ("a.bin", 0, len(BODY))
    assert told[-1] == ("a.bin", len(BODY), len(BODY))
    assert leftovers(tmp_path) == ["a.bin"]
    assert server.log == ["/a.bin"]


def test_one_cut_off_goes_on_where_it_stopped(server: Server, tmp_path: Path):
    server.pages["/a.bin"] = Page(BODY, cut=[600_000, 200_000])
    sha256 = get(server, tmp_path)
    assert (sha256, (tmp_path / "a.bin").read_bytes()) == (SHA256, BODY)
    assert server.log == ["/a.bin", "/a.bin bytes=600000-", "/a.bin bytes=800000-"]
    assert leftovers(tmp_path) == ["a.bin"]


def test_the_next_process_goes_on_too(server: Server, tmp_path: Path):
    server.pages["/a.bin"] = Page(BODY, cut=[500_000, 0, 0, 0])
    with pytest.raises(InputError) as caught:
        get(server, tmp_path)
    assert str(caught.value).startswith(f"{server.url('/a.bin')}: ")
    assert str(caught.value).endswith(
        "(tried 4 times); its first 500000 bytes are kept; try again later"
    )
    assert leftovers(tmp_path) == [".a.bin.part", ".a.bin.part.json"]
    assert get(server, tmp_path) == SHA256
    assert server.log[-1] == "/a.bin bytes=500000-"


def test_a_part_that_is_whole_already_costs_one_byte(server: Server, tmp_path: Path):
    server.pages["/a.bin"] = Page(BODY, cut=[len(BODY) - 1, 0, 0, 0])
    with pytest.raises(InputError):
        get(server, tmp_path)
    (tmp_path / ".a.bin.part").write_bytes(BODY + b" and too much")
    assert get(server, tmp_path) == SHA256
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert server.log[-1] == f"/a.bin bytes={len(BODY) - 1}-"


@pytest.mark.parametrize("page", [Page(BODY, ranges=False), Page(BODY, etag=None)])
def test_without_ranges_or_versions_it_starts_anew(page: Page, server: Server, tmp_path: Path):
    page.cut = [400_000]
    server.pages["/a.bin"] = page
    assert get(server, tmp_path) == SHA256
    assert len(server.log) == 2


@pytest.mark.parametrize("etag", ['"two"', 'W/"one"'])
@pytest.mark.parametrize("body", [BODY[::-1], BODY + b"!", BODY[:-1], b"short"])
def test_a_file_that_changes_meanwhile_is_never_pieced_together(
    body: bytes, etag: str, server: Server, tmp_path: Path
):
    first = '"one"' if etag == '"two"' else 'W/"zero"'
    server.pages["/a.bin"] = Page(BODY, etag=first, cut=[400_000, 0, 0, 0])
    with pytest.raises(InputError):
        get(server, tmp_path)
    server.pages["/a.bin"] = Page(body, etag=etag)
    assert get(server, tmp_path) == hashlib.sha256(body).hexdigest()
    assert (tmp_path / "a.bin").read_bytes() == body


def test_the_same_version_in_another_length_is_another_file(server: Server, tmp_path: Path):
    server.pages["/a.bin"] = Page(BODY, cut=[400_000, 0, 0, 0])
    with pytest.raises(InputError):
        get(server, tmp_path)
    server.pages["/a.bin"] = Page(BODY[::-1] + b"!")
    get(server, tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == BODY[::-1] + b"!"


def test_two_failures_of_the_server_are_waited_out(server: Server, tmp_path: Path):
    server.pages["/a.bin"] = Page(BODY, fail=[500, 503])
    assert get(server, tmp_path) == SHA256
    assert len(server.log) == 3


def test_a_server_that_never_recovers_is_given_up(server: Server, tmp_path: Path):
    server.pages["/a.bin"] = Page(BODY, fail=[500] * 9)
    with pytest.raises(InputError, match=re.escape("answered 500 Internal Server Error (tried 4")):
        get(server, tmp_path)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("status", "said"), [(404, "answered 404 Not Found"), (403, "answered 403 Forbidden")]
)
def test_what_is_not_there_is_asked_for_once(
    status: int, said: str, server: Server, tmp_path: Path
):
    server.pages["/a.bin"] = Page(fail=[status])
    with pytest.raises(InputError, match=re.escape(said)):
        get(server, tmp_path)
    assert len(server.log) == 1
    assert leftovers(tmp_path) == []


def test_nobody_listening_is_an_input_error(tmp_path: Path):
    with pytest.raises(InputError, match=r"http://127\.0\.0\.1:9/a: .* \(tried 4 times\)"):
        download("http://127.0.0.1:9/a", tmp_path / "a.bin")


def test_a_length_too_long_is_never_whole(server: Server, tmp_path: Path):
    server.pages["/a.bin"] = Page(BODY, length=len(BODY) + 10)
    with pytest.raises(InputError, match="tried 4 times"):
        get(server, tmp_path)
    assert not (tmp_path / "a.bin").exists()


def test_a_length_too_short_gives_no_more_than_it_promised(server: Server, tmp_path: Path):
    """That such a file is not a model is for its reader to see."""
    server.pages["/a.bin"] = Page(BODY, length=1000)
    get(server, tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == BODY[:1000]


def test_an_error_is_not_as_long_as_the_data_it_quotes(server: Server, tmp_path: Path):
    server.pages["/a.bin"] = Page(BODY, headers={"Transfer-Encoding": "chunked"})
    with pytest.raises(InputError) as caught:
        get(server, tmp_path)
    assert len(str(caught.value)) < 400


def test_a_redirect_is_followed(server: Server, tmp_path: Path):
    server.pages["/old"] = Page(headers={"Location": server.url("/new")})
    server.pages["/new"] = Page(BODY)
    assert download(server.url("/old"), tmp_path / "a.bin") == SHA256


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1:9/a", "data:,a"])
def test_a_redirect_to_anything_but_http_is_refused(target: str, server: Server, tmp_path: Path):
    server.pages["/a.bin"] = Page(headers={"Location": target})
    with pytest.raises(InputError, match=re.escape(server.url("/a.bin"))):
        get(server, tmp_path)
    assert leftovers(tmp_path) == []


def test_credentials_are_for_their_host_and_not_for_where_it_redirects(
    server: Server, tmp_path: Path
):
    server.pages["/old"] = Page(headers={"Location": server.url("/new")})
    server.pages["/new"] = Page(BODY)
    download(server.url("/old").replace("//", "//me:se%63ret@"), tmp_path / "a.bin")
    assert [headers.get("Authorization") for headers in server.headers] == [
        "Basic bWU6c2VjcmV0",
        None,
    ]
    server.pages["/old"].headers["Location"] = server.url("/new").replace("//", "//me:secret@")
    with pytest.raises(InputError, match="redirects to an address with a user's name"):
        download(server.url("/old"), tmp_path / "b.bin")


def test_the_proxy_of_the_environment_is_asked(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("http_proxy", server.url(""))
    server.pages["http://models.example/a.bin"] = Page(BODY)
    assert download("http://models.example/a.bin", tmp_path / "a.bin") == SHA256


def test_an_address_of_other_letters_is_asked_for_as_the_web_does(server: Server, tmp_path: Path):
    server.pages["/%D1%91%20b.bin"] = Page(BODY)
    assert download(server.url("/ё b.bin#part"), tmp_path / "a.bin") == SHA256


def test_bytes_that_come_encoded_are_refused(server: Server, tmp_path: Path):
    server.pages["/a.bin"] = Page(BODY, headers={"Content-Encoding": "gzip"})
    with pytest.raises(InputError, match="sends it encoded as 'gzip', expected as it is"):
        get(server, tmp_path)
    server.pages["/a.tgz"] = server.pages["/a.bin"]
    assert download(server.url("/a.tgz"), tmp_path / "a.tgz") == SHA256


def test_a_web_page_is_no_model(server: Server, tmp_path: Path):
    server.pages["/a.bin"] = Page(b"<html>gone", headers={"Content-Type": "text/html; charset=x"})
    with pytest.raises(InputError, match=r"answered with a web page \(text/html\)"):
        get(server, tmp_path)
    assert leftovers(tmp_path) == []


def test_a_file_larger_than_allowed_is_not_begun(server: Server, tmp_path: Path):
    server.pages["/a.bin"] = Page(BODY)
    with pytest.raises(InputError, match=f"{len(BODY)} bytes, expected at most 1000"):
        download(server.url("/a.bin"), tmp_path / "a.bin", max_bytes=1000)
    assert leftovers(tmp_path) == []


def test_a_file_larger_than_the_disk_is_not_begun(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    server.pages["/a.bin"] = Page(BODY)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(_download.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=f"needs {len(BODY)} bytes, but '.*' has room for 1000"):
        get(server, tmp_path)
    assert leftovers(tmp_path) == []


def test_a_disk_that_fills_up_keeps_the_part_and_no_more(server: Server, tmp_path: Path):
    """A limit on the size of files stands in for a full disk."""
    resource = pytest.importorskip("resource")
    server.pages["/a.bin"] = Page(BODY)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    sys.dont_write_bytecode = True  # a compiled module that is cut off would stay so
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        with pytest.raises(InputError, match=r"cannot write '.*': File too large; its first \d+"):
            get(server, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        sys.dont_write_bytecode = False
    assert leftovers(tmp_path) == [".a.bin.part", ".a.bin.part.json"]
    assert get(server, tmp_path) == SHA256
    assert server.log[-1].startswith("/a.bin bytes=")
