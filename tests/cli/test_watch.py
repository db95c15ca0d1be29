"""How commands that train are stopped and shown."""

import os
import signal
import sys
from pathlib import Path

import pytest

from relmo.cli import _output
from relmo.train.loop import Progress
from tests.helpers import relmo, tiny_model
from tests.train.helpers import HELD_OUT, VOCAB, random_sentences, write


class Closed:
    """A terminal that is gone."""

    def write(self, _: str) -> int:
        raise OSError(5, "Input/output error")

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return False


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_noted_though_the_terminal_may_be_gone(
    kind: signal.Signals, monkeypatch: pytest.MonkeyPatch
):
    outside = signal.signal(kind, signal.default_int_handler)  # the tests may run under nohup
    monkeypatch.setattr(sys, "stderr", Closed())
    try:
        with _output.stop_on_signals() as received:
            os.kill(os.getpid(), kind)
            assert received == [kind]
        assert signal.getsignal(kind) == signal.default_int_handler
    finally:
        signal.signal(kind, outside)


def test_a_run_under_nohup_outlives_its_terminal():
    earlier = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _output.stop_on_signals() as received:
            os.kill(os.getpid(), signal.SIGHUP)
            assert received == []
    finally:
        signal.signal(signal.SIGHUP, earlier)


def test_a_display_that_nobody_reads_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stderr", Closed())
    with _output.display() as show:
        show(Progress(step=1, max_steps=1, loss=1.0, tokens_per_second=1.0, seconds_left=0.0,
                      validation={}))  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "left"),
    [(5.9, "00:05"), (754, "12:34"), (45_296, "12:34:56"), (90_061, "1 day, 1:01:01")],
)
def test_the_progress_line_has_loss_speed_time_and_the_last_validation(seconds: float, left: str):
    progress = Progress(step=7, max_steps=9, loss=3.8417, tokens_per_second=6629.8,
                        seconds_left=seconds, validation={})  # fmt: skip
    said = f"loss 3.842  6,630 tokens/s  {left} left"
    assert _output._measures(progress) == said
    for measures, told in (
        ({"perplexity": 49.312}, "validation perplexity 49.31"),
        ({"f1": 61.2, "accuracy": 97.0}, "development F1 61.20"),
        ({"macro_f1": 88.0, "accuracy": 91.04}, "development accuracy 91.04"),
    ):
        vars(progress)["validation"] = measures
        assert _output._measures(progress) == f"{said}  {told}"


@pytest.mark.parametrize("command", ["train", "finetune"])
def test_metrics_for_tensorboard_are_written_where_asked_for(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("os.fsync", lambda _: None)
    start = {"train": [], "finetune": [tiny_model(tmp_path / "m", words=VOCAB.words)]}[command]
    arguments = (
        command, *start, write(tmp_path / "a.txt", random_sentences(20)), "--valid",
        write(tmp_path / "v.txt", HELD_OUT), "--out", tmp_path / "run", "--max-steps", "2",
        "--batch-tokens", "40",
    )  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch.utils.tensorboard", None)
        ran = relmo(*arguments, "--tensorboard")
        assert (ran.code, ran.out) == (2, "")
        assert "run: pip install 'relmo[tensorboard]'" in ran.err
        assert not (tmp_path / "run").exists()
    pytest.importorskip("tensorboard")
    assert relmo(*arguments, "--tensorboard").code == 0
    assert [path.name[:9] for path in (tmp_path / "run" / "tensorboard").iterdir()] == ["events.ou"]
