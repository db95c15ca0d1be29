"""The recipes of tasks, on a few sentences: how they part, train, score and print."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from recipes import class_runs, ewt_pos, gmb_ner, sst, task_runs, trec, twitter_ner
from recipes.task_runs import Run
from relmo.data.labelled import split
from relmo.data.tagged import TaggedSentence, read_tagged
from relmo.elmo.model import load
from relmo.errors import InputError
from relmo.tasks.config import ClassifierConfig, ClassifierTraining, TaggerConfig, TaggerTraining
from relmo.tasks.scores import evaluate
from relmo.tasks.tagger import Tagger
from tests.helpers import tiny_model
from tests.tasks.classifier_helpers import TRAIN

TINY = TaggerConfig(lstm_dim=4, char_dim=4, word_dim=4)
TRAINING = TaggerTraining(epochs=2, patience=0)
TWEET = "@ann\tO\nsaw\tO\nYork\tB-geo-loc\nhttp://t.co/x\tO\n\nhello\tO\n\n"
PARSED = "1\tShe\tshe\tPRON\t_\t_\t2\t_\t_\t_\n2\tsang\tsing\tVERB\t_\t_\t0\t_\t_\t_\n\n"


def of_tokens(*tokens: str) -> TaggedSentence:
    return TaggedSentence(tokens=tokens, tags=("O",) * len(tokens), source="x", line=1)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with every corpus, as RELMO_DATA has it, a tiny model, and tiny networks."""
    for name in ("ner/wnut16", "ner/gmb", "pos/ewt", "classification"):
        (tmp_path / name).mkdir(parents=True)
    labelled = "".join(f"{s.label} {' '.join(s.tokens)}\n" for s in TRAIN)
    for part in ("train", "dev", "test"):
        (tmp_path / "ner/wnut16" / part).write_text(TWEET * 5)
        (tmp_path / f"pos/ewt/en_ewt-ud-{part}.conllu").write_text(PARSED * 5)
        for name in (f"stsa.binary.{part}", f"stsa.fine.{part}", f"TREC.{part}.all"):
            (tmp_path / "classification" / name).write_text(labelled)
    rows = "".join(f"Sentence: {k},He,PRP,O\n,Paris,NNP,B-geo\n" for k in range(30))
    (tmp_path / "ner/gmb/ner_dataset.csv").write_text(f"Sentence #,Word,POS,Tag\n{rows}")
    tiny_model(tmp_path / "model", words=["<S>", "</S>", "<UNK>", "she"])
    monkeypatch.setenv("RELMO_DATA", str(tmp_path))
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.chdir(tmp_path)
    for recipe in (gmb_ner, ewt_pos):
        monkeypatch.setattr(recipe, "TRAINING", TRAINING)
    for setting in twitter_ner.TRAINING:
        monkeypatch.setitem(twitter_ner.TRAINING, setting, TRAINING)
        monkeypatch.setitem(twitter_ner.READS, setting, replace(TINY, softmax_words=True))
    monkeypatch.setattr(twitter_ner, "OWN", replace(TINY, elmo=False))
    monkeypatch.setattr(twitter_ner, "TUNING", replace(twitter_ner.TUNING, softmax="full"))
    monkeypatch.setattr(ewt_pos, "CONFIG", replace(TINY, output="softmax"))
    for name, (said, config) in list(gmb_ner.RUNS.items()):
        tiny = replace(TINY, elmo=config.elmo, output=config.output)
        monkeypatch.setitem(gmb_ner.RUNS, name, (said, tiny))
    monkeypatch.setattr(class_runs, "CONFIG", ClassifierConfig(lstm_dim=4, char_dim=4, word_dim=4))
    for recipe in (sst, trec):
        monkeypatch.setattr(recipe, "TRAINING", ClassifierTraining(epochs=1))
    return tmp_path


@pytest.fixture
def printed(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., list[str]]:
    """The rows of the table that a recipe prints, their cells in a list each."""

    def run(recipe: ModuleType, *arguments: str) -> list[str]:
        flags = ["--model", "model", "--cache", "cache", "--out", "runs", *arguments]
        monkeypatch.setattr(sys, "argv", ["recipe", *flags])
        recipe.main()
        table, memory = capsys.readouterr().out.split("\n\n")
        assert memory.startswith("peak memory")
        return table.splitlines()[2:]

    return run


def names(rows: list[str]) -> list[str]:
    return [row.split("|")[1].strip() for row in rows]


def test_user_names_and_addresses_become_one_token_each():
    given = of_tokens("@tg10781", "@", "me@x.org", "HTTP://bit.ly/a", "www.x.org", "https", "#a")
    assert twitter_ner.normalised(given).tokens == (
        "<usr>", "@", "me@x.org", "<url>", "<url>", "https", "#a",
    )  # fmt: skip


