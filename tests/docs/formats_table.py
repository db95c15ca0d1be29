"""The table of formats in README.md: `python -m tests.docs.formats_table` writes it anew."""

import re

from relmo.formats.detect import FORMATS
from tests.docs.blocks import ROOT

PAGE = ROOT / "README.md"
_TABLE = re.compile(r"(<!-- formats: .*? -->\n).*?(<!-- /formats -->)", re.DOTALL)


def renewed(page: str) -> str:
    """The page with the table as the formats are."""
    return _TABLE.sub(lambda found: f"{found[1]}\n{table()}\n{found[2]}", page)


def table() -> str:
    rows = [
        (f.title, "yes", _said(f.writes), _said(f.has_mix), _said(f.has_softmax)) for f in FORMATS
    ]
    head = ("format", "read", "written", "mix", "softmax")
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _said(has: bool) -> str:
    return "yes" if has else "–"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
