"""Tags are read in the dialect that most of them fit; what is read otherwise is named."""

import re
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relmo.data.spans import Scheme, Span, spans, tags
from relmo.data.tag_reading import detect, read_tags
from relmo.data.tag_spelling import Kind, find_spelling
from relmo.errors import InputError

# Names in a text of 40 tokens, in BIO.
NAMES = [
    ["O"] * 10 + ["B-PER", "I-PER"] + ["O"] * 8,
    ["B-geo-loc", "O", "O", "B-PER", "B-PER"] + ["O"] * 5 + ["B-geo-loc", "I-geo-loc"] + ["O"] * 8,
]
SPANS = [spans(row) for row in NAMES]
SCHEMES: tuple[Scheme, ...] = ("BIO", "IOB1", "BIOES", "BILOU")
PLAIN = {
    "UD": "DET NOUN X PUNCT VERB X ADP PROPN PRON ADV SYM INTJ PART CCONJ",
    "PTB": "DT NN -LRB- NNS -RRB- , . `` '' $ # : PRP$ WP$ TO VB LS SYM",
    "CMU Twitter": "O V D A N O ^ N P O S Z L M ! R & X Y # @ ~ U E $ , G T",
    "Brown": "AT NN-HL NN-TL IN-TL VB-HL PPS BEDZ * NP-TL FW-IN ABN-NC",
    "STTS": "ART NN VVFIN $. $, ITJ PTKVZ TRUNC APPR XY PPOSAT",
    "suffixes": "PRON-X NOUN-M NOUN-F VERB-S DET-M DET-F ADV NOUN-M PUNCT",
    "genders": "B_N A_N V_N V_N I_P C_X N_S N_P P_X P_X N_S",
    "positions": "N-------2D S----3MS1- P--------- VP-A-3MS-- I--------- A-----MS1I C---------",
    "PROIEL": "Nb S- V- R- Df C- I- Ma V- Nb Pp G- S-",
    "features": "_ Case=Nom|Number=Sing _ Mood=Ind|Person=3 _ _ Gender=Masc",
    "IPA": "B- V N",
    "no labels, no O": "B I E S",
    "no tags but X and _": "X _ X _ X",
}
"""Tags that are no spans, of corpora as they are."""


def respelled(write: str, *, lower: bool = False) -> list[list[str]]:
    """`NAMES` with letter and label put together otherwise."""
    rows = []
    for row in NAMES:
        parts = [tag.partition("-") for tag in row]
        made = [write.format(l=a, t=b) if b else a for a, _, b in parts]
        rows.append([tag.lower() for tag in made] if lower else made)
    return rows


@pytest.mark.parametrize(
    "write", ["{l}-{t}", "{l}_{t}", "{l}:{t}", "{l}/{t}", "{t}-{l}", "{t}_{l}"]
)
def test_every_dialect_stands_for_the_same_tags(write: str):
    rows = respelled(write)
    reading = read_tags(rows)
    assert [list(reading.spelled(row)) for row in rows] == NAMES
    assert reading.scheme == detect(rows) == "BIO"
    small = respelled(write, lower=True)
    assert [list(read_tags(small).spelled(row)) for row in small] == [
        [tag.replace("PER", "per") for tag in row] for row in NAMES
    ]
    said = () if write == "{l}-{t}" else ("tags such as", "are read as 'B-PER'")
    assert len(reading.messages) == bool(said)
    assert all(part in reading.messages[0] for part in said)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("label_first", [False, True])
def test_every_scheme_is_known_in_another_dialect(scheme: Scheme, label_first: bool):
    rows = [tags(found, 20, scheme) for found in SPANS]
    written = [
        ["_".join(reversed(tag.split("-", 1)) if label_first else tag.split("-", 1)) for tag in row]
        for row in rows
    ]
    reading = read_tags(written)
    assert (reading.scheme, [list(reading.spelled(row)) for row in written]) == (scheme, rows)


def test_bmes_is_bioes_with_another_letter():
    rows = [tags([Span("X", 0, 3), Span("Y", 4, 5)], 6, "BIOES")]
    written = [[tag.replace("I-", "M-") for tag in row] for row in rows]
    reading = read_tags(written)
    assert (reading.scheme, [list(reading.spelled(row)) for row in written]) == ("BIOES", rows)
    assert "tags such as 'M-X' are read as 'I-X'" in reading.messages[0]
    assert spans(written[0]) == spans(rows[0])


