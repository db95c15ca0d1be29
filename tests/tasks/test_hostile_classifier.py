"""Folders that are no classifiers, or were tampered with: one clear error each."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from relmo.errors import ConfigError, FormatError, InputError, RelmoError
from relmo.tasks.classifier import Classifier, ClassifierNetwork
from relmo.text.vocab import Vocabulary
from tests.tasks.classifier_helpers import LABELS, config
from tests.tasks.helpers import elmo


@pytest.fixture
def folder(tmp_path: Path, whole: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "classifier"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "whole"
    words = Vocabulary(["<UNK>", "a"])
    network = ClassifierNetwork(config(word_dim=4), 3, (3, 8), len(words))
    Classifier(network, LABELS, words=words, elmo=elmo()).save(folder)
    return folder


def changed(folder: Path, **changes: Any) -> Path:
    """The folder with another config.json; a value of `...` is a key left out."""
    path = folder / "config.json"
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not ...}))
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "relmo-tagger"}, "'format' is 'relmo-tagger', expected 'relmo-classifier'"),
        ({"version": 2}, "'version' is 2, expected 1; a newer relmo"),
        ({"labels": ...}, "the key 'labels' is missing"),
        ({"labels": ["a", "a", "b"]}, "expected different ones"),
        ({"labels": ["a", "b"]}, "has shape"),
        ({"words_sha256": ...}, "the key 'words_sha256' is missing"),
        ({"words_sha256": None}, "'words_sha256' is None, but word_dim 4"),
        (
            {"words_sha256": 1},
            r"vocab\.txt: not the words of config\.json: expected .* sha256 1\.\.\.",
        ),
        ({"more": 1}, "the key 'more' is unknown"),
        ({"classifier": []}, "classifier: expected an object"),
        ({"elmo": None}, "'elmo' is None, but classifier.elmo true"),
        ({"elmo": {"source": "here", "sha256": "0", "n_layers": 3, "dim": 8}}, "of sha256 0"),
        ({"elmo": {"source": "here", "sha256": "0", "n_layers": 3, "dim": 10**9}}, "elmo.dim is"),
        ({"classifier": config(word_dim=4, layers="3").to_dict()}, "has the layers 0 to 2"),
        ({"classifier": config(word_dim=4, pairs=True).to_dict()}, "has shape"),
        ({"classifier": config(word_dim=4, lstm_dim=65536, n_layers=64).to_dict()}, "missing"),
    ],
)
def test_a_config_that_cannot_be_is_an_error(folder: Path, changes: dict[str, Any], message: str):
    with pytest.raises((FormatError, ConfigError, InputError), match=message):
        Classifier.load(changed(folder, **changes))


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_a_config_that_is_no_json_object_is_an_error(folder: Path, data: bytes):
    (folder / "config.json").write_bytes(data)
    with pytest.raises(FormatError, match=r"config\.json"):
        Classifier.load(folder)


def test_tensors_too_many_too_few_or_damaged_are_an_error(folder: Path):
    path = folder / "classifier.safetensors"
    tensors, data = load_file(path), path.read_bytes()
    for given, message in (
        ({**tensors, "more": torch.zeros(1)}, "'more' not expected"),
        ({k: v for k, v in tensors.items() if k != "scores.bias"}, "'scores.bias' missing"),
    ):
        save_file(given, path)
        with pytest.raises(FormatError, match=message):
            Classifier.load(folder)
    for damaged in (b"", data[:100], data[:-1], b"\x80\x04K\x01."):
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match=r"classifier\.safetensors"):
            Classifier.load(folder)


@pytest.mark.parametrize("words", ["", "<UNK>\n", "<UNK>\nb\n", "a\n<UNK>\n"])
def test_words_that_were_cut_off_or_changed_are_an_error_of_their_file(folder: Path, words: str):
    (folder / "vocab.txt").write_text(words)
    with pytest.raises(RelmoError, match=r"vocab\.txt: (not the words of|.*empty|no usable)"):
        Classifier.load(folder)


@pytest.mark.parametrize("name", ["config.json", "classifier.safetensors", "vocab.txt", "elmo"])
def test_a_file_that_is_missing_is_named(folder: Path, name: str):
    path = folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(RelmoError, match=name.replace(".", r"\.")):
        Classifier.load(folder)


def test_a_folder_that_is_no_classifier_is_said_to_be_none_and_not_replaced(folder: Path):
    with pytest.raises(InputError, match="is not a folder"):
        Classifier.load(folder / "nothing")
    with pytest.raises(FormatError, match="is not a classifier: "):
        Classifier.load(folder / "elmo")
    classifier = Classifier.load(folder)
    classifier.save(folder)
    (folder / "notes.txt").touch()
    with pytest.raises(InputError, match=r"it holds 'notes\.txt'"):
        classifier.save(folder)
