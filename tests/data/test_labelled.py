"""Sentences and pairs with labels, out of every format; what is wrong is named with its line."""

from pathlib import Path

import pytest

from relmo.data.labelled import LabelledSentence, read_labelled
from relmo.errors import InputError


def put(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_text(text, encoding=encoding, newline="")
    return path


def shown(sentences: list[LabelledSentence]) -> list[tuple[str | None, str, str | None, int]]:
    return [
        (s.label, " ".join(s.tokens), " ".join(s.second) if s.second else None, s.line)
        for s in sentences
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_label_and_a_sentence_a_line(tmp_path: Path, encoding: str):
    path = put(tmp_path, "x.train", "1 a crème .\r\n\r\nneg\tb c\n", encoding)
    assert shown(read_labelled(path)) == [("1", "a crème .", None, 1), ("neg", "b c", None, 3)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tsv", 'id\tsentence1\tlabel\tsentence2\n7\ta "b\tyes\tc\n8\td\tno\te f\n'),
        (
            "a.jsonl",
            '\n{"sentence1": "a \\"b", "sentence2": "c", "label": "yes"}\n'
            '{"label": "no", "sentence1": "d", "sentence2": "e f"}',
        ),
    ],
)
def test_pairs_are_two_columns(tmp_path: Path, name: str, text: str):
    path = put(tmp_path, name, text)
    assert shown(read_labelled(path)) == [("yes", 'a "b', "c", 2), ("no", "d", "e f", 3)]
    one = read_labelled(path, label_column="sentence2", text_columns=["label"])
    assert shown(one) == [("c", "yes", None, 2), ("e f", "no", None, 3)]
    assert [s.label for s in read_labelled(path, label_column=None)] == [None, None]


def test_single_sentences_are_one_column(tmp_path: Path):
    expected = [("1", "a b", None, 2)]
    assert shown(read_labelled(put(tmp_path, "a", "sentence\tlabel\na b\t1\n"))) == expected
    assert shown(read_labelled(put(tmp_path, "a", '\n{"text": "a b", "label": 1}'))) == expected
    assert [s.tokens for s in read_labelled(tmp_path / "a", tokenize=list)] == [("a", " ", "b")]


def test_a_csv_has_cells_in_quotes_that_may_hold_line_ends(tmp_path: Path):
    text = 'text,label\r\n"a ""b"", c\r\nd",yes\r\n\r\ne,no\r\n'
    expected = [("yes", 'a "b", c d', None, 2), ("no", "e", None, 5)]
    assert shown(read_labelled(put(tmp_path, "a.csv", text))) == expected
    assert shown(read_labelled(put(tmp_path, "a", text))) == expected


@pytest.mark.parametrize(
    ("name", "mark"), [("a.tsv", "\t"), ("a.csv", ","), ("a", "\t"), ("a", ",")]
)
def test_a_table_whose_columns_are_numbers_has_no_heading(tmp_path: Path, name: str, mark: str):
    path = put(tmp_path, name, "7\ta b\tyes\n8\td\tno\n".replace("\t", mark))
    expected = [("yes", "a b", None, 1), ("no", "d", None, 2)]
    assert shown(read_labelled(path, label_column=-1, text_columns=[1])) == expected
    pairs = read_labelled(path, label_column=None, text_columns=[1, 0])
    assert shown(pairs) == [(None, "a b", "7", 1), (None, "d", "8", 2)]
    by_both = read_labelled(path, label_column=2, text_columns=["a b"])
    assert shown(by_both) == [("no", "d", None, 2)]
    with pytest.raises(InputError, match="no column 3; it has '0', '1', '2'"):
        read_labelled(path, label_column=3, text_columns=[1])


def test_what_has_no_columns_is_said_where_they_are_named(tmp_path: Path):
    path = put(tmp_path, "a", "yes a b\n")
    with pytest.raises(InputError, match="a file of the format 'lines' has no columns to name"):
        read_labelled(path, format="lines", text_columns=["a"])


def test_a_text_without_labels_is_read_for_prediction(tmp_path: Path):
    path = put(tmp_path, "a.txt", "a b\nc\td e\n")
    found = read_labelled(path, label_column=None)
    assert shown(found) == [(None, "a b", None, 1), (None, "c", "d e", 2)]
    with pytest.raises(InputError, match="a text has no labels"):
        read_labelled(path, format="text")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a", b"", "no sentence in it"),
        ("a", b"1 a\n0\n", "line 2: expected a label and a sentence, got '0'"),
        ("a.tsv", b"label\tsentence\n1\ta\n0\n", "line 3: expected 2 columns, as in the heading"),
        ("a.tsv", b"label\tsentence\n\ta\n", "line 2: expected a label, got an empty cell"),
        ("a.tsv", b"label\tsentence\n1\t \n", "line 2: expected a sentence, got one without"),
        ("a.tsv", b"sentence\tlabels\na\t1\n", "no column 'label'; it has 'sentence', 'labels'"),
        ("a.tsv", b"label\tsentence\n1\t\xe9\n", "line 2: not utf-8: byte 0xe9 at offset 17"),
        ("a.csv", b'label,text\n1,a\n0,"b\n1,c\n', "line 3: not comma-separated: unexpected end"),
        ("a.csv", b'label,text\n\n1,"a\nb",c\n', "line 3: expected 2 columns, as in the heading"),
        ("a.jsonl", b'{"label": 1', "line 1: not valid JSON"),
        ("a.jsonl", b'{"label": 1}', "line 1: expected 'sentence', 'text', or 'sentence1'"),
        ("a.jsonl", b'{"label": null, "text": "a"}', "line 1: 'label' is null, expected text"),
        ("a.jsonl", b'{"label": true, "text": "a"}', "'label' is a truth value, expected text"),
        ("a.jsonl", b'{"label": "", "text": "a"}', "expected a label in 'label', got an empty"),
    ],
)
def test_a_bad_file_is_one_error_with_its_line(
    tmp_path: Path, name: str, data: bytes, message: str
):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError) as raised:
        read_labelled(tmp_path / name)
    assert message in str(raised.value)
    assert str(tmp_path / name) in str(raised.value)


def test_published_data_sets_have_the_sentences_they_should(shared_data: Path):
    folder = shared_data / "classification"
    for name, n_sentences, n_labels in [
        ("stsa.binary.dev", 872, 2),
        ("stsa.fine.dev", 1101, 5),
        ("TREC.train.all", 5452, 6),
        ("TREC.test.all", 500, 6),
        ("subj.all", 10000, 2),
        ("rt-polarity.all", 10662, 2),
    ]:
        sentences = read_labelled(folder / name)
        assert len(sentences) == n_sentences
        assert len({sentence.label for sentence in sentences}) == n_labels
