import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from relmo.data.senses import SenseWord, lexeme_of
from relmo.errors import FormatError, InputError
from relmo.tasks import senses
from relmo.tasks.senses import SenseAverages, answers
from tests.helpers import tiny_elmo

KEYS = [f"play%1:0{n}:00::" for n in range(4)]
ELMO = tiny_elmo()


def uses(n: int, seed: int = 0) -> list[tuple[SenseWord, np.ndarray]]:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(n, ELMO.n_layers + 1, ELMO.dim)).astype(np.float32)
    words = [
        SenseWord(start=0, stop=1, lexeme=lexeme_of(key), keys=(key, KEYS[0]))
        for key in random.choice(KEYS, size=n)
    ]
    return list(zip(words, vectors, strict=True))


@pytest.fixture
def learned(tmp_path):
    averages = SenseAverages()
    averages.add(uses(30))
    senses.save(averages, ELMO, tmp_path / "a.safetensors")
    return averages


def test_what_was_saved_answers_as_what_was_learned_and_learns_on(learned, tmp_path):
    read = senses.load(tmp_path / "a.safetensors", ELMO)
    for averages in (learned, read):
        averages.add(uses(3, seed=2))
    asked = uses(50, seed=1)
    assert list(answers(read, asked)) == list(answers(learned, asked))


def test_averages_of_another_model_are_refused(learned, tmp_path):
    with pytest.raises(InputError, match=r"a.safetensors: average vectors of another model"):
        senses.load(tmp_path / "a.safetensors", tiny_elmo(1))


def rewrite(path, sums=None, **metadata):
    kept = load_file(path)["sums"]
    save_file({"sums": kept if sums is None else sums(kept)}, path, metadata)


GOOD = {"format": "relmo senses 1", "keys": json.dumps(KEYS), "counts": "[]"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"format": "pt"}, "holds no senses"),
        ({"sums": lambda sums: sums[..., :3]}, "layers and width 3, but the model has"),
        ({"sums": lambda sums: sums.astype(np.float16)}, "'sums' is F16"),
        ({"sums": lambda sums: sums * np.float32(np.nan)}, "NaN or infinite"),
        ({"sums": lambda sums: sums[:2]}, "keys and counts are damaged"),
        ({"keys": "{"}, "keys and counts are damaged"),
        ({"counts": "[[1]]"}, "keys and counts are damaged"),
        ({"counts": '[["play", "n", {"a%1:01:00::": 1}]]'}, "1 senses have no vector"),
    ],
)
def test_a_damaged_file_is_an_error_that_names_it(change, expected, learned, tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    monkeypatch.setattr(senses, "parameters_sha256", lambda _: "same")
    rewrite(path, **{**GOOD, "model": "same", **change})
    with pytest.raises((FormatError, InputError), match=f"a.safetensors: .*{expected}"):
        senses.load(path, ELMO)


def test_truncated_missing_and_empty(learned, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(FormatError, match="cannot be read as safetensors"):
        senses.load(path, ELMO)
    with pytest.raises(InputError, match="no such file"):
        senses.load(tmp_path / "no", ELMO)
    with pytest.raises(InputError, match="no sense has been seen"):
        senses.save(SenseAverages(), ELMO, path)
