from collections.abc import Iterator

import numpy as np
import pytest

from relmo.data.senses import Lexeme, SenseSentence, SenseWord
from relmo.errors import InputError
from relmo.tasks.probe import MostFrequentTag, _static, is_held_out, probe_senses, probe_tags
from tests.helpers import tiny_elmo

WORDS = [f"w{n}" for n in range(40)]
Tagged = tuple[list[str], list[str]]


def tagged(n: int, seed: int, *, by_word: bool) -> list[Tagged]:
    """Sentences whose tags the words decide, or whose tags are thrown: A three times in four."""
    random = np.random.default_rng(seed)
    sentences = []
    for _ in range(n):
        numbers = random.integers(len(WORDS), size=random.integers(1, 9))
        tags = ["BA"[number % 2] if by_word else "BAAA"[random.integers(4)] for number in numbers]
        sentences.append(([WORDS[number] for number in numbers], tags))
    return sentences


def encoding(dim: int = 4) -> dict[str, np.ndarray]:
    """Vectors of which one number tells the tag of `tagged(by_word=True)`."""
    vectors = np.random.default_rng(0).normal(size=(len(WORDS), dim)).astype(np.float32)
    vectors[:, 2] = np.arange(len(WORDS)) % 2
    return dict(zip(WORDS, vectors, strict=True))


def test_vectors_that_tell_the_tag_get_everything_right():
    elmo = tiny_elmo()
    train, test = tagged(200, 1, by_word=True), tagged(100, 2, by_word=True)
    found = probe_tags(elmo, train, test, static=encoding())
    assert found.baselines == {"most frequent tag": 1, "static vectors": 1}
    assert list(found.layers) == ["token layer", "layer 1", "layer 2", "average"]
    assert found.n_test == sum(len(words) for words, _ in test)


def test_tags_thrown_by_dice_get_the_share_of_the_majority():
    elmo = tiny_elmo()
    train, test = tagged(400, 1, by_word=False), tagged(200, 2, by_word=False)
    found = probe_tags(elmo, train, test)
    share = np.mean([tag == "A" for _, tags in test for tag in tags])
    for score in found.layers.values():
        assert score == pytest.approx(share, abs=0.02)


def test_order_changes_nothing_and_an_unknown_tag_is_an_error_of_the_probe():
    elmo = tiny_elmo()
    train, test = tagged(60, 1, by_word=True), tagged(30, 2, by_word=True)
    one, other = probe_tags(elmo, train, test), probe_tags(elmo, train[::-1], test[::-1])
    assert one.layers == pytest.approx(other.layers, abs=0.02)
    assert one == probe_tags(elmo, train, test)
    new = probe_tags(elmo, train, [*test, (["w0"] * one.n_test, ["NEW"] * one.n_test)])
    assert new.layers == pytest.approx({name: s / 2 for name, s in one.layers.items()})


def test_the_most_frequent_tag_is_as_counted_by_hand():
    learned = MostFrequentTag(
        [(["run", "a", "run"], ["V", "D", "N"]), (["run", "dog", "b"], ["V", "N", "N"])]
    )
    assert learned.predict(["run", "dog", "cat"]) == ["V", "N", "N"]
    assert MostFrequentTag([(["a", "a"], ["Y", "X"])]).predict(["a"]) == ["X"]


def test_a_static_vector_is_the_words_else_that_of_its_lower_case_else_zeros():
    vectors = {"a": np.ones(2), "A": np.full(2, 2.0), "b": np.full(2, 3.0)}
    rows = _static(vectors, [(["A", "B"], ["X", "X"]), (["c"], ["X"])])
    assert rows.tolist() == [[2, 2], [3, 3], [0, 0]]
    with pytest.raises(InputError, match="static has no word"):
        probe_tags(tiny_elmo(), [(["a"], ["A"])], [(["a"], ["A"])], static={})


@pytest.mark.parametrize("empty", ["train", "test"])
def test_a_part_without_words_is_an_error(empty):
    parts = {"train": [(["a"], ["A"])], "test": [(["a"], ["A"])], empty: [([], [])]}
    with pytest.raises(InputError, match=f"the {empty} part has no word"):
        probe_tags(tiny_elmo(), **parts)


# --- Word senses ----------------------------------------------------------------------------------


def corpus(n_documents: int, *, seed: int = 0) -> Iterator[SenseSentence]:
    """Documents of ten sentences; `play` is of the sense that the word before it says."""
    random = np.random.default_rng(seed)
    for document in range(n_documents):
        for _ in range(10):
            sense = int(random.integers(2))
            yield SenseSentence(
                tokens=("a", ("stage", "ball")[sense], "play", "."),
                words=(
                    SenseWord(
                        start=2, stop=3, lexeme=Lexeme("play", "n"), keys=(f"play%1:0{sense}:00::",)
                    ),
                ),
                document=f"d{document}",
            )


def test_layers_that_see_the_context_tell_the_senses_and_the_token_layer_does_not():
    held_out, extra = probe_senses(tiny_elmo(), corpus(40), {"extra": corpus(5, seed=1)})
    assert [held_out.task, extra.task] == ["word senses, held out", "word senses, extra"]
    for found in (held_out, extra):
        assert found.layers["layer 1"] == found.layers["layer 2"] == 1
        assert found.layers["token layer"] == pytest.approx(0.5, abs=0.2)
        assert found.baselines["first sense"] == pytest.approx(0.5, abs=0.2)
    assert held_out.n_train + held_out.n_test == extra.n_train == 400


def test_a_tenth_is_held_out_by_document_and_seed():
    names = [f"d{n}" for n in range(2000)]
    for seed in (0, 1):
        assert sum(is_held_out(name, seed) for name in names) == pytest.approx(200, abs=40)
    assert [is_held_out(name, 0) for name in names] != [is_held_out(name, 1) for name in names]


def test_too_few_documents_and_a_test_without_senses_are_errors():
    with pytest.raises(InputError, match="of the documents with senses none are held out"):
        probe_senses(tiny_elmo(), corpus(1))
    with pytest.raises(InputError, match="of the documents with senses none are held out"):
        probe_senses(tiny_elmo(), [])
    with pytest.raises(InputError, match="extra has no word with a sense"):
        probe_senses(tiny_elmo(), corpus(40), {"extra": []})


def test_a_string_is_no_list_of_words_or_tags():
    sentences = tagged(3, 1, by_word=True)
    for bad, name in ((("ab", ["A", "B"]), "words"), ((["a", "b"], "AB"), "tags")):
        message = rf"probe: test: sentence 4: {name}: expected a list of strings, got the str"
        with pytest.raises(InputError, match=message):
            probe_tags(tiny_elmo(), sentences, [*sentences, bad])