def test_tweets_are_parted_as_distributed_or_mixed(data: Path):
    as_distributed, mixed = (twitter_ner.tweets(data, name) for name in ("distributed", "mixed"))
    assert [len(part) for part in vars(as_distributed).values()] == [10, 10, 10]
    assert [len(part) for part in vars(mixed).values()] == [24, 3, 3]
    assert as_distributed.train[0].tokens == ("<usr>", "saw", "York", "<url>")


def test_a_tagger_of_tweets_reads_no_model_that_in_the_box_or_one_tuned_to_them(
    printed: Callable[..., list[str]],
):
    rows = printed(twitter_ner, "--setting", "distributed", "--seeds", "1", "2")
    assert names(rows) == [f"distributed: {said}" for said in twitter_ner.RUNS.values()]
    assert Tagger.load("runs/distributed/none-2").elmo is None
    tuned = Tagger.load("runs/distributed/tuned-1").elmo
    assert tuned is not None
    assert not torch.equal(*(next(elmo.bilm.parameters()) for elmo in (tuned, load("model"))))


@pytest.mark.parametrize("recipe", [ewt_pos, trec])
def test_each_layer_and_their_mix_are_held_against_a_network_without_elmo(
    recipe: ModuleType, printed: Callable[..., list[str]]
):
    rows = printed(recipe, "--seeds", "1", "2")
    assert names(rows) == list(task_runs.LAYERS.values())
    assert all(" ± " in row for row in rows)


def test_both_tasks_of_the_treebank_are_in_one_table(printed: Callable[..., list[str]]):
    rows = printed(sst, "--run", "none", "1", "--seeds", "1")
    assert names(rows) == [f"{task}: {said}" for task in ("sst2", "sst5")
                           for said in ("without ELMo", "layer 1")]  # fmt: skip


def test_a_tenth_of_trec_is_held_out_to_choose_the_epoch(data: Path):
    parts = trec.questions(data)
    assert [len(part) for part in vars(parts).values()] == [27, 3, 30]
    assert {s.line for s in parts.train}.isdisjoint(s.line for s in parts.dev)


def test_the_gmb_is_scored_on_a_tenth_with_what_comes_after_the_last_epoch(
    data: Path, printed: Callable[..., list[str]]
):
    rows = printed(gmb_ner, "--run", "softmax-no-elmo", "crf")
    assert names(rows) == ["softmax, without ELMo", "CRF, ELMo"]
    held_out = split(read_tagged(data / "ner/gmb/ner_dataset.csv"), [0.9, 0.1], seed=2018)[1]
    last = Tagger.load(data / "runs/softmax-no-elmo-1/last").tag(held_out)
    assert f" {evaluate([s.tags for s in held_out], last).f1:.2f} |" in rows[0]


@pytest.mark.parametrize("name", ["twitter_ner", "gmb_ner", "ewt_pos", "sst", "trec"])
def test_missing_data_are_one_clear_message_and_code_2(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    recipe = importlib.import_module(f"recipes.{name}")
    monkeypatch.delenv("RELMO_DATA", raising=False)
    for arguments, message in (
        ([], "name the folder of data with --data or RELMO_DATA"),
        (["--data", str(tmp_path)], f"{tmp_path}: expected "),
    ):
        monkeypatch.setattr(sys, "argv", ["recipe", *arguments])
        with pytest.raises(SystemExit) as stopped:
            task_runs.command_line(recipe.main)
        assert stopped.value.code == 2
        assert message in capsys.readouterr().err


def test_relmo_data_names_the_folder_and_a_file_may_lie_in_an_archive(data: Path):
    (data / "a.zip").write_bytes(b"")
    assert task_runs.found(None, ["none", "ner/wnut16/dev"], "") == data / "ner/wnut16/dev"
    assert task_runs.found(None, ["a.zip/x.csv"], "") == data / "a.zip/x.csv"
    with pytest.raises(InputError, match=r"expected b\.zip/x\.csv or c in it; from there"):
        task_runs.found(None, ["b.zip/x.csv", "c"], "from there")


def test_runs_of_one_name_are_a_row_with_mean_and_deviation():
    one = Run(name="a", scores={"dev F1": 40.0, "test F1": 36.0}, seconds=10.0, cpu_seconds=8.0)
    other = replace(one, scores={"dev F1": 42.0, "test F1": 38.0}, seconds=20.0)
    rows = task_runs.table([one, other, replace(one, name="b", scores={"test F1": 1.0})])
    assert rows.splitlines()[0] == "| | dev F1 | test F1 | seconds | CPU seconds |"
    assert rows.splitlines()[2:] == [
        "| a | 41.00 ± 1.41 | 37.00 ± 1.41 | 15 | 8 |",
        "| b |  | 1.00 | 10 | 8 |",
    ]
