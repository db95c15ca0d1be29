import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import relmo as package
from relmo.cli import embed
from tests.cli import help_pages
from tests.helpers import relmo

COMMANDS = [
    "embed",
    "map",
    "info",
    "models",
    "convert",
    "verify",
    "vocab",
    "train",
    "finetune",
    "plot",
    "perplexity",
    "surprisal",
    "substitutes",
    "probe",
    "senses disambiguate",
    "senses neighbours",
    "senses induce",
    "classify train",
    "classify evaluate",
    "classify predict",
    "tag train",
    "tag evaluate",
    "tag predict",
]


def program(*arguments: str, code: str = "") -> list[str]:
    return [sys.executable, "-c", f"{code}\nfrom relmo.cli.main import run; run()", *arguments]


def test_version():
    assert relmo("--version") == (0, f"relmo {package.__version__}\n", "")


def test_every_command_has_help_that_names_each_option_in_words():
    for command in COMMANDS:
        ran = relmo(*command.split(), "--help")
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.startswith(f"Usage: relmo {command}")
        assert re.search(rf"^ ?relmo {command} ", ran.out, re.MULTILINE), "an example"
        assert max(map(len, ran.out.splitlines())) <= 80
        assert ran == relmo(*command.split(), "-h")


def test_the_help_pages_in_the_documentation_are_those_of_the_program():
    page = help_pages.PAGE.read_text(encoding="utf-8")
    assert page == help_pages.renewed(page), "run: python -m tests.cli.help_pages"
    for command in ["", *COMMANDS]:
        assert " ".join(["<!-- relmo", *command.split(), "--help -->"]) in page


def test_an_unknown_command_exits_2():
    ran = relmo("embde")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith('relmo: error: Unknown command "embde". Did you mean "embed"? ')


def test_help_imports_neither_torch_nor_numpy_and_is_quick():
    check = (
        "import atexit, sys; atexit.register(lambda: print({'torch', 'numpy'} & {*sys.modules}))"
    )
    start = time.perf_counter()
    ran = subprocess.run(program("--help", code=check), capture_output=True, text=True, check=True)
    assert time.perf_counter() - start < 10  # seconds; a tenth of it on a machine with nothing else
    assert ran.stdout.endswith("set()\n")


def test_ctrl_c_exits_130_without_a_traceback(monkeypatch):
    def interrupted(arguments: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(embed._inputs, "check_lines", interrupted)
    ran = relmo("embed", "a", "-o", "v.h5")
    assert (ran.code, ran.out) == (130, "")
    assert "Traceback" not in ran.err


WRONG = {
    "verify a b": "verify: unexpected 'b'; see --help",
    "verify --jsn": "Unknown option: --jsn.",
    "embed a": "embed: --output is missing; see --help",
    "embed a -o": "embed: the value of -o is missing; see --help",
    "vocab a -o v --size x": "--size is 'x', expected an integer",
    "vocab a -o v --size 1.5": "--size is '1.5', expected an integer",
    "vocab a -o v --size 3": "--size must be at least 4, got 3",
    "train a --out r --mode row": 'Invalid value "row" for --mode. Choose from: "sentence", "rows"',
    "train a --out r --dropout x": 'Invalid value for --dropout: unable to convert "x" into float.',
    "train a --out r --cutoffs 9,3": "--cutoffs must be increasing numbers from 1 on, got 9,3",
    "tag trian": 'Unknown command "trian". Did you mean "train"?',
}


@pytest.mark.parametrize("command", WRONG)
def test_wrong_usage_is_one_line_and_exit_code_2(command: str):
    ran = relmo(*command.split())
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith(f"relmo: error: {WRONG[command]}")


def test_a_closed_pipe_is_silent():
    writer = subprocess.Popen(
        program("train", "--help"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert writer.stdout is not None
    assert writer.stderr is not None
    writer.stdout.close()
    assert writer.stderr.read() == b""
    writer.stderr.close()
    writer.wait()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_standard_output_that_is_full_is_one_error():
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            program("train", "--help"), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    line = "relmo: error: cannot write standard output: No space left on device\n"
    assert (ran.returncode, ran.stderr) == (2, line)


@pytest.mark.parametrize("message", ["two\n  lines", "one line"])
def test_an_error_is_one_line(message, monkeypatch):
    def failing(_: object) -> None:
        raise package.FormatError(message)

    monkeypatch.setattr(embed._inputs, "check_lines", failing)
    assert relmo("embed", "a", "-o", "v.h5") == (
        2,
        "",
        f"relmo: error: {' '.join(message.split())}\n",
    )
