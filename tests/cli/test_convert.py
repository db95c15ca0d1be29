from dataclasses import replace
from pathlib import Path

import pytest
import torch

from relmo.config import LayerMix
from relmo.formats import bilm_hdf5, relmo_format
from relmo.text.vocab import Vocabulary
from tests.formats.helpers import assert_same
from tests.helpers import relmo, tiny_elmo, tiny_model

WORDS = ["<S>", "</S>", "<UNK>", "cat", "sat"]


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A model with all that can come with one."""
    softmax = {"weight": torch.arange(20.0).reshape(5, 4), "bias": torch.arange(5.0)}
    checkpoint = replace(
        tiny_elmo().checkpoint(),
        vocab=Vocabulary(WORDS),
        softmax=softmax,
        mixes=(LayerMix(weights=(0.5, 0.0, -0.5), gamma=2.0),),
    )
    relmo_format.write(checkpoint, tmp_path / "whole")
    return tmp_path / "whole"


def size(folder: Path) -> str:
    return f"{sum(path.stat().st_size for path in folder.iterdir()) / 1000:.1f} kB"


def test_to_hdf5_says_what_is_left_out_and_keeps_the_rest(whole: Path, tmp_path: Path):
    target = tmp_path / "out"
    ran = relmo("convert", whole, target, "--to", "hdf5")
    assert ran == (
        0,
        f"""\
{target}: hdf5, {size(target)}
  left out, for which hdf5 has no place: the softmax of 5 words
  left out, for which hdf5 has no place: the learned mix
  left out, for which hdf5 has no place: the card
""",
        "",
    )
    left = replace(relmo_format.read(whole), softmax=None, mixes=(), card=None)
    assert_same(bilm_hdf5.read_folder(target), left)


def test_to_relmo_keeps_everything(whole: Path, tmp_path: Path):
    ran = relmo("convert", whole, tmp_path / "out")
    assert ran == (0, f"{tmp_path / 'out'}: relmo, {size(tmp_path / 'out')}\n", "")
    assert_same(relmo_format.read(tmp_path / "out"), relmo_format.read(whole))
    assert relmo_format.read(tmp_path / "out").mixes == relmo_format.read(whole).mixes


def test_there_and_back_is_the_same_model(tmp_path: Path, goldens: Path):
    there, back = tmp_path / "there", tmp_path / "back"
    (tmp_path / "golden").mkdir()
    for name in ("options.json", "lm_weights.hdf5"):
        (tmp_path / "golden" / name).write_bytes((goldens / "allennlp" / name).read_bytes())
    assert relmo("convert", tmp_path / "golden", there).code == 0
    assert relmo("convert", there, back, "--to", "hdf5").code == 0
    assert_same(bilm_hdf5.read_folder(back), bilm_hdf5.read_folder(tmp_path / "golden"))


def test_half_precision_takes_half_the_bytes(tmp_path: Path):
    source = tiny_model(tmp_path / "tiny")
    assert relmo("convert", source, tmp_path / "half", "--dtype", "float16").code == 0
    full, half = relmo_format.read(source), relmo_format.read(tmp_path / "half")
    for name, tensor in full.tensors.items():
        torch.testing.assert_close(half.tensors[name], tensor.half().float(), rtol=0, atol=0)
    weights = "model.safetensors"
    n_saved = (source / weights).stat().st_size - (tmp_path / "half" / weights).stat().st_size
    assert n_saved == pytest.approx(2 * 1970, abs=100)
    ran = relmo("convert", source, tmp_path / "x", "--to", "hdf5", "--dtype", "float16")
    assert ran == (
        2,
        "",
        "relmo: error: --dtype float16: AllenNLP reads float32 only; take --to relmo\n",
    )


def test_a_softmax_in_whole_numbers_takes_a_quarter_of_the_bytes(whole: Path, tmp_path: Path):
    ran = relmo("convert", whole, tmp_path / "small", "--softmax-dtype", "int8")
    assert ran.code == 0, ran
    before, after = relmo_format.read(whole), relmo_format.read(tmp_path / "small")
    assert before.softmax is not None
    assert after.softmax is not None
    highest = float(before.softmax["weight"].abs().max())
    torch.testing.assert_close(
        after.softmax["weight"], before.softmax["weight"], rtol=0, atol=highest / 250
    )
    ran = relmo("convert", whole, tmp_path / "x", "--to", "hdf5", "--softmax-dtype", "int8")
    assert (ran.code, ran.err) == (
        2, "relmo: error: --softmax-dtype int8: hdf5 has no softmax; take --to relmo\n"
    )  # fmt: skip


def test_a_folder_that_is_no_model_is_replaced_by_force_only(tmp_path: Path):
    source = tiny_model(tmp_path / "tiny")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    ran = relmo("convert", source, tmp_path / "mine")
    assert ran == (
        2,
        "",
        f"relmo: error: cannot write '{tmp_path / 'mine'}': it is neither empty nor just a model "
        "(it holds 'thesis.txt'); give another folder, or --force to replace it whole\n",
    )
    assert (tmp_path / "mine" / "thesis.txt").exists()
    assert relmo("convert", source, tmp_path / "mine", "--force").code == 0
    assert not (tmp_path / "mine" / "thesis.txt").exists()
