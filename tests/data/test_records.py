"""JSON lines and Parquet read like the text in their field; hostile ones are one clear error."""

import bz2
import contextlib
import gzip
import json
import lzma
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from relmo._read import MAX_LINE_BYTES
from relmo.data.corpora import Corpus
from relmo.errors import InputError, MissingExtraError

# Any text with something in it: a line is cut at line feeds only, sentences at any white space.
odd = st.sampled_from(["\u2028", "\x85", "\r", "\n", "\n", " ", '"', "\\"])
any_text = st.text(odd | st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff"))
laws = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)


def json_lines(path: Path, texts: Sequence[Any], field: str = "text", **options: Any) -> Path:
    lines = [json.dumps({"id": n, field: text}, **options) for n, text in enumerate(texts)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def parquet(path: Path, texts: Sequence[Any], field: str = "text", **options: Any) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({"id": list(range(len(texts))), field: texts})
    pytest.importorskip("pyarrow.parquet").write_table(table, path, **options)
    return path


WRITERS: dict[str, Callable[..., Path]] = {".jsonl": json_lines, ".parquet": parquet}
both = pytest.mark.parametrize("suffix", WRITERS)


@both
@given(texts=st.lists(any_text))
@example(texts=["a b\r\nc\n\n", "", "d"])
@laws
def test_a_field_reads_like_a_file_of_its_texts(
    tmp_path: Path, suffix: str, texts: list[str]
) -> None:
    texts = [*texts, "last one"]
    plain = tmp_path / "plain.txt"
    plain.write_bytes("".join(text.removesuffix("\n") + "\n" for text in texts).encode())
    corpus = Corpus(WRITERS[suffix](tmp_path / f"a{suffix}", texts))
    assert list(corpus) == list(Corpus(plain))
    given = list(corpus.text_lines(0))
    assert given == list(Corpus(plain).text_lines(0))
    for skip in range(len(given) + 2):
        assert list(corpus.text_lines(0, skip)) == given[skip:]


@pytest.mark.parametrize("escapes", [True, False])
@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".JSONL"])
@pytest.mark.parametrize(
    ("compression", "compress"),
    [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)],
)
def test_json_lines_are_known_by_name_compressed_or_not(
    tmp_path: Path, suffix: str, compression: str, compress: Callable[[bytes], bytes], escapes: bool
) -> None:
    plain = json_lines(tmp_path / "plain", ["Ça va ?", "𝒙"], "body", ensure_ascii=escapes)
    path = tmp_path / f"a{suffix}{compression}"
    path.write_bytes(compress(b"\xef\xbb\xbf" + plain.read_bytes() + b"\r\n \n"))
    assert list(Corpus(path, field="body")) == [["Ça", "va", "?"], ["𝒙"]]


HOSTILE_LINES = {
    b'{"text": "cut': "not valid JSON",
    b'{"text": "a"} {"text": "b"}': "not valid JSON",
    b"plain text": "not valid JSON",
    b"[" * 100_000: "not valid JSON",
    b'{"text": ' + b"9" * 5000 + b"}": "not valid JSON",
    b'["text"]': "expected a JSON object with 'text'",
    b'{"body": "a", "id": 1}': "no field 'text'; it has 'body', 'id'",
    b"{}": "no field 'text'; it has none",
    b'{"text": 1}': "'text' is a number, expected text",
    b'{"text": null}': "'text' is null, expected text",
    b'{"text": ["a", "b"]}': "'text' is a list, expected text",
    b'{"text": "\\ud800 x"}': "'text' holds half a surrogate pair",
    b'{"text": "\xff"}': "not UTF-8: byte 0xff",
}


@pytest.mark.parametrize("line", HOSTILE_LINES)
def test_a_hostile_json_line_is_named_with_its_number(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "fine"}\n\n' + line + b'\n{"text": "never"}\n')
    sentences = iter(Corpus(path))
    assert next(sentences) == ["fine"]
    with pytest.raises(InputError, match=rf"a\.jsonl: line 3: {HOSTILE_LINES[line]}"):
        next(sentences)


