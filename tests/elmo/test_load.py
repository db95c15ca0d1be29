"""`relmo.load` by path, name and address; a server on loopback plays the world."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import relmo
from relmo.errors import InputError
from relmo.hub import _catalogue
from tests.helpers import tiny_model
from tests.hub.server import Page, Server, serving
from tests.hub.test_fetch import model


@pytest.fixture
def server(goldens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """It has the model of the goldens, which the catalogue calls "tiny"; the cache is empty."""
    monkeypatch.setenv("RELMO_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RELMO_OFFLINE", raising=False)
    monkeypatch.chdir(tmp_path)
    with serving() as running:
        files = {"options.json": "options.json", "weights.hdf5": "lm_weights.hdf5"}
        for name, fixture in files.items():
            running.pages[f"/{name}"] = Page((goldens / "allennlp" / fixture).read_bytes())
        known = model(
            *(_catalogue.File(name=name, urls=(running.url(f"/{name}"),)) for name in files)
        )
        monkeypatch.setattr(_catalogue, "catalogue", lambda: (known,))
        yield running


def golden(goldens: Path) -> relmo.Elmo:
    folder = goldens / "allennlp"
    return relmo.load(options=folder / "options.json", weights=folder / "lm_weights.hdf5")


def test_a_name_gives_the_vectors_of_its_files(server: Server, goldens: Path):
    told: list[str] = []
    elmo = relmo.load("tiny", progress=lambda name, *_: told.append(name))
    expected = golden(goldens).embed([["a", "cat"]], "all")[0]
    np.testing.assert_array_equal(elmo.embed([["a", "cat"]], "all")[0], expected)
    assert set(told) == {"options.json", "weights.hdf5"}
    relmo.load("t", offline=True)
    assert len(server.log) == 2


def test_addresses_of_the_two_files_serve_too(server: Server, goldens: Path):
    addresses = {
        "options": server.url("/options.json"),
        "weights": server.url("/weights.hdf5"),
    }
    for offline in (False, True):
        elmo = relmo.load(**addresses, offline=offline)
        expected = golden(goldens).embed([["a"]])[0]
        np.testing.assert_array_equal(elmo.embed([["a"]])[0], expected)
    assert len(server.log) == 2


def test_a_folder_of_that_name_wins(server: Server, tmp_path: Path):
    tiny_model(tmp_path / "tiny")
    assert relmo.load("tiny").dim == 8
    assert server.log == []


def test_a_path_is_never_a_name(server: Server):
    with pytest.raises(InputError, match="there is no such model folder"):
        relmo.load(Path("tiny"))
    assert server.log == []


@pytest.mark.parametrize("name", ["Tiny", "tiny ", "elmo-tiny", "tinny"])
def test_a_name_written_otherwise_is_told_the_right_one(name: str, server: Server):
    with pytest.raises(InputError, match=r"did you mean 'tiny'\? `relmo models` lists the names"):
        relmo.load(name)
    assert server.log == []


def test_offline_what_is_not_there_is_an_error(server: Server):
    with pytest.raises(InputError, match="not in the cache"):
        relmo.load("tiny", offline=True)
    assert server.log == []


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, " "])
def test_what_is_no_name_of_anything_is_an_input_error(name: str, server: Server):
    with pytest.raises(InputError, match="there is no such model folder"):
        relmo.load(name)
