"""`relmo vocab` and the corpora of `relmo train`, with literal output."""

import gzip
import io
import json
import lzma
import sys
from collections import Counter
from pathlib import Path

import pytest

from relmo.data.corpora import Corpus
from relmo.text.vocab import Vocabulary
from tests.helpers import Ran, relmo
from tests.hub.server import Page, serving

TEXT = "the cat sat\nthe dog sat on the mat\n\nÄpfel <UNK> cat\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.fsync", lambda _: None)
    Path("corpus").mkdir()
    Path("corpus/a.txt").write_text(TEXT)
    return tmp_path


def refused(*arguments: str) -> str:
    """The message; nothing is written."""
    before = sorted(Path().rglob("*"))
    ran = relmo("vocab", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert sorted(Path().rglob("*")) == before
    return ran.err.removeprefix("relmo: error: ").removesuffix("\n")


def test_all_words_of_a_corpus():
    assert relmo("vocab", "corpus/a.txt", "-o", "v.txt") == (
        0,
        "v.txt: 10 words, three of them special\n"
        "corpus: 12 tokens, 8 different words\n"
        "kept: 7 of them (87.50 %), 91.67 % of the tokens\n"
        "as with --min-count 1\n",
        "",
    )
    assert Path("v.txt").read_text().split("\n") == (
        ["</S>", "<S>", "<UNK>", "the", "cat", "sat", "dog", "mat", "on", "Äpfel", ""]
    )


def test_a_corpus_at_an_address_is_fetched_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RELMO_HOME", "home")
    monkeypatch.delenv("RELMO_OFFLINE", raising=False)
    assert relmo("vocab", "corpus/a.txt", "-o", "here.txt").code == 0
    with serving() as server:
        server.pages["/a.txt.gz"] = Page(gzip.compress(TEXT.encode()))
        for _ in range(2):
            assert relmo("vocab", server.url("/a.txt.gz"), "-o", "there.txt").code == 0
        assert sum(line.startswith("/a.txt.gz") for line in server.log) == 1
        ran = relmo("vocab", server.url("/none.txt"), "-o", "v.txt")
        assert (ran.code, ran.out) == (2, "")
        assert "/none.txt" in ran.err
    assert Path("there.txt").read_text() == Path("here.txt").read_text()


@pytest.mark.parametrize(
    ("limits", "words", "last"),
    [
        (["--size", "6"], "the cat sat", "as with --min-count 2"),
        (["--size", "5"], "the cat", "between --min-count 2 (1 word more) and 3"),
        (["--size", "8"], "the cat sat dog mat", "between --min-count 1 (2 words more) and 2"),
        (["--min-count", "2"], "the cat sat", "as with --min-count 2"),
        (["--min-count", "3", "--size", "99"], "the", "as with --min-count 3"),
    ],
)
def test_limits_and_what_they_amount_to(limits: list[str], words: str, last: str):
    ran = relmo("vocab", "corpus", *limits, "-o", "v.txt")
    assert (ran.code, ran.out.splitlines()[-1], ran.err) == (0, last, "")
    assert Vocabulary.read("v.txt").words[3:] == tuple(words.split())
    if last.startswith("as with"):
        relmo("vocab", "corpus", *last.split()[2:], "-o", "again.txt")
        assert Path("again.txt").read_bytes() == Path("v.txt").read_bytes()


def test_nothing_frequent_enough_leaves_the_special_words():
    assert relmo("vocab", "corpus", "--min-count", "9", "-o", "v.txt.gz").out == (
        "v.txt.gz: 3 words, three of them special\n"
        "corpus: 12 tokens, 8 different words\n"
        "kept: 0 of them (0.00 %), 0.00 % of the tokens\n"
    )
    assert gzip.decompress(Path("v.txt.gz").read_bytes()) == b"</S>\n<S>\n<UNK>\n"


def test_the_counts_are_those_of_every_word():
    relmo("vocab", "corpus", "--size", "4", "-o", "v.txt", "--counts", "counts.tsv")
    heading, *rows = Path("counts.tsv").read_text().splitlines()
    assert heading == "word\tcount"
    assert rows[:4] == ["the\t3", "cat\t2", "sat\t2", "<UNK>\t1"]
    counts = {word: int(count) for word, count in (row.split("\t") for row in rows)}
    assert counts == Counter(TEXT.split())


def made(*corpus: str) -> tuple[Ran, bytes, bytes]:
    ran = relmo("vocab", *corpus, "-o", "v.txt", "--counts", "counts.tsv")
    assert ran.code == 0, ran
    return ran, Path("v.txt").read_bytes(), Path("counts.tsv").read_bytes()


def test_the_same_corpus_gives_the_same_vocabulary_however_it_is_kept():
    first, *others = TEXT.splitlines(keepends=True)
    expected = made("corpus")
    records = "".join(json.dumps({"body": line}) + "\n" for line in (first, "".join(others)))
    for name, data in {
        "a.txt.xz": lzma.compress(TEXT.encode()),
        "a.jsonl": records.encode(),
        "a.jsonl.gz": gzip.compress(records.encode()),
    }.items():
        Path(name).write_bytes(data)
        assert made(name, "--field", "body") == expected
    Path("parts").mkdir()
    for number, line in enumerate(reversed([first, *others])):
        Path(f"parts/{number}.txt").write_text(line)
    assert made("parts") == made("parts/*") == made(*map(str, Path("parts").iterdir())) == expected


def test_raw_text_is_tokenised():
    pytest.importorskip("spacy")
    Path("raw.txt").write_text("The cat's mat, the cat.\n")
    relmo("vocab", "raw.txt", "--tokenizer", "spacy", "-o", "v.txt")
    assert Vocabulary.read("v.txt").words[3:] == ("cat", "'s", ",", ".", "The", "mat", "the")


SHAPE = "--lstm-dim 4 --projection-dim 2 --batch-tokens 20 --unroll-steps 5"
TINY = [*SHAPE.split(), "--n-candidates", "2", "--max-steps", "1"]


def test_a_training_run_uses_the_vocabulary_and_builds_the_same_one():
    relmo("vocab", "corpus", "--size", "6", "-o", "v.txt")
    for out, flags in {"given": ["--vocab", "v.txt"], "built": ["--vocab-size", "6"]}.items():
        ran = relmo("train", "corpus/*.txt", "--valid", "corpus", "--out", out, *flags, *TINY)
        assert ran.code == 0, ran
        assert "relmo: WARNING: corpus/a.txt: is trained on and validated on\n" in ran.err
        vocab = Path(out, "last", "vocab.txt")
        assert Vocabulary.read(vocab) == Vocabulary.read("v.txt")


def test_a_run_in_the_corpuss_own_folder_is_refused():
    ran = relmo("train", "corpus", "--out", "corpus/runs/one", *TINY)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "relmo: error: --out corpus/runs/one: lies in 'corpus', all of which is read; choose a "
        "folder beside it\n"
    )
    assert not Path("corpus/runs").exists()