@both
def test_records_without_a_token_are_an_error(tmp_path: Path, suffix: str) -> None:
    for texts in ([], ["", " \n"]):
        path = WRITERS[suffix](tmp_path / f"a{suffix}", texts)
        if suffix == ".parquet" and not texts:  # a column of no rows has no type
            continue
        with pytest.raises(InputError, match="no usable line"):
            list(Corpus(path))


@pytest.mark.parametrize(
    "options", [{"row_group_size": 7}, {"use_dictionary": False, "compression": "zstd"}]
)
def test_a_parquet_file_of_many_row_groups_is_read_in_order(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    path = parquet(tmp_path / "a.parquet", [f"row {n % 50} {n}" for n in range(500)], **options)
    assert [int(sentence[2]) for sentence in Corpus(path)] == list(range(500))


def test_columns_of_any_kind_of_string_are_text(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    for kind in (pyarrow.large_string(), pyarrow.dictionary(pyarrow.int32(), pyarrow.string())):
        texts = pyarrow.array(["a b", "c", "a b"]).cast(kind)
        assert list(Corpus(parquet(tmp_path / "a.parquet", texts))) == [
            ["a", "b"],
            ["c"],
            ["a", "b"],
        ]


def test_a_hostile_parquet_column_is_an_error(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    not_utf8 = pyarrow.array([b"fine", b"\xff"], pyarrow.binary()).view(pyarrow.string())
    for texts, message in [
        ([1, 2], "column 'text' is of int64, expected string"),
        ([["a"]], "column 'text' is of list<.*>, expected string"),
        ([b"a"], "column 'text' is of binary, expected string"),
        ([None, None], "column 'text' is of null, expected string"),
        (["a", None], "row 2: 'text' is null, expected text"),
        (not_utf8, "row 2: not UTF-8"),
    ]:
        path = parquet(tmp_path / "a.parquet", texts)
        with pytest.raises(InputError, match=rf"a\.parquet: {message}"):
            list(Corpus(path))
    path = parquet(tmp_path / "a.parquet", ["a"], "body")
    with pytest.raises(InputError, match=r"a\.parquet: no column 'text'; it has 'id', 'body'"):
        list(Corpus(path))


def test_a_truncated_or_damaged_parquet_file_is_an_error(tmp_path: Path) -> None:
    texts = [f"w{n * n} w{n}" for n in range(500)]
    path = parquet(tmp_path / "a.parquet", texts)
    data = path.read_bytes()
    for size in {*range(20), *range(20, len(data), 499), len(data) - 1}:
        path.write_bytes(data[:size])
        with pytest.raises(InputError, match=r"a\.parquet: "):
            list(Corpus(path))
    for place in range(0, len(data), 97):  # read to its end or refused, but nothing else
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        with contextlib.suppress(InputError):
            list(Corpus(path))


def test_a_row_longer_than_a_line_may_be_is_an_error(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", ["a", "x " * MAX_LINE_BYTES])
    with pytest.raises(InputError, match=rf"row 2: longer than {MAX_LINE_BYTES} characters"):
        list(Corpus(path))


@both
def test_memory_is_bounded_whatever_the_size(tmp_path: Path, suffix: str) -> None:
    path = WRITERS[suffix](tmp_path / f"a{suffix}", [f"{n} " * 500 for n in range(4000)])
    tracemalloc.start()
    try:
        assert sum(len(sentence) for sentence in Corpus(path)) == 2_000_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * 2**20  # bytes, of 10 MB


def test_pyarrows_own_memory_is_bounded_too(tmp_path: Path) -> None:
    texts = [f"{n} " * 500 for n in range(12_000)]
    path = parquet(tmp_path / "a.parquet", texts, compression="none")  # one group of rows
    allocated = pytest.importorskip("pyarrow").total_allocated_bytes
    before = allocated()
    assert max(allocated() for _ in Corpus(path)) < before + 10 * 2**20  # bytes, of 35 MB


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'relmo\[parquet\]'"):
        list(Corpus(tmp_path / "a.parquet"))
