"""Every layout gives the sentences in it, and takes predictions back; what is wrong is named."""

import bz2
import gzip
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relmo.data.tagged import (
    Format,
    TaggedSentence,
    canonical_tags,
    check_tags,
    invalid_tags,
    read_tagged,
    read_tokens,
    write_tagged,
)
from relmo.errors import InputError

CONLLU = (
    "# sent_id = 1\n"
    "1-2\tdon't\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "1\tdo\tdo\tAUX\tVB\t_\t0\troot\t_\t_\n"
    "2\tn't\tnot\tPART\tRB\tPolarity=Neg\t1\tadvmod\t_\t_\n"
    "2.1\tgo\tgo\tVERB\tVB\t_\t_\t_\t1:x\t_\n"
    "\n"
    "# text = #\n"
    "1\t#\t#\tSYM\t#\t_\t0\troot\t_\t_\n\n"
)
# What a file holds, and the words and tags of its sentences.
FILES: dict[str, tuple[str, str]] = {
    "tabs": ("New\tB-LOC\nYork\tI-LOC\n\n#a\tO\n", "New/B-LOC York/I-LOC | #a/O"),
    "blanks": ("New NNP B-LOC\nYork  NNP I-LOC \n\n\n# a O\n", "New/B-LOC York/I-LOC | #/O"),
    "docstart": (
        "-DOCSTART- -X- O\n\nNew NNP O\n-DOCSTART- -X- O\nYork NNP O",
        "New/O | York/O",
    ),
    "comments": (
        "# id = 7\nNew\tX\n# b c\n#begin document\nYork\tO\n\n#end document\n",
        "New/X York/O",
    ),
    "windows": ("New\tX\r\nYork\tO\r\n\r\na\tO\r\n", "New/X York/O | a/O"),
    "bom": ("\ufeffNew\tX\nYork\tO\n", "New/X York/O"),
    "odd": ("a\u2028b\tX\n\xa0\tO\n\x85c\tO\n", "a\u2028b/X \xa0/O \x85c/O"),
    "u.conllu": (CONLLU, "do/AUX n't/PART | #/SYM"),
    "no-suffix-conllu": (CONLLU, "do/AUX n't/PART | #/SYM"),
    "plus.conllup": (
        "# global.columns = ID FORM UPOS\n1\ta\tDET\n2\tb\tNOUN\n\n1\tc\tX\n",
        "a/DET b/NOUN | c/X",
    ),
    "kaggle.csv": (
        'Sentence #,Word,POS,Tag\nS: 1,"""",``,O\n,"1,000",CD,B-x\nS: 2,é,N,O\n,b,,O\n',
        '"/O 1,000/B-x | é/O b/O',
    ),
    "filled.csv": (
        "id,sentence_id,token,label\n1,s1,a,X\n2,s1,b,O\n3,s2,c,O\n",
        "a/X b/O | c/O",
    ),
    "no-suffix-csv": ("Word,Tag\na,X\n\nb,O\n", "a/X | b/O"),
    "a.jsonl": (
        '{"id": 1, "tokens": ["a b", "c"], "tags": ["X", "O"]}\n\n{"tokens": [], "tags": []}\n'
        '{"tags": ["O"], "tokens": ["d"]}\n',
        "a b/X c/O | d/O",
    ),
    "no-suffix-json": ('{"tokens": ["a"], "tags": ["X"]}', "a/X"),
}
every_file = pytest.mark.parametrize("name", FILES)
any_text = st.text(
    st.sampled_from("\u2028\x85\xa0 #'\",-") | st.characters(exclude_categories=["Cs"]), min_size=1
).filter(lambda text: text.strip(" ") and not {*text} & {*"\t\r\n\ufeff"})
laws = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)


