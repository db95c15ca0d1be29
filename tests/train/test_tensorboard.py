"""TensorBoard sees what the metrics say, each step once, whatever was done again."""

import sys
from pathlib import Path

import pytest

from relmo.errors import MissingExtraError
from relmo.train.tensorboard import TensorBoard
from tests.train.helpers import Corpora, after, config, metrics

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def shown(folder: Path, tag: str) -> list[tuple[int, float]]:
    """The steps and values of a curve, as TensorBoard draws it."""
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_a_resumed_run_goes_on_in_the_same_curves_with_each_step_once(
    corpora: Corpora, tmp_path: Path
):
    out, settings = tmp_path / "run", config(save_every_steps=4)

    def crash(progress: object) -> None:
        if getattr(progress, "step", 0) == 7:
            raise KeyError("crash")

    with pytest.raises(KeyError), TensorBoard(out / "tensorboard") as board:
        corpora.train(out, settings, on_progress=crash, on_record=board)
    for n in (3, 99):
        with TensorBoard(out / "tensorboard") as board:
            corpora.train(out, settings, resume=True, should_stop=after(n), on_record=board)
    lines = metrics(out)
    for tag in ("train/loss", "train/learning_rate", "valid/perplexity", "train/tokens"):
        kind, name = tag.split("/")
        expected = [(line["step"], line[name]) for line in lines if line["kind"] == kind]
        found = shown(out / "tensorboard", tag)
        assert [step for step, _ in found] == [step for step, _ in expected]
        assert [value for _, value in found] == pytest.approx([value for _, value in expected])


def test_steps_that_are_done_again_after_a_roll_back_are_shown_once(tmp_path: Path):
    with TensorBoard(tmp_path) as board:
        for step, loss in ((2, 5.0), (4, 4.0), (6, 9.0)):
            board({"step": step, "kind": "train", "loss": loss})
        board({"step": 4, "kind": "rollback", "failed_step": 7, "why": "loss is nan"})
        board({"step": 6, "kind": "train", "loss": 3.0})
    assert shown(tmp_path, "train/loss") == [(2, 5.0), (4, 4.0), (6, 3.0)]


def test_nothing_is_written_before_the_first_measure(tmp_path: Path):
    with TensorBoard(tmp_path / "board"):
        pass
    assert not (tmp_path / "board").exists()


def test_without_tensorboard_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'relmo\[tensorboard\]'"):
        TensorBoard(tmp_path)
