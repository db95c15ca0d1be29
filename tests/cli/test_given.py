"""What commands show on a terminal while a model comes, and in a table of models."""

import contextlib
import io
from pathlib import Path

import pytest

from relmo.cli import _inputs
from relmo.cli.models import models
from tests.hub.server import Page, serving


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_download_shows_its_progress_on_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RELMO_HOME", str(tmp_path))
    monkeypatch.delenv("RELMO_OFFLINE", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    with serving() as server, contextlib.redirect_stderr(Terminal()) as err:
        server.pages["/elmo.zip"] = Page(b"x" * 10**6)
        path = _inputs.find_model(server.url("/elmo.zip"))
    assert path.read_bytes() == b"x" * 10**6
    assert "elmo.zip" in err.getvalue()


def test_models_are_a_table_that_fits_a_terminal(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    with contextlib.redirect_stdout(Terminal()) as out:
        models(language="eu", as_json=False)
    assert "Basque, by S. Sch" in out.getvalue()
    assert max(map(len, out.getvalue().splitlines())) <= 80
