"""Archives of every kind, good ones and those that lie."""

import contextlib
import gzip
import io
import json
import logging
import os
import shutil
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import relmo
from relmo.errors import FormatError, InputError
from relmo.formats import _unpack, bilm_hdf5, detect, relmo_format
from tests.formats.helpers import assert_refused, assert_same, random_checkpoint, save_random

KINDS = ["zip", "zip stored", "tar", "tar.gz", "tar.bz2", "tar.xz"]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where archives are unpacked; nothing is left there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert not list(folder.glob("relmo-*"))


def packed(folder: Path, kind: str, below: str = "") -> Path:
    """The files of a folder in an archive whose name says nothing."""
    path = folder.parent / f"{folder.name}.{len(kind)}.part"
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    if kind.startswith("zip"):
        method = zipfile.ZIP_STORED if kind.endswith("stored") else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(path, "w", method) as archive:
            for file in files:
                archive.write(file, f"{below}{file.relative_to(folder)}")
        return path
    compression = kind.removeprefix("tar").removeprefix(".")
    with tarfile.open(path, f"w:{compression}") as archive:
        for file in files:
            archive.add(file, f"{below}{file.relative_to(folder)}")
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_in_an_archive_is_the_model(kind: str, tmp_path: Path):
    folder = save_random(tmp_path / "m")
    path = packed(folder, kind)
    found = detect.read(path)
    assert_same(found, bilm_hdf5.read_folder(folder))
    assert (found.format, found.source) == ("bilm_hdf5", path)


@pytest.mark.parametrize("below", ["model/", "./", "./model/"])
@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_it_may_lie_in_a_folder_of_the_archive(kind: str, below: str, tmp_path: Path):
    checkpoint = random_checkpoint(tmp_path / "source")
    relmo_format.write(checkpoint, tmp_path / "m")
    assert_same(detect.read(packed(tmp_path / "m", kind, below)), checkpoint)


def test_nlpls_zips_load_with_what_lies_beside_the_weights(
    tmp_path: Path, goldens: Path, caplog: pytest.LogCaptureFixture
):
    folder = tmp_path / "217"
    folder.mkdir()
    shutil.copy(goldens / "allennlp" / "lm_weights.hdf5", folder / "model.hdf5")
    shutil.copy(goldens / "allennlp" / "options.json", folder)
    vocab = (goldens / "allennlp" / "vocab_test.txt").read_bytes()
    (folder / "vocab.txt.gz").write_bytes(gzip.compress(vocab))
    for name in ("README", "LICENSE", "meta.json", "checkpoint", "model.ckpt-9.index",
                 "model.ckpt-9.meta", "model.ckpt-9.data-00000-of-00001"):  # fmt: skip
        (folder / name).write_text("{}")
    path = packed(folder, "zip")
    with caplog.at_level(logging.INFO, "relmo"):
        elmo = relmo.load(path)
    assert "not the TensorFlow checkpoint beside it" in caplog.text
    assert "model.ckpt-9" in caplog.text
    assert elmo.vocab is not None
    assert elmo.vocab.words == tuple(vocab.decode().split())
    sentence = json.loads((goldens / "allennlp" / "sentences.json").read_text())[0][0].split()
    expected = np.load(goldens / "allennlp" / "zero_state_layers.npz")["0_0"]
    (layers,) = elmo.embed([sentence], layers="all")
    np.testing.assert_allclose(layers, expected, rtol=1.2e-7, atol=1e-6)


def test_an_error_inside_names_the_archive_and_the_member(tmp_path: Path, temporary: Path):
    folder = save_random(tmp_path / "m")
    options = json.loads((folder / "options.json").read_text())
    options["lstm"]["dim"] = 13
    (folder / "options.json").write_text(json.dumps(options))
    path = packed(folder, "zip", "deep/")
    with pytest.raises(FormatError) as caught:
        detect.read(path)
    assert str(caught.value).startswith(f"bilm_hdf5: {path}/deep/weights.hdf5: ")
    assert str(temporary) not in str(caught.value)
    (folder / "weights.hdf5").unlink()
    path = packed(folder, "tar")
    with pytest.raises(FormatError, match=r"is no model that relmo reads: .*no \*\.hdf5") as caught:
        detect.read(path)
    assert str(path) in str(caught.value)
    assert str(temporary) not in str(caught.value)


