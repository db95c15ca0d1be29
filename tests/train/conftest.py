"""A corpus on which short runs meet every border."""

from pathlib import Path

import pytest

from relmo.train import batches, loop
from tests.train.helpers import Corpora


@pytest.fixture
def corpora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpora:
    """Small buffers and frequent lines, so that a short run meets every border; and a fast disk."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setattr(batches, "_BUFFER_LINES", 8)
    monkeypatch.setattr(loop, "_RECORD_EVERY", 2)
    return Corpora(tmp_path)
