import json
from pathlib import Path

import pytest

from tests.helpers import relmo

WF = '<wf lemma="play" wnsn="1" lexsn="1:0{}:00::">play</wf>'
INSTANCE = (
    '<sentence id="s"><wf>{}</wf><instance id="{}" lemma="{}" pos="NOUN">{}</instance></sentence>'
)
NAMES = ["one.d000.s000.t000", "one.d000.s001.t000", "two.d000.s000.t000"]
WORDS = [("stage", "play"), ("ball", "play"), ("a", "game")]
CORPUS = """\
the cat sat on the mat .
a cat sat .
the mat sat on a cat .
cat sat on the mat .
cats on mats .
"""


@pytest.fixture(autouse=True)
def _data(tmp_path, among_models):
    """The models "tiny" and "bare", SemCor, and ALL.data.xml with its keys."""
    Path("semcor").mkdir()
    for n in range(4):
        lines = [
            f"<s>\n<wf>{word}</wf>\n{WF.format(k)}\n</s>\n"
            for k, word in enumerate(["stage", "ball", "ball"])
        ]
        Path(f"semcor/br-{n}").write_text("".join(lines).replace("1:02", "1:01"))
    text = "".join(
        INSTANCE.format(before, name, word, word)
        for name, (before, word) in zip(NAMES, WORDS, strict=True)
    )
    for name in ("ALL", "new"):
        Path(f"{name}.data.xml").write_text(f'<corpus><text id="d">{text}</text></corpus>\n')
    keys = ["play%1:00:00::", "play%1:01:00:: play%1:05:00::", "game%1:00:00::"]
    gold = "".join(f"{name} {key}\n" for name, key in zip(NAMES, keys, strict=True))
    Path("ALL.gold.key.txt").write_text(gold)
    Path("corpus.txt").write_text(CORPUS)
    Path("gold.tsv").write_text("a\tthe cat sat .\na\ta cat sat\nb\tno cat here\n\nb\tmy cat .\n")


LEARN = ["--train", "semcor", "--model", "bare"]


def test_scores_are_by_layer_data_set_and_all():
    ran = relmo("senses", "disambiguate", "ALL.data.xml", *LEARN)
    assert (ran.code, ran.err) == (0, "")
    rows = [row.split("   ") for row in ran.out.splitlines()]
    cells = {row[0]: [cell.strip() for cell in row[1:] if cell.strip()] for row in rows}
    assert cells["precision / recall / F1 %"] == ["ALL", "one", "two"]
    assert cells["layer 2"] == ["100.0 / 66.7 / 80.0", "100.0", "0.0 / 0.0 / 0.0"]
    assert cells["first sense"] == ["50.0 / 33.3 / 40.0", "50.0", "0.0 / 0.0 / 0.0"]
    assert cells["words"] == ["3", "2", "1"]


def test_json_and_markdown_hold_the_same():
    ran = relmo("senses", "disambiguate", "ALL.data.xml", *LEARN, "--report", "json")
    assert json.loads(ran.out)["ALL"]["layer 1"] == {
        "precision": 1.0, "recall": pytest.approx(2 / 3), "f1": pytest.approx(0.8), "words": 3
    }  # fmt: skip
    ran = relmo("senses", "disambiguate", "ALL.data.xml", *LEARN, "--report", "markdown")
    assert "| layer 1 | 100.0 / 66.7 / 80.0 | 100.0 | 0.0 / 0.0 / 0.0 |" in ran.out.splitlines()


def test_answers_are_written_as_the_scorer_reads_them_and_what_was_learned_is_kept():
    command = ["senses", "disambiguate", "ALL.data.xml", "-o", "a.key"]
    assert relmo(*command, *LEARN, "--save", "s.safetensors").code == 0
    expected = f"{NAMES[0]} play%1:00:00::\n{NAMES[1]} play%1:01:00::\n"
    assert Path("a.key").read_text() == expected
    kept = ["--train", "s.safetensors", "--model", "bare"]
    ran = relmo("senses", "disambiguate", "new.data.xml", "-o", "b.key", *kept)
    assert ran == (0, "", "")  # no keys beside it: nothing to score
    assert Path("b.key").read_text() == expected
    assert relmo(*command, *kept, "--layer", "first").code == 0
    assert Path("a.key").read_text() == expected.replace("1:00:00", "1:01:00")


def test_a_large_prior_gives_the_most_frequent_sense():
    command = ["senses", "disambiguate", "ALL.data.xml", *LEARN, "-o", "a.key", "--prior", "99"]
    assert relmo(*command).code == 0
    assert Path("a.key").read_text() == "".join(f"{n} play%1:01:00::\n" for n in NAMES[:2])


