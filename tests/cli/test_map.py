from pathlib import Path

import pytest

from tests.helpers import relmo, tiny_model

LABELLED = "made\tA work of art .\n\njob\tHard Work .\nmade\tTwo works .\nNot here .\n"
PNG = b"\x89PNG"


def here() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_labelled_file_gives_a_picture_and_the_separation_of_each_layer(model):
    Path("in.tsv").write_text(LABELLED)
    ran = relmo("map", "work", "-o", "work.png", "in.tsv", "--model", model)
    assert (ran.code, ran.err) == (0, "")
    first, *layers = ran.out.splitlines()
    assert first == "work.png: 3 uses of 'work' in 3 sentences"
    for line, name in zip(layers, ["token layer", "layer 1", "layer 2"], strict=True):
        assert line.startswith(f"  {name} ")
        assert "100 % of the variance kept, separation " in line
    assert Path("work.png").read_bytes().startswith(PNG)
    assert here() == ["in.tsv", "work.png"]


def test_arguments_and_standard_input_are_read_as_files_are(model):
    arguments = relmo("map", "work", "A work .", "Works !", "-o", "a.png", "--model", model)
    stdin = relmo("map", "work", "-o", "b.png", "--model", model, stdin="A work .\nWorks !\n")
    assert arguments.out == stdin.out.replace("b.png", "a.png")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert "separation" not in stdin.out


def test_forms_exact_and_limit(model):
    def found(*options: str) -> str:
        given = ["work Work works toil", "-o", "a.png", "--model", model, *options]
        return relmo("map", "work", *given).out.splitlines()[0]

    assert found() == "a.png: 3 uses of 'work' in 1 sentence"
    assert found("--forms", "work, toil") == "a.png: 3 uses of 'work' in 1 sentence"
    assert found("--forms", "work,toil", "--exact") == "a.png: 2 uses of 'work' in 1 sentence"
    assert found("--limit", "2") == "a.png: 2 uses of 'work' in 1 sentence"


@pytest.mark.parametrize(
    ("arguments", "stdin", "expected"),
    [
        (["-"], "", "map: no use of 'work' in the sentences; a map needs two or more"),
        (
            ["-"],
            "The work .",
            "map: one use ('The work .') of 'work' in the sentences; a map needs two or more",
        ),
        (
            ["-"],
            "a\tb\tc\n",
            "standard input: line 1: 3 columns, expected a sentence, or a label, a tab, a sentence",
        ),
        (
            ["no.tsv"],
            "",
            "no.tsv: no such file (a sentence that looks like a file's name can be given on "
            "standard input, with -)",
        ),
        (["a work and a work", "-o", "x.gif"], "", "x.gif: the name must end in .png, .svg, .pdf"),
    ],
)
def test_bad_input_is_one_line_and_leaves_the_earlier_picture(arguments, stdin, expected, model):
    Path("work.png").write_text("earlier")
    if "-o" not in arguments:
        arguments = [*arguments, "-o", "work.png"]
    ran = relmo("map", "work", *arguments, "--model", model, stdin=stdin)
    assert ran == (2, "", f"relmo: error: {expected}\n")
    assert Path("work.png").read_text() == "earlier"
    assert here() == ["work.png"]