# --- archives that lie ----------------------------------------------------------------------------


def expect(path: Path, *parts: str, error: type[Exception] = FormatError) -> None:
    assert_refused(path, f"archive: {path}", *parts, error=error)


def zip_of(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes], method: int = 8) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def tar_of(path: Path, *members: tarfile.TarInfo | tuple[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member, io.BytesIO(bytes(member.size)))
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return path


@pytest.mark.parametrize("make", [zip_of, tar_of])
@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/evil", "..\\evil", "C:\\evil", "C:evil", "a/.."]
)
def test_a_path_out_of_the_archive(name: str, make: Callable[..., Path], tmp_path: Path):
    expect(make(tmp_path / "m", ("good", b"1"), (name, b"2")), repr(name), "out of the archive")
    assert not list(tmp_path.rglob("*evil*"))
    assert not Path("/evil").exists()


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar(kind: bytes, tmp_path: Path):
    info = tarfile.TarInfo("weights.hdf5")
    info.type, info.linkname = kind, "/etc/passwd"
    expect(tar_of(tmp_path / "m", ("a", b"1"), info), "'weights.hdf5' is a link or a device")


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o010666])
def test_links_and_devices_in_a_zip(mode: int, tmp_path: Path):
    info = zipfile.ZipInfo("weights.hdf5")
    info.external_attr = mode << 16
    path = zip_of(tmp_path / "m", (info, b"/etc/passwd"))
    expect(path, "'weights.hdf5' is a link or a device")


def test_an_encrypted_zip(tmp_path: Path):
    data = bytearray(zip_of(tmp_path / "m", ("options.json", b"{}")).read_bytes())
    for magic, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(magic) + offset] |= 1
    (tmp_path / "m").write_bytes(data)
    expect(tmp_path / "m", "'options.json' is encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_packed_by_a_method_without_bounds(method: int, tmp_path: Path):
    expect(zip_of(tmp_path / "m", ("a", bytes(99)), method=method), f"by method {method}")


@pytest.mark.parametrize("make", [zip_of, tar_of])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_come_twice(make: Callable[..., Path], tmp_path: Path):
    expect(make(tmp_path / "a", ("x", b"1"), ("x", b"2")), "'x' comes more than once")
    expect(make(tmp_path / "b", ("x", b"1"), ("x/y", b"2")), "'x/y' comes more than once")
    expect(make(tmp_path / "c", ("x/y", b"1"), ("x", b"2")), "'x' comes more than once")


@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_names_that_are_too_long(make: Callable[..., Path], tmp_path: Path):
    expect(make(tmp_path / "a", ("x" * 300, b"1")), "too long a name")
    expect(make(tmp_path / "b", ("/".join(["x" * 200] * 9)[:1500], b"1")), "too long a name")


@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_too_many_members(make: Callable[..., Path], tmp_path: Path, monkeypatch):
    monkeypatch.setattr(_unpack, "MAX_MEMBERS", 5)
    expect(make(tmp_path / "m", *((f"f{n}", b"") for n in range(6))), "more than 5 files")


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_bomb_ends_at_the_bound(kind: str, tmp_path: Path, monkeypatch, temporary: Path):
    monkeypatch.setattr(_unpack, "SMALL_BYTES", 2**20)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "weights.hdf5").write_bytes(bytes(2**25))
    path = packed(tmp_path / "m", kind)
    assert path.stat().st_size < 2**17
    expect(path, "unpacks to too much", "at most 100 times its")


