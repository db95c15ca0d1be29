"""HDF5 files that lead out of themselves or into the deep: refused before a number is read."""

import ast
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from relmo.errors import FormatError
from relmo.formats import _hdf5, detect, token_embeddings
from relmo.text.vocab import Vocabulary
from tests.formats.helpers import save_random
from tests.helpers import within

ROOT = Path(__file__).parents[2]
BIAS = "CNN_proj/b_proj"
SECRET = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0], "f4")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of this machine that is not the model's: raw numbers, and beside it one of HDF5."""
    path = tmp_path / "secret"
    SECRET.tofile(path)
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = SECRET
    return path


def external_storage(file: h5py.File, secret: Path) -> None:
    stored = [(str(secret), 0, h5py.h5f.UNLIMITED)]
    file.create_dataset(BIAS, SECRET.shape, "f4", external=stored)


def external_storage_in_pieces(file: h5py.File, secret: Path) -> None:
    file.create_dataset(BIAS, SECRET.shape, "f4", external=[(str(secret), 4, 8), ("b", 0, 16)])


def external_link(file: h5py.File, secret: Path) -> None:
    file[BIAS] = h5py.ExternalLink(f"{secret}.h5", "/x")


def soft_link(file: h5py.File, secret: Path) -> None:
    file[BIAS] = h5py.SoftLink("/CNN/b_cnn_0")


def soft_link_to_an_external_one(file: h5py.File, secret: Path) -> None:
    file["a"] = h5py.ExternalLink(f"{secret}.h5", "/")
    file[BIAS] = h5py.SoftLink("/a/x")


def virtual(file: h5py.File, secret: Path) -> None:
    layout = h5py.VirtualLayout(SECRET.shape, "f4")
    layout[:] = h5py.VirtualSource(f"{secret}.h5", "x", SECRET.shape)
    file.create_virtual_dataset(BIAS, layout)


def virtual_of_itself(file: h5py.File, secret: Path) -> None:
    layout = h5py.VirtualLayout(SECRET.shape, "f4")
    layout[:] = h5py.VirtualSource(".", "CNN/b_cnn_1", SECRET.shape)
    file.create_virtual_dataset(BIAS, layout)


OUT_OF_THE_FILE: dict[Callable[[h5py.File, Path], None], tuple[str, ...]] = {
    external_storage: (f"'{BIAS}' has its numbers in another file, '", "/secret'"),
    external_storage_in_pieces: (f"'{BIAS}' has its numbers in another file, '", "/secret'"),
    external_link: (f"'{BIAS}' is an external link to '/x' in the file '", "/secret.h5'"),
    soft_link: (f"'{BIAS}' is a soft link to '/CNN/b_cnn_0'", "links are not followed"),
    soft_link_to_an_external_one: (" link to '/",),
    virtual: (f"'{BIAS}' is a virtual dataset",),
    virtual_of_itself: (f"'{BIAS}' is a virtual dataset",),
}


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
@pytest.mark.parametrize(("spoil", "parts"), OUT_OF_THE_FILE.items(), ids=lambda x: str(x)[:20])
def test_a_model_whose_numbers_are_elsewhere_is_refused(
    spoil: Callable[[h5py.File, Path], None],
    parts: tuple[str, ...],
    packed: bool,
    secret: Path,
    tmp_path: Path,
):
    model = save_random(tmp_path / "m")
    with h5py.File(model / "weights.hdf5", "a") as file:
        del file[BIAS]
        spoil(file, secret)
    if packed:
        model = Path(shutil.make_archive(str(tmp_path / "packed"), "gztar", model))
    with pytest.raises(FormatError) as caught:
        detect.read(model)
    for part in ("bilm_hdf5: ", f"{model}/weights.hdf5", *parts):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_token_vectors_in_another_file_are_refused(secret: Path, tmp_path: Path):
    with h5py.File(tmp_path / "v.hdf5", "w") as file:
        file.create_dataset("embedding", (3, 2), "f4", external=[(str(secret), 0, 24)])
    with pytest.raises(FormatError, match=r"v\.hdf5: 'embedding' has its numbers in another file"):
        token_embeddings.read(tmp_path / "v.hdf5", Vocabulary(["a", "b", "c"]), 2)


