"""The help pages in docs/cli.md: `python -m tests.cli.help_pages` writes them anew.

Each stands in a code block after a line `<!-- relmo COMMAND --help -->`; the rest is left alone.
"""

import os
import re
from pathlib import Path
from unittest import mock

from tests.helpers import relmo

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
_BLOCK = re.compile(r"<!-- relmo (.*?)-->\n```text\n.*?```\n", re.DOTALL)


def renewed(page: str) -> str:
    """The page with every help block as the program prints it."""
    return _BLOCK.sub(lambda block: _block(block[1].strip()), page)


def _block(command: str) -> str:
    with mock.patch.dict(os.environ, {"COLUMNS": "80", "LINES": "24"}):
        ran = relmo(*command.split())
    assert ran.code == 0, ran
    page = "\n".join(line.rstrip() for line in ran.out.splitlines())
    return f"<!-- relmo {command} -->\n```text\n$ relmo {command}\n{page}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
