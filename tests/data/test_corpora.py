"""Corpora: streamed, cut at line feeds only, and one clear error for each hostile file."""

import bz2
import gzip
import lzma
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from relmo import _read
from relmo._read import MAX_LINE_BYTES, lines
from relmo.data.corpora import Corpus, read_sentences
from relmo.errors import InputError, MissingExtraError


def zstd(data: bytes) -> bytes:
    return pytest.importorskip("zstandard").ZstdCompressor(write_checksum=True).compress(data)


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd,
}
every_kind = pytest.mark.parametrize("suffix", COMPRESSIONS)
archives = pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
# What other readers take for line ends, and white space of all kinds.
odd = st.sampled_from(["\u2028", "\x85", "\x0c", "\x1c", "\xa0", "\u3000", "\r", "\n", " "])
any_text = st.text(odd | st.characters(exclude_categories=["Cs"]))
laws = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def put(folder: Path, data: bytes, suffix: str = "") -> Path:
    path = folder / f"corpus.txt{suffix}"
    path.write_bytes(COMPRESSIONS[suffix](data))
    return path


@given(text=any_text, chunk=st.integers(1, 9))
@example(text="a\r\nb\n\nc", chunk=2)
@laws
def test_lines_end_at_line_feeds_only(tmp_path: Path, text: str, chunk: int) -> None:
    text = text.removeprefix("\ufeff")
    expected = [line.rstrip("\r") for line in text.split("\n")]
    if not text or text.endswith("\n"):
        expected.pop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_read, "_CHUNK_BYTES", chunk)  # lines across any number of chunks
        assert list(lines(put(tmp_path, text.encode()))) == expected


@given(text=any_text, skip=st.integers(0, 9))
@laws
def test_skipping_lines_continues_after_them(tmp_path: Path, text: str, skip: int) -> None:
    path = put(tmp_path, text.encode())
    assert list(lines(path, skip=skip)) == list(lines(path))[skip:]


@given(text=any_text)
@laws
def test_sentences_are_split_as_python_splits(tmp_path: Path, text: str) -> None:
    text = text.removeprefix("\ufeff") + "\nlast"
    path = put(tmp_path, text.encode())
    expected = [line.split() for line in text.split("\n") if line.split()]
    assert list(read_sentences(path)) == expected


@every_kind
def test_compressed_files_read_like_plain_ones(tmp_path: Path, suffix: str) -> None:
    text = "The naïve cat\u2028sat .\r\n\n \nA\xa0 dog ran .\n" * 1000 + "last line"
    path = put(tmp_path, text.encode(), suffix)
    sentences = list(Corpus(path))
    assert sentences[:2] == [["The", "naïve", "cat", "sat", "."], ["A", "dog", "ran", "."]]
    assert len(sentences) == 2001
    assert sentences[-1] == ["last", "line"]


@archives
def test_several_archives_in_one_file_are_read_through(tmp_path: Path, suffix: str) -> None:
    path = put(tmp_path, b"one\ntw", suffix)
    path.write_bytes(path.read_bytes() + COMPRESSIONS[suffix](b"o\nthree\n"))
    assert list(lines(path)) == ["one", "two", "three"]


def test_a_corpus_reads_file_after_file_again_and_again(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(f"{name} 1\n{name} 2")
    corpus = Corpus([tmp_path / "a", str(tmp_path / "b")])
    expected = [["a", "1"], ["a", "2"], ["b", "1"], ["b", "2"]]
    assert list(corpus) == list(corpus) == expected == list(read_sentences(corpus.paths))


@given(sizes=st.lists(st.integers(0, 9), min_size=1, max_size=4), n=st.integers(1, 12))
@laws
def test_shards_hold_each_line_once_and_can_be_continued(
    tmp_path: Path, sizes: list[int], n: int
) -> None:
    paths = [tmp_path / f"{number}.txt" for number in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        path.write_text("".join(f"{path.stem}.{line}\n" for line in range(size)))
    shards = [Corpus(paths).shard(number, n) for number in range(n)]
    for number, path in enumerate(paths):
        found = [list(shard.text_lines(number)) for shard in shards]
        assert sorted(line for own in found for line in own) == list(lines(path))
        assert max(map(len, found)) - min(map(len, found)) <= 1
        assert list(shards[-1].text_lines(number, skip=1)) == found[-1][1:]


def test_a_byte_order_mark_is_no_token(tmp_path: Path) -> None:
    assert list(lines(put(tmp_path, b"\xef\xbb\xbfa\n\xef\xbb\xbfb"))) == ["a", "\ufeffb"]


@every_kind
def test_invalid_utf8_is_named_with_file_and_line(tmp_path: Path, suffix: str) -> None:
    path = put(tmp_path, b"fine\nna\xc3\xafve\nna\xefve\nnever", suffix)
    reader = lines(path)
    assert [next(reader), next(reader)] == ["fine", "naïve"]
    with pytest.raises(InputError, match=r"corpus\.txt\S*: line 3: not UTF-8: byte 0xef at col"):
        next(reader)


@archives
def test_a_truncated_archive_is_an_error_at_any_length(tmp_path: Path, suffix: str) -> None:
    path = put(tmp_path, "\n".join(map(str, range(2000))).encode(), suffix)
    data = path.read_bytes()
    for size in {*range(1, 30), *range(30, len(data), 97), len(data) - 1}:
        path.write_bytes(data[:size])
        with pytest.raises(InputError, match=r"corpus\.txt\S*: truncated or damaged"):
            list(lines(path))


@archives
def test_a_damaged_or_foreign_archive_is_an_error(tmp_path: Path, suffix: str) -> None:
    path = put(tmp_path, "\n".join(map(str, range(2000))).encode(), suffix)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    for hostile in (bytes(data), b"plain text\n", b"\x00" * 100):
        path.write_bytes(hostile)
        with pytest.raises(InputError, match=r"corpus\.txt\S*: "):
            list(Corpus(path))


@every_kind
def test_a_file_without_line_feeds_is_an_error_and_not_read_whole(
    tmp_path: Path, suffix: str
) -> None:
    path = put(tmp_path, b"first\n" + b"x " * (2 * MAX_LINE_BYTES), suffix)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=rf"line 2: longer than {MAX_LINE_BYTES} bytes"):
            list(lines(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * MAX_LINE_BYTES


@pytest.mark.parametrize("data", [b"", b"\n\n \t\r\n", b"\xc2\xa0"])
@every_kind
def test_a_corpus_without_a_token_is_an_error(tmp_path: Path, data: bytes, suffix: str) -> None:
    with pytest.raises(InputError, match=r"corpus\.txt\S*: no usable line"):
        list(Corpus(put(tmp_path, data, suffix)))


def test_missing_files_are_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such file"):
        read_sentences([put(tmp_path, b"a"), tmp_path / "nowhere"])
    with pytest.raises(InputError, match="no file given"):
        Corpus([])
    with pytest.raises(InputError, match="nowhere: no such file"):
        list(lines(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="cannot be read"):
        list(lines(tmp_path))


def test_without_zstandard_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path, b"a\n", ".zst")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'relmo\[zstd\]'"):
        list(lines(path))
