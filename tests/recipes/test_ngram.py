"""The baselines predict what relmo predicts, and their probabilities sum to one."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from recipes import ngram
from recipes.ngram import KenLM
from relmo.text.vocab import SPECIALS, Vocabulary
from relmo.train.batches import Encoder
from relmo.train.evaluate import perplexity
from relmo.train.objective import Objective
from tests.train.helpers import SHAPE

WORDS = [f"w{k}" for k in range(600)]
VOCAB = Vocabulary([*SPECIALS, *WORDS, "<s>", "never", "neither"])  # `<s>`: a word as any other


def sentences(seed: int, number: int = 500) -> list[list[str]]:
    """Each pair of words is likely to come again; the last words are "rare" and `<s>`."""
    random = np.random.default_rng(seed)
    drawn = random.zipf(1.5, (number, 4)) % len(WORDS)
    return [[f"w{k}" for j in row for k in (j, j // 2)] + ["rare", "<s>"] for row in drawn]


@pytest.fixture
def kenlm(tmp_path) -> KenLM:
    """On the path, or in the folder that KENLM names; see recipes/ngram.py."""
    found = shutil.which("lmplz", path=os.environ.get("KENLM", os.environ["PATH"]))
    if found is None:
        pytest.skip("no lmplz; recipes/ngram.py says how it is built")
    return KenLM(Path(found).parent, tmp_path, order=3, memory="50M")


@pytest.mark.parametrize("name", ["forward.txt", "backward.txt"])
def test_the_chances_of_all_words_sum_to_one_those_never_seen_among_them(name, kenlm, tmp_path):
    ngram.write_ids(sentences(0), VOCAB, tmp_path)
    arpa = kenlm.estimate(tmp_path / name, len(VOCAB) - 1)
    first, second, *_ = (tmp_path / name).read_text().split()
    words = [str(word) for word in range(len(VOCAB)) if word not in (VOCAB.bos, VOCAB.eos)]
    for context in ("", first, f"{first} {second}"):
        asked = [context, *(f"{context} {word}" for word in words)]
        ended, *others = chances(kenlm, arpa, asked)
        assert ended[-1] + sum(found[-2] for found in others) == pytest.approx(1, abs=1e-5)
        assert min(found[-2] for found in others) > 0


def chances(kenlm: KenLM, arpa: Path, lines: list[str]) -> list[list[float]]:
    """Of each word of each line and of its end."""
    command = [str(kenlm.programs / "query"), "-v", "word", "-v", "sentence", str(arpa)]
    text = "\n".join(lines) + "\n"
    printed = subprocess.run(command, input=text, text=True, check=True, capture_output=True)
    rows = [line.split("\t")[:-1] for line in printed.stdout.splitlines() if "Total" in line]
    return [[10 ** float(word.split()[-1]) for word in row] for row in rows]


def test_the_backward_model_of_mirrored_text_is_the_forward_model(kenlm, tmp_path):
    train, asked = sentences(0), sentences(1, 20)
    counts = ngram.write_ids(train, VOCAB, tmp_path)
    ahead, back = ngram.scores(asked, VOCAB, counts, kenlm)["Kneser-Ney 3-gram"]
    counts = ngram.write_ids([s[::-1] for s in train], VOCAB, tmp_path)
    swapped = ngram.scores([s[::-1] for s in asked], VOCAB, counts, kenlm)["Kneser-Ney 3-gram"]
    np.testing.assert_allclose(swapped, [back, ahead], rtol=1e-6)
    assert abs(ahead - back).max() > 0.01


def test_it_counts_predictions_and_unknown_words_as_relmo_does(kenlm, tmp_path):
    text, asked = tmp_path / "asked.txt", sentences(1, 20)
    text.write_text("".join(" ".join(sentence) + "\n" for sentence in asked))
    whole, *parts = ngram.evaluate(sentences(0), [text], VOCAB, kenlm)
    assert not parts
    relmo = perplexity(Objective(SHAPE, len(VOCAB)), Encoder(VOCAB, 50), asked)
    assert (whole.n_predictions, whole.n_unknown) == (relmo.n_predictions, relmo.n_unknown)
    assert whole.n_unknown == len(asked)
    assert whole.perplexity["Kneser-Ney 3-gram"][0] < whole.perplexity["unigram"][0]


def test_unigrams_are_counts_and_one_more(tmp_path):
    counts = ngram.write_ids([["w0", "w1"], ["w0", "else"]], VOCAB, tmp_path)
    assert counts.sum() == 6
    assert counts[VOCAB.eos] == 2
    assert counts[VOCAB.unk] == 1
    assert (tmp_path / "forward.txt").read_text() == "3 4\n3 2\n"
    assert (tmp_path / "backward.txt").read_text() == "4 3\n2 3\n"
    chances = np.exp(ngram.unigram(counts, VOCAB))
    assert chances[3] == pytest.approx(3 / (6 + len(VOCAB) - 1))
    assert chances.sum() - chances[VOCAB.bos] == pytest.approx(1)
