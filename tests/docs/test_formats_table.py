"""The README's table of formats is what the detector knows, and what it says is so."""

from pathlib import Path

import pytest

from relmo.config import LayerMix
from relmo.elmo.model import Elmo
from relmo.formats import detect
from relmo.formats.detect import FORMATS, Format
from relmo.text.vocab import SPECIALS
from tests.docs import formats_table
from tests.helpers import tiny_elmo

WRITTEN = [each for each in FORMATS if each.writes]


def test_the_table_in_the_readme_is_that_of_the_formats():
    page = formats_table.PAGE.read_text(encoding="utf-8")
    assert page == formats_table.renewed(page), "run: python -m tests.docs.formats_table"
    for each in FORMATS:
        assert each.title, f"{each.name} has no title for the table"
        assert f"| {each.title} |" in page


@pytest.mark.parametrize("each", WRITTEN, ids=lambda each: each.name)
def test_a_written_format_keeps_what_the_table_says(each: Format, tmp_path: Path):
    elmo = tiny_elmo(words=[*SPECIALS, "cat"])
    elmo.mixes = (LayerMix(weights=(0.3, -0.2, 0.1), gamma=1.7),)
    elmo.save(tmp_path / "model", format=each.name)
    found = detect.read(tmp_path / "model")
    assert found.format == each.name
    assert bool(found.mixes) == each.has_mix
    assert (found.softmax is not None) == each.has_softmax


def test_every_format_that_save_knows_is_marked_as_written():
    annotation = Elmo.save.__annotations__["format"]
    assert set(annotation.__args__) == {each.name for each in WRITTEN}