def put(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def shown(sentences: list[TaggedSentence]) -> str:
    return " | ".join(
        " ".join(map("/".join, zip(s.tokens, s.tags, strict=True))) for s in sentences
    )


@every_file
def test_a_layout_is_known_by_its_contents_or_its_name(tmp_path: Path, name: str):
    text, expected = FILES[name]
    path = put(tmp_path, name, text)
    sentences = read_tagged(path)
    assert shown(sentences) == expected
    lines = text.split("\n")
    for sentence in sentences:
        assert sentence.source == str(path)
        assert sentence.tokens[0].replace('"', '""') in lines[sentence.line - 1]


@every_file
def test_tags_written_where_they_were_read_leave_every_byte(tmp_path: Path, name: str):
    path = put(tmp_path, name, FILES[name][0])
    columns = {".csv": "label" if name.startswith("filled") else "tag", ".conllu": None}
    column = -1 if "." not in name and name[0] != "n" else columns.get(path.suffix)
    column = "tag" if name == "no-suffix-csv" else column
    document = read_tokens(path, tag_column=column)
    tags = [sentence.tags for sentence in read_tagged(path)]
    written = document.with_tags(tags)
    assert written == path.read_bytes()
    other = document.with_tags([["Y"] * len(row) for row in tags])
    path.write_bytes(other)
    assert {tag for sentence in read_tagged(path) for tag in sentence.tags} == {"Y"}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.txt", "New York .\n\n\nIs big\n", "New\tX\nYork\tX\n.\tX\n\n\n\nIs\tX\nbig\tX\n\n"),
        ("a", "one\r\n\r\ntwo\r\n", "one X\r\n\r\ntwo X\r\n"),
        ("a", "New B-LOC\nYork I-LOC\n", "New B-LOC X\nYork I-LOC X\n"),
        ("a", "New\tNNP\n", "New\tNNP\tX\n"),
        ("a.csv", 'Word\n"a,b"\n', 'Word,Predicted\n"a,b",X\n'),
        ("a.conllu", CONLLU, CONLLU.replace("AUX", "X").replace("PART", "X").replace("SYM", "X")),
        ("a.jsonl", '{"tokens": ["é"], "id": 1}', '{"tokens": ["é"], "id": 1, "tags": ["X"]}'),
    ],
)
def test_predictions_stand_behind_what_a_file_without_tags_holds(
    tmp_path: Path, name: str, text: str, expected: str
):
    document = read_tokens(put(tmp_path, name, text))
    assert document.with_tags([["X"] * len(s) for s in document.sentences]).decode() == expected


def test_other_columns_are_read_by_number_or_name(tmp_path: Path):
    path = put(tmp_path, "a", "1 a DET O\n2 b NOUN B-X\n")
    assert shown(read_tagged(path, token_column=1, tag_column=-2)) == "a/DET b/NOUN"
    path = put(tmp_path, "a.conllu", CONLLU)
    assert shown(read_tagged(path, tag_column="xpos")) == "do/VB n't/RB | #/#"
    assert shown(read_tagged(path, tag_column="feats")) == "do/_ n't/Polarity=Neg | #/_"
    path = put(tmp_path, "a.jsonl", '{"words": ["a"], "pos": ["DET"]}')
    assert shown(read_tagged(path, token_column="words", tag_column="pos")) == "a/DET"


@given(rows=st.lists(st.lists(st.tuples(any_text, any_text), min_size=1), min_size=1))
@laws
def test_what_is_written_is_read_back(tmp_path: Path, rows: list[list[tuple[str, str]]]):
    sentences = [
        TaggedSentence(tokens=tokens, tags=tags, source="", line=1)
        for tokens, tags in (zip(*row, strict=True) for row in rows)
    ]
    write_tagged(sentences, tmp_path / "written")
    found = read_tagged(tmp_path / "written", format="conll")
    assert [(s.tokens, s.tags) for s in found] == [(s.tokens, s.tags) for s in sentences]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a", b"", "a: no sentence in it (0 lines)"),
        ("a", b"\n \n", "a: no sentence in it (2 lines)"),
        ("a", b"one\ntwo\n", "a: expected columns of tokens and of tags, got one column"),
        ("a", b"a\tX\nb\nc\tO\n", "a: line 2: expected 2 columns, got 1; is its tag missing?"),
        ("a", b"a\tX\nb\tX\tY\n", "a: line 1: expected 3 columns, got 2; is its"),
        ("a", b"a X\nb\nc O\n", "a: line 2: expected 2 columns, got 1; is its tag missing?"),
        ("a", b"a\tX\nb\t\n", "a: line 2: expected a tag for 'b', got none; the line is 'b\\t'"),
        ("a", b"a\tX\n\tX\n", "a: line 2: expected a token, got an empty cell"),
        ("a", b"a\tX\n\xe9t\xe9\tX\n", "a: line 2: not utf-8: byte 0xe9 at offset 4 (invalid"),
        ("a.csv", b"Word,Tag\n\"a,X\n", "a.csv: line 2: a quoted cell has no end on this line"),
        ("a.csv", b"Word,POS\na,X\n", "a.csv: no column 'tag'; it has 'word', 'pos'"),
        ("a.csv", b"Word,Tag\na,X,\n", "a.csv: line 2: expected 2 columns, got 3"),
        ("a.conllu", b"1\ta\n", "a.conllu: line 1: expected 10 columns, got 2"),
        ("a.conllu", b"2\ta\n", "a.conllu: line 1: expected token 1 of a sentence"),
        ("a.conllu", b"1\ta" + b"\t_" * 8, "a.conllu: line 1: expected a tag for 'a', got none"),
        ("a.jsonl", b'{"tokens": [', "a.jsonl: line 1: not valid JSON"),
        ("a.jsonl", b'{"tokens": ["a"]}', "a.jsonl: line 1: no field 'tags'; it has 'tokens'"),
        ("a.jsonl", b'{"tokens": ["a"], "tags": []}', "a.jsonl: line 1: expected a tag for each"),
        ("a.jsonl", b'{"tokens": "a", "tags": []}', "a.jsonl: line 1: 'tokens' is no list"),
        ("a.jsonl", b'{"tokens": ["a"], "tags": [1]}', "'tags[0]' is a number, expected text"),
        ("a.zip", b"PK", "a.zip: truncated or damaged, or not .zip"),
    ],
)  # fmt: skip
def test_a_bad_file_is_one_error_with_its_line(
    tmp_path: Path, name: str, data: bytes, message: str
):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError) as raised:
        read_tagged(tmp_path / name)
    assert message in str(raised.value)
    assert str(tmp_path / name) in str(raised.value)


