import pytest

from relmo.errors import InputError
from relmo.explore import layer_chart
from relmo.explore.layer_chart import Panel

PANEL = Panel(
    title="part of speech",
    subtitle="accuracy, %; 25,094 words tested",
    layers={"token layer": 0.87, "layer 1": 0.927, "layer 2": 0.925},
    apart={"average": 0.929},
    baselines={"most frequent tag": 0.862, "static vectors": 0.861},
)


def test_every_text_is_inside_the_page_and_none_lies_on_another():
    placed = layer_chart._page([PANEL, PANEL], "Title", "model")._figure.texts
    width, height = placed[0].figure.bbox.size
    boxes = [text.get_window_extent() for text in placed]
    for box in boxes:
        assert 0 <= box.x0 <= box.x1 <= width
        assert 0 <= box.y0 <= box.y1 <= height
    for n, box in enumerate(boxes):
        for other in boxes[n + 1 :]:
            assert not box.padded(-2).overlaps(other.padded(-2))
    words = [text.get_text() for text in placed]
    for said in ("part of speech", "layer 2", "92.7", "most frequent tag", "86.2", "86.1"):
        assert words.count(said) == 2


@pytest.mark.parametrize("scores", [[0.0], [1.0], [0.5, 0.5], [0.0, 1.0], [0.651, 0.652, 0.66]])
def test_ticks_hold_every_score_and_are_few(scores):
    ticks = layer_chart._ticks(scores)
    assert 3 <= len(ticks) <= 9
    assert ticks[0] <= 100 * min(scores) <= 100 * max(scores) <= ticks[-1]


def test_a_figure_is_the_same_every_time_or_an_error(tmp_path):
    for name in ("a.png", "b.png"):
        layer_chart.draw([PANEL], tmp_path / name, title="Title")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with pytest.raises(InputError, match=r"a\.gif: the name must end in"):
        layer_chart.draw([PANEL], tmp_path / "a.gif", title="Title")