@pytest.mark.parametrize(
    ("stray", "read"),
    [
        *((tag, "O") for tag in ["o", "0", "O.", "O-", "O,", " O", "-", "_", "", "X", "О", "?"]),
        ("b-PER", "B-PER"), ("B_PER", "B-PER"), ("PER-B", "B-PER"), ("BPER", "B-PER"),
        ("B–PER", "B-PER"), ("i_PER", "I-PER"), ("b-new", "B-new"), ("M-PER", "I-PER"),
        ("PER", "I-PER"), ("O-PER", "O"), ("NN", "O"), ("B", "O"), ("I-", "O"),
    ],
)  # fmt: skip
def test_a_stray_tag_changes_no_other_and_is_named_with_its_place(stray: str, read: str):
    rows = [NAMES[0], [*NAMES[1][:-1], stray]]
    reading = read_tags(rows)
    assert reading.scheme == detect(rows) == "BIO"
    assert [list(reading.spelled(row)) for row in rows] == [NAMES[0], [*NAMES[1][:-1], read]]
    assert reading.messages == (
        f"sentence 2: token 20: the tag {stray!r} does not fit the others; read as {read!r} "
        "(1 of 40 tokens)",
    )


def test_of_many_strays_the_most_frequent_are_named_and_the_rest_counted():
    rows = [*NAMES * 10, ["0", "o", "0", "b-PER", "O.", "_", "-", "X"]]
    messages = read_tags(rows).messages
    assert len(messages) == 6
    assert messages[0].startswith("sentence 21: token 1: the tag '0' ")
    assert messages[0].endswith("(2 of 408 tokens)")
    assert (
        "2 other tags do not fit either; read 'b-PER' as 'B-PER', 'o' as 'O' (2 of" in messages[5]
    )


@pytest.mark.parametrize(
    ("stray", "scheme"), [("E-PER", "BIO"), ("U-PER", "BIO"), ("S-PER", "BIO")]
)
def test_a_letter_of_another_scheme_does_not_change_that_of_the_rest(stray: str, scheme: Scheme):
    rows = [*NAMES, ["O", stray, "O"]]
    reading = read_tags(rows)
    assert reading.scheme == detect(rows) == scheme
    assert reading.in_scheme(rows[-1]) == ("O", "B-PER", "O")
    assert reading.messages[0].startswith(f"sentence 3: token 2: the tag '{stray}' is not of BIO; ")
    assert reading.messages[0].endswith("written in BIO, this one as 'B-PER' (1 of 43 tokens)")


@pytest.mark.parametrize("name", PLAIN)
def test_parts_of_speech_stay_plain_and_nothing_is_said(name: str):
    row = PLAIN[name].split()
    reading = read_tags([row] * 3)
    assert (reading.scheme, reading.messages) == ("plain", ())
    assert reading.spelled(row) == tuple(row)


def test_labels_alone_beside_o_are_spans_where_o_is_on_most_tokens():
    rows = [["O", "O", "PER", "PER", "O", "O"], ["LOC", "O", "O", "PER", "LOC", "O", "O"]]
    reading = read_tags(rows)
    assert (reading.scheme, detect(rows)) == ("IO", "IO")
    assert [spans(reading.spelled(row)) for row in rows] == [
        [Span("PER", 2, 4)], [Span("LOC", 0, 1), Span("PER", 3, 4), Span("LOC", 4, 5)],
    ]  # fmt: skip
    assert "tags such as 'PER' are read as 'I-PER': as O is on most tokens" in reading.messages[0]
    strays = read_tags([*rows * 4, ["o", "B-PER", "O", "O"]])
    assert strays.spelled(["o", "B-PER", "O", "LOC"]) == ("O", "I-PER", "O", "I-LOC")
    assert len(strays.messages) == 3
    assert read_tags(rows, "plain").spelled(rows[0]) == tuple(rows[0])


def test_what_may_be_spans_and_stays_plain_is_said():
    mixed = [["B-PER", "I-PER", "O", "O", "NN", "VB", "NN"]]
    assert detect(mixed) == "plain"
    (message,) = read_tags(mixed).messages
    for part in (
        "token 1: the tag ",
        "like that of a span",
        "(3 of 7",
        "'NN', sentence 1: token 5",
    ):
        assert part in message
    (message,) = read_tags([["O", "NN", "O", "VB"]]).messages
    assert "the tag 'O' is the most frequent" in message
    assert read_tags(mixed, "plain").messages == ()


