"""Models with a softmax and without, for the questions to a language model."""

from pathlib import Path

import pytest

from relmo.text.vocab import SPECIALS
from tests.helpers import tiny_model

WORDS = (*SPECIALS, "the", "cat", "sat", ".", "on", "mat")
"""Of the softmax."""


@pytest.fixture(scope="session")
def models_with_and_without_softmax(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder: "tiny" has a softmax over a few words, "bare" has none."""
    folder = tmp_path_factory.mktemp("models")
    tiny_model(folder / "tiny", words=WORDS)
    tiny_model(folder / "bare")
    return folder


@pytest.fixture
def among_models(
    models_with_and_without_softmax: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work in an empty folder in which only the two models are."""
    monkeypatch.chdir(tmp_path)
    for path in models_with_and_without_softmax.iterdir():
        Path(path.name).symlink_to(path)
