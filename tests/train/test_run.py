"""A run learns, goes on bit for bit after a stop, a crash or a kill, and loses no checkpoint."""

import gzip
import itertools
import json
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from relmo import _files
from relmo.config import BiLMConfig, CharCNNConfig, LexiconConfig
from relmo.errors import ConfigError, FormatError, InputError, RelmoError, TrainingError
from relmo.formats import relmo_format
from relmo.text.corpora import Corpus
from relmo.text.vocab import Vocabulary
from relmo.train import loop, shuffled
from relmo.train.config import TrainConfig
from relmo.train.folder import RunFolder
from relmo.train.loop import Progress, Result
from relmo.train.objective import LanguageModel
from relmo.train.run import train
from tests.train.helpers import (
    SHAPE,
    VOCAB,
    assert_same_run,
    config,
    metrics,
    random_sentences,
    training_state,
    write,
)

VALID = random_sentences(4, seed=9)


class Corpora:
    """Two training files and one held out, in a folder."""

    def __init__(self, folder: Path) -> None:
        sentences = random_sentences(30)
        self.files = [
            write(folder / "a.txt.gz", sentences[:20]),
            write(folder / "b.txt", sentences[20:], blanks=1),
        ]
        self.valid = write(folder / "valid.txt", VALID)

    def train(self, out: Path, settings: TrainConfig, **changes: Any) -> Result:
        given = {"files": self.files, "valid": self.valid, "vocab": VOCAB, **changes}
        files, valid = given.pop("files"), given.pop("valid")
        return train(files, valid, out, settings, **given)


