"""relmo folders whose lexicon.json is broken, missing or of another model."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from relmo.errors import FormatError
from relmo.formats import detect, relmo_format
from tests.formats.helpers import random_checkpoint
from tests.formats.test_hostile_relmo import expect


@pytest.fixture
def with_lexicon(goldens: Path, tmp_path: Path) -> Path:
    relmo_format.write(detect.read(goldens / "manylangs"), tmp_path / "lexicon")
    return tmp_path / "lexicon"


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (
            lambda v: v.pop("words"),
            ("expected the keys 'words' and 'characters', got 'characters'",),
        ),
        (lambda v: v.update(x=1), ("expected the keys",)),
        (lambda v: v.update(words="the"), ("'words' is no list of strings, nor null",)),
        (lambda v: v.update(characters=[1]), ("'characters' is no list of strings",)),
        (lambda v: v["words"].append("the"), ("'the' comes more than once",)),
        (
            lambda v: v["words"].append("x"),
            ("11 words and 44 characters, expected 10 words and 44",),
        ),
        (lambda v: v.update(words=None), ("no words and 44 characters, expected 10",)),
        (lambda v: v.update(words=None, characters=None), ("got neither",)),
        (lambda v: v["characters"].__setitem__(0, "x-"), ("no '<oov>' among the 44 characters",)),
    ],
)
def test_a_lexicon_that_is_none(with_lexicon: Path, change: Any, parts: tuple[str, ...]):
    path = with_lexicon / "lexicon.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    expect(FormatError, with_lexicon, "lexicon.json", *parts)


def test_a_lexicon_that_is_missing_or_not_asked_for(with_lexicon: Path, tmp_path: Path):
    model = tmp_path / "model"
    relmo_format.write(random_checkpoint(tmp_path / "source"), model)
    (with_lexicon / "lexicon.json").rename(model / "lexicon.json")
    expect(FormatError, with_lexicon, "lexicon.json: no lexicon, expected 10 words and 44 char")
    expect(FormatError, model, "lexicon.json: 10 words and 44 characters, expected no lexicon")
    (model / "lexicon.json").write_text("[")
    expect(FormatError, model, "lexicon.json", "is not JSON")


def test_a_lexicon_of_another_model_is_not_written(goldens: Path, tmp_path: Path):
    checkpoint = dataclasses.replace(detect.read(goldens / "manylangs"), lexicon=None)
    with pytest.raises(FormatError, match="lexicon: no lexicon, expected 10 words"):
        relmo_format.write(checkpoint, tmp_path / "b")
