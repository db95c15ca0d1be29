import json
import shutil
from pathlib import Path

import pytest

from tests.helpers import relmo, tiny_model

WF = '<wf lemma="play" wnsn="1" lexsn="1:0{}:00::">play</wf>'
XML = """<corpus><text id="d"><sentence id="s"><wf>ball</wf>
<instance id="i">play</instance></sentence></text></corpus>
"""


def row(number: str, word: str, tag: str) -> str:
    return "\t".join([number, word, "_", tag, *["_"] * 6]) + "\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(autouse=True)
def _data(tmp_path, monkeypatch):
    """In the working folder, as $RELMO_DATA has it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RELMO_DATA", raising=False)
    for folder in ("pos/ewt", "wsd/semcor", "wsd/raganato/Evaluation_Datasets/ALL"):
        Path(folder).mkdir(parents=True)
    tagged = row("1", "I", "PRON") + row("2", "play", "VERB") + row("3", "ball", "NOUN") + "\n"
    for part in ("train", "test"):
        Path(f"pos/ewt/en_ewt-ud-{part}.conllu").write_text(tagged * 4)
    for n in range(20):
        lines = [
            f"<s>\n<wf>{word}</wf>\n{WF.format(k)}\n</s>\n"
            for k, word in enumerate(["stage", "ball"])
        ]
        Path(f"wsd/semcor/br-{n}").write_text("".join(lines))
    folder = Path("wsd/raganato/Evaluation_Datasets/ALL")
    (folder / "ALL.data.xml").write_text(XML)
    (folder / "ALL.gold.key.txt").write_text("i play%1:01:00::\n")
    Path("none.txt").write_text("ornithopter 1 2\n")
    Path("static.txt").write_text("3 2\nI 1 0\nplay 0 1\nball 1 1\n")


POS = [
    "--pos-train",
    "pos/ewt/en_ewt-ud-train.conllu",
    "--pos-test",
    "pos/ewt/en_ewt-ud-test.conllu",
]
SENSES = ["--senses", "wsd/semcor"]
TABLE = """\
tiny                part of speech, accuracy %   word senses, held out, F1 %
token layer                              100.0                          50.0
layer 1                                  100.0                         100.0
layer 2                                  100.0                         100.0
average                                  100.0                         100.0
most frequent tag                        100.0                             -
static vectors                           100.0                             -
first sense                                  -                          50.0
words trained on                            12                            38
words tested                                12                             2
"""


def test_the_table_has_a_row_a_layer_and_a_column_a_task(model):
    ran = relmo("probe", model, *POS, "--static", "static.txt", *SENSES)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == TABLE


def test_json_and_markdown_hold_the_same(model):
    test = ["--senses-test", "wsd/raganato/Evaluation_Datasets/ALL/ALL.data.xml"]
    found = json.loads(relmo("probe", model, *SENSES, *test, "--report", "json").out)
    assert found["model"] == "tiny"
    held_out, extra = found["probes"]
    assert (held_out["task"], extra["task"]) == ("word senses, held out", "word senses, ALL")
    assert (extra["layers"]["layer 1"], extra["baselines"]) == (1.0, {"first sense": 0.0})
    assert (extra["n_train"], extra["n_test"]) == (40, 1)
    rows = relmo("probe", model, *SENSES, *test, "--report", "markdown").out.splitlines()
    assert rows[0] == "| tiny | word senses, held out, F1 % | word senses, ALL, F1 % |"
    assert rows[1] == "|---|---:|---:|"
    assert "| layer 1 | 100.0 | 100.0 |" in rows


def test_without_data_the_folder_of_the_environment_is_used_and_a_figure_drawn(
    model, tmp_path, monkeypatch
):
    shutil.make_archive("wsd/semcor", "xztar", "wsd/semcor")
    monkeypatch.setenv("RELMO_DATA", str(tmp_path))
    ran = relmo("probe", model, "-o", "probe.png", "--report", "json")
    assert (ran.code, ran.err) == (0, "")
    assert [probe["task"] for probe in json.loads(ran.out)["probes"]] == [
        "part of speech", "word senses, held out", "word senses, ALL",
    ]  # fmt: skip
    assert Path("probe.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "relmo: error: no data: give --pos-train and --pos-test"),
        (POS[:2], "--pos-train and --pos-test: give both, or neither"),
        (["--senses-test", "static.txt"], "relmo: error: no data"),
        ([*POS, "--senses-test", "a.xml"], "--senses-test: needs --senses"),
        ([*SENSES, "--static", "static.txt"], "--static: needs --pos-train"),
        ([*POS, "-o", "a.gif"], "relmo: error: a.gif: the name must end in .png, .svg, .pdf"),
        ([*POS, "--static", "no.txt"], "relmo: error: no.txt: no such file"),
        ([*POS, "--static", "none.txt"], "relmo: error: none.txt: has none of the words"),
        (["--senses", "static.txt"], "relmo: error: static.txt: line 1: '3 2': expected <s>"),
        ([*SENSES, "--wordnet", "pos"], "relmo: error: pos/data.noun: no such file"),
    ],
)
def test_bad_input_exits_2_and_says_what(arguments, expected, model):
    ran = relmo("probe", model, *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert expected in " ".join(ran.err.split())
