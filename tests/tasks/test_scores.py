"""Scores equal those of conlleval, of a well-kept library, and of cases worked by hand."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relmo.data.spans import Scheme, Span, convert, tags
from relmo.data.tagged import TaggedSentence
from relmo.errors import InputError
from relmo.tasks import scores as evaluation
from relmo.tasks.scores import errors, evaluate
from tests.reference.conlleval import conlleval

# A schematic corpus: for each token of each sentence, two tags.
Pairs = list[list[tuple[str, str]]]


def pairs_of(letters: str) -> st.SearchStrategy[Pairs]:
    tag = st.sampled_from(["O", *(f"{letter}-{label}" for letter in letters for label in "XYZ")])
    return st.lists(st.lists(st.tuples(tag, tag), max_size=8), min_size=1, max_size=4)


def two_sides(pairs: Pairs) -> tuple[list[list[str]], list[list[str]]]:
    return tuple([[pair[side] for pair in sentence] for sentence in pairs] for side in (0, 1))


@pytest.mark.parametrize("letters", ["BI", "IE"])
@given(data=st.data())
def test_scores_of_any_tags_are_those_of_conlleval(letters: str, data: st.DataObject):
    true, predicted = two_sides(data.draw(pairs_of(letters)))
    scores = evaluate(true, predicted, "BIO")
    counts = (scores.n_true, scores.n_predicted, scores.n_right, scores.n_right_tokens)
    assert counts == conlleval(true, predicted)


@given(pairs=pairs_of("BI"))
def test_scores_of_valid_tags_are_those_of_nervaluate(pairs: Pairs):
    nervaluate = pytest.importorskip("nervaluate")
    true, predicted = ([convert(row, "BIO") for row in side] for side in two_sides(pairs))
    scores = evaluate(true, predicted, "BIO")
    theirs = nervaluate.Evaluator(true, predicted, tags=list("XYZ"), loader="list").evaluate()
    for mine, strict in [
        (scores, theirs["overall"]["strict"]),
        *((score, theirs["entities"][label]["strict"]) for label, score in scores.by_type.items()),
    ]:
        assert (mine.n_right, mine.n_predicted, mine.n_true) == (
            strict.correct, strict.actual, strict.possible,
        )  # fmt: skip
        assert mine.precision == pytest.approx(100 * strict.precision)
        assert mine.recall == pytest.approx(100 * strict.recall)
        assert mine.f1 == pytest.approx(100 * strict.f1)


@pytest.mark.parametrize(
    ("true", "predicted", "n_true", "n_predicted", "n_right"),
    [
        ("B-X I-X O B-Y", "B-X I-X O B-Y", 2, 2, 2),
        ("B-X I-X O B-Y", "B-X O O B-Y", 2, 2, 1),  # half a span is none
        ("B-X I-X O", "B-Y I-Y O", 1, 1, 0),  # the right tokens, the wrong type
        ("B-X I-X O", "I-X I-X O", 1, 1, 1),  # an I at the start begins a span
        ("B-X I-X I-X", "B-X B-X I-X", 1, 2, 0),
        ("B-X I-X I-X", "B-X I-Y I-X", 1, 3, 0),  # each change of type begins one
        ("O O", "O B-X", 0, 1, 0),
        ("B-X", "O", 1, 0, 0),
        ("O", "O", 0, 0, 0),
    ],
)
def test_cases_worked_by_hand(
    true: str, predicted: str, n_true: int, n_predicted: int, n_right: int
):
    scores = evaluate([true.split()], [predicted.split()])
    assert (scores.n_true, scores.n_predicted, scores.n_right) == (n_true, n_predicted, n_right)
    expected = [100 * n_right / n if n else 0 for n in (n_predicted, n_true)]
    assert [scores.precision, scores.recall] == expected
    assert scores.f1 == pytest.approx(2 * expected[0] * expected[1] / (sum(expected) or 1))


TRUE = [["B-LOC", "I-LOC", "O", "B-PER", "O"], ["O", "B-LOC", "O"]]
PREDICTED = [["B-LOC", "I-LOC", "O", "B-LOC", "O"], ["B-PER", "B-LOC", "O"]]


def test_a_report_has_all_scores_in_percent_and_by_type():
    report = json.loads(json.dumps(evaluate(TRUE, PREDICTED).to_dict()))
    by_type = report.pop("by_type")
    assert report == {
        "precision": 50.0,
        "recall": pytest.approx(200 / 3),
        "f1": pytest.approx(400 / 7),
        "accuracy": 75.0,
        "n_true": 3,
        "n_predicted": 4,
        "n_right": 2,
        "n_tokens": 8,
        "confusion": {"LOC": {"LOC": 3}, "O": {"O": 3, "PER": 1}, "PER": {"LOC": 1}},
    }
    assert {label: (row["precision"], row["recall"]) for label, row in by_type.items()} == {
        "LOC": (pytest.approx(200 / 3), 100.0),
        "PER": (0.0, 0.0),
    }


def test_a_page_has_a_table_of_scores_and_one_of_confusion():
    assert evaluate(TRUE, PREDICTED).to_markdown() == (
        "| type | precision | recall | F1 | true | predicted | right |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| all | 50.00 | 66.67 | 57.14 | 3 | 4 | 2 |\n"
        "| LOC | 66.67 | 100.00 | 80.00 | 2 | 3 | 2 |\n"
        "| PER | 0.00 | 0.00 | 0.00 | 1 | 1 | 0 |\n"
        "\nToken accuracy: 75.00 % of 8.\n\n"
        "| true \\ predicted | LOC | O | PER |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| LOC | 3 | 0 | 0 |\n"
        "| O | 0 | 3 | 1 |\n"
        "| PER | 1 | 0 | 0 |\n"
    )


def test_plain_tags_are_scored_token_by_token():
    scores = evaluate([["DET", "NOUN", "O"]], [["DET", "VERB", "O"]])
    assert scores.accuracy == scores.precision == scores.recall == pytest.approx(200 / 3)
    assert scores.f1 == scores.accuracy
    assert scores.by_type["NOUN"].recall == scores.by_type["VERB"].precision == 0
    assert scores.confusion["NOUN"] == {"VERB": 1}


@pytest.mark.parametrize("scheme", ["BIO", "IOB1", "BIOES", "BILOU"])
def test_the_scheme_changes_no_score_of_spans(scheme: Scheme):
    predicted = [convert(row, scheme) for row in PREDICTED]
    true = [convert(row, scheme) for row in TRUE]
    expected = evaluate(TRUE, PREDICTED)
    assert evaluate(true, predicted).by_type == expected.by_type
    assert evaluate(TRUE, predicted).by_type == expected.by_type


def sentence(text: str, row: list[str]) -> TaggedSentence:
    return TaggedSentence(tokens=tuple(text.split()), tags=tuple(row), source="a.conll", line=7)


def test_errors_are_shown_in_their_sentences():
    right = sentence("in Rome", ["O", "B-LOC"])
    wrong = sentence("in New York with Ann", tags([Span("LOC", 1, 3)], 5))
    found = tags([Span("LOC", 1, 2), Span("PER", 4, 5)], 5)
    assert list(errors([right, wrong], [right.tags, found])) == [
        "a.conll: line 7\n"
        "  true:      in [New York](LOC) with Ann\n"
        "  predicted: in [New](LOC) York with [Ann](PER)"
    ]
    plain = sentence("we run", ["PRON", "VERB"])
    assert list(errors([plain], [["PRON", "NOUN"]])) == [
        "a.conll: line 7\n  true:      we [run](VERB)\n  predicted: we [run](NOUN)"
    ]


def test_tags_that_do_not_match_are_an_error():
    with pytest.raises(InputError, match="expected 2 sentences, got 1"):
        evaluate(TRUE, PREDICTED[:1])
    with pytest.raises(InputError, match="sentence 2: expected 3 tags, got 2"):
        evaluate(TRUE, [PREDICTED[0], ["O", "O"]])
    with pytest.raises(InputError, match="tag 'NN'"):
        evaluate([["B-X"]], [["NN"]])


NAMES = [["O"] * 12 + ["B-PER", "I-PER", "O", "B-LOC"] + ["O"] * 8]
GUESSES = [["O"] * 12 + ["B-PER", "I-PER", "O", "O"] + ["O"] * 8]


@pytest.mark.parametrize("stray", ["o", "0", "O.", "O-", "X", "_", "", "b-LOC"])
def test_a_stray_tag_on_either_side_is_scored_as_what_was_meant_and_warned_of(
    stray: str, caplog: pytest.LogCaptureFixture
):
    expected = evaluate(NAMES, GUESSES)
    assert (expected.n_true, expected.n_predicted, expected.n_right) == (2, 1, 1)
    (true,), (guess,) = NAMES, GUESSES
    k = 15 if stray == "b-LOC" else 20
    assert evaluate([[*true[:k], stray, *true[k + 1 :]]], GUESSES) == expected
    assert f"evaluate: true: sentence 1: token {k + 1}: the tag {stray!r}" in caplog.text
    if stray != "b-LOC":
        assert evaluate(NAMES, [[*guess[:k], stray, *guess[k + 1 :]]]) == expected
        assert f"evaluate: predicted: sentence 1: token 21: the tag {stray!r}" in caplog.text


@pytest.mark.parametrize("label_first", [False, True])
def test_each_side_may_be_of_a_dialect_of_its_own(label_first: bool):
    def written(rows: list[list[str]]) -> list[list[str]]:
        return [
            ["_".join(tag.split("-")[:: -1 if label_first else 1]) for tag in row] for row in rows
        ]

    expected = evaluate(NAMES, GUESSES)
    assert evaluate(written(NAMES), GUESSES) == expected
    assert evaluate(NAMES, written(GUESSES)) == expected
    assert evaluate(NAMES, written(GUESSES), "BIO") == expected
    mine = TaggedSentence(
        tokens=("x",) * 24, tags=tuple(written(NAMES)[0]), source="a.conll", line=7
    )
    assert "[x](LOC)" in next(errors([mine], GUESSES))


def test_o_beside_labels_alone_is_no_span():
    true = [["O", "O", "PER", "PER", "O", "O", "O"]]
    scores = evaluate(true, [["O", "O", "PER", "O", "O", "O", "O"]])
    assert (scores.n_true, scores.n_predicted, scores.n_right) == (1, 1, 0)
    assert scores.f1 == 0
    assert evaluate(true, true, "IO").n_right == 1
    assert evaluate(true, true, "plain").n_right == 7


@pytest.mark.parametrize(
    ("true", "predicted", "message"),
    [
        (["B-PER"], ["O"], r"evaluate: true: sentence 1: expected a list of strings, got the str"),
        ([["B-PER"]], ["O"], r"predicted: sentence 1: expected a list .* single characters"),
        ("BIO", "BIO", r"evaluate: true: expected a list of sentences, .* got the str 'BIO'"),
    ],
)
def test_a_string_is_no_sentence(true: list[str], predicted: list[str], message: str):
    with pytest.raises(InputError, match=message):
        evaluate(true, predicted)
    with pytest.raises(InputError, match=message):
        evaluate(true, predicted, "plain")


def test_the_examples_of_the_module_are_right():
    import doctest

    assert doctest.testmod(evaluation).failed == 0


def test_a_warning_comes_once_from_scores_and_errors(caplog: pytest.LogCaptureFixture):
    mine = TaggedSentence(tokens=("x",) * 24, tags=(*NAMES[0][:-1], "o"), source="a", line=7)
    evaluate([mine.tags], GUESSES)
    assert len(list(errors([mine], GUESSES))) == 1
    (message,) = caplog.messages
    assert message.startswith("evaluate: true: sentence 1: token 24: the tag 'o'")


@pytest.mark.parametrize(
    ("true", "predicted", "n"),
    [
        ("b-PER i-PER O O O O", "B-PER I-PER O O O O", (1, 1, 1)),
        ("B-PER I-PER O O O O", "b-PER i-PER O O O O", (1, 1, 1)),
        ("B-PER I-PER o o o o", "B-PER I-PER O O O O", (1, 1, 1)),
        ("B-X O O O", "-B-X O O O", (1, 1, 1)),
        ("B-PER O O O O O", "B-PER o o O O o", (1, 1, 1)),
        ("B-X O O O", "S_X O O O", (1, 1, 1)),
        ("B-PER I-PER O", "PER PER O", (1, 1, 1)),  # labels of the true tags alone
        ("B-PER B-PER O", "PER PER O", (2, 1, 0)),
        ("PER PER O O O", "B-PER I-PER PER O O", (1, 1, 0)),
    ],
)
@pytest.mark.parametrize("times", [1, 12])
def test_each_side_is_read_as_what_it_can_only_mean(
    true: str, predicted: str, n: tuple[int, int, int], times: int, caplog: pytest.LogCaptureFixture
):
    scores = evaluate([true.split()] * times, [predicted.split()] * times)
    assert (scores.n_true, scores.n_predicted, scores.n_right) == tuple(times * k for k in n)
    assert {*scores.by_type} <= {"PER", "X"}
    assert caplog.messages


def test_letters_alone_are_read_without_a_word(caplog: pytest.LogCaptureFixture):
    scores = evaluate([["B", "I", "O"]], [["B", "I", "I"]], "BIO")
    assert (scores.n_true, scores.n_predicted, scores.n_right) == (1, 1, 0)
    assert not caplog.messages


def test_an_array_without_dimensions_is_no_sentence():
    code = """# of its own process, where nothing but relmo itself checks what it is given
import numpy as np
from relmo.errors import InputError
from relmo.tasks.scores import evaluate
for true in (np.array("O"), [np.array("O")], b"O", [b"O"]):
    try:
        evaluate(true, [["O"]])
    except InputError as error:
        assert "evaluate: true: " in str(error), error
        assert "got the ndarray array" in str(error) or "got the bytes b'O'" in str(error), error
    else:
        raise AssertionError(true)
assert evaluate(np.array([["O", "B-X"]]), [["O", "B-X"]]).f1 == 100
"""
    subprocess.run([sys.executable, "-c", code], check=True)
