import json
import sys
from pathlib import Path
from typing import Any

import pytest

from relmo.errors import InputError, MissingExtraError
from relmo.explore import curves


def line(step: int, **changes: Any) -> dict[str, Any]:
    return {"step": step, "tokens": 100 * step, "kind": "train", "loss": 9 / step,
            "gradient_norm": 50.0 / step**2, "learning_rate": 1e-3, "tokens_per_second": 7e3,
            **changes}  # fmt: skip


def run(folder: Path, n_lines: int = 200, *, factor: float = 1.0, valid: bool = True) -> Path:
    """The folder of a run with its metrics."""
    lines = [line(10 * n) for n in range(1, n_lines + 1)]
    if valid:
        lines += [
            {"step": step, "tokens": 100 * step, "kind": "valid", "perplexity": 60.5 * factor,
             "forward_perplexity": 60.0 * factor, "backward_perplexity": 61.0 * factor}
            for step in (1000, 2000)
        ]  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def texts(runs: list[curves.Run], x: str = "tokens") -> list[Any]:
    """Everything written on the picture but the scales; nothing is outside the page."""
    figure = curves._picture(runs, x)._figure
    figure.canvas.draw()
    width, height = figure.bbox.size
    for drawn in (*figure.texts, *figure.axes):
        box = drawn.get_tightbbox()
        assert box.x0 >= 0, drawn
        assert box.y0 >= 0, drawn
        assert box.x1 <= width, drawn
        assert box.y1 <= height, drawn
    return list(figure.texts)


@pytest.mark.parametrize("n_runs", [1, 3, 9])
def test_every_run_and_measure_is_named_and_nothing_is_cut_at_the_border(
    n_runs: int, tmp_path: Path
):
    folders = [run(tmp_path / f"run {n}", factor=1 + n) for n in range(n_runs)]
    words = [text.get_text() for text in texts(curves.read(folders))]
    for n in range(n_runs):
        assert f"run {n}" in words
        assert any(f"best validation perplexity {60.5 * (1 + n):.2f}" in said for said in words)
    for title in ("training loss", "validation perplexity", "learning rate", "gradient norm",
                  "tokens per second"):  # fmt: skip
        assert title in words
    assert "2,000 steps, 200,000 tokens per direction" in words[1]


def test_curves_are_the_metrics_over_tokens_or_steps(tmp_path: Path):
    (read,) = curves.read([run(tmp_path / "a")])
    for x, share in (("tokens", 100), ("steps", 1)):
        loss, validation, *_ = curves._picture([read], x)._figure.axes
        (drawn,) = loss.lines
        assert list(drawn.get_xdata()) == [share * 10 * n for n in range(1, 201)]
        assert list(drawn.get_ydata()) == [9 / (10 * n) for n in range(1, 201)]
        forward, backward = validation.lines
        assert list(forward.get_ydata()) == [60, 60]
        assert list(backward.get_ydata()) == [61, 61]
        assert forward.get_linestyle() != backward.get_linestyle()


def test_runs_differ_in_color_and_mark_and_folders_of_one_name_are_told_by_path(tmp_path: Path):
    folders = [run(tmp_path / str(n) / "run") for n in range(9)]
    runs = curves.read(folders)
    assert [run.name for run in runs] == [str(folder) for folder in folders]
    styles = {(curves._color(n), curves._shape(n)) for n in range(9)}
    assert len(styles) == 9
    assert len({color for color, _ in list(styles)[:9]}) == 7


def test_a_run_without_validation_says_so_and_odd_lines_are_passed_over(tmp_path: Path):
    folder = run(tmp_path / "a", 3, valid=False)
    with (folder / "metrics.jsonl").open("a") as file:
        for odd in (line(40, loss="low"), line(50, loss=float("nan")), {"step": 60}):
            file.write(json.dumps(odd) + "\n")
        file.write('{"step": 70, "loss"')
    read = curves.read([folder])
    assert read[0].series("train", "loss", "steps")[0] == [10, 20, 30]
    assert "none recorded" in [text.get_text() for text in texts(read)]


@pytest.mark.parametrize("name", ["c.png", "c.svg", "c.pdf"])
def test_each_format_is_written(name: str, tmp_path: Path):
    runs = curves.read([run(tmp_path / "a")])
    curves.draw(runs, tmp_path / name, x="steps")
    assert (tmp_path / name).read_bytes()[:5] in (b"\x89PNG\r", b"<?xml", b"%PDF-")


def test_what_is_no_run_or_no_picture_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "new").mkdir()
    with pytest.raises(InputError, match=r"new: no training run, as it has no metrics\.jsonl"):
        curves.read([tmp_path / "new"])
    (tmp_path / "new" / "metrics.jsonl").write_text("")
    with pytest.raises(InputError, match=r"metrics\.jsonl: no step is recorded yet"):
        curves.read([tmp_path / "new"])
    runs = curves.read([run(tmp_path / "a")])
    with pytest.raises(InputError, match=r"the name must end in \.png, \.svg, \.pdf"):
        curves.draw(runs, tmp_path / "c.jpg")
    with pytest.raises(InputError, match="--over: expected one of tokens, steps, got 'days'"):
        curves.draw(runs, tmp_path / "c.png", x="days")
    for module in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'relmo\[plot\]'"):
        curves.draw(runs, tmp_path / "c.png")
