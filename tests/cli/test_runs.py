"""How commands that train are stopped and shown."""

import os
import signal
import sys

import pytest

from relmo.cli import runs
from relmo.train.loop import Progress


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
    before = signal.getsignal(kind)
    monkeypatch.setattr(sys, "stderr", Closed())
    with runs.stop_on_signals() as received:
        os.kill(os.getpid(), kind)
        assert received == [kind]
    assert signal.getsignal(kind) == before


def test_a_run_under_nohup_outlives_its_terminal():
    earlier = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with runs.stop_on_signals() as received:
            os.kill(os.getpid(), signal.SIGHUP)
            assert received == []
    finally:
        signal.signal(signal.SIGHUP, earlier)


def test_a_display_that_nobody_reads_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stderr", Closed())
    with runs.display() as show:
        show(Progress(step=1, max_steps=1, loss=1.0, tokens_per_second=1.0, seconds_left=0.0,
                      validation={}))  # fmt: skip
