"""What a run refuses, and what goes wrong on its way: no checkpoint is lost."""

import errno
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from relmo.config import BiLMConfig, LexiconConfig
from relmo.errors import ConfigError, FormatError, InputError, RelmoError
from relmo.text.vocab import Vocabulary
from relmo.train.folder import RunFolder
from relmo.train.loop import Progress
from tests.helpers import relmo
from tests.train.helpers import (
    SHAPE,
    VOCAB,
    WORD_MODEL,
    Corpora,
    assert_same_run,
    assert_tidy,
    config,
    random_sentences,
    training_state,
    write,
)

# --- what is refused ------------------------------------------------------------------------------


def test_a_folder_that_holds_a_run_is_left_alone_unless_it_is_resumed(
    corpora: Corpora, tmp_path: Path
):
    out = tmp_path / "run"
    corpora.train(out, config(max_steps=2), resume=True)  # nothing there: it starts
    before = contents(out)
    with pytest.raises(InputError, match="holds a training run; give --resume"):
        corpora.train(out, config(max_steps=2))
    assert contents(out) == before


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.01}, "learning_rate: expected 0.05 as .*, got 0.01"),
        ({"seed": 2}, "seed: expected 1 as .*, got 2"),
        ({"model": replace(SHAPE, lstm_dim=7)}, "preset: lstm_dim: expected 6 as .*, got 7"),
        ({"mode": "stream"}, "mode: expected sentence"),
    ],
)
def test_other_settings_do_not_resume_a_run(
    corpora: Corpora, tmp_path: Path, changes: dict[str, Any], message: str
):
    corpora.train(tmp_path / "run", config(max_steps=2))
    before = contents(tmp_path / "run")
    with pytest.raises(ConfigError, match=rf"run\.json: {message}"):
        corpora.train(tmp_path / "run", config(max_steps=4, **changes), resume=True)
    assert contents(tmp_path / "run") == before


def test_another_corpus_does_not_resume_a_run_but_the_same_one_elsewhere_does(
    corpora: Corpora, tmp_path: Path
):
    out = tmp_path / "run"
    corpora.train(out, config(max_steps=2))
    a, b = corpora.files
    for files in ([b, a], [a], [a, b, b]):
        with pytest.raises(ConfigError, match=r"run\.json: files of the corpus: expected \['a.txt"):
            corpora.train(out, config(max_steps=4), resume=True, files=files)
    (tmp_path / "moved").mkdir()
    moved = [shutil.copy(path, tmp_path / "moved" / path.name) for path in (a, b)]
    corpora.train(out, config(max_steps=3), resume=True, files=moved)
    moved[1].write_text("w1\n")
    with pytest.raises(ConfigError, match=r"bytes of the corpus: expected .* got"):
        corpora.train(out, config(max_steps=4), resume=True, files=moved)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda out: (out / "run.json").unlink(), r"run\.json: cannot be read"),
        (lambda out: truncate(out / "run.json"), r"run\.json: is not JSON"),
        (
            lambda out: (out / "run.json").write_text("[1]"),
            r"run\.json: expected a JSON object, got list",
        ),
        (lambda out: (out / "last" / "training.pt").unlink(), r"training\.pt: missing"),
        (lambda out: truncate(out / "last" / "training.pt"), r"training\.pt: cannot be read"),
        (lambda out: torch.save([1], out / "last" / "training.pt"), r"expected a dict, got list"),
        (lambda out: torch.save({"a": 1}, out / "last" / "training.pt"), r"training\.pt is not of"),
        (lambda out: truncate(out / "last" / "model.safetensors"), r"model\.safetensors: cannot"),
        (lambda out: (out / "last" / "config.json").unlink(), r"has no config\.json"),
        (lambda out: (out / "last" / "softmax.safetensors").unlink(), r"another model"),
    ],
)
def test_a_damaged_run_is_an_error_that_names_the_file(
    corpora: Corpora, tmp_path: Path, damage: Callable[[Path], Any], message: str
):
    out = tmp_path / "run"
    corpora.train(out, config(max_steps=2))
    damage(out)
    before = contents(out)
    with pytest.raises(FormatError, match=message):
        corpora.train(out, config(max_steps=4), resume=True)
    assert contents(out) == before


HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no UTF-8": (lambda path: path.write_bytes(b"w1\nw2 \xff w3\n"), "line 2: not UTF-8"),
    "empty": (lambda path: path.write_bytes(b""), "no usable line"),
    "blank": (lambda path: path.write_bytes(b"\n \n\t\n"), "no usable line"),
    "missing": (lambda path: None, "no such file"),
    "a folder": (lambda path: path.mkdir(), "a folder without a file"),
    "truncated": (lambda path: truncate(write(path, random_sentences(99))), "truncated"),
    "not gzip": (lambda path: path.write_bytes(b"w1 w2\n"), "truncated or damaged, or not .gz"),
}


@pytest.mark.parametrize("role", ["files", "valid"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_corpus_is_an_error_before_anything_is_written(
    corpora: Corpora, tmp_path: Path, name: str, role: str
):
    make, message = HOSTILE[name]
    path = tmp_path / ("bad.txt.gz" if name in ("truncated", "not gzip") else "bad.txt")
    make(path)
    given = {role: [path] if role == "files" else path}
    with pytest.raises(InputError, match=rf"bad\.txt.*{message}"):
        corpora.train(tmp_path / "run", config(), vocab=None, **given)
    assert not (tmp_path / "run").exists()


def test_a_corpus_that_breaks_later_leaves_the_last_checkpoint(corpora: Corpora, tmp_path: Path):
    good = " ".join(["w1"] * 5) + "\n"
    (tmp_path / "bad.txt").write_bytes(good.encode() * 8 + b"\xff\n")  # in the second buffer
    with pytest.raises(InputError, match=r"bad\.txt: line 9: not UTF-8"):
        corpora.train(tmp_path / "run", config(save_every_steps=1), files=[tmp_path / "bad.txt"])
    assert training_state(tmp_path / "run")["progress"]["step"] == 2


@pytest.mark.parametrize("in_the_way", ["run", "run/last", "run/best", "run/run.json/sub"])
def test_a_place_that_cannot_be_written_is_an_error_before_the_first_step(
    corpora: Corpora, tmp_path: Path, in_the_way: str
):
    path = tmp_path / in_the_way
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    with pytest.raises(InputError, match=f"cannot write '{tmp_path}/run"):
        corpora.train(tmp_path / "run", config(), on_progress=lambda _: pytest.fail("a step"))
    assert path.read_text() == "mine"


def test_a_folder_that_is_no_model_is_not_replaced_by_the_best(corpora: Corpora, tmp_path: Path):
    (tmp_path / "run" / "best").mkdir(parents=True)
    (tmp_path / "run" / "best" / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="best': it is there and no model"):
        corpora.train(tmp_path / "run", config())
    with pytest.raises(
        InputError, match=r"cannot write .*thesis\.tex/run': '.*thesis\.tex' is not"
    ):
        corpora.train(tmp_path / "run" / "best" / "thesis.tex" / "run", config())
    assert (tmp_path / "run" / "best" / "thesis.tex").read_text() == "mine"


def test_a_model_with_a_lexicon_is_not_trained(corpora: Corpora, tmp_path: Path):
    lexicon = LexiconConfig(n_words=5, word_dim=2)
    with pytest.raises(ConfigError, match="model: lexicon: relmo trains"):
        corpora.train(tmp_path / "run", config(model=BiLMConfig(
            lstm_dim=6, projection_dim=4, lexicon=lexicon,
        )))  # fmt: skip


def test_patience_needs_held_out_sentences(corpora: Corpora, tmp_path: Path):
    with pytest.raises(ConfigError, match="--patience 2: needs held-out sentences, --valid"):
        corpora.train(tmp_path / "run", config(patience=2), valid=None)
    with pytest.raises(ConfigError, match="patience must be at least 0, got -1"):
        config(patience=-1)
    assert not (tmp_path / "run").exists()


def test_a_vocabulary_must_hold_the_specials_and_fit_a_word_model(corpora: Corpora, tmp_path: Path):
    with pytest.raises(FormatError, match="no '<S>' among"):
        corpora.train(tmp_path / "run", config(), vocab=Vocabulary(["</S>", "<UNK>", "w1"]))
    model = replace(WORD_MODEL, n_words=7)
    with pytest.raises(ConfigError, match=f"n_words: expected {len(VOCAB)}.* got 7"):
        corpora.train(tmp_path / "run", config(model=model))
    assert not (tmp_path / "run").exists()


# --- what goes wrong on the way -------------------------------------------------------------------


@contextmanager
def no_file_over(n_bytes: int) -> Iterator[None]:
    """The operating system refuses to write beyond so many bytes, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    sys.dont_write_bytecode = True  # a compiled module that is cut off would stay so
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        sys.dont_write_bytecode = False


@pytest.mark.parametrize(
    "too_large", ["model.safetensors", "softmax.safetensors", "vocab.txt", "training.pt"]
)
def test_a_full_disk_is_an_error_and_leaves_the_earlier_checkpoint(
    corpora: Corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, too_large: str
):
    out = tmp_path / "run"
    corpora.train(out, config(max_steps=4), valid=None)
    before = contents(out / "last")
    size = (out / "last" / too_large).stat().st_size
    real = RunFolder.save

    def save(self: RunFolder, *given: Any) -> None:
        with no_file_over(size - 1):
            real(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", save)
        with pytest.raises(InputError, match=f"cannot write '{out}/last'.*File too large"):
            corpora.train(out, config(max_steps=5), resume=True, valid=None)
    assert contents(out / "last") == before
    assert_tidy(out)
    corpora.train(out, config(max_steps=5), resume=True, valid=None)  # there is room again
    assert training_state(out)["progress"]["step"] == 5


def no_new_folder(path: Any, *_: Any) -> None:
    raise PermissionError(errno.EACCES, "Permission denied", str(path))


@pytest.mark.parametrize("name", ["metrics.jsonl", "run.json", "best/", "last/"])
def test_no_room_or_no_right_to_write_is_one_line_at_the_command_line_and_nothing_is_lost(
    corpora: Corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    out = tmp_path / "run"
    corpora.valid.rename(tmp_path / "held-out")
    arguments = ["train", *corpora.files, "--out", out, "--lstm-dim", "6", "--projection-dim", "4",
                 "--batch-tokens", "40", "--resume", "--max-steps"]  # fmt: skip
    valid = ["--valid", tmp_path / "held-out", "--validate-every-steps", "1"]
    assert relmo(*arguments, "1").code == 0
    before = contents(out / "last")
    if name == "best/":
        arguments[3:3] = valid
    room = len((out / name).read_bytes()) - 1 if name[-1] != "/" else 10**9
    with monkeypatch.context() as patch, no_file_over(room):
        if name[-1] == "/":
            patch.setattr("os.mkdir", no_new_folder)
        ran = relmo(*arguments, "2")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[-1].startswith(
        f"relmo: error: cannot write '{out / name}".rstrip("/")
    )
    assert len(ran.err.splitlines()) == 1 + ("step 2/2" in ran.err)
    assert contents(out / "last") == before
    assert_tidy(out)
    assert relmo(*arguments, "2").code == 0  # there is room again
    assert training_state(out)["progress"]["step"] == 2


def test_metrics_that_cannot_be_written_are_an_error(corpora: Corpora, tmp_path: Path):
    def in_the_way(progress: Progress) -> None:
        if progress.step == 1:
            path = tmp_path / "run" / "metrics.jsonl"
            path.unlink()
            path.mkdir()

    with pytest.raises(RelmoError, match=r"cannot write '.*metrics\.jsonl': Is a directory"):
        corpora.train(tmp_path / "run", config(), on_progress=in_the_way)


def test_a_checkpoint_that_a_kill_left_without_its_name_is_taken_up(
    corpora: Corpora, tmp_path: Path
):
    out = tmp_path / "run"
    corpora.train(out, config(max_steps=10))
    whole = out / ".last.0123456789ab.aside"
    (out / "last").rename(whole)
    (out / "best").rename(out / ".best.0123456789ab.aside")
    shutil.copytree(whole, out / ".last.ba9876543210.aside")  # newer, and cut off
    truncate(out / ".last.ba9876543210.aside" / "training.pt")
    with pytest.raises(InputError, match="holds a training run"):
        corpora.train(out, config())
    corpora.train(out, config(), resume=True)
    corpora.train(tmp_path / "whole", config())
    assert_same_run(out, tmp_path / "whole")
    assert_tidy(out)


def test_a_start_removes_what_a_killed_process_left_half_written(corpora: Corpora, tmp_path: Path):
    out = tmp_path / "run"
    corpora.train(out, config(max_steps=2))
    for name in (".last.0123456789ab.aside", "..last.0123456789ab.ba9876543210.aside.aside"):
        (out / name).mkdir()
        (out / name / "model.safetensors").write_text("half")
    (out / ".metrics.0123456789ab.aside.jsonl").write_text("half")
    (out / ".mine").write_text("mine")
    corpora.train(out, config(max_steps=3), resume=True)
    (out / ".mine").unlink()
    assert_tidy(out)
