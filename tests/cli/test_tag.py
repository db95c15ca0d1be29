"""`relmo tag` from end to end, on a corpus of a moment."""

import json
from pathlib import Path
from typing import get_args

import pytest

from relmo.cli._flags import TagScheme
from relmo.data.spans import Scheme
from relmo.data.tagged import read_tagged, write_tagged
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


def test_vectors_of_a_file_are_kept_and_needed_no_more(files: Path):
    vectors = files / "glove.txt"
    vectors.write_text("ann 1 2 3\nRome 0 1 0\n")
    given = (*DATA, "--no-elmo", *QUICK[:-2], "--vectors", "glove.txt")
    ran = relmo("tag", "train", *given, "--out", "run")
    assert ran.code == 0, ran.err
    vectors.unlink()
    assert "| all |" in relmo("tag", "evaluate", "run", "dev").out
    assert json.loads((files / "run/best/config.json").read_text())["tagger"]["word_dim"] == 3
    vectors.write_text("ann 1 2 3\n")
    wrong = relmo("tag", "train", *given, "--out", "other", "--word-dim", "2")
    assert (wrong.code, wrong.out) == (2, "")
    assert "width 3, expected 2" in wrong.err


@pytest.fixture
def small(files: Path) -> Path:
    """A folder with a tagger too."""
    ran = relmo("tag", "train", *DATA, "--out", "run", "--no-elmo", *QUICK)
    assert ran.code == 0, ran.err
    return files


def test_errors_are_listed_where_asked(small: Path):
    plain = relmo("tag", "evaluate", "run", "dev").out
    listed = relmo("tag", "evaluate", "run", "dev", "--errors", "2").out
    assert listed.startswith(plain)
    assert listed.count("\n  true:      ") == listed.count("\n  predicted: ") == 2
    assert "\n\ndev: line " in listed
    report = relmo("tag", "evaluate", "run", "dev", "--report", "json", "--errors", "1")
    (error,) = json.loads(report.out)["errors"]
    assert error.startswith("dev: line ")


def test_columns_and_encodings_are_named(small: Path):
    rows = [
        "".join(f"1 {token} x {tag} é\n" for token, tag in zip(s.tokens, s.tags, strict=True))
        for s in DEV
    ]
    (small / "columns").write_text("\n".join(rows), encoding="latin-1")
    flags = ("--token-column", "1", "--tag-column", "-2", "--encoding", "latin-1")
    expected = relmo("tag", "evaluate", "run", "dev").out
    assert relmo("tag", "evaluate", "run", "columns", *flags).out == expected
    told = relmo("tag", "predict", "run", "columns", *flags, "--scores")
    assert [tuple(json.loads(line)["tokens"]) for line in told.out.splitlines()] == [
        s.tokens for s in DEV
    ]
    unread = relmo("tag", "evaluate", "run", "columns")
    assert (unread.code, unread.out) == (2, "")
    assert "columns: line 1: not utf-8" in unread.err
    again = relmo("tag", "train", "--train", "columns", "--dev", "columns", *flags,
                  "--out", "again", "--no-elmo", *QUICK)  # fmt: skip
    assert again.code == 0, again.err
    assert "development F1" in again.out


def test_a_text_is_tagged_while_it_is_read_and_as_a_whole_file_is(small: Path):
    text = "Ann saw\n\n  the cat in Rome .\n"
    (small / "text").write_text(text)
    streamed = relmo("tag", "predict", "run", "text", "--format", "text")
    assert (streamed.code, streamed.err) == (0, "")
    whole = relmo("tag", "predict", "run", "text", "--format", "text", "--encoding", "utf-8")
    assert streamed.out == whole.out
    (small / "empty").write_text("\n")
    for file in ("empty", "-"):
        ran = relmo("tag", "predict", "run", file, "--format", "text")
        assert ran.code == 2
        assert "it has no sentence" in ran.err


def test_spans_of_a_text_say_where_they_stand_in_its_line(small: Path):
    line = "  Ann\tsaw\u00a0Rome ."
    ran = [
        relmo("tag", "predict", "run", "-", *flags, "--scores", stdin=f"\n{line}\r\n")
        for flags in (
            ("--format", "text"), ("--format", "text", "--encoding", "utf-8"),
            ("--tokenizer", "whitespace"),
        )
    ]  # fmt: skip
    assert len({told.out for told in ran}) == 1
    found = json.loads(ran[0].out)
    assert found["text"] == line
    assert [line[start:end] for start, end in found["offsets"]] == found["tokens"]
    for span in found["spans"]:
        tokens = found["tokens"][span["start"] : span["end"]]
        assert line[span["start_char"] : span["end_char"]].split() == tokens


def test_a_text_is_tokenised_where_asked(small: Path):
    pytest.importorskip("sacremoses")
    text = "Ann saw Rome.\n"
    (small / "text").write_text(text)
    told = relmo("tag", "predict", "run", "-", "--tokenizer", "moses", stdin=text)
    assert [line.split("\t")[0] for line in told.out.split("\n")] == [
        "Ann",
        "saw",
        "Rome",
        ".",
        "",
        "",
    ]
    for flags in (("--encoding", "utf-8"), ("--format", "text")):
        again = relmo("tag", "predict", "run", "text", "--tokenizer", "moses", *flags)
        assert again.out == told.out
    wrong = relmo("tag", "predict", "run", "dev", "--format", "conll", "--tokenizer", "moses")
    assert (wrong.code, wrong.out) == (2, "")
    assert "--tokenizer: a file of --format conll has tokens already" in wrong.err


