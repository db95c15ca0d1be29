from collections.abc import Iterator
from pathlib import Path

import pytest

from relmo.hub import _download
from tests.hub.server import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; nobody waits before another attempt."""
    monkeypatch.setenv("RELMO_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RELMO_OFFLINE", raising=False)
    monkeypatch.setattr(_download, "_WAITS", (0.0, 0.0, 0.0))
    return tmp_path / "home"
