"""A tagger that was trained once for all tests that only use it."""

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from tests.tasks import helpers


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_disks() -> Iterator[None]:
    with mock.patch("os.fsync", return_value=None):
        yield


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run over a biLM."""
    folder = tmp_path_factory.mktemp("tagger") / "run"
    shape = helpers.config(char_dim=8, dropout=0.0, mix_dropout=0.0)
    helpers.trained(folder, shape=shape, how=helpers.training(learning_rate=0.05, epochs=6))
    return folder
