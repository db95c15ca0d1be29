"""Names and addresses to paths in the cache; a server on loopback plays the world."""

import hashlib
import io
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from relmo import hub
from relmo._files import locked
from relmo.errors import FormatError, InputError
from relmo.hub import _catalogue, _download, _resolve
from relmo.hub._catalogue import File, Model, Part
from tests.helpers import within
from tests.hub.server import Page, Server

BODY = bytes(range(256)) * 4000


def model(*files: File) -> Model:
    return Model(
        name="tiny",
        aliases=("t",),
        title="tiny",
        language="en",
        files=files,
        format="bilm_hdf5",
        corpus="none",
        license="not stated",
        source="tests",
    )


@pytest.fixture
def tiny(server: Server, goldens: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A catalogue of one model, whose two files the server has; one address is dead."""
    for name, fixture in (("options.json", "options.json"), ("weights.hdf5", "lm_weights.hdf5")):
        server.pages[f"/{name}"] = Page((goldens / "allennlp" / fixture).read_bytes())
    known = model(
        File(name="options.json", urls=(server.url("/dead.json"), server.url("/options.json"))),
        File(name="weights.hdf5", urls=(server.url("/weights.hdf5"),)),
    )
    monkeypatch.setattr(_catalogue, "catalogue", lambda: (known,))
    return known


def everything(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def names(folder: Path) -> list[str]:
    return [name for name in everything(folder) if not name.startswith(".")]


@pytest.mark.parametrize("name", ["tiny", "t"])
def test_a_name_is_downloaded_once_into_one_folder(
    name: str, tiny: Model, server: Server, home: Path
):
    assert not hub.is_cached(tiny)
    folder = hub.fetch(name)
    assert folder == home / "models" / "tiny"
    assert names(folder) == ["options.json", "weights.hdf5"]
    assert hub.is_cached(tiny)
    asked = list(server.log)
    assert asked == ["/dead.json", "/options.json", "/weights.hdf5"]
    assert hub.fetch("tiny") == hub.fetch("tiny", offline=True) == folder
    assert server.log == asked


def test_what_every_address_said_is_in_the_error(tiny: Model, server: Server):
    server.pages.pop("/options.json")
    with pytest.raises(InputError) as caught:
        hub.fetch("tiny")
    assert f"{server.url('/dead.json')}: the server answered 404 Not Found; and " in str(
        caught.value
    )
    assert f"{server.url('/options.json')}: " in str(caught.value)


def test_an_archive_is_a_file(server: Server, home: Path):
    image = io.BytesIO()
    with zipfile.ZipFile(image, "w") as archive:
        archive.writestr("model.hdf5", b"1")
    server.pages["/11/210.zip"] = Page(image.getvalue())
    path = hub.fetch(server.url("/11/210.zip?raw=1"))
    assert (path.name, path.read_bytes()) == ("210.zip", image.getvalue())
    assert path.is_relative_to(home / "urls")
    assert hub.fetch(server.url("/11/210.zip?raw=1")) == path
    assert len(server.log) == 1


def test_two_addresses_of_one_name_are_two_files(server: Server):
    server.pages.update({"/a/options.json": Page(b"{}"), "/b/options.json": Page(b"[]")})
    paths = [hub.fetch(server.url(f"/{folder}/options.json")) for folder in "ab"]
    assert [path.read_bytes() for path in paths] == [b"{}", b"[]"]


def test_a_file_published_in_pieces_is_joined(
    server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
):
    pieces = [BODY[:300_000], BODY[300_000:]]
    parts = []
    for number, piece in enumerate(pieces):
        server.pages[f"/all.tgz.part-0{number}"] = Page(piece)
        md5 = hashlib.md5(piece, usedforsecurity=False).hexdigest()
        parts.append(Part(url=server.url(f"/all.tgz.part-0{number}"), md5=md5))
    known = model(File(name="all.tgz", parts=tuple(parts)))
    monkeypatch.setattr(_catalogue, "catalogue", lambda: (known,))
    path = hub.fetch("tiny")
    assert (path.name, path.read_bytes()) == ("all.tgz", BODY)
    assert everything(path.parent) == [".all.tgz.relmo.json", ".lock", "all.tgz"]


def test_a_piece_that_is_not_the_published_one_is_removed(
    server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
):
    server.pages["/all.tgz.part-00"] = Page(b"something else")
    part = Part(url=server.url("/all.tgz.part-00"), md5="0" * 32)
    known = model(File(name="all.tgz", parts=(part,)))
    monkeypatch.setattr(_catalogue, "catalogue", lambda: (known,))
    with pytest.raises(FormatError, match=r"has md5 .*, expected 00000"):
        hub.fetch("tiny")
    assert everything(home / "models" / "tiny") == [".lock"]


# --- what is in the cache -------------------------------------------------------------------------


def test_the_checksum_is_recorded_and_a_changed_file_refused(tiny: Model):
    folder = hub.fetch("tiny")
    weights = folder / "weights.hdf5"
    notes = json.loads((folder / ".weights.hdf5.relmo.json").read_text())
    assert notes["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert notes["bytes"] == weights.stat().st_size
    with weights.open("r+b") as file:
        file.write(b"?")
    with pytest.raises(FormatError, match=r"weights\.hdf5' has changed since its first use: .*"):
        hub.fetch("tiny")


def test_a_file_merely_touched_is_the_same(tiny: Model):
    folder = hub.fetch("tiny")
    os.utime(folder / "weights.hdf5", (1, 1))
    assert hub.fetch("tiny") == folder
    notes = json.loads((folder / ".weights.hdf5.relmo.json").read_text())
    assert notes["mtime_ns"] == 10**9


def test_verify_sees_a_change_that_left_length_and_time_alone(tiny: Model):
    folder = hub.fetch("tiny")
    weights = folder / "weights.hdf5"
    assert hub.verify(folder) == [folder / "options.json", weights]
    state = weights.stat()
    with weights.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x7f")
    os.utime(weights, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert hub.fetch("tiny") == folder
    with pytest.raises(FormatError, match="has changed"):
        hub.verify(folder)


def test_verify_leaves_what_is_not_in_the_cache_alone(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    assert hub.verify(tmp_path / "mine") == []


def test_files_put_there_by_hand_are_taken_and_recorded(tiny: Model, server: Server, home: Path):
    folder = home / "models" / "tiny"
    folder.mkdir(parents=True)
    for file in tiny.files:
        (folder / file.name).write_bytes(server.pages[f"/{file.name}"].body)
    assert hub.fetch("tiny", offline=True) == folder
    assert server.log == []
    assert (folder / ".options.json.relmo.json").exists()


@pytest.mark.parametrize("said", ["1", "true"])
def test_offline_is_said_and_nothing_is_asked(
    said: str, tiny: Model, server: Server, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RELMO_OFFLINE", said)
    with pytest.raises(InputError, match=r"tiny is not in the cache .* RELMO_OFFLINE"):
        hub.fetch("tiny")
    with pytest.raises(InputError, match="is not in the cache"):
        hub.fetch(server.url("/options.json"))
    assert server.log == []
    monkeypatch.setenv("RELMO_OFFLINE", "0")
    hub.fetch("tiny")


def test_without_a_network_one_line_says_so_at_once(
    tiny: Model, home: Path, monkeypatch: pytest.MonkeyPatch
):
    """Two addresses, whose names are looked up in vain, or for longer than anyone waits."""
    said = r"http://.*/dead\.json: no connection to .*; and http://.*/options\.json: no .*'box'.*"

    def fails(*_: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    monkeypatch.setattr(_download, "_WAITS", (99.0,) * 5)
    with within(5), pytest.raises(InputError, match=said + "RELMO_OFFLINE") as caught:
        hub.fetch("tiny")
    assert str(home / "models" / "tiny") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: time.sleep(60))
    monkeypatch.setattr(_download, "_CONNECT", 0.2)
    with within(5), pytest.raises(InputError, match=r"nothing heard for 0\.2 s; and"):
        hub.fetch("tiny")


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert hub.home() == tmp_path / "home"
    monkeypatch.delenv("RELMO_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert hub.home() == tmp_path / "xdg" / "relmo"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert hub.home() == tmp_path / ".cache" / "relmo"


def test_a_cache_folder_that_cannot_be_made_is_said(
    tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("RELMO_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"cannot write to the cache folder .*; set RELMO_HOME"):
        hub.fetch("tiny")


# --- several at once, and a kill ------------------------------------------------------------------


def _fetch(url: str, home: str) -> None:
    os.environ["RELMO_HOME"] = home
    hub.fetch(url)


def test_two_processes_and_two_threads_get_one_good_file(server: Server, home: Path):
    url = server.url("/a.bin")
    server.pages["/a.bin"] = Page(BODY)
    spawned = multiprocessing.get_context("spawn").Process(target=_fetch, args=(url, str(home)))
    threads = [threading.Thread(target=hub.fetch, args=(url,)) for _ in range(2)]
    for worker in (spawned, *threads):
        worker.start()
    for worker in (spawned, *threads):
        worker.join(60)
    assert spawned.exitcode == 0
    assert hub.fetch(url).read_bytes() == BODY
    assert server.log == ["/a.bin"]


def test_one_that_waits_too_long_for_another_says_so(
    tiny: Model, server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_resolve, "_PATIENCE", 0.2)
    (home / "models" / "tiny").mkdir(parents=True)
    with (
        locked(home / "models" / "tiny" / ".lock", "never"),
        pytest.raises(InputError, match=r"another process has been downloading into .*tiny"),
    ):
        hub.fetch("tiny")
    assert server.log == []


def test_a_process_forked_after_a_download_downloads_too(server: Server, home: Path):
    server.pages.update({"/a.bin": Page(BODY), "/b.bin": Page(BODY)})
    hub.fetch(server.url("/a.bin"))
    code = (
        "import os, sys; from relmo import hub; hub.fetch(sys.argv[1]); pid = os.fork()\n"
        "if not pid: hub.fetch(sys.argv[2]); os._exit(0)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )
    urls = [server.url("/a.bin"), server.url("/b.bin")]
    subprocess.run([sys.executable, "-c", code, *urls], check=True, timeout=60)
    assert hub.fetch(urls[1], offline=True).read_bytes() == BODY


def test_a_process_that_is_killed_leaves_no_final_file(server: Server, home: Path):
    """It is killed when the server has sent half; what came is used by the next."""
    server.pages["/a.bin"] = Page(BODY, cut=[500_000])
    server.arrived = -(10**9)  # so that the server keeps the connection open
    url = server.url("/a.bin")
    killed = subprocess.Popen(
        [sys.executable, "-c", "import sys; from relmo import hub; hub.fetch(sys.argv[1])", url]
    )
    part = None
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up and not (part and part.stat().st_size):
        part = next(iter(home.rglob(".a.bin.part")), None)
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait(30)
    server.arrived = 10**9
    assert part is not None
    assert not (part.parent / "a.bin").exists()
    with pytest.raises(InputError, match="not in the cache"):
        hub.fetch(url, offline=True)
    assert hub.fetch(url).read_bytes() == BODY
    assert server.log[1].startswith("/a.bin bytes=")
