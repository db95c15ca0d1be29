"""Files of torch.save that are broken, foreign or lying; code in a pickle must not run."""

import contextlib
import json
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from relmo.errors import ConfigError, FormatError, InputError
from relmo.formats import allennlp_model, detect
from relmo.formats._torch_file import load_tensors
from tests.formats.allennlp_state import elmo_state
from tests.formats.helpers import assert_refused
from tests.reference.bilm_numpy import random_model

State = dict[str, torch.Tensor]
BILM = "_elmo._elmo_lstm."
ENCODER, LSTM = f"{BILM}_token_embedder.", f"{BILM}_elmo_lstm."


def state() -> State:
    return elmo_state(*random_model(1), [[0, 0, 0, 1]], "_elmo.")


def expect(path: Path, *parts: str, error: type[Exception] = FormatError) -> None:
    assert_refused(path, f"allennlp: {path}", *parts, error=error)


class Evil:
    """Unpickled, it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("place", ["value", "name", "whole"])
def test_code_in_a_pickle_does_not_run(place: str, legacy: bool, tmp_path: Path):
    evil = Evil(tmp_path / "ran")
    content = {"value": {**state(), "x": evil}, "name": {**state(), (1, evil): 2}, "whole": evil}
    torch.save(content[place], tmp_path / "m.th", _use_new_zipfile_serialization=not legacy)
    expect(
        tmp_path / "m.th", "nothing in it was run: it asks for posix.mkdir", "nothing in it was run"
    )
    assert not evil.mark.exists()
    pickle.loads(pickle.dumps(evil))
    assert evil.mark.exists()  # it is evil


def test_a_bare_pickle_is_not_even_opened(tmp_path: Path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "weights.th").write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    with pytest.raises(FormatError, match=r"allennlp: weights\.th is no PyTorch file"):
        detect.read(tmp_path / "m")
    (tmp_path / "m.th").write_bytes(b"")
    with pytest.raises(FormatError, match=r"m\.th is no PyTorch file"):
        allennlp_model.read(tmp_path / "m.th")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("legacy", [True, False])
def test_truncated_and_changed_files(legacy: bool, tmp_path: Path):
    path = tmp_path / "m.th"
    torch.save(state(), path, _use_new_zipfile_serialization=not legacy)
    data = path.read_bytes()
    for kept in (0.1, 0.5, 0.9, 0.99):
        path.write_bytes(data[: int(kept * len(data))])
        with pytest.raises(FormatError, match=r"cannot be read as tensors|no PyTorch"):
            detect.read(path)
    for at in range(40, len(data), len(data) // 40):
        spoilt = bytearray(data)
        spoilt[at] ^= 0x55
        path.write_bytes(spoilt)
        with contextlib.suppress(FormatError):
            detect.read(path)  # a number may only be another number


def missing(tensors: State) -> None:
    del tensors[f"{LSTM}backward_layer_1.state_linearity.bias"]


def renamed(tensors: State) -> None:
    name = f"{ENCODER}_projection.bias"
    tensors[f"{name}es"] = tensors.pop(name)


def superfluous(tensors: State) -> None:
    tensors[f"{LSTM}forward_layer_0.input_linearity.bias"] = torch.zeros(48)


def superfluous_beside_the_bilm(tensors: State) -> None:
    tensors["_elmo.adapter.weight"] = torch.zeros(3)


def a_mix_without_gamma(tensors: State) -> None:
    del tensors["_elmo.scalar_mix_0.gamma"]


def a_mix_without_weights(tensors: State) -> None:
    for layer in range(3):
        del tensors[f"_elmo.scalar_mix_0.scalar_parameters.{layer}"]


def a_mix_of_two_layers(tensors: State) -> None:
    del tensors["_elmo.scalar_mix_0.scalar_parameters.2"]


def a_gamma_of_two(tensors: State) -> None:
    tensors["_elmo.scalar_mix_0.gamma"] = torch.ones(2)


def a_gamma_not_a_number(tensors: State) -> None:
    tensors["_elmo.scalar_mix_0.gamma"] = torch.tensor([torch.nan])


def two(tensors: State) -> None:
    tensors |= {name.replace("_elmo.", "other._elmo.", 1): x for name, x in tensors.items()}


def none(tensors: State) -> None:
    for name in list(tensors):
        tensors[name.replace("embedder", "encoder")] = tensors.pop(name)


def transposed(tensors: State) -> None:
    name = f"{LSTM}forward_layer_1.state_projection.weight"
    tensors[name] = tensors[name].T


def of_another_rank(tensors: State) -> None:
    tensors[f"{ENCODER}char_conv_1.weight"] = torch.zeros(5, 4)


def characters_short(tensors: State) -> None:
    tensors[f"{ENCODER}_char_embedding_weights"] = torch.zeros(260, 4)


def characters_flat(tensors: State) -> None:
    tensors[f"{ENCODER}_char_embedding_weights"] = torch.zeros(())


def stretched(tensors: State) -> None:
    name = f"{LSTM}forward_layer_0.input_linearity.weight"
    tensors[name] = torch.zeros(1, 1).expand(4 * 10**9, 10**9)


def integers(tensors: State) -> None:
    tensors[f"{ENCODER}_projection.bias"] = torch.zeros(6, dtype=torch.int32)


def sparse(tensors: State) -> None:
    tensors[f"{ENCODER}_projection.bias"] = torch.zeros(6).to_sparse()


def infinite(tensors: State) -> None:
    tensors[f"{ENCODER}_projection.bias"][2] = torch.inf


def wider_than_a_token(tensors: State) -> None:
    tensors[f"{ENCODER}char_conv_2.weight"] = torch.zeros(6, 4, 51)


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (missing, ("'_elmo_lstm.backward_layer_1.state_linearity.bias' missing",)),
        (renamed, ("'_token_embedder._projection.bias' missing", "_projection.biases' not expec")),
        (superfluous, ("'_elmo_lstm.forward_layer_0.input_linearity.bias' not expected",)),
        (superfluous_beside_the_bilm, ("'_elmo.adapter.weight' not expected",)),
        (a_mix_without_gamma, ("scalar_mix_0.scalar_parameters.0'", "not expected")),
        (a_mix_without_weights, ("scalar_mix_0.scalar_parameters.0' missing",)),
        (a_mix_of_two_layers, ("mixes[0] has 2 weights, expected 3",)),
        (a_gamma_of_two, ("scalar_mix_0.gamma' has shape (2,), expected (1,)",)),
        (a_gamma_not_a_number, ("scalar_mix_0.gamma' holds 1 numbers that are NaN",)),
        (two, ("holds 2 ELMos", "'_elmo._elmo_lstm.', 'other._elmo._elmo_lstm.'")),
        (none, ("holds no ELMo",)),
        (transposed, ("state_projection.weight' has shape (12, 6), expected (6, 12)",)),
        (of_another_rank, ("char_conv_1.weight' has shape (5, 4), expected 3 axes",)),
        (characters_short, ("_char_embedding_weights' has shape (260, 4), expected (26",)),
        (characters_flat, ("_char_embedding_weights' has shape (), expected 2 axes",)),
        (stretched, ("has shape (4000000000, 1000000000), for which",)),
        (integers, ("_projection.bias' is torch.int32",)),
        (sparse, ("_projection.bias' is torch.sparse_coo, expected a plain",)),
        (infinite, ("_projection.bias' holds 1 numbers",)),
        (wider_than_a_token, ("impossible", "width 51")),
    ],
)
@pytest.mark.parametrize("with_options", [True, False])
def test_tensors_that_are_not_those_of_an_elmo(
    with_options: bool, spoil: Callable[[State], None], parts: tuple[str, ...], tmp_path: Path
):
    tensors = state()
    spoil(tensors)
    torch.save(tensors, tmp_path / "m.th")
    if with_options:
        (tmp_path / "options.json").write_text(json.dumps(random_model(1)[0]))
        if spoil in (of_another_rank, characters_flat, wider_than_a_token):
            parts = ("options.json",)
    expect(tmp_path / "m.th", *parts)


@pytest.mark.parametrize(
    "content", [[torch.zeros(3)], torch.zeros(3), {"a": 1}, {3: torch.ones(1)}]
)
def test_what_is_no_state(content: object, tmp_path: Path):
    torch.save(content, tmp_path / "m.th")
    expect(tmp_path / "m.th", "expected tensors by name")


def test_options_that_contradict_the_tensors(tmp_path: Path):
    torch.save(state(), tmp_path / "m.th")
    options = random_model(1)[0]
    options["lstm"]["dim"] = 13
    (tmp_path / "options.json").write_text(json.dumps(options))
    expect(tmp_path / "m.th", "has shape (48, 6), expected (52, 6) from options.json lstm.")
    del options["char_cnn"]
    (tmp_path / "options.json").write_text(json.dumps(options))
    with pytest.raises(FormatError, match=r"options\.json: 'char_cnn' missing"):
        detect.read(tmp_path / "m.th")
    del options["lstm"]["dim"]
    options["char_cnn"] = {}
    (tmp_path / "options.json").write_text(json.dumps(options))
    with pytest.raises(ConfigError, match=r"options\.json: "):
        detect.read(tmp_path / "m.th")


def test_archived_options_that_differ(tmp_path: Path):
    torch.save(state(), tmp_path / "m.th")
    (tmp_path / "fta").mkdir()
    for name in ("a", "b"):
        (tmp_path / "fta" / f"{name}.options_file").write_text(json.dumps({name: 1}))
    with pytest.raises(
        FormatError, match=r"a\.options_file and b\.options_file hold different options, expected"
    ):
        detect.read(tmp_path / "m.th")


def test_many_tensors_take_a_time_that_grows_as_they_do(tmp_path: Path, monkeypatch):
    asked = 0

    class Counted(int):
        """A number of bytes, of which it is counted how often it is added to others."""

        def __add__(self, other):
            nonlocal asked
            asked += 1
            return int(self) + other

        __radd__ = __add__

    really = torch.UntypedStorage.nbytes
    monkeypatch.setattr(torch.UntypedStorage, "nbytes", lambda self: Counted(really(self)))
    torch.save({f"x{i}": torch.zeros(1) for i in range(300)}, tmp_path / "m.th")
    asked = 0
    assert len(load_tensors(tmp_path / "m.th", "where")) == 300
    assert asked <= 2 * 300


def test_the_tar_that_torch_once_wrote_is_not_unpacked(tmp_path: Path):
    with tarfile.open(tmp_path / "m.th", "w") as file:
        for name in ("sys_info", "pickle", "storages", "tensors", "../out"):
            file.addfile(tarfile.TarInfo(name))
    with pytest.raises(FormatError, match="cannot be read as tensors"):
        load_tensors(tmp_path / "m.th", "where")
    assert not (tmp_path.parent / "out").exists()


def test_a_compressed_file_which_torch_does_not_write(tmp_path: Path):
    torch.save(state(), tmp_path / "plain.th")
    with (
        zipfile.ZipFile(tmp_path / "plain.th") as plain,
        zipfile.ZipFile(tmp_path / "m.th", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    expect(tmp_path / "m.th", "data.pkl' is compressed, expected it stored")


def test_files_that_cannot_be_chosen_or_opened(tmp_path: Path):
    for name in ("a.th", "b.th"):
        torch.save(state(), tmp_path / name)
    with pytest.raises(FormatError, match=r"allennlp: it has 2 files \*\.th \(a\.th, b\.th\)"):
        detect.read(tmp_path)
    with pytest.raises(InputError, match="no such"):
        detect.read(tmp_path / "c.th")
