"""The checkpoint of bilm-tf's training: the golden, every shape, and folders that lie."""

import gzip
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import relmo
from relmo.errors import ConfigError, FormatError, InputError, RelmoError
from relmo.formats import bilm_hdf5, bilm_tf, detect, relmo_format
from relmo.text.vocab import Vocabulary
from relmo.train.batches import Encoder
from relmo.train.evaluate import perplexity
from relmo.train.objective import Objective
from tests.formats.helpers import (
    SHAPES,
    assert_refused,
    assert_same,
    assert_same_tensors,
    save_random,
)
from tests.formats.tf_writer import save_training, write_bundle
from tests.helpers import golden_layers
from tests.helpers import relmo as command

CELL = "lm/RNN_1/rnn/multi_rnn_cell/cell_0/lstm_cell"


def test_the_golden_has_the_layers_of_the_original(goldens: Path):
    elmo = relmo.load(goldens / "tf_checkpoint")
    sentences, expected = golden_layers(goldens)
    for layers, golden in zip(elmo.embed(sentences, layers="all"), expected, strict=True):
        np.testing.assert_allclose(layers, golden, rtol=1.2e-7, atol=1e-6)


def test_the_golden_is_the_model_of_the_hdf5_file_and_has_its_softmax(goldens: Path):
    checkpoint = detect.read(goldens / "tf_checkpoint")
    allennlp = goldens / "allennlp"
    weights = bilm_hdf5.read(allennlp / "options.json", allennlp / "lm_weights.hdf5")
    assert checkpoint.format == "bilm_tf"
    assert checkpoint.config == weights.config
    assert_same_tensors(checkpoint.tensors, weights.tensors)
    assert checkpoint.vocab == Vocabulary.read(goldens / "tf_checkpoint" / "vocab.txt")
    assert checkpoint.softmax is not None
    assert {name: tuple(value.shape) for name, value in checkpoint.softmax.items()} == {
        "weight": (458, 16),
        "bias": (458,),
    }


def test_the_prefix_or_the_index_may_be_given(goldens: Path):
    folder = goldens / "tf_checkpoint"
    expected = detect.read(folder)
    assert_same(detect.read(folder / "model.ckpt-1234"), expected)
    assert_same(detect.read(folder / "model.ckpt-1234.index"), expected)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_every_shape_is_that_of_the_hdf5_file(shape: dict[str, Any], tmp_path: Path):
    folder, variables = save_training(tmp_path / "tf", **shape)
    checkpoint = detect.read(folder)
    expected = bilm_hdf5.read_folder(save_random(tmp_path / "hdf5", **shape))
    assert checkpoint.config == expected.config
    assert_same_tensors(checkpoint.tensors, expected.tensors)
    assert checkpoint.softmax is not None
    np.testing.assert_array_equal(checkpoint.softmax["weight"], variables["lm/softmax/W"])
    np.testing.assert_array_equal(checkpoint.softmax["bias"], variables["lm/softmax/b"])


def test_what_was_read_can_be_kept_in_relmos_format_with_its_softmax(tmp_path: Path):
    checkpoint = detect.read(save_training(tmp_path / "tf")[0])
    relmo_format.write(checkpoint, tmp_path / "relmo")
    assert_same(detect.read(tmp_path / "relmo"), checkpoint)


def test_what_was_read_is_a_language_model_whose_perplexity_is_that_of_its_numbers(tmp_path: Path):
    elmo = relmo.load(save_training(tmp_path)[0])
    assert elmo.vocab is not None
    assert elmo.softmax is not None
    model = Objective(elmo.config, len(elmo.vocab))
    model.bilm.load_state_dict(elmo.bilm.state_dict())
    with torch.no_grad():
        model.softmax.weight.copy_(elmo.softmax.weight)
        model.softmax.bias.copy_(elmo.softmax.bias)
    tokens = ["w4", "w7", "other", "w3"]
    found = perplexity(model, Encoder(elmo.vocab, 50), [tokens])
    (*_, top), _ = elmo.run([tokens])  # (6, 12): the marks are in it
    dim = elmo.config.projection_dim
    marked = torch.from_numpy(elmo.vocab.ids(["<S>", *tokens, "</S>"]))
    for states, words, measured in (
        (top[:-1, :dim], marked[1:], found.forward),
        (top[1:, dim:], marked[:-1], found.backward),
    ):
        scores = states @ elmo.softmax.weight.T + elmo.softmax.bias[:, 0]
        expected = torch.nn.functional.cross_entropy(scores, words).exp()
        assert measured == pytest.approx(expected.item(), rel=1e-5)


