"""`relmo finetune` from end to end, on models and texts of a moment."""

import re
from pathlib import Path

import pytest

import relmo as package
from relmo.formats import bilm_hdf5, relmo_format
from tests.helpers import relmo, tiny_model
from tests.train.helpers import VOCAB, random_sentences, write

QUICK = ("--batch-tokens", "40", "--unroll-steps", "5", "--learning-rate", "0.02",
         "--warmup-steps", "2", "--softmax", "full")  # fmt: skip


class Files:
    """A model with its softmax, one without, and a domain's text."""

    def __init__(self, folder: Path) -> None:
        self.model = tiny_model(folder / "model", words=VOCAB.words)
        self.bare = tiny_model(folder / "bare")
        self.text = write(folder / "text.txt", random_sentences(60))
        self.valid = write(folder / "valid.txt", random_sentences(6, seed=9))
        self.out = folder / "run"

    def arguments(self, model: Path) -> tuple[str | Path, ...]:
        return "finetune", model, self.text, "--valid", self.valid, "--out", self.out, *QUICK


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.setattr("os.fsync", lambda _: None)
    return Files(tmp_path)


def perplexities(out: str, name: str) -> list[float]:
    """Forward, backward and mean."""
    row = re.search(rf"^{name} +([\d.]+) +([\d.]+) +([\d.]+)$", out, re.MULTILINE)
    assert row is not None, out
    return [float(number) for number in row.groups()]


def test_a_model_is_tuned_printed_loaded_and_converted(files: Files, tmp_path: Path):
    ran = relmo(*files.arguments(files.model))
    assert ran.code == 0, ran.err
    n_tokens = sum(map(len, random_sentences(60)))
    share = 100 * 120 / n_tokens  # each sentence has a word of its own twice
    assert ran.out.startswith(
        f"corpus: 60 sentences, {n_tokens} tokens, {share:.1f} % outside the vocabulary of "
        f"{len(VOCAB)} words\nvalidation: "
    )
    before, after = perplexities(ran.out, "before"), perplexities(ran.out, "after")
    for forward, backward, mean in (before, after):
        assert mean == pytest.approx((forward + backward) / 2, abs=0.02)
    assert after[2] < before[2]
    n_steps = -(-(n_tokens + 60) // 40)
    assert ran.out.splitlines()[-1] == (
        f"{files.out / 'best'}: {n_steps} steps, {40 * n_steps:,} tokens per direction, "
        f"validation perplexity {after[2]:.2f}"
    )
    best = files.out / "best"
    assert relmo("convert", best, tmp_path / "hdf5", "--to", "hdf5").code == 0
    kept = bilm_hdf5.read_folder(tmp_path / "hdf5").tensors
    assert all((kept[k] == v).all() for k, v in relmo_format.read(best).tensors.items())
    vectors = [package.load(path).embed(["w1 w2"])[0] for path in (best, tmp_path / "hdf5")]
    assert (vectors[0] == vectors[1]).all()


def test_a_model_without_a_softmax_is_given_one(files: Files):
    arguments = files.arguments(files.bare)
    ran = relmo(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert re.fullmatch(
        r"relmo: error: .*bare.*: has no softmax, .*; give --softmax-steps, .* first\n", ran.err
    )
    assert not files.out.exists()
    arguments = (*arguments, "--softmax-steps", "5", "--max-steps", "12", "--vocab-size", "10")
    ran = relmo(*arguments)
    assert ran.code == 0, ran.err
    assert "outside the vocabulary of 10 words" in ran.out
    assert perplexities(ran.out, "after")[2] < perplexities(ran.out, "before")[2]
    again = relmo(*arguments)
    assert (again.code, again.out) == (2, "")
    assert "holds a training run; give --resume" in again.err
    resumed = relmo(*arguments, "--resume")  # there is nothing left to do
    assert (resumed.code, resumed.out) == (0, ran.out)


def test_a_rate_that_makes_the_model_worse_ends_the_run_early_and_says_so(files: Files):
    arguments = [*files.arguments(files.model), "--learning-rate", "5", "--patience", "2",
                 "--validate-every-steps", "1", "--max-steps", "9"]  # fmt: skip
    for more in ((), ("--resume",)):
        ran = relmo(*arguments, *more)
        assert ran.code == 0, ran.err
        last = ran.out.splitlines()[-1]
        assert re.search(r"/best: 2 steps, .* at step 0; ended early, as none .* better$", last)


def test_the_words_of_a_model_are_not_to_be_replaced(files: Files, tmp_path: Path):
    (tmp_path / "words.txt").write_text("</S>\n<S>\n<UNK>\nw1\n")
    ran = relmo(*files.arguments(files.model), "--vocab", tmp_path / "words.txt")
    assert (ran.code, ran.out) == (2, "")
    assert "--vocab: its 4 words are not the 15 of" in ran.err


def test_more_softmax_steps_than_steps_are_an_error(files: Files):
    ran = relmo(*files.arguments(files.bare), "--softmax-steps", "5", "--max-steps", "4")
    assert (ran.code, ran.out) == (2, "")
    assert "--softmax-steps must be from 0 to --max-steps 4, got 5" in ran.err
