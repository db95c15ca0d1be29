import pytest

from relmo.errors import InputError
from relmo.text import _conllu


def row(number: str, word: str, tag: str) -> str:
    return "\t".join([number, word, "_", tag, *["_"] * 6]) + "\n"


def test_words_have_their_tags_and_ranges_and_empty_nodes_are_left_out(tmp_path):
    text = "# text = I can't go\n" + row("1", "I", "PRON") + row("2-3", "can't", "_")
    text += row("2", "can", "AUX") + row("3", "n't", "PART") + row("3.1", "go", "VERB")
    (tmp_path / "a.conllu").write_text(text + "\n\n" + row("1", "Go", "VERB"))
    assert list(_conllu.read(tmp_path / "a.conllu")) == [
        (["I", "can", "n't"], ["PRON", "AUX", "PART"]),
        (["Go"], ["VERB"]),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "a.conllu: no sentence"),
        ("\n# nothing\n", "a.conllu: no sentence"),
        ("\n1\tI\tPRON\n", "a.conllu: line 2: 3 columns, expected 10"),
        (row("1", "I", "_"), r"a.conllu: line 1: 'I' has no tag \(column 4, UPOS\)"),
    ],
)
def test_bad_rows_are_an_error_with_their_line(text, expected, tmp_path):
    (tmp_path / "a.conllu").write_text(text)
    with pytest.raises(InputError, match=expected):
        list(_conllu.read(tmp_path / "a.conllu"))
