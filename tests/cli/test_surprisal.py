import csv
import gzip
import json
from pathlib import Path

import pytest
from pyarrow import parquet

from relmo import LanguageModel, load
from tests.cli.test_perplexity import NO_SOFTMAX
from tests.helpers import relmo

TEXT = 'the cat sat\n\n  on the ornithopter "NA" .\n'


@pytest.fixture(autouse=True)
def _with_a_text(among_models):
    Path("a.txt").write_text(TEXT)


def rows(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_the_table_is_written():
    ran = relmo("surprisal", "tiny", "a.txt", "-o", "out.tsv", "--ends")
    assert ran == (0, "out.tsv: 2 sentences, 8 tokens, 573 bytes\n", "")
    lines = Path("out.tsv").read_text().splitlines()
    assert [*lines[:4], lines[5]] == [
        "\t".join(line.split(" "))
        for line in (
            "sentence token_number token forward backward entropy_forward entropy_backward "
            "rank_forward rank_backward unknown",
            "1 0 <S>  2.5646  2.5984  4 0",
            "1 1 the 3.3261 2.2003 2.7664 2.6461 4 2 0",
            "1 2 cat 4.3211 5.4890 2.7832 2.6920 6 9 0",
            "1 4 </S> 3.2467  2.7645  4  0",
        )
    ]


@pytest.mark.parametrize("context", ["fresh", "carried"])
def test_rows_are_the_tokens_of_the_lines_and_what_python_gives(context):
    relmo("surprisal", "tiny", "a.txt", "-o", "out.tsv", "--context", context)
    table = rows("out.tsv")
    lines = TEXT.splitlines()
    for row in table:
        assert lines[int(row["sentence"]) - 1].split()[int(row["token_number"]) - 1] == row["token"]
    assert [row["unknown"] for row in table] == [*"00000110"]
    sentences = [line for line in lines if line]
    expected = LanguageModel(load("tiny")).surprisal(sentences, context=context)
    start = 0
    for found in expected:
        part = table[start : (start := start + len(found.unknown))]
        for name, side in (("forward", found.forward), ("backward", found.backward)):
            assert [float(row[name]) for row in part] == pytest.approx(side.surprisal, abs=1e-4)
            assert [float(row[f"entropy_{name}"]) for row in part] == pytest.approx(
                side.entropy, abs=1e-4
            )
            assert [int(row[f"rank_{name}"]) for row in part] == side.rank.tolist()
    assert start == len(table)


def test_json_lines_and_compressed_tables_hold_the_same():
    relmo("surprisal", "tiny", "a.txt", "-o", "out.tsv", "--ends")
    relmo("surprisal", "tiny", "-", "-o", "out.jsonl.gz", "--ends", stdin=TEXT)
    with gzip.open("out.jsonl.gz", "rt") as file:
        objects = [json.loads(line) for line in file]
    for row, found in zip(rows("out.tsv"), objects, strict=True):
        assert list(row) == list(found)
        for name, cell in row.items():
            value = found[name]
            if name == "token":
                assert cell == value
            elif value is None:
                assert cell == ""
            else:
                assert float(cell) == value
    for name in ("one.tsv.gz", "two.tsv.gz"):
        relmo("surprisal", "tiny", "a.txt", "-o", name, "--ends")
        assert gzip.decompress(Path(name).read_bytes()) == Path("out.tsv").read_bytes()
    assert Path("one.tsv.gz").read_bytes() == Path("two.tsv.gz").read_bytes()


def test_a_parquet_table_holds_the_same():
    relmo("surprisal", "tiny", "a.txt", "-o", "out.jsonl", "--ends")
    assert relmo("surprisal", "tiny", "a.txt", "-o", "out.parquet", "--ends").code == 0
    expected = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    found = parquet.read_table("out.parquet").to_pylist()
    assert len(found) == len(expected)
    for row, values in zip(found, expected, strict=True):
        assert list(row) == list(values)
        assert row == {
            name: value if value is None or name == "token" else pytest.approx(value, abs=1e-4)
            for name, value in values.items()
        }


def test_surprisals_sum_to_the_perplexity():
    relmo("surprisal", "tiny", "a.txt", "-o", "out.tsv", "--ends")
    bits = json.loads(relmo("perplexity", "tiny", "a.txt", "--json").out)["bits"]
    for side in ("forward", "backward"):
        total = sum(float(row[side]) for row in rows("out.tsv") if row[side])
        assert total == pytest.approx(bits[side], abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "stdin", "expected"),
    [
        (["bare", "a.txt"], b"", NO_SOFTMAX),
        (
            ["tiny", "-"],
            b"\n",
            "relmo: error: no token in the input; expected one tokenized sentence per line\n",
        ),
        (
            ["tiny", "-"],
            b"the\nc\xff\n",
            "relmo: error: standard input: line 2: not UTF-8: byte 0xff at column 2\n",
        ),
        (
            ["tiny", "a.txt", "-o", "out.csv"],
            b"",
            "relmo: error: out.csv: the name must end in .tsv, .jsonl, .tsv.gz, .jsonl.gz, "
            ".parquet\n",
        ),
    ],
)
def test_bad_input_is_one_line_and_leaves_the_earlier_table(arguments, stdin, expected):
    Path("out.tsv").write_text("earlier")
    if "-o" not in arguments:
        arguments = [*arguments, "-o", "out.tsv"]
    assert relmo("surprisal", *arguments, stdin=stdin) == (2, "", expected)
    assert Path("out.tsv").read_text() == "earlier"
    assert sorted(path.name for path in Path().iterdir()) == ["a.txt", "bare", "out.tsv", "tiny"]