def test_tags_that_are_to_be_of_spans_and_are_not_are_an_error():
    given: tuple[Scheme, ...] = ("BIO", "IOB1", "BIOES", "BILOU")
    for scheme in given:
        with pytest.raises(
            InputError, match=r"sentence 1: token 1: tag 'NN': expected O or a letter"
        ):
            read_tags([["NN", "VB", "O", "NN"]], scheme)
    assert read_tags([["PER", "O"]], "IO").spelled(["PER", "O"]) == ("I-PER", "O")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_scheme_that_is_given_is_what_spans_of_others_are_written_in(scheme: Scheme):
    for other in SCHEMES:
        rows = [tags(found, 20, other) for found in SPANS]
        reading = read_tags(rows, scheme)
        assert reading.scheme == scheme
        assert [list(reading.in_scheme(row)) for row in rows] == [
            tags(found, 20, scheme) for found in SPANS
        ]
        assert len(reading.messages) == (scheme != other)
        assert all(f" is not of {scheme}; spans are read as" in text for text in reading.messages)


def test_spans_that_touch_are_one_in_io():
    io = read_tags(NAMES, "IO")
    assert io.in_scheme(NAMES[1])[:6] == ("I-geo-loc", "O", "O", "I-PER", "I-PER", "O")
    assert "this one as 'I-PER'" in io.messages[0]


some_tags = st.lists(
    st.sampled_from(["O", "B-X", "I-X", "o", "NN", "X-B", "X", "B", "", "_", "E-X", "i-x"]),
    max_size=9,
)


@given(rows=st.lists(some_tags, max_size=4))
def test_a_canonical_tag_is_read_as_it_stands(rows: list[list[str]]):
    reading = read_tags(rows)
    counts = Counter(tag for row in rows for tag in row)
    changed = {tag for tag in counts if reading.canonical[tag] != tag}
    assert bool(reading.messages) or not changed
    if reading.scheme != "plain":
        for row in rows:
            spans(reading.spelled(row))
            spans(reading.in_scheme(row))
        again = find_spelling(Counter(reading.spelled(list(counts))), "spans")
        assert not again.strays


@given(
    rows=st.lists(some_tags, max_size=4),
    scheme=st.none() | st.sampled_from([*SCHEMES, "IO", "plain"]),
    kind=st.none() | st.sampled_from(["spans", "IO", "plain"]),
)
def test_no_message_says_that_a_tag_is_read_as_itself(
    rows: list[list[str]], scheme: Scheme | None, kind: Kind | None
):
    try:
        reading = read_tags(rows, scheme, kind)
    except InputError:
        return
    for message in reading.messages:
        read = re.search(r"('.*') does not fit the others; read as ('.*') \(", message)
        read = read or re.search(r"tags such as ('.*') are read as ('.*?')", message)
        assert read is None or read[1] != read[2]


@pytest.mark.parametrize("kind", ["spans", "IO"])
def test_letters_alone_need_no_o_where_spans_are_stated(kind: Kind):
    for rows in (["B", "I"], ["B", "I", "I"], ["b", "i"]):
        reading = read_tags([rows], kind=kind)
        assert reading.spelled(rows) == tuple(tag.upper() for tag in rows)
        assert bool(reading.messages) == (rows == ["b", "i"])
    assert detect([["B", "I"]]) == "plain"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("label", ["PER", "per"])
@pytest.mark.parametrize("lower", ["letters", "outside"])
def test_letters_and_o_need_not_be_of_the_same_case(scheme: Scheme, label: str, lower: str):
    rows = [tags([Span(label, 0, 3), Span(label, 4, 5)], 12, scheme)] * 9
    is_lowered = {"letters": lambda tag: tag != "O", "outside": lambda tag: tag == "O"}[lower]
    written = [
        [tag[0].lower() + tag[1:] if is_lowered(tag) else tag for tag in row] for row in rows
    ]
    reading = read_tags(written)
    assert reading.scheme == scheme
    assert reading.spelled(written[0]) == tuple(rows[0])
    (message,) = reading.messages
    assert "tags such as " in message
    assert read_tags([["O", "o", "o", "B-PER"]]).canonical == {"O": "O", "o": "O", "B-PER": "B-PER"}


