import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from relmo import hub
from relmo.cli.verify import fingerprint
from relmo.config import BiLMConfig
from relmo.formats import detect, relmo_format
from relmo.formats.checkpoint import Checkpoint
from relmo.formats.verify import oddities, parameters_sha256, problems
from relmo.hub import _catalogue
from tests.formats.helpers import random_checkpoint
from tests.helpers import relmo, tiny_elmo, tiny_model
from tests.hub.test_fetch import model


def without_numbers(text: str) -> str:
    """The output, its fingerprints' numbers as 0."""
    return re.sub(r"[+-]\d\.\d{3}e[+-]\d\d", "0", text)


def test_a_sound_model_is_said_to_be_so(tmp_path: Path):
    folder = tiny_model(tmp_path / "tiny")
    ran = relmo("verify", folder)
    assert (ran.code, ran.err) == (0, "")
    assert (
        without_numbers(ran.out)
        == f"""\
source      {folder}
format      relmo
parameters  1,970 in 27 tensors
  sha256    {parameters_sha256(tiny_elmo().checkpoint())}
  published it has the shape of none of 'small', 'medium', 'original'
sentence    The quick brown fox jumps over the lazy dog .
  layer 0   0  0  0  0
  layer 1   0  0  0  0
  layer 2   0  0  0  0
unusual     no vocabulary
            no softmax: it cannot be evaluated or trained further as a language model
wrong       nothing
"""
    )


def test_the_box_is_sound():
    ran = relmo("verify")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.endswith("wrong       nothing\n")


def test_the_checksum_is_the_same_in_every_format_and_another_for_another_model(tmp_path: Path):
    sums = set()
    for to in ("relmo", "hdf5"):
        relmo("convert", tiny_model(tmp_path / f"tiny-{to}"), tmp_path / to, "--to", to)
        (found,) = re.findall(r"  sha256 +(\w{64})", relmo("verify", tmp_path / to).out)
        sums.add(found)
    assert len(sums) == 1
    assert parameters_sha256(tiny_elmo(seed=1).checkpoint()) not in sums


def test_the_checksum_does_not_depend_on_the_order_of_the_file():
    checkpoint = tiny_elmo().checkpoint()
    turned = replace(checkpoint, tensors=dict(reversed(checkpoint.tensors.items())))
    assert parameters_sha256(turned) == parameters_sha256(checkpoint)


def test_a_fingerprint_is_deaf_to_rounding_and_not_to_more():
    layer = np.random.default_rng(0).normal(size=(10, 32)).astype(np.float32)

    def numbers(vectors: np.ndarray) -> np.ndarray:
        return np.array([float(number) for number in fingerprint(vectors).split()])

    noise = np.random.default_rng(1).normal(size=layer.shape).astype(np.float32)
    np.testing.assert_allclose(numbers(layer + 1e-6 * noise), numbers(layer), rtol=2e-3)
    assert np.abs(numbers(layer + 0.1 * noise) / numbers(layer) - 1).max() > 2e-3
    assert fingerprint(layer[::-1]) != fingerprint(layer)


def test_a_dead_weight_is_wrong(tmp_path: Path):
    checkpoint = tiny_elmo().checkpoint()
    checkpoint.tensors["forward_lstm.layers.0.input_weight"] = torch.zeros(4, 24)
    relmo_format.write(checkpoint, tmp_path / "dead")
    ran = relmo("verify", tmp_path / "dead")
    assert ran.code == 2
    assert ran.out.endswith("wrong       'forward_lstm.layers.0.input_weight' is 0 throughout\n")


def test_numbers_that_are_not_finite_are_wrong():
    checkpoint = tiny_elmo().checkpoint()
    checkpoint.tensors["forward_lstm.layers.0.bias"] = torch.tensor([float("nan")] * 24)
    assert problems(checkpoint) == [
        "'forward_lstm.layers.0.bias' holds 24 numbers that are NaN or infinite"
    ]


