"""A model's table: by source, on the predictions of the baselines."""

import math
import sys
from dataclasses import replace

import pytest

from recipes import box_report, held_out
from recipes.held_out import Row
from relmo.elmo.language_model import LanguageModel
from relmo.errors import FormatError
from relmo.text.vocab import SPECIALS
from relmo.train.evaluate import text_perplexity
from tests.helpers import tiny_elmo

WORDS = (*SPECIALS, "the", "cat", "sat")
TEXT = "the cat sat\nthe <unk> sat\na cat\n"


def row(source: str, n: int, perplexity: float, text: str = "test") -> Row:
    return Row(
        text=text, source=source, n_predictions=n, n_unknown=1,
        perplexity={"unigram": (perplexity, 2 * perplexity)},
    )  # fmt: skip


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "test.txt"
    path.write_text(TEXT)
    path.with_suffix(".sources.tsv").write_text("tales\nnews\ntales\n")
    return path


def test_a_text_is_read_by_source_and_unk_is_the_unknown_word(text):
    groups = held_out.read(text)
    assert groups == {
        "tales": [["the", "cat", "sat"], ["a", "cat"]],
        "news": [["the", "<UNK>", "sat"]],
    }
    text.with_suffix(".sources.tsv").write_text("tales\n")
    with pytest.raises(FormatError, match=r"test\.sources\.tsv: 1 lines; expected 3"):
        held_out.read(text)


def test_the_whole_is_as_if_it_had_no_sources():
    whole, *parts = held_out.whole_first([row("b", 30, 100.0), row("a", 10, 20.0)])
    expected = math.exp((30 * math.log(100) + 10 * math.log(20)) / 40)
    assert whole.perplexity["unigram"] == pytest.approx((expected, 2 * expected))
    assert (whole.n_predictions, whole.n_unknown, whole.source) == (40, 2, "")
    assert [part.source for part in parts] == ["a", "b"]
    assert len(held_out.whole_first([row("", 5, 7.0)])) == 1


def test_the_command_prints_the_model_beside_the_baselines(text, tmp_path, monkeypatch, capsys):
    elmo = tiny_elmo(words=WORDS)
    baselines = [row("", 11, 9.0), row("news", 4, 8.0), row("tales", 7, 7.0)]
    baselines[0] = replace(baselines[0], n_unknown=2)
    held_out.save(baselines, tmp_path / "ngram.json")
    assert held_out.load(tmp_path / "ngram.json") == baselines
    monkeypatch.setattr(box_report.relmo, "load", lambda name: elmo)
    arguments = ["MODEL", "--texts", text, "--baselines", tmp_path / "ngram.json"]
    arguments += ["--out", tmp_path / "out.json", "--card", tmp_path / "card.md"]
    (tmp_path / "card.md").write_text("# Card\n\nGood.\n")
    monkeypatch.setattr(sys, "argv", ["box_report", *map(str, arguments)])
    box_report.main()
    forward, backward = text_perplexity(
        LanguageModel(elmo), [line.split() for line in TEXT.splitlines()], closed=True
    ).with_ends
    whole = held_out.load(tmp_path / "out.json")[0]
    assert whole.perplexity["relmo"] == pytest.approx((forward, backward))
    table = held_out.table(held_out.load(tmp_path / "out.json"))
    card = (tmp_path / "card.md").read_text()
    assert card.startswith("# Card\n\nGood.\n\n## Beside")
    assert card.endswith(f"\n{table}\n")
    assert box_report.with_table(card, table) == card
    assert capsys.readouterr().out.splitlines()[-3:] == [
        f"| **test** | 11 | 18.18% | 9.0 / 18.0 | {forward:.1f} / {backward:.1f} |",
        *(held_out.table(held_out.load(tmp_path / "out.json")).splitlines()[-2:]),
    ]


def test_baselines_of_other_predictions_are_refused():
    model = [replace(row("", 5, 7.0), n_unknown=3)]
    with pytest.raises(FormatError, match=r"have \(5, 1\) predictions .* expected \(5, 3\)"):
        held_out.beside(model, [row("", 5, 7.0)])
    with pytest.raises(FormatError, match="test : the baselines have None"):
        held_out.beside(model, [row("", 5, 7.0, text="valid")])