@pytest.mark.parametrize(
    ("tag", "read"),
    [
        ("-B-X", "B-X"), ("_B_X", "B-X"), ("B–X", "B-X"), ("b_X", "B-X"), ("X_B", "B-X"),
        ("i:X", "I-X"), ("S_X", "S-X"), ("B-X ", "B-X"), ("B-X\t", "B-X"), ("\xa0B-X", "B-X"),
        ("B-X\xa0", "B-X"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [None, "spans"])
def test_what_is_a_letter_with_a_label_in_some_dialect_is_no_label(
    tag: str, read: str, kind: Kind | None
):
    reading = read_tags([[tag, "O", "O", "O"]] * 3, kind=kind)
    assert reading.canonical == {tag: read, "O": "O"}
    assert f"'{tag!r}'"[1:-1] in reading.messages[0]
    beside = read_tags([["O"] * 8, ["X", "X", "B_X", "X", "X-I"]]).canonical
    assert (beside["B_X"], beside["X-I"]) == ("I-X", "I-X") or "X" not in beside.values()


def test_white_space_around_a_tag_is_no_part_of_its_label():
    rows = [["B-PER ", "I-PER\t", "O "], ["B-PER", "O", "O"]]
    reading = read_tags(rows)
    assert reading.spelled(rows[0]) == ("B-PER", "I-PER", "O")
    assert len(reading.messages) == 3
    assert "the tag 'B-PER ' does not fit the others; read as 'B-PER' (1 of" in "".join(
        reading.messages
    )
    assert read_tags([["NN ", "NN"]]).spelled(["NN "]) == ("NN ",)


def test_o_is_given_as_the_reason_only_where_it_decided():
    for rows, scheme in (([["PER", "LOC"]], "IO"), ([["PER", "LOC", "O", "O", "O"]], "IO")):
        (message,) = read_tags(rows, scheme).messages
        assert message.endswith("tags such as 'PER' are read as 'I-PER'")
    message, _ = read_tags([["PER", "LOC", "O", "O", "O"]], "BIO").messages
    assert "as O is on most tokens, a run of one label is a span, scheme BIO; " in message


def test_labels_that_begin_with_a_letter_stay_whole_where_io_is_stated():
    rows = [["O"] * 8 + ["B-cell"] * 4 + ["T-cell"]]
    (message,) = read_tags(rows).messages
    assert "the tag 'T-cell' does not fit the others; read as 'O' (1 of 13 tokens)" in message
    assert message.endswith("where 'T-cell' is a label as a whole, state the scheme IO")
    assert read_tags(rows, "IO").canonical == {
        "O": "O", "B-cell": "I-B-cell", "T-cell": "I-T-cell",
    }  # fmt: skip
    rest = [["O"] * 30 + ["B-cell"] * 4 + ["virus"] * 8]
    assert read_tags(rest, "IO").canonical["B-cell"] == "I-B-cell"
    slips = [*NAMES, ["O", "NN", "O-PER", "PER"]]
    assert read_tags(slips, "IO").in_scheme(slips[0]) == tuple(
        tag.replace("B-", "I-") for tag in slips[0]
    )


def test_a_scheme_that_does_not_exist_is_an_error():
    code = """# of its own process, where nothing but relmo itself checks what it is given
from relmo.data.spans import convert, invalid, spans, tags
from relmo.data.tag_reading import read_tags
from relmo.errors import InputError
from relmo.tasks.scores import evaluate, span_scores
row = ["B-X", "O"]
for scheme in ("Plain", "bio", 7, ""):
    for call in (
        lambda: read_tags([row], scheme),
        lambda: spans(row, scheme),
        lambda: tags([], 3, scheme),
        lambda: convert(row, scheme),
        lambda: list(invalid(row, scheme)),
        lambda: evaluate([row], [row], scheme),
        lambda: span_scores([row], [row], scheme),
    ):
        try:
            call()
        except InputError as error:
            assert f"scheme {scheme!r}: expected one of BIO, IOB1, BIOES" in str(error), error
        else:
            raise AssertionError(scheme)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_known_labels_are_read_as_labels():
    assert read_tags([["PER", "O"]], kind="spans", labels={"PER"}).canonical["PER"] == "I-PER"
    with pytest.raises(InputError, match="tag 'PER': expected O or a letter"):
        read_tags([["PER", "O"]], kind="spans")