def test_what_cannot_be_read_is_one_line():
    Path("bad.jsonl").write_text('{"text": "a"}\n{"text": 1}\n')
    Path("empty").mkdir()
    Path("bad.txt").write_bytes(b"fine\n\xff\n")
    for arguments, message in {
        ("corpus", "bad.jsonl"): "bad.jsonl: line 2: 'text' is a number, expected text",
        ("bad.jsonl", "--field", "body"): "bad.jsonl: line 1: no field 'body'; it has 'text'",
        ("empty",): "empty: a folder without a file in it (hidden ones do not count)",
        ("*.xz",): "*.xz: no file matches",
        ("none.txt",): "none.txt: no such file",
        ("bad.txt",): "bad.txt: line 2: not UTF-8: byte 0xff at column 1 (invalid start byte); "
        "convert the file to UTF-8",
        ("corpus", "--tokenizer", "x"): "tokenizer 'x': expected whitespace, moses, spacy or as in "
        "spacy:de",
    }.items():
        assert refused(*arguments, "-o", "v.txt") == message


def test_what_cannot_be_written_is_said_before_the_work_begins(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Corpus, "__iter__", lambda _: pytest.fail("the corpus is read"))
    Path("corpus/v.txt").write_text("earlier\n")
    for arguments, message in {
        ("-o", "no/v.txt"): "cannot write 'no/v.txt': not a file in an existing folder",
        ("-o", "corpus"): "cannot write 'corpus': not a file in an existing folder",
        ("-o", "v.xz"): "v.xz: a vocabulary is written plain or as .gz, not .xz",
        ("-o", "corpus/v.txt"): "corpus/v.txt: is among the corpus's files; write elsewhere",
        (
            "-o",
            "v",
            "--counts",
            "no/c",
        ): "cannot write 'no/c': not a file in an existing folder",
        ("-o", "v", "--counts", "c.gz"): "c.gz: counts are written plain, not .gz",
        (
            "-o",
            "v",
            "--counts",
            "v",
        ): "v: both the vocabulary and the counts would be written there",
    }.items():
        assert refused("corpus", *arguments) == message
    assert Path("corpus/v.txt").read_text() == "earlier\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_there_is_a_bar_and_the_same_vocabulary(monkeypatch: pytest.MonkeyPatch):
    from relmo.cli import vocab

    expected = relmo("vocab", "corpus", "-o", "v.txt")
    Path("corpus/b.txt").write_text("")
    terminal = Terminal()
    monkeypatch.setattr(vocab.sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    vocab.vocab([Path("corpus")], output=Path("again.txt"))
    assert out.getvalue() == expected.out.replace("v.txt", "again.txt")
    assert "file 1 of 2, 3 tokens, " in terminal.getvalue()
