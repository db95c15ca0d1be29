"""`relmo tag` from end to end, on a corpus of a moment."""

import json
from pathlib import Path

import pytest

from relmo.text.tagged import read_tagged, write_tagged
from tests.helpers import relmo, tiny_model
from tests.tasks.helpers import DEV, TRAIN

QUICK = ("--epochs", "2", "--batch-size", "6", "--lstm-dim", "6", "--char-dim", "8",
         "--word-dim", "4")  # fmt: skip


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a corpus and a model."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setenv("RELMO_HOME", str(tmp_path / "home"))
    write_tagged(TRAIN, tmp_path / "train")
    write_tagged(DEV, tmp_path / "dev")
    tiny_model(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    return tmp_path


DATA = ("--train", "train", "--dev", "dev")


def test_a_tagger_is_trained_evaluated_and_used(files: Path):
    ran = relmo("tag", "train", *DATA, "--test", "dev", "--out", "run", "--model", "model", *QUICK)
    assert ran.code == 0, ran.err
    first, second = ran.out.splitlines()
    assert first.startswith("run/best: 8 steps, ")
    assert "layers of " in ran.err
    (stored,) = {path.parent for path in files.glob("home/layers/*.npy")}
    assert str(stored) in ran.err

    report = relmo("tag", "evaluate", "run", "dev", "--report", "json")
    scores = json.loads(report.out)
    assert {"precision", "recall", "f1", "by_type"} <= scores.keys()
    assert second.endswith(f"F1 {scores['f1']:.2f}")
    assert first.endswith(f"development F1 {scores['f1']:.2f}")
    assert "| all |" in relmo("tag", "evaluate", "run", "dev").out

    lines = "\n".join(" ".join(s.tokens) for s in DEV)
    (files / "lines.txt").write_text(lines + "\n")
    told = relmo("tag", "predict", "run", "lines.txt")
    assert told.code == 0, told.err
    (files / "told").write_text(told.out)
    assert [s.tokens for s in read_tagged(files / "told")] == [s.tokens for s in DEV]
    assert relmo("tag", "predict", "run", "-", stdin=lines + "\n").out == told.out

    again = relmo("tag", "train", *DATA, "--out", "run", "--model", "model", *QUICK)
    assert (again.code, again.out) == (2, "")
    assert "holds a training run; give --resume" in again.err


def test_several_seeds_without_a_model_have_a_mean_and_a_deviation(files: Path):
    ran = relmo("tag", "train", *DATA, "--out", "runs", "--no-elmo", "--seeds", "1,2", *QUICK)
    assert ran.code == 0, ran.err
    assert [line.split(":")[0] for line in ran.out.splitlines()] == [
        "runs/seed-1/best", "runs/seed-2/best", "development F1",
    ]  # fmt: skip
    assert ran.out.rstrip().endswith(" of 2 seeds")
    assert not (files / "home").exists()
    missing = relmo("tag", "evaluate", "runs", "dev")
    assert "holds 2 runs; give one, such as 'runs/seed-1'" in missing.err


def test_no_cache_is_written_where_none_is_wanted(files: Path):
    ran = relmo(
        "tag", "train", *DATA, "--out", "run", "--model", "model", "--cache", "none", *QUICK
    )
    assert ran.code == 0, ran.err
    assert not (files / "home").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--seeds", "1,1"), "--seeds: expected different whole numbers"),
        (("--output", "hmm"), "--output must be softmax or crf"),
        (("--no-elmo", "--char-dim", "0", "--word-dim", "0"), "needs --char-dim or --word-dim"),
        (("--no-elmo", "--finetune-elmo"), "--finetune-elmo: the network reads no biLM"),
    ],
)
def test_flags_that_cannot_be_are_an_error(files: Path, flags: tuple[str, ...], message: str):
    ran = relmo("tag", "train", *DATA, "--out", "run", "--model", "model", *flags)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert not (files / "run").exists()
