"""Spans and tags are two ways to write the same, in every scheme; invalid tags are named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relmo.data import spans as module
from relmo.data.spans import Invalid, Scheme, Span, convert, invalid, spans, tags
from relmo.data.tag_reading import detect
from relmo.errors import InputError

SCHEMES: tuple[Scheme, ...] = ("BIO", "IOB1", "BIOES", "BILOU")
every_scheme = pytest.mark.parametrize("scheme", SCHEMES)

# A sentence as stretches: a label or None (outside), and how many tokens.
labels = st.none() | st.sampled_from(["PER", "LOC", "geo-loc", "", "O", "ü"])
stretches = st.lists(st.tuples(labels, st.integers(1, 4)), max_size=8)
any_tags = st.lists(
    st.sampled_from(["O", *(f"{letter}-{label}" for letter in "BIES" for label in "XY")]),
    max_size=10,
)


def laid_out(stretches: list[tuple[str | None, int]]) -> tuple[list[Span], int]:
    found, end = [], 0
    for label, size in stretches:
        if label is not None:
            found.append(Span(label, end, end + size))
        end += size
    return found, end


@every_scheme
@given(stretches=stretches)
def test_spans_of_the_tags_of_spans_are_the_spans(
    scheme: Scheme, stretches: list[tuple[str | None, int]]
):
    found, n = laid_out(stretches)
    written = tags(found, n, scheme)
    assert len(written) == n
    assert spans(written) == found == spans(tags(found[::-1], n, scheme))
    assert not list(invalid(written, scheme))


@every_scheme
@given(other=st.sampled_from(SCHEMES), stretches=stretches)
def test_a_conversion_and_back_changes_nothing(
    scheme: Scheme, other: Scheme, stretches: list[tuple[str | None, int]]
):
    written = tags(*laid_out(stretches), scheme)
    assert convert(convert(written, other), scheme) == written


@every_scheme
@given(sequence=any_tags)
def test_tags_are_valid_just_where_they_are_how_the_scheme_writes_their_spans(
    scheme: Scheme, sequence: list[str]
):
    written = tags(spans(sequence), len(sequence), scheme)
    found = list(invalid(sequence, scheme))
    assert {fault.position for fault in found} == {
        i for i, pair in enumerate(zip(sequence, written, strict=True)) if len(set(pair)) == 2
    }
    assert convert(sequence, scheme) == written


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        ("O I-X I-X O", [("X", 1, 3)]),
        ("I-X I-Y", [("X", 0, 1), ("Y", 1, 2)]),
        ("B-X I-Y I-Y", [("X", 0, 1), ("Y", 1, 3)]),
        ("B-X B-X", [("X", 0, 1), ("X", 1, 2)]),
        ("B-X S-X I-X", [("X", 0, 1), ("X", 1, 2), ("X", 2, 3)]),
        ("I-X B-X I-X", [("X", 0, 1), ("X", 1, 3)]),
        ("E-X E-X", [("X", 0, 1), ("X", 1, 2)]),
        ("I-X E-X I-X", [("X", 0, 2), ("X", 2, 3)]),
        ("B-X E-Y", [("X", 0, 1), ("Y", 1, 2)]),
        ("S-X I-X O", [("X", 0, 1), ("X", 1, 2)]),
        ("B-X L-X U-X", [("X", 0, 2), ("X", 2, 3)]),
        ("B I O I", [("", 0, 2), ("", 3, 4)]),
        ("B-geo-loc I-geo-loc", [("geo-loc", 0, 2)]),
        ("", []),
    ],
)
def test_invalid_sequences_are_read_as_conlleval_reads_them(
    sequence: str, expected: list[tuple[str, int, int]]
):
    assert spans(sequence.split()) == expected


@pytest.mark.parametrize(
    ("sequence", "scheme"),
    [
        ("B-X I-X O B-Y", "BIO"),
        ("I-X I-X O I-Y B-Y", "IOB1"),
        ("I-X O", "IOB1"),
        ("O I-X B-Y I-Y", "BIO"),  # one slip against either: BIO
        ("S-X O B-X E-X", "BIOES"),
        ("B-X L-X O U-Y", "BILOU"),
        ("B I I O B", "BIO"),
        ("O O", "BIO"),
        ("", "BIO"),
        ("DET NOUN", "plain"),
        ("NN O-X", "plain"),
        ("I B", "plain"),
        ("-LRB- O", "plain"),
    ],
)
def test_a_scheme_is_known_by_its_tags(sequence: str, scheme: Scheme):
    assert detect([sequence.split()]) == scheme
    assert detect([[], sequence.split()]) == scheme


def test_an_invalid_tag_is_named_with_what_the_scheme_would_have():
    assert list(invalid(["O", "I-X", "S-Y"], "BIO")) == [
        Invalid(1, "I-X after O and before S-Y; BIO would have B-X"),
        Invalid(2, "S-Y is not a tag of BIO; its letters are B, I, O"),
    ]
    assert list(invalid(["B-X"], "BIOES")) == [
        Invalid(0, "B-X at the start and at the end; BIOES would have S-X")
    ]
    assert not list(invalid(["NN", "I-X"], "plain"))


def test_plain_tags_are_spans_of_one_token_each():
    found = spans(["DET", "O", "DET"], "plain")
    assert found == [("DET", 0, 1), ("O", 1, 2), ("DET", 2, 3)]
    assert tags(found, 3, "plain") == ["DET", "O", "DET"]


@pytest.mark.parametrize("tag", ["NN", "O-X", "X-PER", "-", "", "b-PER"])
def test_a_tag_of_no_scheme_is_an_error(tag: str):
    with pytest.raises(InputError, match=r"tag '.*': expected O or a letter of B, I, E, S, L, U"):
        spans(["O", tag])
    assert [fault.position for fault in invalid(["B-X", tag], "BIO")] == [1]


@pytest.mark.parametrize(
    ("wrong", "scheme"),
    [
        ([Span("X", 0, 0)], "BIO"),
        ([Span("X", -1, 1)], "BIO"),
        ([Span("X", 2, 4)], "BIO"),
        ([Span("X", 0, 2), Span("Y", 1, 3)], "BIO"),
        ([Span("X", 0, 2)], "plain"),
        ([Span("X", 0, 1)], "plain"),
    ],
)
def test_spans_that_no_tags_stand_for_are_an_error(wrong: list[Span], scheme: Scheme):
    with pytest.raises(InputError, match="span"):
        tags(wrong, 3, scheme)
    with pytest.raises(InputError, match="plain"):
        convert(["O"], "plain")


def test_a_string_is_no_sequence_of_tags():
    for call in (spans, lambda text: convert(text, "BIO"), lambda text: list(invalid(text, "BIO"))):
        with pytest.raises(
            InputError, match=r"tags: expected a list of strings, got the str 'BIO'"
        ):
            call("BIO")
    with pytest.raises(InputError, match="tags: expected a list of sentences"):
        detect("BIO")
    with pytest.raises(InputError, match="tags: sentence 2: expected a list of strings"):
        detect([["O"], "BIO"])


def test_io_cannot_write_two_spans_that_touch():
    assert tags([Span("X", 0, 2), Span("Y", 2, 3)], 4, "IO") == ["I-X", "I-X", "I-Y", "O"]
    with pytest.raises(InputError, match="touches one of its label, which IO cannot write"):
        tags([Span("X", 0, 2), Span("X", 2, 3)], 3, "IO")
    assert [fault.position for fault in invalid(["I-X", "B-X"], "IO")] == [1]


def test_the_examples_of_the_module_are_right():
    import doctest

    assert doctest.testmod(module).failed == 0