def test_several_data_files_are_one_model(tmp_path: Path):
    folder, variables = save_training(tmp_path / "tf")
    expected = detect.read(folder)
    (folder / "model.ckpt-7.data-00000-of-00001").unlink()
    write_bundle(folder / "model.ckpt-7", variables, n_shards=3, per_block=2)
    assert_same(detect.read(folder), expected)


def test_the_checkpoint_file_says_which_of_several_it_is(tmp_path: Path):
    folder, variables = save_training(tmp_path / "tf")
    expected = detect.read(folder)
    earlier = {name: np.zeros_like(array) for name, array in variables.items()}
    write_bundle(folder / "model.ckpt-3", earlier)
    assert_same(detect.read(folder), expected)
    assert detect.read(folder / "model.ckpt-3").tensors["backward_lstm.layers.0.bias"].sum() == 0
    (folder / "checkpoint").unlink()
    with pytest.raises(FormatError, match=r"2 files \*.index \(model.ckpt-3.index, .*give one"):
        detect.read(folder)


def test_deeppavlovs_layout_is_read(tmp_path: Path):
    folder, _ = save_training(tmp_path / "ru" / "saves")
    expected = detect.read(folder)
    for name in ("options.json", "vocab.txt"):
        (folder / name).rename(tmp_path / "ru" / name)
    assert_same(detect.read(tmp_path / "ru"), expected)
    assert_same(detect.read(folder / "model.ckpt-7"), expected)


def test_the_vocabulary_may_have_another_name_and_be_compressed(tmp_path: Path):
    folder, _ = save_training(tmp_path / "tf")
    expected = detect.read(folder)
    (folder / "vocab.txt").rename(folder / "vocab-2016-09-10.txt")
    assert_same(detect.read(folder), expected)
    data = (folder / "vocab-2016-09-10.txt").read_bytes()
    (folder / "elmo_vocab.txt.gz").write_bytes(gzip.compress(data))
    with pytest.raises(FormatError, match=r"has 2 vocabularies .elmo_vocab\.txt\.gz, vocab-2016"):
        detect.read(folder)
    (folder / "vocab-2016-09-10.txt").unlink()
    assert_same(detect.read(folder), expected)


def test_without_a_vocabulary_the_softmax_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder, _ = save_training(tmp_path / "tf", words=False)
    with caplog.at_level(logging.WARNING, "relmo.formats.bilm_tf"):
        checkpoint = detect.read(folder)
    assert "the softmax is left out, as there is no vocabulary" in caplog.text
    assert "put vocab.txt beside it" in caplog.text
    assert (checkpoint.softmax, checkpoint.vocab) == (None, None)


def test_a_language_model_stripped_of_its_softmax_is_read(tmp_path: Path):
    folder, variables = save_training(tmp_path / "tf")
    kept = {name: array for name, array in variables.items() if "softmax" not in name}
    write_bundle(folder / "model.ckpt-7", kept)
    assert detect.read(folder).softmax is None


def test_info_describes_it_with_all_its_bytes(tmp_path: Path):
    folder, _ = save_training(tmp_path / "tf")
    ran = command("info", folder, "--json")
    assert ran.code == 0, ran
    facts = json.loads(ran.out)
    assert (facts["format"], facts["softmax_words"], facts["vocabulary_words"]) == ("bilm_tf", 9, 9)
    of_prefix = json.loads(command("info", folder / "model.ckpt-7", "--json").out)
    others = ("options.json", "checkpoint", "vocab.txt")
    rest = sum((folder / name).stat().st_size for name in others)
    assert of_prefix["bytes"] == facts["bytes"] - rest
    assert "softmax         for the words of the vocabulary\n" in command("info", folder).out


# --- what is wrong --------------------------------------------------------------------------------


def changed(change: Callable[[dict[str, np.ndarray]], object]) -> Callable[[Path], object]:
    """The training with its variables changed."""

    def broken(folder: Path) -> None:
        _, variables = save_training(folder)
        change(variables)
        write_bundle(folder / "model.ckpt-7", variables)

    return broken


def optioned(key: str, value: object) -> Callable[[Path], object]:
    """The training with an option changed; None: without it."""

    def broken(folder: Path) -> None:
        path = folder / "options.json"
        options = json.loads(path.read_text())
        *sections, last = key.split(".")
        section = options
        for name in sections:
            section = section[name]
        section[last] = value
        if value is None:
            del section[last]
        path.write_text(json.dumps(options))

    return broken


def put(name: str, shape: tuple[int, ...]) -> Callable[[Path], object]:
    return changed(lambda variables: variables.update({name: np.zeros(shape, np.float32)}))


def without(name: str) -> Callable[[Path], object]:
    return changed(lambda variables: variables.pop(name))


