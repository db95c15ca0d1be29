"""`relmo classify` from end to end, on a data set of a moment."""

import json
from pathlib import Path

import pytest

from tests.helpers import relmo, tiny_model
from tests.tasks.classifier_helpers import DEV, TRAIN, corpus

QUICK = ("--epochs", "2", "--batch-size", "6", "--lstm-dim", "6", "--char-dim", "8",
         "--word-dim", "4")  # fmt: skip
DATA = ("--train", "train", "--dev", "dev")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data and a model."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setenv("RELMO_HOME", str(tmp_path / "home"))
    for name, part in (("train", TRAIN), ("dev", DEV)):
        lines = (f"{s.label} {' '.join(s.tokens)}\n" for s in part)
        (tmp_path / name).write_text("".join(lines))
    tiny_model(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_classifier_is_trained_evaluated_and_used(files: Path):
    ran = relmo(
        "classify", "train", *DATA, "--test", "dev", "--out", "run", "--model", "model", *QUICK
    )
    assert ran.code == 0, ran.err
    first, second = ran.out.splitlines()
    assert first.startswith("run/best: 10 steps, ")
    assert "layers of " in ran.err

    scores = json.loads(relmo("classify", "evaluate", "run", "dev", "--report", "json").out)
    assert first.endswith(f"development accuracy {scores['accuracy']:.2f}")
    assert second == f"test: accuracy {scores['accuracy']:.2f}, macro-F1 {scores['macro_f1']:.2f}"
    assert {"by_label", "confusion"} <= scores.keys()
    assert relmo("classify", "evaluate", "run", "dev").out.startswith("Accuracy: ")

    text = "".join(" ".join(s.tokens) + "\n" for s in DEV)
    told = relmo("classify", "predict", "run", "-", stdin=text)
    assert told.code == 0, told.err
    assert len(told.out.splitlines()) == len(DEV)
    listed = relmo("classify", "predict", "run", "-", "--probabilities", stdin=text).out
    for line, record in zip(told.out.splitlines(), listed.splitlines(), strict=True):
        label, score = line.split("\t")
        found = json.loads(record)
        assert label == found["label"]
        assert float(score) == pytest.approx(found["probabilities"][label], abs=1e-4)

    again = relmo("classify", "train", *DATA, "--out", "run", "--model", "model", *QUICK)
    assert (again.code, again.out) == (2, "")
    assert "holds a training run; give --resume" in again.err


def test_pairs_of_two_columns_by_several_seeds(files: Path):
    rows = [
        f"{' '.join(s.tokens)}\t{' '.join(s.second or ())}\t{s.label}"
        for s in corpus(12, pairs=True)
    ]
    (files / "pairs.tsv").write_text("\n".join(["sentence1\tsentence2\tlabel", *rows]) + "\n")
    ran = relmo("classify", "train", "--train", "pairs.tsv", "--dev", "pairs.tsv", "--out", "runs",
                "--no-elmo", "--seeds", "1,2", *QUICK)  # fmt: skip
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[-1].startswith("development accuracy: ")
    assert ran.out.rstrip().endswith(" of 2 seeds")
    told = relmo("classify", "predict", "runs/seed-1", "-", stdin="a dog\tthe dog\n")
    assert told.out.split("\t")[0] in ("True", "False")
    one = relmo("classify", "predict", "runs/seed-1", "-", stdin="a dog\n")
    assert "line 1: expected a pair, got one sentence" in one.err
    assert "holds 2 runs" in relmo("classify", "evaluate", "runs", "pairs.tsv").err


def test_columns_encodings_and_tokenizers_are_named(files: Path):
    pytest.importorskip("sacremoses")
    rows = [f'"é","{" ".join(s.tokens)}!",{s.label}\n' for s in TRAIN]
    (files / "rows.csv").write_text("".join(rows), encoding="latin-1")
    texts = ("--text-columns", "1", "--encoding", "latin-1", "--tokenizer", "moses")
    flags = ("--label-column", "-1", *texts)
    ran = relmo("classify", "train", "--train", "rows.csv", "--dev", "rows.csv", *flags,
                "--out", "run", "--no-elmo", *QUICK)  # fmt: skip
    assert ran.code == 0, ran.err
    report = relmo("classify", "evaluate", "run", "rows.csv", *flags, "--report", "json")
    scores = json.loads(report.out)
    assert f"development accuracy {scores['accuracy']:.2f}" in ran.out
    told = relmo("classify", "predict", "run", "rows.csv", *texts)
    labels = [line.split("\t")[0] for line in told.out.splitlines()]
    right = sum(label == s.label for label, s in zip(labels, TRAIN, strict=True))
    assert 100 * right / len(TRAIN) == pytest.approx(scores["accuracy"])
    assert "!" in (files / "run/best/vocab.txt").read_text().split()
    unread = relmo("classify", "predict", "run", "rows.csv", "--text-columns", "1")
    assert (unread.code, unread.out) == (2, "")
    assert "rows.csv: line 1: not utf-8" in unread.err
    nowhere = relmo("classify", "evaluate", "run", "rows.csv", "--text-columns", "1,2,3")
    assert "expected one or two, got 3" in nowhere.err


def test_vectors_of_a_file_are_kept_and_needed_no_more(files: Path):
    vectors = files / "glove.txt"
    vectors.write_text("cat 1 2 3\nDog 0 1 0\noak 3 3 3\n")
    given = (*DATA, "--no-elmo", *QUICK[:-2], "--vectors", "glove.txt")
    ran = relmo("classify", "train", *given, "--out", "run")
    assert ran.code == 0, ran.err
    vectors.unlink()
    assert relmo("classify", "evaluate", "run", "dev").out.startswith("Accuracy: ")
    config = json.loads((files / "run/best/config.json").read_text())
    assert config["classifier"]["word_dim"] == 3
    assert "oak" in (files / "run/best/vocab.txt").read_text().split()
    vectors.write_text("cat 1 2 3\n")
    wrong = relmo("classify", "train", *given, "--out", "other", "--word-dim", "2")
    assert (wrong.code, wrong.out) == (2, "")
    assert "width 3, expected 2" in wrong.err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--pooling", "sum"),
            'Invalid value "sum" for --pooling. Choose from: "max", "mean", "attention".',
        ),
        (("--layers", "7"), "--layers 7: the biLM has the layers 0 to 2"),
        (("--no-elmo", "--finetune-elmo"), "--finetune-elmo: the network reads no biLM"),
    ],
)
def test_flags_that_cannot_be_are_an_error(files: Path, flags: tuple[str, ...], message: str):
    ran = relmo("classify", "train", *DATA, "--out", "run", "--model", "model", *flags)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert not (files / "run").exists()


def test_standard_input_is_only_one_of_the_files(files: Path):
    given = ("--train", "-", "--dev", "-", "--test", "-")
    ran = relmo("classify", "train", *given, "--out", "run", stdin="x")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "relmo: error: --train, --dev, --test: standard input can be read only once; give a "
        "file for the rest\n"
    )
    assert not (files / "run").exists()
