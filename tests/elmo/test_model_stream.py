"""Streams: sentences are read as they are needed, and memory does not grow with their number."""

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relmo.elmo.model import Elmo
from relmo.errors import InputError
from tests.nn.helpers import SENTENCES, tiny_elmo

# In a process of its own: peak memory, in MiB, of a stream and of one seven times as long; then of
# one sentence of 50,000 tokens, and whether its ends are those of short sentences.
MEMORY = """
import json, resource
import numpy as np
from tests.nn.helpers import char_config, tiny_elmo

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def read(elmo, n):
    sentences = ([f"w{i}_{j}" for j in range(30)] for i in range(n))
    return sum(array.shape[1] for array in elmo.embed_stream(sentences, "all"))

elmo = tiny_elmo(
    projection_dim=64, lstm_dim=64, n_layers=1, char_cnn=char_config(filters=((1, 64),)),
    token_budget=1024, cache_size=1000,
)
found = {"short": (read(elmo, 600), peak()), "long": (read(elmo, 4000), peak())}
elmo = tiny_elmo(n_layers=1)
tokens = ["a", "b", "cat"] * 16_666 + ["a", "b"]
whole = elmo.embed([tokens], "top")[0]
head, tail = elmo.embed([tokens[:50], tokens[-50:]], "top")
found["sentence"] = (len(whole), peak())
found["error"] = max(
    float(np.abs(whole[:50, :5] - head[:, :5]).max()),
    float(np.abs(whole[-50:, 5:] - tail[:, 5:]).max()),
)
print(json.dumps(found))
"""


class Counted:
    """Sentences, and how many of them were asked for."""

    def __init__(self, sentences: Any) -> None:
        self.sentences, self.n = iter(sentences), 0

    def __iter__(self) -> Iterator[Any]:
        for sentence in self.sentences:
            self.n += 1
            yield sentence


@pytest.fixture(scope="module")
def elmo() -> Elmo:
    return tiny_elmo()


@pytest.mark.parametrize("budget", [1, 20, 10_000])
def test_a_stream_is_what_embed_gives_in_order(elmo: Elmo, budget: int):
    sentences = SENTENCES * 3
    stream = elmo.embed_stream(sentences, "all", token_budget=budget)
    assert iter(stream) is stream
    for a, b in zip(stream, elmo.embed(sentences, "all"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sentence", [["a", "b"], [], "one two three"])
def test_sentences_are_read_as_they_are_needed(elmo: Elmo, sentence: Any):
    counted = Counted(repeat(sentence, 130))
    stream = elmo.embed_stream(counted, token_budget=10)
    assert counted.n == 0
    for taken in range(1, 90):
        next(stream)
        assert taken <= counted.n <= taken + 41  # four batches' worth, and one that was too many
    assert len(list(stream)) == 130 - 89


@pytest.mark.parametrize("sentence", [["a", "b"], [], ""])
def test_a_stream_may_be_endless(elmo: Elmo, sentence: Any):
    arrays = list(islice(elmo.embed_stream(repeat(sentence), token_budget=8), 100))
    assert len(arrays) == 100


def test_arguments_are_looked_at_before_the_first_sentence(elmo: Elmo):
    counted = Counted(repeat(["a"]))
    with pytest.raises(InputError, match="layers"):
        elmo.embed_stream(counted, 7)
    assert counted.n == 0


def test_an_error_among_the_sentences_comes_through(elmo: Elmo):
    def broken() -> Iterator[list[str]]:
        yield ["a"]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(elmo.embed_stream(broken()))
    assert len(elmo.embed([["a"]])) == 1


def test_two_streams_of_one_model_do_not_disturb_each_other(elmo: Elmo):
    expected = elmo.embed(SENTENCES)
    a, b = (elmo.embed_stream(SENTENCES, token_budget=9) for _ in range(2))
    for x, y, z in zip(a, b, expected, strict=True):
        np.testing.assert_allclose(x, z, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(y, z, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
def test_memory_is_bounded_however_many_sentences_come_and_however_long_one_is():
    result = subprocess.run(
        [sys.executable, "-c", MEMORY],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(result.stdout)
    assert (found["short"][0], found["long"][0], found["sentence"][0]) == (18_000, 120_000, 50_000)
    assert found["long"][1] - found["short"][1] < 40  # kept, the vectors would take 100 MiB
    assert found["sentence"][1] - found["long"][1] < 150
    assert found["error"] < 1e-5