def test_keys_of_any_program_are_scored():
    Path("a.key").write_text(f"{NAMES[0]} play%1:00:00:: play%1:07:00::\nno play%1:00:00::\n")
    ran = relmo("senses", "score", "a.key", "ALL.gold.key.txt")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[1].split("   ")[-1].strip() == "50.0 / 16.7 / 25.0"
    ran = relmo("senses", "score", "ALL.gold.key.txt", "ALL.gold.key.txt", "--report", "json")
    assert json.loads(ran.out)["ALL.gold.key.txt"]["answers"]["f1"] == 1


def test_neighbours_are_printed_as_keywords_in_context():
    ask = ["senses", "neighbours", "the [cat] sat .", "--corpus", "corpus.txt", "--model", "tiny"]
    ran = relmo(*ask, "-n", "2")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[:2] == ["the [cat] sat .", "nearest of 5 uses"]
    assert [line for line in lines if line and not line.startswith(" ")][2:] == [
        "one vector per word", "layer 1", "layer 2",
    ]  # fmt: skip
    assert len({line.index("[cat") for line in lines if line.startswith("  ") and "[" in line}) == 1
    found = json.loads(relmo(*ask, "--any-word", "--layer", "1", "--report", "json").out)
    assert (found["uses"], list(found["layers"]), found["words"]) == (28, ["layer 1"], [])
    assert len(found["layers"]["layer 1"]) == 10
    table = relmo(*ask, "-n", "2", "--report", "markdown").out.splitlines()
    assert table[0] == "| one vector per word | layer 1 | layer 2 |"
    assert len(table) == 4


def test_static_vectors_give_the_nearest_words():
    Path("static.txt").write_text("3 2\ncat 1 0\nmat 1 0.1\nsat 0 1\n")
    ask = ["senses", "neighbours", "the [Cat] sat .", "--corpus", "corpus.txt", "--model", "tiny"]
    ran = relmo(*ask, "--static", "static.txt", "--forms", "cat")
    assert "  mat 1.00, sat 0.00" in ran.out.splitlines()
    ran = relmo("senses", "neighbours", "a [dog] .", *ask[3:], "--static", "static.txt")
    assert (ran.code, ran.err) == (2, "relmo: error: static.txt: has no vector of 'dog'\n")


def test_clusters_are_printed_compared_and_drawn():
    ask = ["senses", "induce", "cat", "--gold", "gold.tsv", "--corpus", "corpus.txt", "-k", "2"]
    ran = relmo(*ask, "--model", "bare", "-o", "cat.png", "--lines", "1")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0].startswith("cat: 8 uses in 2 clusters, separation ")
    assert lines[-1].startswith("agreement with the senses of 4 uses: adjusted Rand ")
    assert sum("[cat]" in line for line in lines) == 2
    assert Path("cat.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads(relmo(*ask, "--model", "tiny", "--report", "json").out)
    assert (found["words_are"], len(found["clusters"])) == ("substitutes", 2)
    assert sum(len(cluster["uses"]) for cluster in found["clusters"]) == 8
    table = relmo(*ask, "--model", "tiny", "--report", "markdown").out.splitlines()
    assert table[0] == "| cluster | uses | typical |"
    assert len(table) == 4


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["disambiguate", "corpus.txt", *LEARN], "corpus.txt: expected a file NAME.data.xml"),
        (["disambiguate", "no.data.xml", *LEARN], "no.data.xml: no such file"),
        (["disambiguate", "ALL.data.xml", "--train", "corpus.txt"], "corpus.txt: line 1: "),
        (["disambiguate", "ALL.data.xml", "--train", "no.safetensors"], "no.safetensors: no such"),
        (["disambiguate", "ALL.data.xml", *LEARN, "--layer", "9"], "--layer: expected one of 0, 1"),
        (["score", "corpus.txt", "ALL.gold.key.txt"], "corpus.txt: line 1: 'cat' is no sense key"),
        (["score", "no.key", "ALL.gold.key.txt"], "no.key: no such file"),
        (["neighbours", "cat", "--corpus", "corpus.txt"], "expected one word in brackets"),
        (["neighbours", "[cat]", "--corpus", "no.txt"], "no.txt: no such file"),
        (["neighbours", "[dog]", "--corpus", "corpus.txt", "--model", "bare"], "no use of 'dog'"),
        (["neighbours", "[cat]", "--corpus", "corpus.txt", "--layer", "7"], "expected 0 to 2"),
        (["induce", "cat"], "--corpus or --gold: give one of them"),
        (["induce", "cat", "--gold", "corpus.txt"], "corpus.txt: line 1: expected a sense, a tab"),
        (["induce", "dog", "--gold", "gold.tsv"], "gold.tsv: no use of 'dog'"),
        (
            ["induce", "mats", "--corpus", "corpus.txt"],
            "different uses of 'mats': 1; 2 clusters take more than 2",
        ),
        (["induce", "cat", "--corpus", "corpus.txt", "-o", "a.gif"], "a.gif: the name must end in"),
    ],
)
def test_bad_input_exits_2_and_says_what(arguments, expected):
    ran = relmo("senses", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert expected in " ".join(ran.err.split())
