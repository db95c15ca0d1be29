"""The recipes that train taggers, on a few sentences: how they part, train, score and print."""

import sys
from dataclasses import replace

import pytest

from recipes import gmb_ner, tagger_runs, twitter_ner
from recipes.tagger_runs import Run
from relmo.errors import InputError
from relmo.tasks.evaluation import evaluate
from relmo.tasks.tagger import Tagger
from relmo.tasks.tagger_config import TaggerConfig, TaggerTraining
from relmo.text.splits import split
from relmo.text.tagged import TaggedSentence, read_tagged

TINY = TaggerConfig(lstm_dim=4, char_dim=4, word_dim=4)
TRAINING = TaggerTraining(epochs=2, patience=0)
TWEET = "@ann\tO\nsaw\tO\nYork\tB-geo-loc\nhttp://t.co/x\tO\n\nhello\tO\n\n"


def of_tokens(*tokens: str) -> TaggedSentence:
    return TaggedSentence(tokens=tokens, tags=("O",) * len(tokens), source="x", line=1)


@pytest.fixture
def data(tmp_path):
    """A data folder with both corpora, as RELMO_DATA has it."""
    wnut, gmb = tmp_path / "ner/wnut16", tmp_path / "ner/gmb"
    wnut.mkdir(parents=True)
    gmb.mkdir()
    for name in ("train", "dev", "test"):
        (wnut / name).write_text(TWEET * 5)
    rows = "".join(f"Sentence: {k},He,PRP,O\n,Paris,NNP,B-geo\n" for k in range(30))
    (gmb / "ner_dataset.csv").write_text(f"Sentence #,Word,POS,Tag\n{rows}")
    return tmp_path


def test_user_names_and_addresses_become_one_token_each():
    given = of_tokens("@tg10781", "@", "me@x.org", "HTTP://bit.ly/a", "www.x.org", "https", "#a")
    assert twitter_ner.normalised(given).tokens == (
        "<usr>", "@", "me@x.org", "<url>", "<url>", "https", "#a",
    )  # fmt: skip


def test_tweets_are_parted_as_distributed_or_mixed(data):
    as_distributed, mixed = (twitter_ner.tweets(data, name) for name in ("distributed", "mixed"))
    assert [len(part) for part in vars(as_distributed).values()] == [10, 10, 10]
    assert [len(part) for part in vars(mixed).values()] == [24, 3, 3]
    assert as_distributed.train[0].tokens == ("<usr>", "saw", "York", "<url>")


def test_each_kind_of_tagger_is_trained_on_tweets_and_scored(data, tmp_path, monkeypatch):
    monkeypatch.setattr(twitter_ner, "CONFIG", TINY)
    parts = twitter_ner.tweets(data, "mixed")
    found = twitter_ner.runs(
        parts, ["box", "none"], [1, 2], tmp_path / "out", tmp_path / "layers", TRAINING
    )
    assert [run.name for run in found] == [
        twitter_ner.RUNS[k] for k in ("box", "none") for _ in "12"
    ]
    assert len(tagger_runs.table(found).splitlines()) == 4
    assert Tagger.load(tmp_path / "out/none-2").elmo is None


def test_the_gmb_is_scored_on_a_tenth_with_what_comes_after_the_last_epoch(
    data, tmp_path, monkeypatch
):
    monkeypatch.setitem(gmb_ner.RUNS, "softmax-no-elmo", ("x", replace(TINY, elmo=False)))
    sentences = read_tagged(data / "ner/gmb/ner_dataset.csv")
    run = gmb_ner.run("softmax-no-elmo", sentences, None, tmp_path, None, TRAINING)
    assert run.dev is None
    held_out = split(sentences, [0.9, 0.1], seed=2018)[1]
    last = Tagger.load(tmp_path / "softmax-no-elmo/last").tag(held_out)
    assert run.test == evaluate([s.tags for s in held_out], last).f1


@pytest.mark.parametrize("recipe", [twitter_ner, gmb_ner])
def test_a_missing_data_folder_is_one_clear_message(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("RELMO_DATA", raising=False)
    for arguments, message in (
        ([], "name the folder of data with --data or RELMO_DATA"),
        (["--data", str(tmp_path)], f"{tmp_path}: expected ner/"),
    ):
        monkeypatch.setattr(sys, "argv", ["recipe", *arguments])
        with pytest.raises(SystemExit):
            recipe.main()
        assert message in capsys.readouterr().err


def test_relmo_data_names_the_folder_and_a_file_may_lie_in_an_archive(data, monkeypatch):
    monkeypatch.setenv("RELMO_DATA", str(data))
    (data / "a.zip").write_bytes(b"")
    assert tagger_runs.found(None, ["none", "ner/wnut16/dev"], "") == data / "ner/wnut16/dev"
    assert tagger_runs.found(None, ["a.zip/x.csv"], "") == data / "a.zip/x.csv"
    with pytest.raises(InputError, match=r"expected b\.zip/x\.csv or c in it; from there"):
        tagger_runs.found(None, ["b.zip/x.csv", "c"], "from there")


def test_runs_of_one_name_are_a_row_with_mean_and_deviation():
    one = Run(
        name="a", dev=40.0, precision=50.0, recall=30.0, test=36.0, seconds=10.0, cpu_seconds=8.0
    )
    rows = tagger_runs.table(
        [one, replace(one, dev=42.0, test=38.0), replace(one, name="b", dev=None)]
    )
    assert rows.splitlines()[2:] == [
        "| a | 41.00 ± 1.41 | 50.00 | 30.00 | 37.00 ± 1.41 | 10 | 8 |",
        "| b |  | 50.00 | 30.00 | 36.00 | 10 | 8 |",
    ]
