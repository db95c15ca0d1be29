"""A run learns, and goes on bit for bit after a stop, a crash or a kill."""

import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from relmo import _files
from relmo.config import BiLMConfig, CharCNNConfig
from relmo.data.corpora import Corpus
from relmo.errors import ConfigError, InputError
from relmo.formats import relmo_format
from relmo.text.vocab import Vocabulary
from relmo.train.config import TrainConfig
from relmo.train.loop import Progress
from relmo.train.run import train
from tests.train.helpers import (
    SHAPE,
    VOCAB,
    WORD_MODEL,
    Corpora,
    after,
    assert_same_run,
    assert_tidy,
    config,
    metrics,
    random_sentences,
    training_state,
    write,
)

# --- resume ---------------------------------------------------------------------------------------

KINDS = [
    {"mode": mode, "optimizer": optimizer, "softmax": softmax}
    for mode in ("sentence", "rows", "stream")
    for optimizer in ("adamw", "adagrad")
    for softmax in ("sampled", "full")
]


@pytest.mark.parametrize(
    "kind",
    [
        *KINDS,
        {"precision": "bfloat16"},
        {"model": WORD_MODEL},
        *({"mode": mode, "dropout_kind": "variational"} for mode in ("sentence", "rows")),
        *({"mode": "rows", "softmax": "adaptive", "optimizer": o} for o in ("adamw", "adagrad")),
        *({"model": WORD_MODEL, "softmax": s, "tied": True} for s in ("sampled", "full")),
    ],
    ids=lambda kind: " ".join(
        v if isinstance(v, str) else "tied" if v is True else "words" for v in kind.values()
    ),
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

NURSERY = """
import json, os, sys, torch
from relmo.cli import main
from relmo.train import batches, finetune, loop, run
torch.set_num_threads(1)
batches._BUFFER_LINES, loop._RECORD_EVERY = 8, 2
os.fsync = lambda _: None  # a kill is no power cut
for line in sys.stdin:
    child = os.fork()
    if not child:
        sys.argv, sys.stdout = ["relmo", *json.loads(line)], sys.stderr
        main.run()
        sys.exit()
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Nursery:
    """A process that has imported everything, and runs each `relmo` in a child of its own."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def relmo(self, *arguments: str | Path, kill_after: float | None = None) -> int:
        """The exit code of `relmo ARGUMENTS`, which is killed after some seconds."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([str(x) for x in arguments]), file=self.process.stdin, flush=True)
        child = int(self.process.stdout.readline())
        if kill_after is not None:
            time.sleep(kill_after)
            with suppress(ProcessLookupError):  # it is done
                os.kill(child, signal.SIGKILL)
        return int(self.process.stdout.readline())


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    found = Nursery()
    with found.process as process:
        yield found
        process.kill()


def test_a_command_killed_at_random_moments_resumes_bit_for_bit(
    nursery: Nursery, corpora: Corpora, tmp_path: Path
):
    VOCAB.write(tmp_path / "words.txt")
    flags = (
        "--lstm-dim 6 --projection-dim 4 --batch-tokens 40 --unroll-steps 5 --n-candidates 4 "
        "--warmup-steps 3 --validate-every-steps 7 --max-steps 16 --resume"
    )
    command = ["train", *corpora.files, "--valid", corpora.valid, "--vocab", tmp_path / "words.txt",
               *flags.split(" ")]  # fmt: skip
    start = time.monotonic()
    assert nursery.relmo(*command, "--out", tmp_path / "whole", "--save-every-steps", "9") == 0
    longest = (time.monotonic() - start) / 2
    parts = [*command, "--out", tmp_path / "parts", "--save-every-steps", "1"]
    moments = random.Random(4)
    codes = [nursery.relmo(*parts, kill_after=moments.uniform(0, longest)) for _ in range(7)]
    assert codes.count(-signal.SIGKILL) >= 3, codes
    assert nursery.relmo(*parts) == 0
    assert_same_run(tmp_path / "parts", tmp_path / "whole")
    assert_tidy(tmp_path / "parts")


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
