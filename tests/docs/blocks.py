"""The Python in README.md and docs/: blocks, run in order within a page, and what comments say.

- A block after a line `<!-- not executed: REASON -->` is left out.
- `print(x)  # (2, 256)`: what is printed has to be the comment, up to a remark after it, which
  starts with a colon, a comma or a space. The same for `x.shape  # (2, 256)`, an expression whose
  comment starts with a bracket, a quote or a digit.
"""

import ast
import contextlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(
    r"(?:^<!-- not executed: (?P<reason>.+?) -->\n)?^```python\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A block of Python on a page."""

    page: Path
    line: int
    """Of its first line on the page, from 1."""
    code: str
    reason: str | None
    """Why it is not executed, or None where it is."""


def blocks(page: Path) -> list[Block]:
    """Of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start("code")) + 1, found["code"], found["reason"])
        for found in _BLOCK.finditer(text)
    ]


def run(block: Block, names: dict[str, Any]) -> None:
    """Execute a block statement by statement; an AssertionError where a comment is wrong.

    Args:
        block: the block; its lines in a traceback are those of the page.
        names: what blocks before it have defined, and this one too.
    """
    tree = ast.parse("\n" * (block.line - 1) + block.code, str(block.page))
    lines = ["", *[""] * (block.line - 1), *block.code.splitlines()]
    for statement in tree.body:
        comment = _comment(lines[statement.end_lineno or 0], statement)
        if comment is None:
            _execute(ast.Module([statement], []), "exec", block.page, names)
            continue
        given = _given(statement, block.page, names)
        said = comment == given or re.match(re.escape(given) + "[:, ]", comment)
        assert said, f"{block.page.name}:{statement.lineno}: gives {given}, not {comment}"


def _comment(line: str, statement: ast.stmt) -> str | None:
    """What a comment behind an expression says that it gives, if it says that."""
    if not isinstance(statement, ast.Expr):
        return None
    rest = line.encode()[statement.end_col_offset :].decode().strip()
    comment = rest.lstrip("# ")
    if not rest.startswith("#") or not (_is_print(statement) or re.match(r"[(\[{'\"\d-]", comment)):
        return None
    return comment


def _given(statement: ast.stmt, page: Path, names: dict[str, Any]) -> str:
    """What a statement prints, or what its expression gives."""
    assert isinstance(statement, ast.Expr)
    if not _is_print(statement):
        return repr(_execute(ast.Expression(statement.value), "eval", page, names))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        _execute(ast.Module([statement], []), "exec", page, names)
    return printed.getvalue().rstrip("\n")


def _is_print(statement: ast.Expr) -> bool:
    call = statement.value
    return (
        isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "print"
    )


def _execute(tree: Any, mode: str, page: Path, names: dict[str, Any]) -> Any:
    code = compile(tree, str(page), mode)
    return eval(code, names) if mode == "eval" else exec(code, names)


def links(page: Path) -> Iterator[str]:
    """Targets of the page's links and images that are not on the web."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text)):
        if not re.match(r"[a-z]+:", target):
            yield target


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ +(.+?) *$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