TEXTS = {
    "conll": "Ann O\nsaw O\n",
    "conllu": "1\tAnn\t_\tX\t_\t_\t_\t_\t_\t_\n2\tsaw\t_\tX\t_\t_\t_\t_\t_\t_\n\n",
    "csv": "Sentence #,Word,Tag\nSentence: 1,Ann,O\n,saw,O\n",
    "jsonl": '{"tokens": ["Ann", "saw"]}\n',
    "text": "Ann saw\n",
}


@pytest.mark.parametrize("format", TEXTS)
def test_each_format_is_read_from_standard_input(small: Path, format: str):
    (small / "file").write_text(TEXTS[format])
    told = relmo("tag", "predict", "run", "-", "--format", format, stdin=TEXTS[format])
    assert told.code == 0, told.err
    assert told.out
    assert told.out == relmo("tag", "predict", "run", "file", "--format", format).out
    scored = relmo("tag", "predict", "run", "-", "--scores", "--format", format,
                   stdin=TEXTS[format])  # fmt: skip
    (line,) = scored.out.splitlines()
    found = json.loads(line)
    assert found["tokens"] == ["Ann", "saw"]
    assert len(found["tags"]) == len(found["scores"]) == 2
    assert isinstance(found["spans"], list)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--seeds", "1,1"), "--seeds: expected different integers"),
        (("--output", "hmm"), 'Invalid value "hmm" for --output. Choose from: "crf", "softmax".'),
        (("--no-elmo", "--char-dim", "0", "--word-dim", "0"), "needs --char-dim or --word-dim"),
        (("--no-elmo", "--finetune-elmo"), "--finetune-elmo: the network reads no biLM"),
    ],
)
def test_flags_that_cannot_be_are_an_error(files: Path, flags: tuple[str, ...], message: str):
    ran = relmo("tag", "train", *DATA, "--out", "run", "--model", "model", *flags)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert not (files / "run").exists()


def test_standard_input_is_only_one_of_the_files(files: Path):
    given = ("--train", "-", "--dev", "-", "--test", "-")
    ran = relmo("tag", "train", *given, "--out", "run", stdin="x")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "relmo: error: --train, --dev, --test: standard input can be read only once; give a "
        "file for the rest\n"
    )
    assert not (files / "run").exists()


def test_a_stray_tag_is_named_and_its_corpus_stays_one_of_spans(
    files: Path, caplog: pytest.LogCaptureFixture
):
    (files / "stray").write_text((files / "dev").read_text().replace("\tO\n", "\to\n", 1))
    data = ("--train", "stray", "--dev", "dev", "--test", "stray")
    ran = relmo("tag", "train", *data, "--out", "run", "--no-elmo", *QUICK)
    assert ran.code == 0, ran.err
    assert json.loads((files / "run/best/config.json").read_text())["scheme"] == "BIO"
    first = "stray: sentence at line 1: token 1, '.': the tag 'o' does not fit the others"
    assert [message.startswith(first) for message in caplog.messages] == [True, True]  # and as test
    right = relmo("tag", "evaluate", "run", "dev", "--errors", "9")
    assert len(caplog.messages) == 2
    found = relmo("tag", "evaluate", "run", "stray", "--errors", "9")
    assert found.out == right.out.replace("dev: line", "stray: line")
    assert len(caplog.messages) == 3


def test_the_scheme_may_be_given(files: Path, caplog: pytest.LogCaptureFixture):
    assert {*get_args(TagScheme)} == {*get_args(Scheme)}
    given = (*DATA, "--no-elmo", *QUICK)
    for scheme, letters in (("BIOES", {*"BIESO"}), ("IO", {*"IO"})):
        caplog.clear()
        ran = relmo("tag", "train", *given, "--out", scheme, "--scheme", scheme)
        assert ran.code == 0, ran.err
        stored = json.loads((files / scheme / "best/config.json").read_text())
        assert stored["scheme"] == scheme
        assert {tag[0] for tag in stored["tags"]} <= letters
        assert ({"B", "S"} <= {tag[0] for tag in stored["tags"]}) == (scheme == "BIOES")
        assert caplog.messages[0].startswith("train: sentence at line ")
        assert f" is not of {scheme}; spans are read as conlleval does" in caplog.messages[0]
        assert relmo("tag", "evaluate", scheme, "dev").code == 0
    other = relmo("tag", "train", *given, "--out", "IO", "--scheme", "BIO", "--resume")
    assert (other.code, other.out) == (2, "")
    assert "run.json: scheme: expected IO as the run was started, got BIO" in other.err
    (files / "pos").write_text("a\tDET\nb\tNOUN\n\nc\tVERB\n")
    wrong = relmo("tag", "train", "--train", "pos", "--dev", "pos", "--out", "x", "--no-elmo",
                  "--scheme", "BIO", *QUICK)  # fmt: skip
    assert (wrong.code, wrong.out) == (2, "")
    assert "pos: sentence at line 4: token 1, 'c': tag 'VERB': expected O or a letter" in wrong.err