@pytest.mark.parametrize(
    ("broken", "error", "parts"),
    [
        (without(f"{CELL}/kernel"), FormatError, (f"'{CELL}/kernel' missing",)),
        (without("lm/char_embed"), FormatError, ("'lm/char_embed' missing",)),
        (without("lm/softmax/b"), FormatError, ("'lm/softmax/b' missing",)),
        (put("lm/more", (3,)), FormatError, ("'lm/more' not expected from options.json",)),
        (put("lm/more/Adagrad", (3,)), FormatError, ("'lm/more/Adagrad' not expected",)),
        (put(f"{CELL}/bias", (52,)), FormatError, (f"'{CELL}/bias' has shape (52,)", "(48,)")),
        (put("lm/softmax/W", (9, 7)), FormatError, ("'lm/softmax/W' has shape (9, 7)", "(9, 6)")),
        (put("lm/softmax/b", (8,)), FormatError, ("'lm/softmax/b' has shape (8,)", "9 words")),
        (
            changed(lambda v: v.update({"lm/CNN/b_cnn_0": np.full(4, np.inf, np.float32)})),
            FormatError,
            ("'lm/CNN/b_cnn_0' holds 4 numbers",),
        ),
        (
            changed(lambda v: v.update({"lm/CNN/b_cnn_0": np.zeros(4, np.int64)})),
            FormatError,
            ("'lm/CNN/b_cnn_0' is of TensorFlow's type 9",),
        ),
        (optioned("lstm.n_layers", 10**9), FormatError, ("cell_2/lstm_cell", "and more missing")),
        (optioned("lstm.n_layers", 1), FormatError, ("/rnn/lstm_cell/kernel", "missing")),
        (optioned("lstm.dim", 10**9), FormatError, ("(12, 48)", "(12, 4000000000)")),
        (optioned("char_cnn", None), FormatError, ("'lm/embedding'", "no 'char_cnn'")),
        (optioned("bidirectional", False), ConfigError, ("bidirectional is False",)),
        (optioned("share_embedding_softmax", True), ConfigError, ("share_embedding_softmax",)),
        (
            lambda folder: (folder / "options.json").unlink(),
            FormatError,
            ("expected options.json beside it, found none",),
        ),
        (
            lambda folder: (folder / "vocab.txt").write_text("only\ntwo\n"),
            FormatError,
            ("'lm/softmax/W' has shape (9, 6), expected (2, 6)", "a vocabulary of 2 words"),
        ),
        (
            lambda folder: (folder / "vocab.txt").write_bytes(b"\xff\n"),
            InputError,
            ("vocab.txt: line 1: not UTF-8",),
        ),
        (
            lambda folder: (folder / "model.ckpt-7.data-00000-of-00001").write_bytes(b"short"),
            FormatError,
            ("truncated?",),
        ),
        (
            lambda folder: (folder / "model.ckpt-7.data-00000-of-00001").unlink(),
            FormatError,
            ("expected model.ckpt-7.data-00000-of-00001 beside it, found none",),
        ),
        (
            lambda folder: (folder / "model.ckpt-7.index").write_bytes(b"short"),
            FormatError,
            ("truncated, or another kind of file",),
        ),
        (
            lambda folder: (folder / "model.ckpt-7.index").unlink(),
            FormatError,
            ("bilm_tf: it has no *.index",),
        ),
    ],
)
def test_a_training_that_is_broken_is_one_error(
    broken: Callable[[Path], object], error: type[RelmoError], parts: tuple[str], tmp_path: Path
):
    save_training(tmp_path)
    broken(tmp_path)
    assert_refused(tmp_path, str(tmp_path), *parts, error=error)


def test_a_word_input_model_has_a_word_for_each_row(tmp_path: Path):
    folder, _ = save_training(tmp_path, n_words=7)
    (folder / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(FormatError, match="2 words, expected 7, one for each row of the word"):
        detect.read(folder)


def test_a_checkpoint_of_another_model_says_what_it_holds(tmp_path: Path):
    write_bundle(tmp_path / "model", {"bert/embeddings": np.zeros(3, np.float32)})
    with pytest.raises(FormatError, match="no variable begins with 'lm/'; it has 'bert/embed"):
        detect.read(tmp_path)
    with pytest.raises(FormatError, match="bilm_tf: it is neither a folder nor an index"):
        detect.read(tmp_path / "model.data-00000-of-00001")
    with pytest.raises(InputError, match="there is no such model"):
        detect.read(tmp_path / "mode")


def test_read_alone_names_the_format(tmp_path: Path):
    with pytest.raises(FormatError, match=r"bilm_tf: '.*': it has no \*.index"):
        bilm_tf.read(tmp_path)
