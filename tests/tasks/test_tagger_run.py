"""A tagger's run: it learns, resumes as if nothing had been, and says what is wrong."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from relmo.data.spans import convert
from relmo.data.tagged import TaggedSentence
from relmo.errors import ConfigError, InputError, TrainingError
from relmo.tasks.config import TaggerConfig, TaggerTraining
from relmo.tasks.inputs import epoch_batches, word_vectors
from relmo.tasks.tagger import TaggedTokens, Tagger, TaggerNetwork
from relmo.tasks.training import TaskData, TaskJob
from relmo.text.vocab import Vocabulary
from relmo.train.folder import RunFolder
from tests.helpers import tiny_elmo
from tests.tasks.helpers import DEV, TRAIN, config, data, elmo, sentence, trained, training
from tests.train.helpers import _same, after, metrics, training_state

TOKENS = [list(s.tokens) for s in DEV]
OTHER = r"differ.*: expected sha256 \w{12} as the run was started, got sha256 \w{12};"


def assert_same_run(one: Path, other: Path) -> None:
    """Same bits: networks, optimizer, random state, metrics."""
    for name in ("last", "best"):
        first, second = (Tagger.load(folder / name) for folder in (one, other))
        assert _same(first.network.state_dict(), second.network.state_dict())
        assert first.elmo is None or _same(
            first.elmo.bilm.state_dict(), second.elmo and second.elmo.bilm.state_dict()
        )
    assert _same(training_state(one), training_state(other))
    assert metrics(one) == metrics(other)


def in_parts(out: Path, *stops: int, **given: Any) -> None:
    for n in stops:
        trained(out, resume=True, should_stop=after(n), **given)


def test_a_resumed_run_is_the_run_that_was_not_stopped(tmp_path: Path):
    given = data(cache=tmp_path / "cache")
    trained(tmp_path / "whole", given)
    in_parts(tmp_path / "parts", 2, 5, 99, given=given)
    assert_same_run(tmp_path / "parts", tmp_path / "whole")


def test_a_fine_tuned_model_learns_resumes_and_goes_along(tmp_path: Path):
    how = training(epochs=2, finetune_elmo=True, elmo_learning_rate=0.01)
    trained(tmp_path / "whole", data(), how=how)
    for n in (3, 99):
        in_parts(tmp_path / "parts", n, given=data(), how=how)
    assert_same_run(tmp_path / "parts", tmp_path / "whole")
    tagger = Tagger.load(tmp_path / "whole")
    assert tagger.elmo is not None
    before = elmo().bilm.state_dict()
    changed = [k for k, v in tagger.elmo.bilm.state_dict().items() if not v.equal(before[k])]
    assert len(changed) == len(before)


def test_a_run_is_the_same_with_and_without_a_cache(tmp_path: Path):
    trained(tmp_path / "cached", data(cache=tmp_path / "cache"))
    trained(tmp_path / "computed", data())
    cached, computed = (Tagger.load(tmp_path / n).predict(TOKENS) for n in ("cached", "computed"))
    assert [s.tags for s in cached] == [s.tags for s in computed]
    for one, other in zip(cached, computed, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=0.02)


@pytest.mark.parametrize("kind", [TaggerConfig, TaggerTraining])
def test_settings_come_back_from_a_file_or_an_error_names_the_key(kind: Any):
    values = kind().to_dict()
    assert kind.from_dict(json.loads(json.dumps(values))) == kind()
    for wrong in (None, [], "x", {**values, "no_such": 1}, dict(list(values.items())[1:])):
        with pytest.raises(ConfigError, match=r"^here: "):
            kind.from_dict(wrong, "here")
    for name in values:
        for bad in (None, "?", [1], {}, -1e99, 10**99):
            with pytest.raises(ConfigError, match=name.replace("_", "[_-]")):
                kind.from_dict({**values, name: bad}, "here")


def test_another_seed_is_another_run_and_the_same_is_the_same(tmp_path: Path):
    how = training(epochs=1)
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        trained(tmp_path / name, how=replace(how, seed=seed))
    assert_same_run(tmp_path / "one", tmp_path / "again")
    assert metrics(tmp_path / "one") != metrics(tmp_path / "other")


def test_it_ends_early_and_keeps_the_best(tmp_path: Path):
    how = training(epochs=30, patience=2, learning_rate=1e-9)
    result = trained(tmp_path / "run", how=how)
    assert result.ended_early
    assert (result.best_step, result.step) == (5, 15)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["config"]["patience"] == 2


def test_a_tagger_without_a_model_reads_words_and_characters(tmp_path: Path):
    shape = config(elmo=False, char_dim=8, word_dim=4)
    result = trained(tmp_path, data(elmo=None), shape)
    tagger = Tagger.load(tmp_path)
    assert tagger.elmo is None
    assert tagger.words is not None
    assert "ann" in tagger.words
    assert result.best is not None
    assert tagger.predict([["Unseen"]])[0].tags


def test_given_word_vectors_stay_as_they_are(tmp_path: Path):
    vectors = torch.arange(12.0).reshape(4, 3) / 10
    given = data(elmo=None, vectors=(Vocabulary(["ann", "Rome", "cat", "unseen"]), vectors))
    shape = config(elmo=False, word_dim=3)
    trained(tmp_path / "run", given, shape)
    tagger = Tagger.load(tmp_path / "run")
    rows, words = tagger.network.words, tagger.words
    assert words is not None
    assert rows is not None
    assert rows[words.ids(["ann", "Rome", "cat", "unseen"])].equal(vectors)
    ann, lower, other, another = tagger.predict([["Ann"], ["ann"], ["new"], ["other"]])
    assert ann.scores == lower.scores != other.scores == another.scores
    in_parts(tmp_path / "parts", 2, 99, given=given, shape=shape)
    assert_same_run(tmp_path / "parts", tmp_path / "run")
    changed = data(elmo=None, vectors=(given.vectors[0], vectors + 1))
    with pytest.raises(ConfigError, match=f"the word vectors {OTHER}"):
        trained(tmp_path / "run", changed, shape, resume=True)


def test_vectors_of_a_file_are_those_of_the_words_of_the_data(tmp_path: Path):
    path = tmp_path / "glove.txt"
    path.write_text("rome 1 2\nAnn 3 4\nelsewhere 5 6\nnew 7 8\n")
    words, vectors = word_vectors(path, [*(s.tokens for s in TRAIN), ["New"]])
    assert words.words == ("Ann", "new", "rome")
    assert vectors.tolist() == [[3, 4], [7, 8], [1, 2]]
    with pytest.raises(InputError, match=r"glove\.txt.*width 2, expected 3"):
        word_vectors(path, [["Rome"]], 3)
    path.write_text("elsewhere 5 6\n")
    with pytest.raises(InputError, match=r"glove\.txt: has none of the \d+ words of the data"):
        word_vectors(path, [["Rome"]])


def test_the_characters_of_a_string_have_no_vectors(tmp_path: Path):
    (tmp_path / "glove.txt").write_text("a 1 2\nRome 3 4\n")
    with pytest.raises(InputError, match=r"word vectors: sentence 2: expected a list of strings"):
        word_vectors(tmp_path / "glove.txt", [["Rome"], "a cat"])


def test_given_word_vectors_are_where_it_starts():
    vectors = torch.arange(6.0).reshape(3, 2)
    given = data(elmo=None, vectors=(Vocabulary(["rome", "Rome", "x"]), vectors))
    shape = config(elmo=False, word_dim=2)
    run = TaskJob(Tagger, given, RunFolder(Path("nowhere")), shape, training())
    words, rows = run.words, run.task.network.words
    assert words is not None
    assert rows is not None
    assert rows[words.index("Rome")].tolist() == [2, 3]
    assert rows[words.index("anything")].tolist() == [2, 3]  # their mean
    with pytest.raises(ConfigError, match="word vectors: expected 3 numbers each"):
        TaskJob(Tagger, given, run.folder, replace(shape, word_dim=3), training())


def test_every_epoch_has_every_sentence_once_in_its_own_order():
    lengths = [k % 7 for k in range(300)]
    first, again, second = (epoch_batches(lengths, 4, 1, epoch) for epoch in (0, 0, 1))
    assert first == again != second
    for batches in (first, second):
        found = sorted(number for batch in batches for number in batch)
        assert found == [k for k in range(300) if lengths[k]]
        for batch in batches:
            sizes = [lengths[number] for number in batch]
            assert sizes == sorted(sizes, reverse=True)
            assert len(batch) <= 4


def strayed(corpus: list[TaggedSentence], stray: str) -> list[TaggedSentence]:
    """With the last O of the first sentence mistyped."""
    tags = corpus[0].tags
    k = len(tags) - 1 - tags[::-1].index("O")
    return [replace(corpus[0], tags=(*tags[:k], stray, *tags[k + 1 :])), *corpus[1:]]


@pytest.mark.parametrize("stray", ["o", "0", "O.", "X"])
def test_a_stray_tag_is_learned_as_what_was_meant_and_warned_of(
    tmp_path: Path, stray: str, caplog: pytest.LogCaptureFixture
):
    how = training(epochs=1)
    trained(tmp_path / "right", how=how)
    trained(tmp_path / "stray", data(train=strayed(TRAIN, stray), dev=strayed(DEV, stray)), how=how)
    right, tagger = (Tagger.load(tmp_path / name) for name in ("right", "stray"))
    assert (tagger.scheme, tagger.tags) == ("BIO", right.tags)
    assert metrics(tmp_path / "stray") == metrics(tmp_path / "right")
    assert len(caplog.records) == 2
    assert all(
        record.getMessage().startswith("corpus.txt: sentence at line 1: token ")
        and f"the tag {stray!r} does not fit the others; read as 'O'" in record.getMessage()
        for record in caplog.records
    )
    assert tagger.tag(strayed(DEV, stray)) == right.tag(DEV)


def test_tags_of_another_dialect_or_scheme_are_learned_as_those_of_bio(tmp_path: Path):
    how = training(epochs=1)
    trained(tmp_path / "right", how=how)

    def written(corpus: list[TaggedSentence], write: Any) -> list[TaggedSentence]:
        return [replace(s, tags=tuple(write(s.tags))) for s in corpus]

    def label_first(tags: tuple[str, ...]) -> list[str]:
        return ["_".join(tag.split("-")[::-1]) for tag in tags]

    for name, scheme, write in (
        ("dialect", None, label_first),
        ("scheme", "BIO", lambda tags: convert(tags, "BIOES")),
    ):
        given = data(train=written(TRAIN, write), dev=written(DEV, write), scheme=scheme)
        trained(tmp_path / name, given, how=how)
        tagger = Tagger.load(tmp_path / name)
        assert (tagger.scheme, tagger.tags) == ("BIO", Tagger.load(tmp_path / "right").tags)
        assert metrics(tmp_path / name) == metrics(tmp_path / "right")
        assert tagger.tag(written(DEV, write)) == Tagger.load(tmp_path / "right").tag(DEV)


def test_a_tagger_of_labels_alone_gives_spans(tmp_path: Path):
    corpus = [
        sentence(["a", "b", "Ann", "Lee", "c", "d", "Rome"], ["O", "O", "P", "P", "O", "O", "L"], k)
        for k in range(5)
    ]
    trained(tmp_path / "run", data(train=corpus, dev=corpus))
    tagger = Tagger.load(tmp_path / "run")
    assert (tagger.scheme, tagger.tags) == ("IO", ("O", "I-P", "I-L"))
    assert tagger.tag(corpus) == [found.tags for found in tagger.predict([corpus[0].tokens] * 5)]
    found = TaggedTokens(
        tokens=("Ann", "Lee", "in", "Rome"),
        tags=("I-P", "I-P", "O", "I-L"),
        scores=(0.5, 0.25, 1.0, 1.0),
        scheme=tagger.scheme,
    )
    assert [span[:4] for span in found.spans] == [("P", 0, 2, 0.25), ("L", 3, 4, 1.0)]
    trained(tmp_path / "plain", data(train=corpus, dev=corpus, scheme="plain"))
    assert Tagger.load(tmp_path / "plain").tags == ("O", "P", "L")


def test_an_unknown_tag_of_the_development_data_is_named_before_anything_is_learned(tmp_path: Path):
    dev = [*DEV, sentence(["in", "Rome"], ["O", "B-GPE"], line=70)]
    with pytest.raises(InputError, match=r"corpus\.txt: line 70: .*'Rome' has the tag 'B-GPE'"):
        trained(tmp_path, data(dev=dev))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": []}, "the training data hold no token"),
        ({"train": [sentence(["a", "b"], ["O", "O"])]}, "have the tag 'O' alone, expected several"),
        ({"dev": [sentence([], [])]}, "the development data hold no token"),
    ],
)
def test_data_of_which_nothing_can_be_learned_are_an_error(
    tmp_path: Path, changes: dict[str, Any], message: str
):
    with pytest.raises(InputError, match=message):
        trained(tmp_path, data(**changes))


@pytest.mark.parametrize(
    ("given", "shape", "how", "message"),
    [
        (data(), config(lstm_dim=7), training(), "lstm_dim: expected 6 as the run was started"),
        (data(), config(), training(seed=2), "seed: expected 1 as the run was started, got 2"),
        (
            data(train=TRAIN[1:]),
            config(),
            training(),
            f"run.json: the training data {OTHER}",
        ),
        (data(dev=DEV[1:]), config(), training(), f"the development data {OTHER}"),
        (data(elmo=tiny_elmo(1)), config(), training(), f"the biLM {OTHER}"),
    ],
)
def test_another_run_is_not_resumed(
    run_of_a_step: Path,
    given: TaskData[TaggedSentence],
    shape: TaggerConfig,
    how: TaggerTraining,
    message: str,
):
    with pytest.raises(ConfigError, match=message):
        trained(run_of_a_step, given, shape, how, resume=True)


def test_a_run_is_not_overwritten(run_of_a_step: Path):
    with pytest.raises(InputError, match="holds a training run; give --resume"):
        trained(run_of_a_step)


@pytest.fixture(scope="module")
def run_of_a_step(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stopped")
    trained(folder, should_stop=lambda: True)
    return folder


@pytest.mark.parametrize("n_bad", [1, 2])
def test_numbers_that_are_not_finite_are_rolled_back_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_bad: int
):
    loss, count = TaggerNetwork.loss, itertools.count(1)

    def bad(network: TaggerNetwork, *given: Any) -> torch.Tensor:
        return loss(network, *given) * (torch.nan if 7 < next(count) <= 7 + n_bad else 1)

    monkeypatch.setattr(TaggerNetwork, "loss", bad)
    if n_bad == 2:
        with pytest.raises(TrainingError, match="step 6: loss is nan, again after a roll back"):
            trained(tmp_path)
        return
    assert trained(tmp_path).step == 15
    (line,) = [line for line in metrics(tmp_path) if line["kind"] == "rollback"]
    assert (line["step"], line["failed_step"]) == (5, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lstm_dim": 0}, "lstm_dim must be at least 1"),
        ({"lstm_dim": 10**9}, "lstm_dim must be at least 1 and at most 65536"),
        ({"n_mixtures": 3}, "n_mixtures"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"dropout": float("nan")}, "dropout is nan"),
        ({"output": "hmm"}, "output must be one of crf, softmax"),
        ({"char_dim": 6}, "char_dim must be a multiple of 4"),
        ({"elmo": False, "char_dim": 0, "word_dim": 0}, "needs char_dim or word_dim"),
    ],
)
def test_an_impossible_shape_is_an_error(change: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        TaggerConfig.from_dict({**TaggerConfig().to_dict(), **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"seed": -1}, "seed"),
        ({"weight_decay": 2.0}, "weight_decay"),
    ],
)
def test_impossible_training_is_an_error(change: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        TaggerTraining(**change)


def test_the_taggers_own_tags_are_scored_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def read_tags(*args: object, **kwargs: object) -> None:
        raise AssertionError("canonical tags are read again")

    monkeypatch.setattr("relmo.tasks.scores.read_tags", read_tags)
    trained(tmp_path / "run", how=training(epochs=1))
    assert any("f1" in line for line in metrics(tmp_path / "run"))
    assert not caplog.messages