def test_no_archive_unpacks_to_more_than_the_greatest_size(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(_unpack, "MAX_BYTES", 2**12)
    expect(packed(save_random(tmp_path / "m"), "tar"), "at most 4096")


def test_a_size_that_a_zips_list_understates(tmp_path: Path):
    path = zip_of(tmp_path / "m", ("a", b"x" * 5000))
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2") + 24
    assert struct.unpack_from("<I", data, at) == (5000,)
    struct.pack_into("<I", data, at, 10)
    path.write_bytes(data)
    expect(path, "'a' is truncated or damaged")


def test_a_size_that_a_zips_list_overstates(tmp_path: Path):
    path = zip_of(tmp_path / "m", ("a", b"x" * 5000))
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\1\2") + 24, 6000)
    path.write_bytes(data)
    expect(path, "'a'")


def test_a_tar_that_declares_more_than_it_has(tmp_path: Path):
    path = tar_of(tmp_path / "m", ("a", bytes(5000)))
    path.write_bytes(path.read_bytes()[:3000])
    expect(path, "truncated or damaged")


def test_a_header_that_would_fill_the_memory(tmp_path: Path):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 2**25
    path = tmp_path / "m"
    with gzip.open(path, "wb") as file:
        file.write(info.tobuf())
        for _ in range(32):
            file.write(b"0" * 2**20)
    expect(path, "a header is longer than 8192 bytes")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_header_of_digits_which_takes_the_square_of_its_time(kind: bytes, tmp_path: Path):
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, 7 * 2**10
    (tmp_path / "m").write_bytes(info.tobuf() + b"1" * info.size + tarfile.TarInfo("a").tobuf())
    expect(tmp_path / "m", "a header at byte 512 has 256 digits in a row, expected a file")


def test_names_and_notes_as_long_as_they_may_be_are_read(tmp_path: Path):
    info = tarfile.TarInfo("/".join(["1" * 250] * 4 + ["é"]))
    info.pax_headers = {"SCHILY.xattr.user.note": "x" * 2000, "mtime": "1.5"}
    with tarfile.open(tmp_path / "m", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info)
    assert_refused(tmp_path / "m", "is no model that relmo reads")


def test_nothing_beside_the_unpacked_files_is_read(temporary: Path, goldens: Path, tmp_path: Path):
    shutil.copytree(goldens / "tf_checkpoint", tmp_path / "m")
    (tmp_path / "m" / "options.json").rename(temporary / "options.json")
    path = packed(tmp_path / "m", "tar")
    assert_refused(
        path, f"{path}/model.ckpt-1234.index: expected options.json beside it, found none"
    )


def test_a_member_of_negative_size(tmp_path: Path):
    data = bytearray(tarfile.TarInfo("x").tobuf())
    data[124:136] = (-1024).to_bytes(12, "big", signed=True)
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    (tmp_path / "m").write_bytes(bytes(data) * 4)
    expect(tmp_path / "m")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0.1, 0.4, 0.7])
def test_truncated_archives(kind: str, kept: float, tmp_path: Path):
    path = packed(save_random(tmp_path / "m"), kind)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(FormatError, match=r"archive: |is no model that relmo reads"):
        detect.read(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_byte_that_changed(kind: str, tmp_path: Path):
    path = packed(save_random(tmp_path / "m"), kind)
    data = bytearray(path.read_bytes())
    for at in range(20, len(data), len(data) // 10):
        spoilt = bytearray(data)
        spoilt[at] ^= 0x55
        path.write_bytes(spoilt)
        with contextlib.suppress(relmo.RelmoError):
            detect.read(path)  # a tar knows no checksum of its contents: a number is another


@pytest.mark.parametrize(
    "content",
    [b"PK\3\4" + bytes(50), b"\x1f\x8b" + bytes(50), gzip.compress(b"text", mtime=0), bytes(1024)],
)
def test_what_only_begins_like_an_archive(content: bytes, tmp_path: Path):
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(FormatError, match=r"archive: "):
        detect.read(tmp_path / "m")


def test_an_archive_in_an_archive_is_no_model(tmp_path: Path):
    (tmp_path / "outer").mkdir()
    shutil.move(packed(save_random(tmp_path / "m"), "zip"), tmp_path / "outer" / "m.zip")
    with pytest.raises(FormatError, match="is no model that relmo reads"):
        detect.read(packed(tmp_path / "outer", "zip"))


def test_a_disk_without_room_is_said_before_it_is_full(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    usage = shutil.disk_usage(tmp_path)._replace(free=_unpack.SPARE_BYTES + 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    for kind in ("zip", "tar.gz"):
        path = packed(save_random(tmp_path / "m"), kind)
        expect(path, f"and '{temporary}", "TMPDIR", error=InputError)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_an_archive_that_may_not_be_read(tmp_path: Path):
    path = packed(save_random(tmp_path / "m"), "zip")
    path.chmod(0)
    with pytest.raises(InputError, match="cannot be read"):
        detect.read(path)
