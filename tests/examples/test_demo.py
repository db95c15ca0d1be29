import re

from examples import demo
from tests.helpers import tiny_elmo


def test_the_demo_prints_a_shape_for_each_sentence_and_draws_the_picture(tmp_path, capsys):
    demo.main(tiny_elmo(), tmp_path / "demo")
    printed = capsys.readouterr().out
    assert printed.startswith("The model in the box: 3 layers of 8 numbers a token.\n")
    for sentence in demo.SENTENCES:
        assert re.search(rf"\({len(sentence.split())}, 8\) +{re.escape(sentence)}\n", printed)
    assert re.search(r"Speed here: [\d,]+ tokens/s ", printed)
    assert "cosine 1.00 at the token layer" in printed  # the same word, the same token vector
    assert re.search(r"  layer 2 +-?[01]\.\d\d\n", printed)
    picture = tmp_path / "demo" / "work.png"
    assert printed.endswith(f"{picture}\n")
    assert picture.read_bytes().startswith(b"\x89PNG")
