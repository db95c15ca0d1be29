"""The recipe of classification: its data are found, its table is printed."""

import sys
from pathlib import Path

import pytest

from recipes import classify
from relmo.errors import InputError
from tests.helpers import tiny_model
from tests.tasks.classifier_helpers import TRAIN


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "classification").mkdir()
    text = "".join(f"{s.label} {' '.join(s.tokens)}\n" for s in TRAIN)
    for name in ("TREC.train.all", "TREC.test.all"):
        (tmp_path / "classification" / name).write_text(text)
    monkeypatch.setenv("RELMO_DATA", str(tmp_path))
    monkeypatch.setattr("os.fsync", lambda _: None)
    return tmp_path


def test_a_tenth_is_held_out_where_there_are_no_development_data(folder: Path):
    data = classify.read("trec", None)
    assert [len(part) for part in (data.train, data.dev, data.test)] == [27, 3, 30]
    assert {s.line for s in data.train}.isdisjoint(s.line for s in data.dev)


def test_the_table_has_a_row_of_each_setting_over_the_seeds(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    tiny_model(folder / "model")
    flags = ("--settings", "without,2,mix", "--seeds", "1,2", "--epochs", "1", "--model", "model",
             "--out", "runs", "--cache", "cache")  # fmt: skip
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["classify", "trec", *flags])
    classify.main()
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == ["without ELMo", "layer 2", "mix"]
    assert all(row.count("±") == 3 for row in rows)


def test_data_that_are_not_there_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match=r"expected stsa\.binary\.train in it"):
        classify.read("sst2", folder)
    monkeypatch.delenv("RELMO_DATA")
    with pytest.raises(InputError, match="name the folder of data with --data or RELMO_DATA"):
        classify.read("trec", None)
