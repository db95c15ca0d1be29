"""Folders that are no taggers, or were tampered with: one clear error each."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from relmo.errors import ConfigError, FormatError, InputError, RelmoError
from relmo.tasks.tagger import Tagger, TaggerNetwork
from relmo.text.vocab import Vocabulary
from tests.tasks.helpers import config, elmo


@pytest.fixture
def folder(tmp_path: Path, whole: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "tagger"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "whole"
    words = Vocabulary(["<UNK>", "a"])
    network = TaggerNetwork(config(word_dim=4), 2, (3, 8), len(words))
    Tagger(network, ("O", "B-X"), "BIO", words=words, elmo=elmo()).save(folder)
    return folder


def changed(folder: Path, **changes: Any) -> Path:
    """The folder with another config.json; a value of `...` is a key left out."""
    path = folder / "config.json"
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not ...}))
    return folder


def test_what_was_written_is_read(folder: Path):
    assert Tagger.load(folder).predict(["a b"])[0].tokens == ("a", "b")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "relmo"}, "'format' is 'relmo', expected 'relmo-tagger'"),
        ({"version": 2}, "'version' is 2, expected 1; a newer relmo"),
        ({"tags": ...}, "the key 'tags' is missing"),
        ({"tags": []}, "expected different ones, at least 1"),
        ({"tags": ["O", "O"]}, "expected different ones"),
        ({"tags": ["O", 1]}, "expected a list of strings"),
        ({"tags": ["O", "B-X", "I-X"]}, "has shape"),
        ({"words_sha256": ...}, "the key 'words_sha256' is missing"),
        ({"words_sha256": None}, "'words_sha256' is None, but word_dim 4"),
        (
            {"words_sha256": 1},
            r"vocab\.txt: not the words of config\.json: expected .* sha256 1\.\.\.",
        ),
        ({"more": 1}, "the key 'more' is unknown"),
        ({"scheme": "BOI"}, "'scheme' is 'BOI', expected one of"),
        ({"tagger": []}, "tagger: expected an object"),
        ({"tagger": {}}, "tagger: the key 'elmo' is missing"),
        ({"elmo": None}, "'elmo' is None, but tagger.elmo true"),
        ({"elmo": {"source": "here"}}, "expected null or an object of source, sha256"),
        ({"elmo": {"source": 1, "sha256": "", "n_layers": 3, "dim": 8}}, "elmo.source is 1"),
        ({"elmo": {"source": "here", "sha256": "", "n_layers": 3, "dim": 10**9}}, "elmo.dim is"),
        ({"elmo": {"source": "here", "sha256": "", "n_layers": 3, "dim": 9}}, "has shape"),
        ({"elmo": {"source": "here", "sha256": "0", "n_layers": 3, "dim": 8}}, "of sha256 0"),
        ({"elmo": {"source": "a\0b", "sha256": "0", "n_layers": 3, "dim": 8}}, "no longer at"),
    ],
)
def test_a_config_that_cannot_be_is_an_error(folder: Path, changes: dict[str, Any], message: str):
    with pytest.raises((FormatError, ConfigError, InputError), match=message):
        Tagger.load(changed(folder, **changes))


def test_an_absurd_width_is_refused_before_memory_is_taken(folder: Path):
    shape = json.loads((folder / "config.json").read_text())["tagger"]
    wide = {**shape, "lstm_dim": 65536, "n_layers": 64}
    with pytest.raises(FormatError, match=r"tagger\.safetensors: .* missing"):
        Tagger.load(changed(folder, tagger=wide))


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000, b'"' + b"x" * 2**24]
)
def test_a_config_that_is_no_json_object_is_an_error(folder: Path, data: bytes):
    (folder / "config.json").write_bytes(data)
    with pytest.raises(FormatError, match=r"config\.json"):
        Tagger.load(folder)


def test_tensors_too_many_too_few_or_damaged_are_an_error(folder: Path):
    path = folder / "tagger.safetensors"
    tensors, data = load_file(path), path.read_bytes()
    for given, message in (
        ({**tensors, "more": torch.zeros(1)}, "'more' not expected"),
        ({k: v for k, v in tensors.items() if k != "crf.start"}, "'crf.start' missing"),
        ({**tensors, "crf.start": torch.zeros(3)}, r"'crf.start' has shape \(3,\)"),
    ):
        save_file(given, path)
        with pytest.raises(FormatError, match=message):
            Tagger.load(folder)
    for damaged in (b"", data[:100], data[:-1], b"\x80\x04K\x01."):
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match=r"tagger\.safetensors"):
            Tagger.load(folder)


@pytest.mark.parametrize("words", ["", "<UNK>\n", "<UNK>\nb\n", "a\n<UNK>\n"])
def test_words_that_were_cut_off_or_changed_are_an_error_of_their_file(folder: Path, words: str):
    (folder / "vocab.txt").write_text(words)
    with pytest.raises(RelmoError, match=r"vocab\.txt: (not the words of|.*empty|no usable)"):
        Tagger.load(folder)


@pytest.mark.parametrize("name", ["config.json", "tagger.safetensors", "vocab.txt", "elmo"])
def test_a_file_that_is_missing_is_named(folder: Path, name: str):
    path = folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(RelmoError, match=name.replace(".", r"\.")):
        Tagger.load(folder)


def test_a_card_that_is_no_text_is_an_error(folder: Path):
    (folder / "README.md").write_bytes(b"# caf\xe9")
    with pytest.raises(FormatError, match=r"README\.md: is not UTF-8 at byte 5"):
        Tagger.load(folder)


def test_a_folder_that_is_no_tagger_is_said_to_be_none(tmp_path: Path):
    with pytest.raises(InputError, match="is not a folder"):
        Tagger.load(tmp_path / "nothing")
    with pytest.raises(FormatError, match=r"is not a tagger: it has no config\.json"):
        Tagger.load(tmp_path)
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "config.json").write_text('{"format": "relmo-classifier"}')
    with pytest.raises(FormatError, match=r"best' is not a tagger: .*'format' is 'relmo-c"):
        Tagger.load(tmp_path)


def test_of_several_runs_one_has_to_be_named(folder: Path, tmp_path: Path):
    shutil.copytree(folder, tmp_path / "runs" / "seed-1" / "best")
    with pytest.raises(InputError, match=r"holds 1 runs; give one, such as '.*seed-1'"):
        Tagger.load(tmp_path / "runs")
    assert Tagger.load(tmp_path / "runs" / "seed-1").tags == ("O", "B-X")


def test_a_folder_that_is_no_tagger_is_not_replaced(folder: Path, tmp_path: Path):
    tagger = Tagger.load(folder)
    tagger.save(folder)  # an earlier tagger is
    (folder / "notes.txt").touch()
    with pytest.raises(InputError, match=r"it holds 'notes\.txt'"):
        tagger.save(folder)
    tagger.save(folder, overwrite=True)
    assert not (folder / "notes.txt").exists()