def test_what_was_asked_for_has_to_be_there(tmp_path: Path):
    path = put(tmp_path, "a", "a\tX\n")
    with pytest.raises(InputError, match=r"a: no column 2; it has '0', '1'"):
        read_tagged(path, tag_column=2)
    with pytest.raises(InputError, match="expected a file with tags, got a text"):
        read_tagged(path, format="text")
    with pytest.raises(InputError, match="encoding 'klingon': Python knows none"):
        read_tagged(path, encoding="klingon")
    with pytest.raises(InputError, match="nowhere: no such file"):
        read_tagged(tmp_path / "nowhere")
    document = read_tokens(path)
    for tags in ([], [["X", "X"]], [["X"], ["X"]]):
        with pytest.raises(InputError, match="a: expected tags for its sentences"):
            document.with_tags(tags)
    with pytest.raises(InputError, match="cannot be written in a column"):
        document.with_tags([["X\tY"]])


def test_files_are_read_compressed_in_archives_and_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    text, expected = FILES["kaggle.csv"]
    for suffix, compress in ((".gz", gzip.compress), (".bz2", bz2.compress)):
        path = tmp_path / f"a.csv{suffix}"
        path.write_bytes(compress(text.encode("latin-1")))
        assert shown(read_tagged(path)) == expected
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("corpus/ner.csv", text.encode("latin-1"))
        archive.writestr("__MACOSX/corpus/._ner.csv", b"\x00")
    assert shown(read_tagged(tmp_path / "a.zip")) == expected
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.writestr("corpus/other.csv", "Word,Tag\na,O\n")
    assert shown(read_tagged(tmp_path / "a.zip" / "other.csv")) == "a/O"
    with pytest.raises(InputError, match=r"expected one file, got 2; it holds corpus/ner.csv"):
        read_tagged(tmp_path / "a.zip")
    with pytest.raises(InputError, match=r"no file 'x.csv'"):
        read_tagged(tmp_path / "a.zip" / "x.csv")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a b\nc\n")))
    assert read_tokens("-").sentences == (("a", "b"), ("c",))


DATA = [
    ("ner/wnut16/train", 2394, 46469),
    ("ner/wnut16/dev", 1000, 16261),
    ("ner/wnut16/test", 3850, 61908),
    ("ner/wikigold/wikigold.conll.txt", 1696, 39007),
    ("ner/gmb/entity-annotated-corpus.zip", 47959, 1048575),
    ("pos/ewt/en_ewt-ud-train.conllu", 12544, 204577),
    ("pos/ewt/en_ewt-ud-dev.conllu", 2001, 25147),
    ("pos/ewt/en_ewt-ud-test.conllu", 2077, 25094),
]


def test_published_corpora_have_the_sentences_they_should(shared_data: Path):
    code = (  # of its own process, as the checks of every call would take minutes
        "import sys\nfrom relmo.data.tagged import read_tagged\n"
        "for path in sys.argv[1:]:\n"
        "    sentences = read_tagged(path)\n"
        "    print(len(sentences), sum(len(sentence.tokens) for sentence in sentences))"
    )
    paths = [str(shared_data / name) for name, *_ in DATA]
    run = subprocess.run([sys.executable, "-c", code, *paths], stdout=subprocess.PIPE, check=True)
    found = [tuple(map(int, line.split())) for line in run.stdout.splitlines()]
    assert found == [(n_sentences, n_tokens) for _, n_sentences, n_tokens in DATA]


