import sys
from pathlib import Path

import pytest
from matplotlib.text import Text

from relmo.errors import InputError, MissingExtraError
from relmo.explore import sense_plot
from relmo.explore.sense_map import SenseMap, compute, find_uses
from tests.helpers import tiny_elmo

MADE = [
    "The museum bought a work of art by an unknown painter .",
    "Her first published work was a book of short poems .",
    "Critics called the novel a work of genius , and the works that came after it were no less .",
    "The opera is his best known work for the stage .",
]
DONE = [
    "After years of hard work the team finished the bridge .",
    "He walks to work every morning at seven .",
    "The road was closed for repair work until Monday .",
]


def sense_map(made: list[str] = MADE, done: list[str] = DONE) -> SenseMap:
    labels = ["thing made"] * len(made) + ["activity"] * len(done)
    sentences = [sentence.split() for sentence in [*made, *done]]
    return compute(tiny_elmo(), "work", find_uses("work", sentences, labels))


def texts(drawn: SenseMap) -> list[Text]:
    return sense_plot._Picture(drawn, "tiny").page._figure.texts


@pytest.mark.parametrize("copies", [1, 4, 12])
def test_no_text_is_cut_at_the_border_and_every_layer_is_named(copies):
    numbered = [f"{n} {sentence}" for n in range(copies) for sentence in MADE]
    drawn = sense_map(numbered, DONE)
    placed = texts(drawn)
    width, height = placed[0].figure.bbox.size
    for text in placed:
        box = text.get_window_extent()
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= width, text
        assert box.y1 <= height, text
    words = [text.get_text() for text in placed]
    for name in ("work", "token layer", "layer 1", "layer 2", "thing made", "activity"):
        assert name in words


def test_the_words_of_a_few_uses_are_all_there_and_set_off():
    placed = texts(sense_map())
    bold = [text.get_text() for text in placed if text.get_fontweight() == "bold"]
    assert bold.count("work") == 1 + 2 * 7 + 1  # the title; two layers; one crowd of equal vectors
    assert bold.count("works") == 3
    assert "work: 7 uses," not in bold


@pytest.mark.parametrize("name", ["map.png", "map.svg", "map.pdf"])
def test_each_format_is_written_and_the_same_every_time(name, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")  # matplotlib's PDF and SVG hold the date
    sense_plot.draw(sense_map(), tmp_path / name)
    first = (tmp_path / name).read_bytes()
    assert first[:5] in (b"\x89PNG\r", b"<?xml", b"%PDF-")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    if name != "map.svg":  # its ids are random
        sense_plot.draw(sense_map(), tmp_path / name)
        assert (tmp_path / name).read_bytes() == first


ODD = [
    "$x_1$ \\frac{1}{2} work $ ^_^ % # & {} ~",
    "work on \N{SNOWMAN} \U0001f600 e\N{COMBINING ACUTE ACCENT} 仕事 をする 。",
    "هذا work عمل שלום",
    "a\0b\nc\td\x1b work \ud800 \N{ZERO WIDTH JOINER}",
    "work",
    "x" * 10_000 + " work " + "y" * 10_000,
    "<b> work </b> &amp; \\n",
]


def test_any_text_can_be_drawn_and_missing_glyphs_are_one_line_in_the_log(tmp_path, caplog):
    sentences = [sentence.split(" ") for sentence in ODD]
    drawn = compute(
        tiny_elmo(), "$w_{ork}$", find_uses("work", sentences, ["$a$", "仕", "b_1"] + ["b_1"] * 4)
    )
    for name in ("map.png", "map.svg"):
        caplog.clear()
        sense_plot.draw(drawn, tmp_path / name, model="$m$")
        said = [record for record in caplog.records if "no installed font" in record.message]
        assert len(said) <= 1


def test_without_labels_there_is_no_separation_and_no_legend(tmp_path):
    drawn = compute(tiny_elmo(), "work", find_uses("work", [s.split() for s in MADE]))
    words = " ".join(text.get_text() for text in texts(drawn))
    assert "eparation" not in words


def test_nine_senses_have_nine_styles():
    styles = sense_plot._styles([str(n) for n in range(9)])
    assert len(set(styles.values())) == 10


def test_a_picture_that_cannot_be_written_is_an_input_error(tmp_path):
    drawn = sense_map()
    with pytest.raises(InputError, match=r"map\.jpg: the name must end in \.png, \.svg, \.pdf"):
        sense_plot.draw(drawn, tmp_path / "map.jpg")
    with pytest.raises(InputError, match="No such file or directory"):
        sense_plot.draw(drawn, tmp_path / "no" / "map.png")
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'relmo\[plot\]'"):
        sense_plot.draw(sense_map(), Path(tmp_path / "map.png"))
