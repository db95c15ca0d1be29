from dataclasses import replace

import numpy as np
import pytest

from relmo.data.senses import Lexeme, SenseSentence, SenseWord, lexeme_of
from relmo.tasks.senses import (
    SenseAverages,
    SenseScore,
    answers,
    evaluate,
    score_of_keys,
    scores,
    word_vectors,
)
from tests.helpers import tiny_elmo

KEYS = [f"play%1:0{n}:00::" for n in range(4)]
PLAY = Lexeme("play", "n")


def word(*keys: str, start: int = 0, stop: int = 1) -> SenseWord:
    return SenseWord(start=start, stop=stop, lexeme=lexeme_of(keys[0]), keys=keys)


def uses(n: int, seed: int = 0) -> list[tuple[SenseWord, np.ndarray]]:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(n, 3, 5)).astype(np.float32)
    return [(word(KEYS[k]), v) for k, v in zip(random.integers(4, size=n), vectors, strict=True)]


def learned(*parts: list[tuple[SenseWord, np.ndarray]], **dictionary: object) -> SenseAverages:
    averages = SenseAverages(**dictionary)
    for part in parts:
        assert averages.add(part) == len(part)
    return averages


def test_the_nearest_sense_is_that_of_a_search_through_the_averages():
    seen = uses(30)
    averages = learned(seen)
    means = {
        key: np.mean([v for w, v in seen if key in w.keys], axis=0, dtype=np.float64)
        for key in KEYS
    }
    for _, vectors in uses(50, seed=1):
        for layer, found in enumerate(averages.nearest(PLAY, vectors)):
            v = vectors[layer]
            cosines = {
                key: m[layer] @ v / np.linalg.norm(m[layer]) / np.linalg.norm(v)
                for key, m in means.items()
            }
            assert found == max(cosines, key=cosines.__getitem__)


def test_order_and_scale_change_nothing():
    seen = uses(30)
    one = learned(seen)
    other = learned(seen[20:], [(w, v) for w, v in reversed(seen[:20])])
    for _, vectors in uses(20, seed=1):
        assert one.nearest(PLAY, vectors) == other.nearest(PLAY, 7 * vectors)
    assert one.seen(PLAY) == other.seen(PLAY)


def test_of_senses_as_near_the_most_frequent_one_is_taken():
    vectors = np.random.default_rng(0).normal(size=(2, 64)).astype(np.float32)
    seen = [(word(KEYS[n % 3 % 2]), vectors) for n in range(3000)]
    assert learned(seen).nearest(PLAY, vectors / 3) == [KEYS[0]] * 2


def test_a_prior_adds_the_logarithm_of_the_share_of_a_senses_uses():
    seen = [*uses(30), *((word(KEYS[0]), v) for _, v in uses(20, seed=2))]
    averages = learned(seen)
    n_of = averages.counts[PLAY]
    for _, vectors in uses(50, seed=1):
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        for layer, found in enumerate(averages.nearest(PLAY, vectors, 0.3)):
            near = {
                key: sums[layer] @ unit[layer] / np.linalg.norm(sums[layer])
                + 0.3 * np.log(n_of[key] / n_of.total())
                for key, sums in averages.sums.items()
            }
            assert found == max(near, key=near.__getitem__)
        assert averages.nearest(PLAY, vectors, 100.0) == [averages.seen(PLAY)[0]] * 3


def test_the_first_sense_is_the_most_frequent_or_the_dictionarys():
    seen = [(word(key), np.ones((1, 2), np.float32)) for key in (KEYS[2], KEYS[1], KEYS[1])]
    assert learned(seen).first(PLAY) == KEYS[1]
    assert learned(seen[:2]).first(PLAY) == KEYS[1]  # as often: the first by name
    assert learned(seen, dictionary={PLAY: KEYS}).first(PLAY) == KEYS[0]
    assert learned(seen).n_senses == 2


def test_a_lexeme_of_one_sense_or_not_seen_falls_back():
    vectors = np.ones((2, 2), np.float32)
    averages = learned(
        [(word(KEYS[3]), vectors)],
        dictionary={PLAY: KEYS, Lexeme("run", "v"): ("run%2:38:00::",)},
    )
    assert averages.nearest(PLAY, -vectors) == [KEYS[3]] * 2
    assert averages.nearest(Lexeme("run", "v"), vectors) == ["run%2:38:00::"] * 2
    assert averages.nearest(Lexeme("play", "v"), vectors) == [None] * 2
    assert averages.first(Lexeme("play", "v")) is None


def test_a_use_of_two_keys_counts_for_both_and_either_is_right():
    vectors = np.ones((1, 2), np.float32)
    both = word(KEYS[0], KEYS[1])
    averages = learned([(both, vectors)])
    assert averages.seen(PLAY) == (KEYS[0], KEYS[1])
    (layer,), first = evaluate(averages, [(both, vectors), (word(KEYS[2]), vectors)])
    assert layer == first == SenseScore(n_words=2, n_answered=2, n_right=1)


def test_what_has_no_answer_costs_recall_alone():
    assert SenseScore(n_words=10, n_answered=5, n_right=4).f1 == pytest.approx(
        2 * (4 / 5) * (4 / 10) / (4 / 5 + 4 / 10)
    )
    assert SenseScore(n_words=0, n_answered=0, n_right=0).f1 == 0


def test_keys_are_scored_as_the_official_scorer_does():
    """Its definition, by hand: of "a" half is right, "c" has no answer, "d" is not asked."""
    gold = {"a": ("x", "y"), "b": ("z",), "c": ("w",)}
    found = score_of_keys(gold, {"a": ("x", "q", "q"), "b": ("z",), "d": ("k",)})
    assert found == SenseScore(n_words=3, n_answered=2, n_right=1.5)
    assert (found.precision, found.recall, found.f1) == (0.75, 0.5, pytest.approx(0.6))


def test_answers_have_the_same_score_as_their_keys():
    averages = learned(uses(30))
    asked = [(replace(w, name=str(n)), v) for n, (w, v) in enumerate(uses(50, seed=1))]
    asked.append((word("run%2:38:00::"), asked[0][1]))  # never seen: no answer
    answered = list(answers(averages, asked))
    gold = {w.name: w.keys for w, _ in asked}
    for layer, score in enumerate(scores(answered)):
        found = {w.name: (keys[layer],) for w, keys in answered if keys[layer] is not None}
        assert score == score_of_keys(gold, found)


def test_a_words_vectors_are_the_means_over_its_tokens_whatever_the_batch():
    elmo = tiny_elmo()
    sentences = [
        SenseSentence(
            tokens=tuple(f"the play {'x ' * n}took place".split()),
            words=(word(KEYS[0], start=1, stop=2), word("be%2:30:00::", start=n + 2, stop=n + 4)),
            document="d",
        )
        for n in range(4)
    ]
    none = SenseSentence(tokens=("no", "word"), words=(), document="d")
    found = list(word_vectors(elmo, [none, *sentences, none]))
    assert [sentence for sentence, _ in found] == sentences
    for sentence, vectors in found:
        (alone,) = elmo.embed([sentence.tokens], layers="all")
        assert vectors.shape == (2, 4, 8)
        np.testing.assert_allclose(vectors[1, :3], alone[:, -2:].mean(axis=1), atol=1e-6)
        np.testing.assert_allclose(vectors[:, 3], vectors[:, :3].mean(axis=1), atol=1e-6)
