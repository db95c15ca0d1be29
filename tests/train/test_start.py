"""A run over words, from the command line on; tied and adaptive softmaxes; word vectors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from relmo.data.corpora import Corpus
from relmo.elmo.language_model import LanguageModel
from relmo.elmo.model import load
from relmo.errors import ConfigError, FormatError, InputError
from relmo.formats import relmo_format
from relmo.formats.checkpoint import Checkpoint
from relmo.nn.softmax import cutoffs_of
from relmo.train.evaluate import text_perplexity
from relmo.train.finetune import finetune
from relmo.train.objective import is_tied
from tests.formats.helpers import assert_same
from tests.helpers import relmo
from tests.train.helpers import HELD_OUT, VOCAB, WORD_MODEL, WORDS, Corpora, config, metrics

EMBEDDING = "token_encoder.embedding"
WORD_RUN = {"model": WORD_MODEL, "mode": "rows", "max_steps": 4, "validate_every_steps": 4}


def settings(**changes: Any) -> Any:
    return config(**{**WORD_RUN, **changes})


def last(out: Path) -> Checkpoint:
    return relmo_format.read(out / "last")


# --- tied and adaptive ----------------------------------------------------------------------------


@pytest.mark.parametrize("softmax", ["sampled", "full"])
def test_tied_weights_are_learned_as_one_and_read_back_so(
    corpora: Corpora, tmp_path: Path, softmax: str
):
    corpora.train(tmp_path / "tied", settings(softmax=softmax, tied=True))
    corpora.train(tmp_path / "apart", settings(softmax=softmax))
    assert is_tied(last(tmp_path / "tied"))
    assert not is_tied(last(tmp_path / "apart"))
    assert load(tmp_path / "tied" / "last").embed(["w1 odd"])[0].shape == (2, 8)


def test_a_tied_checkpoint_that_was_untied_is_not_resumed(corpora: Corpora, tmp_path: Path):
    corpora.train(tmp_path, settings(tied=True))
    damaged = last(tmp_path)
    damaged.tensors[EMBEDDING][3] += 1
    relmo_format.write(damaged, tmp_path / "other")
    for name in ("model.safetensors", "softmax.safetensors"):
        (tmp_path / "other" / name).replace(tmp_path / "last" / name)
    with pytest.raises(
        FormatError, match=r"--tied: the softmax of .* and its word embedding differ"
    ):
        corpora.train(tmp_path, settings(tied=True, max_steps=8), resume=True)


def test_fine_tuning_keeps_a_tied_and_an_adaptive_softmax(corpora: Corpora, tmp_path: Path):
    for name, changes in (
        ("tied", {"tied": True}),
        ("adaptive", {"softmax": "adaptive", "cutoffs": (6, 9)}),
    ):
        corpora.train(tmp_path / name, settings(**changes))
        tuned = tmp_path / f"{name}-tuned"
        start = last(tmp_path / name)
        files, valid = corpora.files, corpora.valid
        finetune(start, files, valid, tuned, settings(), epochs=None)
        found = last(tuned)
        assert start.softmax is not None
        assert found.softmax is not None
        assert is_tied(found) == (name == "tied")
        assert cutoffs_of(found.softmax) == changes.get("cutoffs")
        assert not all(torch.equal(found.softmax[k], start.softmax[k]) for k in start.softmax)
    with pytest.raises(ConfigError, match="its softmax is no adaptive one"):
        finetune(
            last(tmp_path / "tied"), files, valid, tmp_path / "x", settings(softmax="adaptive")
        )


def test_an_adaptive_model_is_validated_as_it_is_asked(corpora: Corpora, tmp_path: Path):
    corpora.train(tmp_path, settings(softmax="adaptive", cutoffs=(5, 8)))
    model = LanguageModel(load(tmp_path / "last"))
    found = text_perplexity(model, Corpus(corpora.valid)).with_ends
    line = metrics(tmp_path)[-1] if "perplexity" in metrics(tmp_path)[-1] else metrics(tmp_path)[-2]
    expected = line["forward_perplexity"], line["backward_perplexity"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    for every in model.top(HELD_OUT, len(VOCAB)):
        np.testing.assert_allclose(np.exp(every.forward.log_probabilities).sum(1), 1, atol=1e-5)


def test_an_adaptive_run_resumes_with_its_own_cutoffs_only(corpora: Corpora, tmp_path: Path):
    corpora.train(tmp_path, settings(softmax="adaptive", cutoffs=(5, 8)))
    with pytest.raises(ConfigError, match=r"cutoffs: expected \(5, 8\) as the run was started"):
        corpora.train(tmp_path, settings(softmax="adaptive", cutoffs=(5, 9)), resume=True)
    with pytest.raises(ConfigError, match="--cutoffs: expected numbers below the 15 words"):
        corpora.train(tmp_path / "x", settings(softmax="adaptive", cutoffs=(5, 15)))


@pytest.mark.parametrize("command", ["perplexity", "surprisal", "substitutes"])
def test_an_adaptive_model_answers_on_the_command_line(
    corpora: Corpora, tmp_path: Path, command: str
):
    corpora.train(tmp_path / "run", settings(softmax="adaptive"))
    text = "w1 [w2] w3" if command == "substitutes" else corpora.valid
    output = ("-o", tmp_path / "out.tsv") if command == "surprisal" else ()
    ran = relmo(command, tmp_path / "run" / "last", text, *output)
    assert ran.code == 0, ran.err
    hdf5 = relmo("convert", tmp_path / "run" / "last", tmp_path / "hdf5", "--to", "hdf5")
    assert "left out, for which hdf5 has no place: the softmax of 15 words" in hdf5.out
    assert "adaptive, for the words of the vocabulary" in relmo("info", tmp_path / "run/last").out


# --- word vectors ---------------------------------------------------------------------------------


def vectors(path: Path, width: int = 4, words: list[str] | None = None) -> Path:
    random = np.random.default_rng(0)
    lines = [f"{word} {' '.join(map(str, random.normal(0, 9, width)))}" for word in words or WORDS]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_words_that_are_found_start_as_the_file_has_them_and_others_at_random(
    corpora: Corpora, tmp_path: Path
):
    path = vectors(tmp_path / "glove.txt", words=["W1", "w1", "w5", "other"])
    still = {"learning_rate": 1e-30, "weight_decay": 0.0, "max_steps": 1}
    corpora.train(tmp_path / "random", settings(**still))
    corpora.train(tmp_path / "run", settings(**still, word_vectors=str(path)))
    before, after = (last(tmp_path / name).tensors[EMBEDDING] for name in ("random", "run"))
    rows = [VOCAB.index("w1"), VOCAB.index("w5")]
    others = [k for k in range(len(VOCAB)) if k not in rows]
    assert torch.equal(after[others], before[others])
    given = np.array([line.split()[1:] for line in path.read_text().splitlines()[1:3]], np.float32)
    found = json.loads((tmp_path / "run" / "run.json").read_text())["word_vectors"]
    assert (found["found"], found["words"]) == (2, 15)
    np.testing.assert_allclose(after[rows].numpy(), found["factor"] * given, rtol=1e-5)
    assert after[rows].square().mean().sqrt() == pytest.approx(before.square().mean().sqrt().item())


def test_vectors_of_another_width_or_of_other_words_are_an_error(corpora: Corpora, tmp_path: Path):
    for path, message in (
        (vectors(tmp_path / "a", width=5), "vectors of width 5, expected 4"),
        (vectors(tmp_path / "b", words=["x", "y"]), "none of the 15 words of the vocabulary"),
    ):
        with pytest.raises(InputError, match=message):
            corpora.train(tmp_path / "run", settings(word_vectors=str(path)))
    assert not (tmp_path / "run" / "last").exists()


def test_a_model_to_start_from_has_its_own_vectors(corpora: Corpora, tmp_path: Path):
    corpora.train(tmp_path / "run", settings())
    changed = settings(word_vectors="none.txt")
    with pytest.raises(ConfigError, match="--word-vectors: the model to start from has its own"):
        corpora.train(tmp_path / "other", changed, initial=last(tmp_path / "run"))


# --- the command line -----------------------------------------------------------------------------

FLAGS = (
    "--input", "words", "--lstm-dim", "6", "--projection-dim", "4", "--mode", "rows",
    "--batch-tokens", "40", "--unroll-steps", "5", "--n-candidates", "4", "--decay", "none",
    "--save-every-steps", "2", "--vocab-min-count", "2",
)  # fmt: skip


def test_a_model_of_words_is_trained_resumed_and_embeds(corpora: Corpora, tmp_path: Path):
    path = vectors(tmp_path / "glove.txt")
    flags = (*FLAGS, "--word-vectors", path, "--tied", "--dropout-kind", "variational")
    files = (*corpora.files, "--valid", corpora.valid)
    for out, steps in (("whole", "4"), ("parts", "2"), ("parts", "4")):
        length = ("--max-steps", steps, "--validate-every-steps", "2", "--resume")
        ran = relmo("train", *files, "--out", tmp_path / out, *flags, *length)
        assert ran.code == 0, ran.err
        assert f"{path}: 11 of 44 words found" in ran.out
    whole = last(tmp_path / "whole")
    assert_same(whole, last(tmp_path / "parts"))
    assert whole.vocab is not None
    assert whole.config.n_words == len(whole.vocab)
    elmo = load(tmp_path / "whole" / "best")
    known, unknown, other = elmo.embed(["w1", "odd", "strange"], layers="token")
    np.testing.assert_array_equal(unknown, other)  # both are <UNK>
    assert not np.array_equal(known, unknown)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--tied",), "--tied: the model reads characters and has no word embedding"),
        (("--word-vectors", "x"), "--word-vectors: the model reads characters"),
        (
            ("--input", "bytes"),
            'Invalid value "bytes" for --input. Choose from: "characters", "words"',
        ),
        (("--input", "words", "--tied", "--softmax", "adaptive"), "--tied: an adaptive softmax"),
        (("--softmax", "adaptive", "--cutoffs", "9,x"), "--cutoffs is 'x', expected an integer"),
        (
            ("--softmax", "adaptive", "--cutoffs", "9,3"),
            "--cutoffs must be increasing numbers from 1 on, got 9,3",
        ),
    ],
)
def test_flags_that_contradict_each_other_are_refused(
    corpora: Corpora, tmp_path: Path, flags: tuple[str, ...], message: str
):
    ran = relmo("train", *corpora.files, "--out", tmp_path / "run", *flags)
    assert ran.code == 2
    assert message in ran.err
    assert not (tmp_path / "run").exists()
