"""Two runs in one folder: the second is refused, and the first goes on as if alone."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relmo.errors import InputError
from relmo.formats import relmo_format
from relmo.train.finetune import finetune
from relmo.train.folder import RunFolder
from relmo.train.loop import Progress
from tests.helpers import relmo
from tests.tasks import classifier_helpers
from tests.tasks import helpers as tagger_helpers
from tests.train.helpers import Corpora, assert_same_run, config, metrics, training_state

BUSY = "run: another run is at work in this folder; wait for its end, or give another folder"


def trying(run: Callable[..., Any], before: int, errors: list[str]) -> Callable[[Progress], None]:
    """Starts the run another time, with and without resuming, before and after the first save."""

    def try_both(progress: Progress) -> None:
        for resume in (False, True):
            with pytest.raises(InputError) as caught:
                run(resume=resume)
            errors.append(str(caught.value))

    return lambda progress: try_both(progress) if progress.step in (1, before + 1) else None


def test_a_second_run_is_refused_and_the_first_is_the_run_that_was_alone(
    corpora: Corpora, tmp_path: Path
):
    errors: list[str] = []
    out, settings = tmp_path / "run", config(max_steps=6)
    second = trying(lambda **how: corpora.train(out, replace(settings, seed=2), **how), 4, errors)
    corpora.train(out, settings, on_progress=second)
    assert len(errors) == 4
    assert all(error.endswith(BUSY) for error in errors)
    corpora.train(tmp_path / "alone", settings)
    assert_same_run(out, tmp_path / "alone")


@pytest.mark.parametrize("task", [tagger_helpers, classifier_helpers])
def test_so_it_is_with_what_tasks_train(tmp_path: Path, task: Any):
    errors: list[str] = []
    second = trying(lambda **how: task.trained(tmp_path / "run", **how), 5, errors)
    task.trained(tmp_path / "run", how=task.training(epochs=2), on_progress=second)
    assert len(errors) == 4
    assert all(error.endswith(BUSY) for error in errors)
    task.trained(tmp_path / "alone", how=task.training(epochs=2))
    assert metrics(tmp_path / "run") == metrics(tmp_path / "alone")


def test_so_it_is_with_fine_tuning(corpora: Corpora, tmp_path: Path):
    corpora.train(tmp_path / "start", config(max_steps=1))
    model = relmo_format.read(tmp_path / "start" / "last")
    with RunFolder(tmp_path / "run").held(resume=False):
        for resume in (False, True):
            with pytest.raises(InputError, match=BUSY):
                finetune(model, corpora.files, corpora.valid, tmp_path / "run", config(),
                         resume=resume)  # fmt: skip
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.lock"]


def test_a_run_that_came_and_went_since_the_check_is_not_overwritten(
    corpora: Corpora, tmp_path: Path
):
    folder = RunFolder(tmp_path / "run")
    folder.check(resume=False)
    corpora.train(folder.path, config(max_steps=2))
    with pytest.raises(InputError, match="holds a training run; give --resume"):
        folder.held(resume=False).__enter__()


def test_a_run_of_another_process_is_left_alone_and_once_killed_taken_up(
    corpora: Corpora, tmp_path: Path
):
    out = tmp_path / "run"
    command = ["train", *map(str, corpora.files), "--out", str(out), "--lstm-dim", "4",
               "--projection-dim", "2", "--batch-tokens", "20", "--save-every-steps", "1",
               "--max-steps"]  # fmt: skip
    first = [sys.executable, "-m", "relmo", *command, "1000000"]
    with subprocess.Popen(first, stderr=subprocess.DEVNULL) as process:
        while not (out / "last").exists() and process.poll() is None:
            time.sleep(0.05)
        for resume in ([], ["--resume"]):
            ran = relmo(*command, "2", *resume)
            assert (ran.code, ran.out) == (2, "")
            assert ran.err == f"relmo: error: {tmp_path}/{BUSY}\n"
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    step = training_state(out)["progress"]["step"]
    ran = relmo(*command, str(step + 1), "--resume")
    assert ran.code == 0, ran.err
    assert training_state(out)["progress"]["step"] == step + 1
