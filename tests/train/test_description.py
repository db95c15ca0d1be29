"""What run.json and run.toml say, and which runs a resume refuses for it."""

import hashlib
import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relmo.errors import ConfigError
from relmo.train.config import TrainConfig
from relmo.train.description import to_toml
from tests.train.helpers import (
    VOCAB,
    Corpora,
    after,
    assert_same_run,
    config,
    random_sentences,
    write,
)


def run_json(out: Path) -> dict[str, Any]:
    found = json.loads((out / "run.json").read_text())
    assert isinstance(found, dict)
    return found


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_run_says_what_it_takes_to_repeat_it(corpora: Corpora, tmp_path: Path):
    corpora.train(tmp_path / "run", config(max_steps=1))
    run = run_json(tmp_path / "run")
    assert run["files"] == [str(path) for path in corpora.files]
    assert run["sha256"] == [sha256(path) for path in corpora.files]
    assert run["valid"]["sha256"] == [sha256(corpora.valid)]
    assert run["vocabulary_sha256"] == VOCAB.sha256()
    assert run["config"]["seed"] == 1
    (environment,) = run["ran_on"]
    assert environment.keys() == {
        "relmo", "torch", "numpy", "python", "platform", "device", "gpu", "threads", "git"
    }  # fmt: skip


def swapped(path: Path) -> None:
    """Another text of the same size and time."""
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"w1", b"w2"))
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: swapped(c.files[1]), r"b\.txt has changed .* not in size: .* resume with the"),
        (lambda c: swapped(c.valid), r"the validation text: expected .*valid\.txt as it was"),
        (lambda c: write(c.files[1], random_sentences(3)), "bytes of the corpus: expected"),
    ],
)
def test_a_run_is_not_resumed_with_another_text(
    corpora: Corpora, tmp_path: Path, change: Callable[[Corpora], None], message: str
):
    corpora.train(tmp_path / "run", config(max_steps=2))
    before = (tmp_path / "run" / "run.json").read_bytes()
    change(corpora)
    with pytest.raises(ConfigError, match=message):
        corpora.train(tmp_path / "run", config(max_steps=4), resume=True)
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_a_run_that_was_started_before_there_were_checksums_is_resumed(
    corpora: Corpora, tmp_path: Path
):
    corpora.train(tmp_path / "run", config(), should_stop=after(4))
    run = run_json(tmp_path / "run")
    old = {key: run[key] for key in ("config", "files", "bytes", "n_words")}
    (tmp_path / "run" / "run.json").write_text(json.dumps({**old, "torch": "2.6.0"}))
    (tmp_path / "run" / "run.toml").unlink()
    corpora.train(tmp_path / "run", config(), resume=True)
    corpora.train(tmp_path / "whole", config())
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    assert run_json(tmp_path / "run") == run_json(tmp_path / "whole")


def test_where_a_run_went_on_elsewhere_both_places_are_noted(corpora: Corpora, tmp_path: Path):
    corpora.train(tmp_path / "run", config(max_steps=2))
    run = run_json(tmp_path / "run")
    (here,) = run["ran_on"]
    run["ran_on"] = [{**here, "torch": "2.6.0"}]
    (tmp_path / "run" / "run.json").write_text(json.dumps(run))
    for max_steps in (3, 4):
        corpora.train(tmp_path / "run", config(max_steps=max_steps), resume=True)
    assert run_json(tmp_path / "run")["ran_on"] == [{**here, "torch": "2.6.0"}, here]


@given(st.text(st.characters(exclude_categories=["Cs"])), st.floats(1e-30, 1e30))
def test_what_is_written_as_toml_is_read_as_it_was(name: str, rate: float):
    text = {"files": [name], "field": name, "tokenizer": "whitespace"}
    settings = TrainConfig(learning_rate=rate)
    found = tomllib.loads(
        to_toml(
            {"config": settings.to_dict(), **text, "valid": None, "ran_on": [{"device": "cpu"}]}
        )
    )
    assert (found["files"], found["field"], found["learning_rate"]) == ([name], name, rate)
    assert "valid" not in found


def test_a_file_whose_name_is_no_text_does_not_stop_a_run(corpora: Corpora, tmp_path: Path):
    odd = tmp_path / os.fsdecode(b"a\xff.txt")
    odd.write_bytes(corpora.files[1].read_bytes())
    corpora.train(tmp_path / "run", config(max_steps=1), files=[odd])
    written = tomllib.loads((tmp_path / "run" / "run.toml").read_text("utf-8"))
    assert written["files"] == [f"{tmp_path}/a?.txt"]
