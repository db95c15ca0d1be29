"""The layers of a biLM on disk: the same numbers, once, and never half of them."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from relmo.config import BiLMConfig
from relmo.elmo.model import Elmo
from relmo.errors import InputError
from relmo.formats.checkpoint import parameter_shapes
from relmo.tasks import layer_cache
from relmo.tasks.layer_cache import CacheProgress, ComputedLayers, StoredLayers, stored
from relmo.text.vocab import SPECIALS, Vocabulary
from tests.helpers import tiny_elmo

SENTENCES = [["a", "b", "c"], [], ["Rome"], ["a", "cat", "sat", "."]]
N_TOKENS = 8


def seen(
    folder: Path, seed: int = 0, sentences: list[list[str]] = SENTENCES
) -> list[CacheProgress]:
    """What is told while the layers are opened."""
    told: list[CacheProgress] = []
    stored(tiny_elmo(seed), sentences, folder, on_progress=told.append)
    return told


def test_stored_layers_are_the_computed_ones(tmp_path: Path):
    elmo = tiny_elmo()
    found = stored(elmo, SENTENCES, tmp_path / "new" / "cache")([3, 0, 2])
    assert found.shape == (N_TOKENS, 3, 8)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, ComputedLayers(elmo, SENTENCES)([3, 0, 2]), rtol=0, atol=2e-3)
    whole = np.concatenate(elmo.embed([SENTENCES[k] for k in (3, 0, 2)], "all"), axis=1)
    torch.testing.assert_close(found, torch.from_numpy(whole).swapaxes(0, 1), rtol=1e-3, atol=1e-3)


def test_the_size_is_said_before_and_is_the_files(tmp_path: Path):
    told: list[CacheProgress] = []
    there: list[list[Path]] = []

    def tell(progress: CacheProgress) -> None:
        told.append(progress)
        there.append([path for path in tmp_path.iterdir() if path.name[0] != "."])

    found = stored(tiny_elmo(), SENTENCES, tmp_path, on_progress=tell)
    assert isinstance(found, StoredLayers)
    assert there[0] == []
    assert (told[0].n_done, told[-1].n_done, told[0].n_tokens) == (0, N_TOKENS, N_TOKENS)
    assert told[0].n_bytes == N_TOKENS * 3 * 8 * 2
    assert found.path.stat().st_size - told[0].n_bytes in range(1, 200)  # the header


def test_the_same_model_and_data_are_not_computed_again(tmp_path: Path):
    assert seen(tmp_path)
    assert not seen(tmp_path)
    assert seen(tmp_path, seed=1)
    assert seen(tmp_path, sentences=[["a", "b"], ["c"], ["Rome"], ["a", "cat", "sat", "."]])
    assert len(list(tmp_path.iterdir())) == 3


def test_a_model_that_reads_or_computes_otherwise_has_layers_of_its_own(tmp_path: Path):
    checkpoint = tiny_elmo().checkpoint()
    clipped = replace(checkpoint.config, cell_clip=0.5)
    shape = BiLMConfig(lstm_dim=6, projection_dim=4, n_words=4)
    words = [Vocabulary([*SPECIALS, word]) for word in ("a", "Rome")]
    torch.manual_seed(0)
    of_words = {name: torch.randn(size) for name, size in parameter_shapes(shape)}
    models = [
        checkpoint,
        replace(checkpoint, config=clipped),
        *(replace(checkpoint, config=shape, tensors=of_words, vocab=vocab) for vocab in words),
    ]
    for model in models:
        stored(Elmo.from_checkpoint(model), SENTENCES, tmp_path)
    assert len(list(tmp_path.iterdir())) == len(models)


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"not an array at all"])
def test_a_damaged_file_is_written_anew(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
):
    seen(tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage)
    assert seen(tmp_path)
    assert path.read_bytes() == whole
    path.write_bytes(whole[:-1])
    assert seen(tmp_path)
    path.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])  # one bit of a number
    assert seen(tmp_path)
    np.save(path, np.zeros((2, 3, 8), np.float16))
    assert seen(tmp_path)
    assert path.read_bytes() == whole
    assert "written again" in caplog.text


def test_a_run_that_dies_halfway_leaves_no_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = Elmo.embed_stream

    def dying(*arguments: Any) -> Iterator[np.ndarray]:
        yield from itertools.islice(whole(*arguments), 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(Elmo, "embed_stream", dying)
    with pytest.raises(KeyboardInterrupt):
        seen(tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(Elmo, "embed_stream", whole)
    seen(tmp_path)
    (path,) = tmp_path.iterdir()
    path.with_name(f".{path.stem}.{'0' * 12}.aside.npy").write_bytes(b"of a process killed")
    path.unlink()
    seen(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_or_a_folder_that_cannot_be_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        seen(tmp_path / "file" / "cache")
    monkeypatch.setattr(layer_cache.shutil, "disk_usage", lambda _: type("", (), {"free": 10})())
    with pytest.raises(InputError, match=r"the layers take 0\.0 GB, .*or train without one"):
        seen(tmp_path)


def test_numbers_too_large_for_half_precision_are_an_error(tmp_path: Path):
    elmo = tiny_elmo()
    with torch.no_grad():
        elmo.bilm.token_encoder.projection.weight.mul_(1e8)
    with pytest.raises(InputError, match="too large for half precision"):
        stored(elmo, SENTENCES, tmp_path)
    assert list(tmp_path.iterdir()) == []
