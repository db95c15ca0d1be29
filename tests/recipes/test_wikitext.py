"""WikiText-2 made ready: sentences as the Penn Treebank has them, nothing shared with training."""

import sys

import pytest

from recipes import wikitext


@pytest.mark.parametrize(
    ("line", "tokens"),
    [
        (" a role @-@ playing game \n", ["a", "role-playing", "game"]),
        ("1 @,@ 000 @.@ 5 people", ["1,000.5", "people"]),
        ("I didn 't , said n 't", ["I", "did", "n't", ",", "said", "n't"]),
    ],
)
def test_tokens_are_joined_and_cut_as_the_treebank_does(line, tokens):
    assert wikitext.retokenised(line) == tokens


@pytest.mark.parametrize(
    "sentences",
    [
        ["One .", "Two ?", "Three"],
        ['He said , " Yes . "', "She did not .", '" No ! "', "They cried ."],
        ['" Open .', 'Still . "', "Closed ."],
    ],
)
def test_sentences_are_cut_after_the_quotation_mark_that_ends_with_them(sentences):
    tokens = " ".join(sentences).split()
    assert [" ".join(sentence) for sentence in wikitext.sentences(tokens)] == sentences


def test_a_paragraph_is_shared_if_ten_words_in_a_row_are_in_one_line():
    ten, other = list("abcdefghij"), list("abcdefghik")
    assert wikitext.shared([["x", *ten, "y"], other, ["short"]], [["new", *ten]]) == {0}
    assert wikitext.shared([ten], [ten[:5], ten[5:]]) == set()
    assert wikitext.shared([ten], [list("ABCDEFGHIJ")]) == set()


def test_texts_are_written_without_what_is_shared_and_without_headings(
    tmp_path, monkeypatch, capsys
):
    train, wiki = tmp_path / "train.txt", tmp_path / "wiki.test.tokens"
    shared = "a b c d e f g h i j"
    train.write_text(f"{shared} .\n")
    wiki.write_text(f" \n = <unk> = \n \n A two @-@ part <unk> . It ended . \n {shared} z \n")
    arguments = [str(wiki), "--train", str(train), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["wikitext", *arguments])
    wikitext.main()
    found = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert found == {
        "wiki.test.lines.txt": "= <unk> =\nA two @-@ part <unk> . It ended .\n",
        "wiki.test.sentences.txt": "A two-part <unk> .\nIt ended .\n",
    }
    assert capsys.readouterr().out.startswith("wiki.test.tokens: 3 lines, 1 left out")
