"""Data sets of Hugging Face, with a stand-in for the library."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from relmo.data.labelled import read_labelled
from relmo.data.tagged import read_tagged
from relmo.errors import InputError, MissingExtraError


class Split(list[dict[str, Any]]):
    """Records, and features as the library's: labels have names, lists have a feature."""

    def __init__(self, features: dict[str, Any], records: list[dict[str, Any]]) -> None:
        super().__init__(records)
        self.features = features


TEXT = SimpleNamespace(dtype="string")
NER = SimpleNamespace(names=["O", "B-LOC"])


def ner(*records: tuple[list[str], list[int]]) -> Split:
    features = {"id": TEXT, "tokens": [TEXT], "ner_tags": SimpleNamespace(feature=NER)}
    return Split(features, [{"tokens": tokens, "ner_tags": tags} for tokens, tags in records])


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    made = SimpleNamespace(asked=[], data=ner((["in", "Rome"], [0, 1]), ([], []), (["a"], [0])))

    def load_dataset(name: str, config: str | None, *, split: str) -> Any:
        made.asked.append((name, config, split))
        if name == "nowhere":
            raise FileNotFoundError("no such data set")
        return made.data

    made.load_dataset = load_dataset
    made.load_from_disk = lambda folder: {"train": made.data, "test": made.data}
    monkeypatch.setitem(sys.modules, "datasets", made)
    return made


def test_labels_are_their_names_and_lines_are_records(library: SimpleNamespace):
    found = read_tagged("hf:owner/name:en@test")
    assert [(s.tokens, s.tags, s.line) for s in found] == [
        (("in", "Rome"), ("O", "B-LOC"), 1),
        (("a",), ("O",), 3),
    ]
    assert library.asked == [("owner/name", "en", "test")]
    read_tagged("hf:name", tag_column="ner_tags")
    assert library.asked[1:] == [("name", None, "train")]


def test_a_saved_data_set_is_its_folder(library: SimpleNamespace, tmp_path: Path):
    (tmp_path / "dataset_dict.json").write_text("{}")
    assert read_tagged(tmp_path)[0].tokens == ("in", "Rome")
    assert read_tagged(f"{tmp_path}@test")[0].source == f"{tmp_path}@test"
    with pytest.raises(InputError, match="@dev: datasets cannot load it: 'dev'"):
        read_tagged(f"{tmp_path}@dev")


def test_sentences_and_pairs_with_labels_are_read_too(library: SimpleNamespace):
    label = SimpleNamespace(names=["no", "yes"])
    features = {"sentence1": TEXT, "sentence2": TEXT, "label": label}
    library.data = Split(features, [{"sentence1": "a b", "sentence2": "c", "label": 1}])
    (found,) = read_labelled("hf:glue:rte@validation")
    assert (found.tokens, found.second, found.label) == (("a", "b"), ("c",), "yes")


def test_what_is_not_there_is_named(library: SimpleNamespace):
    for place, message in [
        ("hf:nowhere", "hf:nowhere: datasets cannot load it: no such data set"),
        ("hf:a", "hf:a: no column 'words'; it has 'id', 'tokens', 'ner_tags'"),
    ]:
        with pytest.raises(InputError, match=message):
            read_tagged(place, token_column="words")
    for data, message in [
        (ner((["a"], [2])), "hf:a: 2 is none of its 2 labels"),
        (ner((["a"], [-1])), "hf:a: -1 is none of its 2 labels"),
        (ner((["a", "b"], [1])), "hf:a: record 1: expected a tag for each of its 2 tokens, got 1"),
        (ner(), "hf:a: no sentence in it"),
    ]:
        library.data = data
        with pytest.raises(InputError, match=message):
            read_tagged("hf:a")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'relmo\[datasets\]'"):
        read_tagged("hf:name")