@pytest.fixture
def corpora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpora:
    """Small buffers and frequent lines, so that a short run meets every border; and a fast disk."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setattr(shuffled, "_BUFFER_LINES", 8)
    monkeypatch.setattr(loop, "_RECORD_EVERY", 2)
    return Corpora(tmp_path)


def after(n_steps: int) -> Callable[[], bool]:
    """A `should_stop` that stops at the n-th step of a session."""
    count = itertools.count(1)
    return lambda: next(count) >= n_steps


# --- resume ---------------------------------------------------------------------------------------

KINDS = [
    {"mode": mode, "optimizer": optimizer, "softmax": softmax}
    for mode in ("sentence", "rows", "stream")
    for optimizer in ("adamw", "adagrad")
    for softmax in ("sampled", "full")
]
WORD_MODEL = BiLMConfig(lstm_dim=6, projection_dim=4, n_words=len(VOCAB))


@pytest.mark.parametrize(
    "kind",
    [*KINDS, {"precision": "bfloat16"}, {"model": WORD_MODEL}],
    ids=lambda kind: " ".join(v if isinstance(v, str) else "words" for v in kind.values()),
)
def test_a_stopped_and_resumed_run_is_the_uninterrupted_one(
    corpora: Corpora, tmp_path: Path, kind: dict[str, Any]
):
    settings = config(**kind, dropout=0.2, max_steps=9)
    whole = corpora.train(tmp_path / "whole", settings)
    assert (whole.step, whole.stopped) == (9, False)
    n_steps = random.Random(str(kind)).sample(range(1, 5), 2)
    for number, n in enumerate(n_steps):
        torch.manual_seed(number)  # somebody else's random numbers in between
        corpora.train(tmp_path / "parts", settings, resume=True, should_stop=after(n))
    assert corpora.train(tmp_path / "parts", settings, resume=True) == whole, n_steps
    assert_same_run(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.parametrize(("mode", "crash_at"), [("sentence", 5), ("rows", 7), ("stream", 11)])
def test_a_crashed_and_resumed_run_is_the_uninterrupted_one(
    corpora: Corpora, tmp_path: Path, mode: str, crash_at: int
):
    settings = config(mode=mode)
    corpora.train(tmp_path / "whole", settings)

    def crash(progress: Progress) -> None:
        if progress.step == crash_at:
            raise KeyError("crash")

    with pytest.raises(KeyError):
        corpora.train(tmp_path / "parts", settings, on_progress=crash)
    with (tmp_path / "parts" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 99, "cut o')  # the line that a crash cut off
    corpora.train(tmp_path / "parts", settings, resume=True)
    assert_same_run(tmp_path / "parts", tmp_path / "whole")


def test_a_run_made_longer_is_the_long_one_where_the_rate_does_not_fall(
    corpora: Corpora, tmp_path: Path
):
    corpora.train(tmp_path / "long", config(validate_every_steps=6))
    for max_steps in (6, 6, 12):  # the second has nothing left to do
        settings = config(validate_every_steps=6, max_steps=max_steps)
        corpora.train(tmp_path / "parts", settings, resume=True)
    assert_same_run(tmp_path / "parts", tmp_path / "long")
    run = json.loads((tmp_path / "parts" / "run.json").read_text())
    assert TrainConfig.from_dict(run["config"]).max_steps == 12


def in_upper_case(line: str) -> list[str]:
    return line.upper().split()


@pytest.mark.parametrize("mode", ["sentence", "rows", "stream"])
def test_a_run_on_a_folder_of_records_resumes_and_is_the_run_on_its_text(
    corpora: Corpora, tmp_path: Path, mode: str
):
    sentences = random_sentences(30)
    folders = {"text": tmp_path / "text", "records": tmp_path / "records"}
    for folder in folders.values():
        folder.mkdir()
    for number in range(3):
        share = sentences[10 * number : 10 * number + 10]
        plain = write(folders["text"] / f"{number}.txt.gz", [*share, []])
        text = gzip.decompress(plain.read_bytes()).decode().splitlines(keepends=True)
        records = [{"body": "".join(text[start : start + 3])} for start in range(0, len(text), 3)]
        lines = "".join(json.dumps(record) + "\n\n" for record in records)
        (folders["records"] / f"{number}.jsonl").write_text(lines)
    settings, words = config(mode=mode, max_steps=9), Vocabulary([*VOCAB.words, "W1", "W2", "W3"])
    corpus = {
        name: Corpus(folder, field="body", tokenize=in_upper_case)
        for name, folder in folders.items()
    }
    for name in ("text", "records"):
        corpora.train(tmp_path / f"run-{name}", settings, files=corpus[name], vocab=words)
    for n in (2, 3, 9):
        corpora.train(
            tmp_path / "parts", settings, files=corpus["records"], vocab=words, resume=True,
            should_stop=after(n),
        )  # fmt: skip
    assert_same_run(tmp_path / "run-records", tmp_path / "run-text")
    assert_same_run(tmp_path / "parts", tmp_path / "run-text")


def test_a_run_resumes_with_its_own_field_and_tokenizer_only(corpora: Corpora, tmp_path: Path):
    out, files = tmp_path / "run", corpora.files
    corpora.train(out, config(max_steps=2), files=Corpus(files, tokenize=in_upper_case))
    for corpus, message in (
        (Corpus(files), "tokenizer of the corpus: expected in_upper_case, got whitespace"),
        (Corpus(files, field="b", tokenize=in_upper_case), "field of the corpus: expected text"),
    ):
        with pytest.raises(ConfigError, match=message):
            corpora.train(out, config(max_steps=4), files=corpus, resume=True)


def test_text_of_which_no_token_is_left_is_an_error(corpora: Corpora, tmp_path: Path):
    with pytest.raises(InputError, match="no usable line"):
        corpora.train(tmp_path / "run", config(), files=Corpus(corpora.files, tokenize=no_tokens))


def no_tokens(_: str) -> list[str]:
    return []


def test_the_vocabulary_of_a_run_is_kept_where_none_is_given(corpora: Corpora, tmp_path: Path):
    settings = config(max_steps=4)
    corpora.train(tmp_path / "run", settings, vocab=None)
    built = relmo_format.read(tmp_path / "run" / "last").vocab
    assert built is not None
    assert set(VOCAB.words) < set(built.words)
    corpora.train(tmp_path / "run", replace(settings, max_steps=5), vocab=None, resume=True)
    with pytest.raises(InputError, match="another vocabulary"):
        corpora.train(tmp_path / "run", replace(settings, max_steps=6), resume=True)


# --- kills ----------------------------------------------------------------------------------------

CHILD = """
import json, sys, torch
from relmo.text.vocab import Vocabulary
from relmo.train import loop, shuffled
from relmo.train.config import TrainConfig
from relmo.train.run import train
files, valid, out, settings, words = json.loads(sys.argv[1])
torch.set_num_threads(1)
shuffled._BUFFER_LINES, loop._RECORD_EVERY = 8, 2
train(files, valid, out, TrainConfig.from_dict(settings), vocab=Vocabulary(words), resume=True)
"""


def kill_at_a_random_moment(corpora: Corpora, out: Path, settings: TrainConfig) -> None:
    """Start or resume in a process of its own, and kill it a moment after its first checkpoint."""
    given = [list(map(str, corpora.files)), str(corpora.valid), str(out), settings.to_dict(),
             VOCAB.words]  # fmt: skip
    before = (out / "last").stat().st_ino if out.exists() else None
    child = subprocess.Popen([sys.executable, "-c", CHILD, json.dumps(given)])
    try:
        while not (out / "last").exists() or (out / "last").stat().st_ino == before:
            assert child.poll() is None
            time.sleep(0.01)
        time.sleep(0.3 * random.random())
    finally:
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL


def test_a_killed_process_leaves_a_checkpoint_that_resumes_bit_for_bit(
    corpora: Corpora, tmp_path: Path
):
    settings = config(mode="stream", max_steps=10**6, save_every_steps=1)
    for _ in range(2):
        kill_at_a_random_moment(corpora, tmp_path / "killed", settings)
    done = training_state(tmp_path / "killed")["progress"]["step"]
    settings = replace(settings, max_steps=done + 3)
    corpora.train(tmp_path / "killed", settings, resume=True)
    corpora.train(tmp_path / "whole", replace(settings, save_every_steps=10**6))
    assert_same_run(tmp_path / "killed", tmp_path / "whole")
    assert_tidy(tmp_path / "killed")


def assert_tidy(out: Path) -> None:
    """Nothing half written lies about."""
    assert {path.name for path in out.iterdir()} <= {"run.json", "metrics.jsonl", "last", "best"}


def test_at_every_moment_of_a_checkpoint_a_whole_one_stands(
    corpora: Corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out, moments = tmp_path / "run", tmp_path / "moments"
    settings = config(save_every_steps=1, validate_every_steps=3, max_steps=3)
    corpora.train(out, replace(settings, max_steps=2))
    real = {name: getattr(_files, name) for name in ("_flush", "_flush_folder", "_exchange")}

    def look(name: str) -> Callable[..., Any]:
        def wrapped(*given: Any) -> Any:
            result = real[name](*given)
            shutil.copytree(out, moments / f"{len(list(moments.iterdir())):03}")
            return result

        return wrapped

    moments.mkdir()
    with monkeypatch.context() as patch:
        for name in real:
            patch.setattr(_files, name, look(name))
        corpora.train(out, settings, resume=True)
    seen = sorted(moments.iterdir())
    steps = [training_state(moment)["progress"]["step"] for moment in seen]
    assert steps == sorted(steps)
    assert set(steps) == {2, 3}
    for moment in seen[:: len(seen) // 3]:
        corpora.train(moment, settings, resume=True)
        assert_same_run(moment, out)
        assert_tidy(moment)


# --- learning -------------------------------------------------------------------------------------

ROUND = ["red", "orange", "yellow", "green", "blue", "violet"]
LEARNER = BiLMConfig(
    lstm_dim=24,
    projection_dim=12,
    char_cnn=CharCNNConfig(filters=((1, 8), (2, 8), (3, 8)), embedding_dim=4, n_highway=1),
)


PUBLISHED = {
    "optimizer": "adagrad",
    "learning_rate": 0.2,
    "clip_norm": 10.0,
    "gradient_scale": 20.0,
    "batch_tokens": 100,
}


@pytest.mark.parametrize(
    "changes",
    [
        {"softmax": "full"},
        {"softmax": "sampled", "learning_rate": 0.04},
        {"softmax": "full", "mode": "rows", **PUBLISHED},
    ],
    ids=["full", "sampled", "as published but for the state"],
)
def test_a_corpus_where_each_word_follows_from_the_last_is_learned(
    tmp_path: Path, changes: dict[str, Any]
):
    # Three words in the order of the rainbow's round: the first of 6 and nothing else is chance,
    # so that the best perplexity is 6 ** (1 / 4) = 1.57.
    sentences = [[ROUND[(k + i) % 6] for i in range(3)] for k in range(6)]
    files = write(tmp_path / "a.txt", sentences * 5)
    settings = config(
        **{"model": LEARNER, "batch_tokens": 60, "max_steps": 90, "validate_every_steps": 90,
           "learning_rate": 0.03, "save_every_steps": 90, "dropout": 0.0, **changes}
    )  # fmt: skip
    losses: list[float] = []
    result = train([files], files, tmp_path / "run", settings,
                   on_progress=lambda progress: losses.append(progress.loss))  # fmt: skip
    assert losses[-1] < 0.7 * losses[0]
    assert result.best is not None
    assert 1.56 < result.best < 2
    line = metrics(tmp_path / "run")[-2]
    assert line["kind"] == "valid"
    assert line["perplexity"] == result.best
    assert line["forward_perplexity"] + line["backward_perplexity"] == pytest.approx(
        2 * result.best
    )
    assert line["predictions"] == 4 * len(sentences) * 5
    assert line["unknown"] == 0


def test_the_best_and_the_last_model_are_ordinary_models(corpora: Corpora, tmp_path: Path):
    corpora.train(tmp_path / "run", config(max_steps=5))
    shutil.rmtree(tmp_path / "run" / "best" / "nothing", ignore_errors=True)
    for name, extra in (("best", set()), ("last", {"training.pt"})):
        folder = tmp_path / "run" / name
        found = relmo_format.read(folder)
        assert found.config == SHAPE
        assert found.vocab == VOCAB
        assert found.softmax is not None
        assert {path.name for path in folder.iterdir()} - extra == {
            "config.json", "model.safetensors", "softmax.safetensors", "vocab.txt"
        }  # fmt: skip


def test_without_held_out_text_there_is_a_last_model_alone(corpora: Corpora, tmp_path: Path):
    result = corpora.train(tmp_path / "run", config(), valid=None)
    assert result.best is None
    assert not (tmp_path / "run" / "best").exists()
    assert {line["kind"] for line in metrics(tmp_path / "run")} == {"train"}


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
        ({"learning_rate": 0.01}, "--learning-rate: expected 0.05 as .*, got 0.01"),
        ({"seed": 2}, "--seed: expected 1 as .*, got 2"),
        ({"model": replace(SHAPE, lstm_dim=7)}, "--preset: lstm_dim: expected 6 as .*, got 7"),
        ({"mode": "stream"}, "--mode: expected sentence"),
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
        (lambda out: truncate(out / "run.json"), r"run\.json: cannot be read"),
        (lambda out: (out / "run.json").write_text("[1]"), r"run\.json: expected an object"),
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


def test_a_vocabulary_must_hold_the_specials_and_fit_a_word_model(corpora: Corpora, tmp_path: Path):
    with pytest.raises(FormatError, match="no '<S>' among"):
        corpora.train(tmp_path / "run", config(), vocab=Vocabulary(["</S>", "<UNK>", "w1"]))
    model = replace(WORD_MODEL, n_words=7)
    with pytest.raises(ConfigError, match=f"n_words: expected {len(VOCAB)}.* got 7"):
        corpora.train(tmp_path / "run", config(model=model))
    assert not (tmp_path / "run").exists()


# --- what goes wrong on the way -------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(
    corpora: Corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "run"
    count, real = itertools.count(1), LanguageModel.loss

    def broken(self: LanguageModel, *given: Any) -> tuple[Tensor, Tensor, Any]:
        forward, backward, state = real(self, *given)
        return (forward * torch.nan if next(count) == 7 else forward), backward, state

    with monkeypatch.context() as patch:
        patch.setattr(LanguageModel, "loss", broken)
        with pytest.raises(
            TrainingError, match="step 7: loss is nan; the checkpoint of step 4 is kept"
        ):
            corpora.train(out, config())
    assert training_state(out)["progress"]["step"] == 4
    corpora.train(out, config(), resume=True)
    corpora.train(tmp_path / "whole", config())
    assert_same_run(out, tmp_path / "whole")


@pytest.mark.parametrize("rate", [1e10, 1e30])
@pytest.mark.parametrize("softmax", ["sampled", "full"])
def test_an_absurd_rate_is_an_error_and_what_was_saved_can_be_read(
    corpora: Corpora, tmp_path: Path, rate: float, softmax: str
):
    sane = config(save_every_steps=1, max_steps=2, softmax=softmax)
    corpora.train(tmp_path / "run", sane)
    # as if the rate had been so from the start
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    run["config"]["learning_rate"] = rate
    (tmp_path / "run" / "run.json").write_text(json.dumps(run))
    with pytest.raises(TrainingError, match="start again with a lower --learning-rate"):
        corpora.train(
            tmp_path / "run", replace(sane, learning_rate=rate, max_steps=40), resume=True
        )
    found = relmo_format.read(tmp_path / "run" / "last")  # else a FormatError
    assert found.softmax is not None
    assert training_state(tmp_path / "run")["progress"]["step"] >= 2


@contextmanager
def no_file_over(n_bytes: int) -> Iterator[None]:
    """The operating system refuses to write beyond so many bytes, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


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


def test_metrics_that_cannot_be_written_are_an_error(corpora: Corpora, tmp_path: Path):
    def in_the_way(progress: Progress) -> None:
        if progress.step == 1:
            path = tmp_path / "run" / "metrics.jsonl"
            path.unlink()
            path.mkdir()

    with pytest.raises(RelmoError, match=r"cannot write '.*metrics\.jsonl': Is a directory"):
        corpora.train(tmp_path / "run", config(), on_progress=in_the_way)


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
