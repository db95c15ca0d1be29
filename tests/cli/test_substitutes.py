import json
from pathlib import Path

import pytest

from tests.cli.conftest import WORDS
from tests.cli.test_perplexity import NO_SOFTMAX
from tests.helpers import relmo

TABLES = """\
the [cat] sat .
   1  mat   40.139 %
   2  .     16.128 %
   3  the   15.567 %

on the [mat]
   1  mat   53.436 %
   2  .     11.408 %
   3  the    5.604 %
"""


pytestmark = pytest.mark.usefixtures("among_models")


def test_a_table_a_sentence_from_arguments_files_and_standard_input():
    sentences = ["the [cat] sat .", "on the [mat]"]
    Path("in.txt").write_text("\n\n".join(sentences))
    stdin = "\n".join(sentences).encode()
    assert relmo("substitutes", "tiny", *sentences, "-n", "3") == (0, TABLES, "")
    assert relmo("substitutes", "tiny", "in.txt", "-n", "3") == (0, TABLES, "")
    assert relmo("substitutes", "tiny", "-", "-n", "3", stdin=stdin) == (0, TABLES, "")


def test_the_words_are_as_many_as_there_are_without_the_marks():
    out = relmo("substitutes", "tiny", "the [cat]").out.splitlines()
    assert sorted(line.split()[1] for line in out[1:]) == sorted(WORDS[3:])


def test_json_is_an_object_a_line():
    ran = relmo("substitutes", "tiny", "the [cat] sat .", "on the [mat]", "--json", "-n", "2")
    first, second = map(json.loads, ran.out.splitlines())
    assert first["tokens"] == ["the", "cat", "sat", "."]
    assert (first["place"], second["place"]) == (1, 2)
    assert [word["word"] for word in first["words"]] == ["mat", "."]
    assert [word["probability"] for word in first["words"]] == pytest.approx(
        [0.40139, 0.16128], abs=1e-5
    )


def test_errors_are_one_line():
    assert relmo("substitutes", "bare", "the [cat]") == (2, "", NO_SOFTMAX)
    assert relmo("substitutes", "tiny", "the cat") == (
        2,
        "",
        "relmo: error: sentence 0: expected one word in brackets, such as [bank], with spaces "
        "around it, got 0 in 'the cat'\n",
    )
    assert relmo("substitutes", "tiny", "-", stdin="\n") == (
        2,
        "",
        "relmo: error: no sentence in the input; expected one per line, with a word in "
        "[brackets]\n",
    )