def listed(path: Path) -> dict[str, h5py.Dataset]:
    with _hdf5.opened(path, "where") as file:
        return _hdf5.datasets(file, "where")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_the_files_of_a_virtual_dataset_are_not_opened_even_for_its_shape(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    layout = h5py.VirtualLayout((4,), "f4", maxshape=(None,))
    source = h5py.VirtualSource(str(tmp_path / "pipe"), "x", (4,), maxshape=(None,))
    end = h5py.h5s.UNLIMITED
    layout[:end] = source[:end]
    with h5py.File(tmp_path / "v.hdf5", "w", libver="latest") as file:
        file.create_virtual_dataset("embedding", layout)
    with within(5), pytest.raises(FormatError, match="'embedding' is a virtual dataset"):
        token_embeddings.read(tmp_path / "v.hdf5", Vocabulary(["a", "b"]), 2)


@pytest.mark.parametrize("options", [{}, {"libver": "latest"}], ids=["old", "new"])
@pytest.mark.parametrize("n", [2_000, 50_000])
def test_groups_in_groups_are_refused_at_once_however_deep(
    n: int, options: dict[str, str], tmp_path: Path
):
    with h5py.File(tmp_path / "x.h5", "w", **options) as file:
        group = file.id
        for _ in range(n if options else 2_000):
            group = h5py.h5g.create(group, b"g")
    started = time.monotonic()
    with pytest.raises(FormatError, match="where: groups in groups, more than 32 deep: 'g/g/g"):
        listed(tmp_path / "x.h5")
    assert time.monotonic() - started < 1


def test_as_deep_as_is_allowed_a_dataset_is_found(tmp_path: Path):
    names = ["/".join("g" * n) + "/x" for n in (1, 5, 32)]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name in names:
            file[name] = np.ones(2)
    assert sorted(listed(tmp_path / "x.h5")) == sorted(names)
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file["/".join("g" * 33) + "/x"] = np.ones(2)
    with pytest.raises(FormatError, match="more than 32 deep"):
        listed(tmp_path / "x.h5")


def test_a_second_name_and_a_circle_of_names_are_refused(tmp_path: Path):
    for second, first in (("a/y", "a/x"), ("z", "/"), ("a/b", "a")):
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file["a/x"] = np.ones(2)
            file[second] = file[first]
        with pytest.raises(FormatError, match=f"'{second}' is a second name of '{first}'"):
            listed(tmp_path / "x.h5")


@pytest.mark.parametrize("options", [{}, {"libver": "latest"}], ids=["old", "new"])
def test_too_many_objects_are_not_opened(
    options: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_hdf5, "_MOST_LINKS", 100)
    with h5py.File(tmp_path / "x.h5", "w", **options) as file:
        for i in range(98):
            file.create_group(f"g{i:02}/{'h' * (i == 50)}")
    assert listed(tmp_path / "x.h5") == {}
    with h5py.File(tmp_path / "x.h5", "a", **options) as file:
        file["g70/x"] = file["g10/x"] = np.ones(2)
    with pytest.raises(FormatError, match="where: more than 100 groups and datasets"):
        listed(tmp_path / "x.h5")


def test_a_name_of_absurd_length_is_refused(tmp_path: Path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a/" + "é" * 1022] = np.ones(2)
    assert [len(name) for name in listed(tmp_path / "x.h5")] == [1024]
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file["a/" + "n" * 60_000] = np.ones(2)
    with pytest.raises(FormatError, match="is too long a name, expected 1024") as caught:
        listed(tmp_path / "x.h5")
    assert len(str(caught.value)) < 300


def changed(path: Path, before: bytes, after: bytes) -> None:
    """Replace bytes of a file in the older layout, which has no checksums."""
    data = path.read_bytes()
    assert before in data
    path.write_bytes(data.replace(before, after))


def test_a_name_that_is_a_path_is_refused(tmp_path: Path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["abcXdef"] = np.ones(2)
    changed(tmp_path / "x.h5", b"abcXdef", b"abc/def")
    with pytest.raises(FormatError, match="'abc/def' cannot be the name of a dataset"):
        listed(tmp_path / "x.h5")


def test_a_filter_that_would_be_loaded_from_the_file_system_is_refused(tmp_path: Path):
    values = np.arange(1000, dtype="f4")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=values, chunks=True, compression="gzip")
    # the number of the filter in its message: 1 is gzip, 32001 Blosc
    changed(tmp_path / "x.h5", b"\1\0\x08\0\1\0\1\0deflate\0", b"\x01\x7d\x08\0\1\0\1\0deflate\0")
    with pytest.raises(FormatError, match=r"'x' is packed by filter 32001 \('deflate'\), expected"):
        listed(tmp_path / "x.h5")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "gzip", "shuffle": True, "fletcher32": True},
        {"compression": "lzf"},
        {"scaleoffset": 3},
        {"track_order": True, "track_times": True},
        {"dtype": ">f2"},
    ],
    ids=str,
)
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_what_lies_in_the_file_is_read_however_it_is_stored(
    options: dict[str, object], libver: str, tmp_path: Path
):
    values = np.arange(600, dtype="f4").reshape(20, 30)
    with h5py.File(tmp_path / "x.h5", "w", libver=libver, track_order=True) as file:
        for name in ("b/c/x", "b/a", "é ü/\udcff", "é ü/a.b"):
            data = file.create_dataset(name.encode("utf-8", "surrogateescape"), data=values)
            data.attrs["note"] = "kept"
        file.create_dataset("x", data=values, **options)
        file["b"].attrs["empty"] = h5py.Empty("f4")
    with _hdf5.opened(tmp_path / "x.h5", "where") as file:
        found = _hdf5.datasets(file, "where")
        assert list(found) == ["b/a", "b/c/x", "x", "é ü/a.b", "é ü/\udcff"]
        for name, dataset in found.items():
            np.testing.assert_array_equal(_hdf5.read_tensor(dataset, name, "where"), values)


def opens_hdf5(path: Path) -> list[str]:
    """Where a module opens a file of HDF5 to read: each call of h5py.File with any mode but "w"."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [
        f"{path.relative_to(ROOT)}: line {call.lineno}"
        for call in calls
        if ast.unparse(call.func) in ("h5py.File", "File", "h5py.h5f.open")
        and [ast.unparse(mode) for mode in call.args[1:2]] != ["'w'"]
    ]


def test_one_place_of_the_library_opens_hdf5_to_read():
    modules = [
        path
        for folder in ("src", "examples", "recipes")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "h5py" in path.read_text()
    ]
    found = [place for path in modules for place in opens_hdf5(path)]
    assert [place.partition(":")[0] for place in found] == ["src/relmo/formats/_hdf5.py"]
