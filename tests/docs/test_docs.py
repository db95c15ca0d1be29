"""What the pages say: their Python runs and gives what they say, their links lead somewhere."""

import ast
import re
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from relmo.text.vocab import SPECIALS
from tests.docs.blocks import PAGES, ROOT, Block, blocks, headings, links, run
from tests.helpers import tiny_elmo

WORDS = [*SPECIALS, "the", "cat", "sat", ".", "on", "mat"]


def lay_out(folder: Path, goldens: Path) -> None:
    """The models, by the names that the pages use, tiny."""
    elmo = tiny_elmo(words=WORDS)
    elmo.save(folder / "elmo_2x1024_128", format="bilm_hdf5")
    elmo.save(folder / "elmo_with_softmax")
    for name in ("options.json", "weights.hdf5"):
        shutil.copy(folder / "elmo_2x1024_128" / name, folder)
    for name, golden in (("elmo_3", "tfhub_module"), ("en.model", "manylangs")):
        if (goldens / golden).is_dir():
            shutil.copytree(goldens / golden, folder / name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_of_a_page_runs_and_gives_what_its_comments_say(
    page: Path, goldens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": page.stem}
    to_run = [block for block in blocks(page) if block.reason is None]
    if to_run:
        lay_out(tmp_path, goldens)
    for block in to_run:
        run(block, names)


def test_no_block_is_left_out_for_the_way_it_is_written():
    for page in PAGES:
        text = page.read_text("utf-8")
        opened = re.findall(r"^ *```(.*)$", text, re.MULTILINE)[::2]
        assert set(opened) <= {"python", "sh", "text", "toml", ""}, page.name
        assert opened.count("python") == len(blocks(page)), page.name
    assert len(blocks(ROOT / "README.md")) >= 2


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path):
    for target in links(page):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), f"{page.name}: {target}"
        if anchor and linked.suffix == ".md":
            assert anchor in headings(linked), f"{page.name}: {target}"


def test_every_example_is_run_by_a_test():
    tests = "\n".join(
        file.read_text("utf-8") for file in (ROOT / "tests" / "examples").glob("*.py")
    )
    for example in sorted((ROOT / "examples").glob("*.py")):
        named = (
            rf"^(from examples import .*\b{example.stem}\b|from examples\.{example.stem} import)"
        )
        assert re.search(named, tests, re.MULTILINE), f"no test in tests/examples runs {example}"


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda x: x.stem)
def test_an_example_starts_as_a_file_too(example: Path, monkeypatch: pytest.MonkeyPatch):
    here = [path for path in sys.path if Path(path or ".").resolve() != ROOT]
    monkeypatch.setattr(sys, "path", [str(example.parent), *here])
    for name in [name for name in sys.modules if name.split(".")[0] == "examples"]:
        monkeypatch.delitem(sys.modules, name)
    started = runpy.run_path(str(example), run_name="started")
    assert callable(started["main"])
    told = ast.get_docstring(ast.parse(example.read_text("utf-8")))
    assert f"python examples/{example.name}" in told or "make" in told


# --- the reading of pages -------------------------------------------------------------------------


def block(code: str) -> Block:
    return Block(ROOT / "README.md", 7, code, None)


@pytest.mark.parametrize(
    "code",
    [
        "print((1, 2))  # (1, 2)",
        "print((1, 2))  # (1, 2): two",
        "print(len('ab'))  # 2 letters",
        "(1, 2)  # (1, 2), two",
        "(\n    1,\n    2,\n)  # (1, 2)",
        "len('é')  # 1",
        "len('ab')  # says nothing of what it gives",
        "x = 1  # (2, 3) is no claim about an assignment",
        "def f():\n    print(1)  # 2\n",
    ],
)
def test_a_comment_that_is_right_passes(code: str):
    run(block(code), {})


@pytest.mark.parametrize(
    "code",
    [
        "print((1, 2))  # (1, 3)",
        "print((1, 2))  # two of them",
        "print(1)  # 12",
        "(1, 2)  # (1, 2, 3)",
        "len('ab')  # 3",
    ],
)
def test_a_comment_that_is_wrong_fails_and_names_its_line(code: str):
    with pytest.raises(AssertionError, match=r"README.md:7: gives .* not"):
        run(block(code), {})


def test_blocks_know_their_lines_and_whether_they_run(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(
        "text\n```python\na = 1\n```\n\n"
        "<!-- not executed: old -->\n```python\nb\n```\n```sh\nc\n```\n"
    )
    assert [(b.line, b.code, b.reason) for b in blocks(page)] == [
        (3, "a = 1\n", None),
        (8, "b\n", "old"),
    ]
