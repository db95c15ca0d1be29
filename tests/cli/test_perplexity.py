import json
from pathlib import Path

import pytest

from tests.helpers import relmo

TEXT = "the cat sat\n\non the ornithopter <unk> .\n"
NO_SOFTMAX = (
    "relmo: error: Elmo(n_layers=3, dim=8, source='bare') has no softmax, which predicting words "
    "takes; HDF5 weights come without one: load the model in the box, a training "
    "checkpoint, or a model that relmo trained\n"
)


@pytest.fixture(autouse=True)
def _with_a_text(among_models):
    Path("a.txt").write_text(TEXT)


def test_each_count_has_its_line_and_what_it_depends_on():
    assert relmo("perplexity", "tiny", "a.txt") == (
        0,
        """\
model        tiny
vocabulary   9 words that came with the model; sha256 3e84487fed22
text         2 sentences, 8 tokens
unknown      2 tokens, 25.00 %, each predicted as the unknown word
context      fresh

perplexity                   forward   backward    mean
per token, </S> counted        16.22      14.36   15.29
per token, </S> left out       18.85      18.06   18.46
per word, </S> distributed     32.56      27.95   30.25
per known word                 15.56      13.58   14.57
""",
        "",
    )


def test_closed_says_whether_published_figures_compare():
    lines = relmo("perplexity", "tiny", "a.txt", "--closed").out.splitlines()
    assert lines[2] == "text         3 sentences, 8 tokens"  # every line has an end
    assert lines[5] == (
        "closed       no: 1 token of the text outside the vocabulary and not <unk>; "
        "published figures do not compare"
    )
    lines = relmo("perplexity", "tiny", "-", "--closed", stdin="the <unk>\n").out.splitlines()
    assert lines[3].startswith("unknown      1 token, 50.00 %, ")
    assert lines[5] == "closed       yes"


def test_json_holds_the_same_in_full():
    facts = json.loads(relmo("perplexity", "tiny", "a.txt", "--json").out)
    both = facts["perplexity"].pop("with_ends")
    assert both["forward"] == pytest.approx(2 ** (facts["bits"]["forward"] / 10))
    assert both["mean"] == pytest.approx((both["forward"] + both["backward"]) / 2)
    assert facts.pop("perplexity").keys() == {"without_ends", "per_word", "of_known"}
    assert facts.pop("bits").keys() == {"forward", "backward"}
    assert len(facts["vocabulary"].pop("sha256")) == 64
    assert facts == {
        "model": "tiny",
        "vocabulary": {"words": 9, "source": "tiny"},
        "sentences": 2,
        "tokens": 8,
        "unknown": 2,
        "unmarked_unknown": 2,
        "unknown_rate": 0.25,
        "files": ["a.txt"],
        "closed": False,
        "context": "fresh",
    }


def test_files_and_standard_input_are_one_text():
    Path("b.txt").write_text("the cat\n")
    twice = relmo("perplexity", "tiny", "a.txt", "b.txt", "--context", "carried").out
    assert twice == relmo("perplexity", "tiny", "-", "--context", "carried",
                          stdin=TEXT + "the cat\n").out  # fmt: skip
    assert twice.splitlines()[4] == "context      carried"
    assert twice != relmo("perplexity", "tiny", "a.txt", "b.txt").out.replace("fresh", "carried")


def test_words_unknown_all_of_them_have_no_number():
    ran = relmo("perplexity", "tiny", "-", stdin="ornithopter\n")
    assert ran.out.splitlines()[-1].split() == ["per", "known", "word", "-", "-", "-"]
    ran = relmo("perplexity", "tiny", "-", "--json", stdin="ornithopter\n")
    assert json.loads(ran.out)["perplexity"]["of_known"]["mean"] is None


def test_errors_are_one_line():
    assert relmo("perplexity", "bare", "a.txt") == (2, "", NO_SOFTMAX)
    assert relmo("perplexity", "tiny", "-", stdin="\n") == (
        2,
        "",
        "relmo: error: perplexity: no token in the text; expected one sentence a line\n",
    )
    assert relmo("perplexity", "tiny", "b/c.txt").err.startswith("relmo: error: b/c.txt: no such")