def test_json_lines_keep_what_else_they_hold(tmp_path: Path):
    path = put(tmp_path, "a.jsonl", '{"id": {"x": [1]}, "tokens": ["a"]}\n\n')
    (line, blank) = read_tokens(path).with_tags([["X"]]).decode().split("\n")[:2]
    assert json.loads(line) == {"id": {"x": [1]}, "tokens": ["a"], "tags": ["X"]}
    assert not blank


def test_a_format_may_be_said(tmp_path: Path):
    formats: list[tuple[Format, str]] = [("text", "a b|c d"), ("conll", "a|c")]
    for format, expected in formats:
        document = read_tokens(put(tmp_path, "a", "a b\n\nc d\n"), format=format)
        assert "|".join(map(" ".join, document.sentences)) == expected


def test_a_stray_tag_is_warned_of_with_file_line_and_token(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = put(tmp_path, "a", "a\tO\n\nin\tO\nRome\tB-X\nb\to\nc\tO\n")
    sentences, scheme = canonical_tags(read_tagged(path))
    assert (shown(sentences), scheme) == ("a/O | in/O Rome/B-X b/O c/O", "BIO")
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == (
        "WARNING",
        f"{path}: sentence at line 3: token 3, 'b': the tag 'o' does not fit the others; read as "
        "'O' (1 of 5 tokens)",
    )
    again = canonical_tags(sentences, "BIO")[0]
    assert len(caplog.records) == 1
    assert all(one is other for one, other in zip(again, sentences, strict=True))


def test_a_sentence_has_as_many_tags_as_tokens(tmp_path: Path):
    with pytest.raises(InputError, match="x: sentence at line 4: expected a tag for each of 2 tok"):
        TaggedSentence(tokens=("a", "b"), tags=("O",), source="x", line=4)
    document = read_tokens(put(tmp_path, "a", "a\nb\n"))
    with pytest.raises(InputError, match=r"a: tags: sentence 1: expected a list of strings"):
        document.with_tags(["OO"])


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            "TaggedSentence(tokens='ab', tags=('O', 'O'), source='x', line=4)",
            "tokens: expected a l",
        ),
        (
            "TaggedSentence(tokens=('a', 'b'), tags='OO', source='x', line=4)",
            "tags: expected a lis",
        ),
        ("TaggedSentence(tokens=('a',), tags=(7,), source='x', line=4)", "tags: expected strings"),
        (
            "LabelledSentence(tokens='ab', second=None, label='a', source='x', line=4)",
            "tokens: expected a list of strings, got the str 'ab', whose items are single",
        ),
    ],
)
def test_a_string_is_no_list_of_tokens_or_tags(made: str, message: str):
    code = (  # of its own process, where nothing but the class itself checks what it is given
        "from relmo.data.tagged import TaggedSentence\n"
        f"from relmo.data.labelled import LabelledSentence\n{made}"
    )
    run = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, check=False)
    last = run.stderr.decode().splitlines()[-1]
    assert last.startswith("relmo.errors.InputError: x: ")
    assert "line 4: " + message in last


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Ann has hepatitis-B\n", "Ann has hepatitis-B"),  # sentences, a line each
        ("we left the U.S\n", "we left the U.S"),
        ("I met B_O\n", "I met B_O"),
        ("a B_X\nb O\n", "a b"),  # columns
        ("a X-B\nb O\nc O\nd o\n", "a b c d"),
        ("a B-X\nb O\nc o\n", "a b c"),
    ],
)
def test_columns_are_known_by_tags_of_any_dialect(tmp_path: Path, text: str, tokens: str):
    assert read_tokens(put(tmp_path, "a", text)).sentences == (tuple(tokens.split()),)


def test_invalid_tags_are_named_with_file_and_line(tmp_path: Path):
    path = put(tmp_path, "a", "a\tB-X\n\nin\tO\nRome\tI-X\nb\tI-Y\n")
    sentences = read_tagged(path)
    first = f"{path}: sentence at line 3: token 2, 'Rome': I-X after O and before I-Y; BIO would"
    assert [fault.startswith(first) for fault in invalid_tags(sentences, "BIO")] == [True, False]
    with pytest.raises(InputError, match=r"token 2, 'Rome'.*\(tags of BIO: 2 invalid in all\)"):
        check_tags(sentences, "BIO")
    check_tags(sentences[:1], "BIO")
