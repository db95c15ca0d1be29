import pytest
from hypothesis import given
from hypothesis import strategies as st

from relmo.explore.label_layout import Run, label_lines, width

TOKENS = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Z"]), min_size=1, max_size=30),
        st.sampled_from([".", ",", "``", "''", "(", ")", "n't", "'s"]),
    ),
    min_size=1,
    max_size=30,
)


def shown(sentence: str, word: str, **bounds: int) -> list[str]:
    tokens = sentence.split()
    lines = label_lines(tokens, tokens.index(word), **{"line_width": 20, "n_lines": 3} | bounds)
    return ["".join(f"*{text}*" if is_word else text for text, is_word in line) for line in lines]


def test_a_sentence_that_fits_is_whole_and_its_lines_are_even():
    assert shown("The museum bought a work of art .", "work") == [
        "The museum bought",
        "a* work* of art.",
    ]


def test_a_long_sentence_is_cut_on_both_sides_of_the_word():
    long = "one two three four five six seven WORK eight nine ten eleven twelve thirteen"
    assert shown(long, "WORK", n_lines=1) == ["… seven* WORK* eight …"]
    assert shown(long, "WORK", n_lines=2) == ["… five six seven", "*WORK* eight nine …"]
    assert shown(long, "one", n_lines=1) == ["*one* two three four …"]


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ("He said : `` work ! ''", "He said: “*work*!”"),
        ("I do n't work ( here ) .", "I don't* work* (here)."),
        ("Ann 's work , $ 5", "Ann's* work*, $5"),
    ],
)
def test_spaces_are_those_of_print(tokens, expected):
    assert shown(tokens, "work", line_width=40) == [expected]


@given(TOKENS, st.data())
def test_any_sentence_fits_and_holds_its_word_once(tokens, data):
    position = data.draw(st.integers(0, len(tokens) - 1))
    lines = label_lines(tokens, position, line_width=24, n_lines=2)
    words = [run for line in lines for run in line if run.is_word]
    assert len(words) == 1
    assert all(isinstance(run, Run) and run.text for line in lines for run in line)
    for line in lines:
        for text, _ in line:
            assert "\n" not in text
            text.encode("utf-8")  # no lone surrogates


def test_a_word_of_ten_thousand_characters_is_shortened():
    ((run,),) = label_lines(["x" * 10_000], 0, line_width=24, n_lines=2)
    assert run == Run("x" * 23 + "…", True)


def test_width_counts_columns():
    assert width("abc") == 3
    assert width("仕事") == 4
    assert width("e\N{COMBINING ACUTE ACCENT}") == 1
