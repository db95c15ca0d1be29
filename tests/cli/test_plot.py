from pathlib import Path

from tests.explore.test_curves import run
from tests.helpers import relmo


def test_the_curves_of_runs_are_drawn(tmp_path: Path):
    folders = [run(tmp_path / name) for name in ("a", "b")]
    ran = relmo("plot", *folders, "-o", tmp_path / "c.png", "--over", "steps")
    assert ran == (0, f"{tmp_path / 'c.png'}: 2 runs\n", "")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_without_a_run_is_an_error(tmp_path: Path):
    ran = relmo("plot", tmp_path, "-o", tmp_path / "c.png")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"relmo: error: {tmp_path}: no training run, as it has no metrics.jsonl; give a run's "
        "folder\n"
    )
    assert "must end in" in relmo("plot", tmp_path, "-o", tmp_path / "c.jpg").err
