import sys

import numpy as np
import pytest

from recipes import wsd
from relmo.data.senses import SenseSentence, SenseWord, lexeme_of
from relmo.errors import InputError
from relmo.tasks.senses import SenseAverages, answers, scores
from tests.helpers import tiny_elmo

KEYS = [f"play%1:0{n}:00::" for n in range(3)]


def uses(n: int, seed: int) -> wsd.Uses:
    """Vectors of three layers and their average."""
    random = np.random.default_rng(seed)
    layers = random.normal(size=(n, 3, 6)).astype(np.float32)
    vectors = np.concatenate([layers, layers.mean(axis=1, keepdims=True)], axis=1)
    words = [
        SenseWord(start=0, stop=1, lexeme=lexeme_of(key), keys=(key,))
        for key in random.choice(KEYS, size=n)
    ]
    return list(zip(words, vectors, strict=True))


def learned(seed: int) -> wsd.Learned:
    averages = SenseAverages()
    averages.add(uses(30, seed))
    sets = {name: uses(20, seed + n) for n, name in enumerate((wsd.DEV, *wsd.TESTS), start=1)}
    return wsd.Learned(averages=averages, found=sets, dictionary=None)


def test_a_mix_of_one_layer_scores_as_that_layer_and_equal_shares_as_the_average():
    found, tested = learned(0), uses(40, 1)
    weights = np.concatenate([np.eye(3), np.full((1, 3), 1 / 3)]).astype(np.float32)
    for prior in (0.0, 0.3):
        expected = scores(answers(found.averages, tested, prior))
        assert wsd.mixed(found, tested, weights, prior) == expected


def test_shares_are_all_that_sum_to_one():
    found = wsd.shares(3)
    assert len(found) == len(np.unique(found, axis=0)) == 15
    assert (found.sum(axis=1) == 1).all()


def test_the_prior_of_a_row_is_the_one_best_on_the_development_set():
    found = learned(3)
    weights = np.eye(3, dtype=np.float32)
    for layer, prior in enumerate(wsd.best_priors(found, weights)):
        f1 = {p: wsd.mixed(found, found.found[wsd.DEV], weights, p)[layer].f1 for p in wsd.PRIORS}
        assert prior == max(f1, key=f1.__getitem__)
    said = wsd.rows(["a", "b", "c"], found, weights)
    assert len(said) == 6
    assert said["b"][0] == wsd.mixed(found, found.found[wsd.DEV], weights)[1].f1
    assert said["b"][-1] == pytest.approx(np.mean(said["b"][:5]))  # sets of as many words
    assert said["b"][-2] == pytest.approx(np.mean(said["b"][1:5]))


def test_without_elmo_a_words_vector_is_the_mean_of_the_others_in_its_sentence():
    table = {"a": np.array([1.0, 0]), "play": np.array([9.0, 9]), "off": np.array([0, 3.0])}
    word = SenseWord(start=1, stop=2, lexeme=lexeme_of(KEYS[0]), keys=(KEYS[0],))
    sentences = [
        SenseSentence(tokens=tuple(text.split()), words=(word,), document="d")
        for text in ("a play off", "a play")
    ]
    found = [vectors.tolist() for _, vectors in wsd.of_context(table)(sentences)]
    assert found == [[[0.5, 1.5]], [[1.0, 0.0]]]


def test_the_best_of_a_column_is_bold():
    found = wsd.table({"first sense": [0.5] * 7, "mix": [0.612, *[0.4] * 6]})
    assert found.splitlines()[2:] == [
        "| first sense | 50.0 | " + " | ".join(["**50.0**"] * 6) + " |",
        "| mix | **61.2** | " + " | ".join(["40.0"] * 6) + " |",
    ]


WF = '<s>\n<wf>{0}</wf>\n<wf lemma="play" wnsn="1" lexsn="1:0{1}:00::">play</wf>\n</s>\n'
XML = (
    '<corpus><text id="d"><sentence id="s"><wf>{0}</wf><instance id="x">play</instance></sentence>'
    "</text></corpus>\n"
)


def test_the_whole_recipe_runs_on_a_folder_of_data(tmp_path, monkeypatch):
    sets = tmp_path / "wsd/raganato/Evaluation_Datasets"
    for n, name in enumerate((wsd.DEV, *wsd.TESTS)):
        (sets / name).mkdir(parents=True)
        (sets / name / f"{name}.data.xml").write_text(XML.format("ball"))
        (sets / name / f"{name}.gold.key.txt").write_text(f"x {KEYS[n % 2]}\n")
    (tmp_path / "semcor").write_text(WF.format("ball", 0) + WF.format("stage", 1))
    monkeypatch.setattr(wsd, "_SEMCOR", "semcor")
    said = wsd.measure(tiny_elmo(), tmp_path, None, None).splitlines()
    assert len(said) == 2 + 1 + 2 + 2 * 5 + 2
    row = next(line for line in said if line.startswith("| layer 2 |")).replace("*", "")
    assert row == "| layer 2 | 100.0 | 0.0 | 100.0 | 0.0 | 100.0 | 50.0 | 60.0 |"


def test_without_data_it_says_where_to_get_it(tmp_path, monkeypatch):
    monkeypatch.delenv("RELMO_DATA", raising=False)
    for arguments, expected in (
        ([], "name the folder of data with --data or RELMO_DATA; wsd/semcor.tar.xz is SemCor 3.0"),
        (["--data", str(tmp_path)], "expected wsd/semcor.tar.xz in it; .*lcl.uniroma1.it/wsdeval"),
    ):
        monkeypatch.setattr(sys, "argv", ["wsd", *arguments])
        with pytest.raises(InputError, match=expected):
            wsd.main()
