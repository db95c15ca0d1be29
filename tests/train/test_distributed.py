"""Two processes, really launched by torchrun, are one process with the same parts."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from relmo.errors import ConfigError
from relmo.formats import relmo_format
from relmo.train import batches, distributed, loop
from relmo.train.config import TrainConfig
from tests.train.helpers import (
    Corpora,
    after,
    assert_same_run,
    assert_tidy,
    breaking,
    config,
    metrics,
    training_state,
)

ROOT = Path(__file__).parents[2]
KINDS: dict[str, TrainConfig] = {
    "sampled": config(
        mode="sentence", softmax="sampled", dropout=0.2, max_steps=6, parts=2, save_every_steps=2
    ),
    "full": config(
        mode="stream",
        softmax="full",
        optimizer="adagrad",
        dropout=0.2,
        max_steps=6,
        parts=4,
        save_every_steps=2,
    ),
}


class Launched:
    """What the two processes left, and the runs of one process to compare with."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.corpora = folder, Corpora(folder)
        self.corpora.train(folder / "begun alone", KINDS["sampled"], should_stop=after(3))
        settings: dict[str, Any] = {name: kind.to_dict() for name, kind in KINDS.items()}
        settings["uneven"] = config(parts=3, batch_tokens=60).to_dict()
        settings["command"] = [
            "train", *map(str, self.corpora.files), "--out", str(folder / "command"),
            "--max-steps", "1", "--batch-tokens", "80", "--parts", "4", "--softmax", "full",
            "--lstm-dim", "4", "--projection-dim", "2",
        ]  # fmt: skip
        (folder / "settings.json").write_text(json.dumps(settings))
        command = [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
            "-m", "tests.train.two_processes", str(folder),
        ]  # fmt: skip
        self.ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)

    def said(self, name: str) -> list[str | None]:
        """The error of each of the two processes in a run."""
        paths = [self.folder / f"{name}.error{rank}" for rank in range(2)]
        return [path.read_text() if path.exists() else None for path in paths]


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Launched:
    if not torch.distributed.is_available():
        pytest.skip("torch was built without torch.distributed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        patch.setattr(batches, "_BUFFER_LINES", 8)
        patch.setattr(loop, "_RECORD_EVERY", 2)
        return Launched(tmp_path_factory.mktemp("launched"))


def assert_close_run(one: Path, other: Path) -> None:
    """Same models and metrics to rounding; the same place, candidates and random numbers."""
    for name in ("last", "best"):
        found, expected = relmo_format.read(one / name), relmo_format.read(other / name)
        torch.testing.assert_close(found.tensors, expected.tensors, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.softmax, expected.softmax, rtol=1e-4, atol=1e-5)
    pairs = zip(training_state(one)["parts"], training_state(other)["parts"], strict=True)
    for mine, theirs in pairs:
        for what in ("batches", "candidates"):
            assert mine[what] == theirs[what]
        assert torch.equal(mine["torch_random"], theirs["torch_random"])
    for line, expected_line in zip(metrics(one), metrics(other), strict=True):
        words = {key: value for key, value in expected_line.items() if isinstance(value, str)}
        assert line == {**words, **_about(expected_line.keys() - words, expected_line)}


def _about(names: Iterable[str], line: dict[str, Any]) -> dict[str, Any]:
    """Its numbers, to rounding."""
    return {name: pytest.approx(line[name], rel=1e-5) for name in names}


@pytest.mark.parametrize("name", KINDS)
def test_two_processes_learn_what_one_does(
    launched: Launched, corpora: Corpora, tmp_path: Path, name: str
):
    assert launched.said(name) == [None, None]
    corpora.train(tmp_path / "run", KINDS[name])
    assert_close_run(launched.folder / name, tmp_path / "run")
    assert_tidy(launched.folder / name)


def test_a_run_stopped_by_one_of_its_processes_goes_on_bit_for_bit(launched: Launched):
    assert launched.said("stopped") == [None, None]
    assert_same_run(launched.folder / "stopped", launched.folder / "sampled")


def test_a_run_goes_on_with_another_number_of_processes(
    launched: Launched, corpora: Corpora, tmp_path: Path
):
    assert_close_run(launched.folder / "begun alone", launched.folder / "sampled")
    out = tmp_path / "dying"
    (launched.folder / "dying").rename(out)  # of two processes, at step 4 of 6
    corpora.train(out, KINDS["full"], resume=True)
    assert_close_run(out, launched.folder / "full")


def test_a_loss_that_is_not_finite_in_one_process_rolls_all_of_them_back(
    launched: Launched, corpora: Corpora, tmp_path: Path
):
    with breaking(part=1, step=4):
        corpora.train(tmp_path / "run", KINDS["sampled"])
    assert [line["kind"] for line in metrics(tmp_path / "run")].count("rollback") == 1
    assert launched.said("rolled back") == [None, None]
    assert_close_run(launched.folder / "rolled back", tmp_path / "run")


def test_parts_that_cannot_be_shared_out_are_an_error_in_each_process(launched: Launched):
    message = "--parts must be a multiple of the 2 processes of torchrun, got 3"
    assert launched.said("uneven") == [message, message]
    assert not (launched.folder / "uneven").exists()


def test_one_process_speaks_for_all_at_the_command_line(launched: Launched):
    told = f"{launched.folder / 'command' / 'last'}: 1 steps, "
    assert launched.ended.stdout.count(told) == 1
    assert launched.ended.stderr.count("step 1/1  loss") == 1


def test_where_a_process_dies_the_others_end_with_an_error(launched: Launched):
    first, second = launched.said("dying")
    assert second is None
    assert first is not None
    assert first.startswith("another process of the run has failed, ended or does not answer")
    assert launched.ended.returncode != 0
    assert "exitcode  : 3" in launched.ended.stderr


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RANK", "1")  # somebody else's
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    with distributed.joined(3, torch.device("cpu")) as processes:
        assert processes == distributed.ALONE
    assert distributed.own_device("cuda") == torch.device("cuda")


def test_each_process_of_torchrun_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch):
    for name, value in {
        "RANK": 3,
        "WORLD_SIZE": 4,
        "LOCAL_RANK": 1,
        "TORCHELASTIC_RUN_ID": 0,
    }.items():
        monkeypatch.setenv(name, str(value))
    assert distributed.own_device("cuda") == torch.device("cuda", 1)
    assert distributed.own_device("cuda:0") == torch.device("cuda", 0)
    assert distributed.own_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match="multiple of the 4"):
        distributed.joined(6, torch.device("cpu")).__enter__()