@pytest.mark.parametrize(
    ("shape", "odd"),
    [
        ({"cell_clip": None, "proj_clip": None}, ["cells are not clipped", "outputs are not clip"]),
        ({"cell_clip": 2.5}, ["cells are clipped at 2.5, not 3"]),
        ({"skip": False}, ["no skip connections"]),
        ({"n_layers": 1}, ["1 LSTM layers, not 2"]),
        ({"dim": 6, "projection_dim": 6}, ["the LSTMs have no projection"]),
        ({"max_characters": 10}, ["it reads 10 characters of a token, not 50"]),
        ({"activation": "tanh"}, ["the convolutions end in tanh, not relu"]),
        ({"n_highway": 0}, ["no highway layers"]),
        ({"n_words": 11}, ["it reads whole words, no characters"]),
    ],
)
def test_what_is_unusual_is_said(shape: dict[str, object], odd: list[str], tmp_path: Path):
    found = oddities(random_checkpoint(tmp_path / "odd", **shape))
    assert all(any(each.startswith(text) for each in found) for text in odd), found


def test_a_model_with_a_lexicon_reads_characters_unless_it_has_none(goldens: Path):
    checkpoint = detect.read(goldens / "manylangs")
    found = oddities(checkpoint)
    assert not {"it reads whole words, no characters", "no vocabulary"} & set(found)
    assert "it reads 20 characters of a token, not 50" in found
    lexicon = checkpoint.config.lexicon
    assert lexicon is not None
    for changed, said in (
        ({"kind": "lstm"}, "an LSTM reads its characters"),
        ({"n_characters": None, "char_dim": None}, "it reads whole words, no characters"),
    ):
        other = replace(lexicon, **{"filters": (), "n_highway": 0, **changed})
        config = replace(checkpoint.config, lexicon=other)
        assert said in oddities(replace(checkpoint, config=config))


def test_unusual_numbers_are_said():
    checkpoint = tiny_elmo().checkpoint()
    tensors = checkpoint.tensors
    tensors["token_encoder.char_embedding"][[3, 7]] = 0
    tensors["forward_lstm.layers.1.bias"][0] = 1234.5
    found = oddities(checkpoint)
    assert found[0] == "2 of the 261 rows of 'token_encoder.char_embedding' are constant"
    assert "'forward_lstm.layers.1.bias' holds numbers of up to 1234" in found


def test_a_model_of_a_published_shape_is_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    small = BiLMConfig.from_dict(tiny_elmo().config.to_dict())
    monkeypatch.setattr("relmo.train.config.PRESETS", dict.fromkeys(("small", "medium"), small))
    assert "  published 13,593,296 in 'small', whose shape it has\n" in (
        relmo("verify", tiny_model(tmp_path / "tiny")).out
    )


def _cached(home: Path, monkeypatch: pytest.MonkeyPatch, **facts: object) -> Checkpoint:
    """The model "tiny", in the cache."""
    monkeypatch.setenv("RELMO_HOME", str(home))
    folder = home / "models" / "tiny"
    relmo("convert", tiny_model(home / "tiny"), folder, "--to", "hdf5")
    files = (hub.File(name=name, urls=("http://x.invalid",)) for name in
             ("options.json", "weights.hdf5"))  # fmt: skip
    known = replace(model(*files), **facts)
    monkeypatch.setattr(_catalogue, "catalogue", lambda: (known,))
    return tiny_elmo().checkpoint()


def test_a_name_is_verified_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _cached(tmp_path, monkeypatch, parameters=1970)
    ran = relmo("verify", "tiny")
    assert ran.code == 0, ran
    assert "cache       2 files, sha256 as recorded\n" in ran.out
    assert relmo("info", "tiny").code == 0


def test_a_model_of_another_size_than_published_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    _cached(tmp_path, monkeypatch, parameters=13593296)
    ran = relmo("verify", "tiny")
    assert ran.code == 2
    assert ran.out.endswith(
        "wrong       1,970 parameters, expected 13,593,296, as tests says of 'tiny'\n"
    )


def test_a_file_that_has_changed_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _cached(tmp_path, monkeypatch)
    assert relmo("verify", "tiny").code == 0
    weights = tmp_path / "models" / "tiny" / "weights.hdf5"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    ran = relmo("verify", "tiny")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"relmo: error: '{weights}' has changed since its first use: ")
