"""Characters: the ids of formats.md A.1.3, for tokens of any Unicode."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relmo.errors import ConfigError
from relmo.text.chars import BOS_TOKEN, EOS_TOKEN, N_CHARACTERS, CharSpace

# Lone surrogates too; and the marks, whole and in pieces, far oftener than by chance.
any_token = st.one_of(
    st.text(st.characters()),
    st.text(st.sampled_from(["<", "/", "S", ">", "\ud800", "é", "\U0001d4b3", "\0"])),
    st.sampled_from(["", "<S>", "</S>", "<s>", "<UNK>", "e" * 48, "e" * 49, "é" * 10_000]),
)
sizes = st.integers(3, 60)


def slow_ids(token: str, size: int) -> list[int]:
    """The definition, read aloud."""
    if token == "<S>":
        inside = [256]
    elif token == "</S>":
        inside = [257]
    else:
        inside = list(token.encode("utf-8", "ignore"))[: size - 2]
    return ([258, *inside, 259] + size * [260])[:size]


@given(st.lists(any_token), sizes)
@example(["<S>", "</S>", "<S>x", "<\ud800S>"], 5)
@example(["<S>", "</S>"], 3)
@example([], 50)
def test_encode_is_the_definition(tokens: list[str], size: int) -> None:
    ids = CharSpace(size).encode(tokens)
    assert ids.dtype == np.uint16
    assert ids.shape == (len(tokens), size)
    assert ids.tolist() == [slow_ids(token, size) for token in tokens]
    assert ids.max(initial=0) < N_CHARACTERS


@pytest.mark.parametrize(
    ("token", "start"),
    [
        ("", [258, 259, 260]),
        ("cat", [258, 99, 97, 116, 259, 260]),
        ("<S>", [258, 256, 259, 260]),
        ("</S>", [258, 257, 259, 260]),
        ("<s>", [258, 60, 115, 62, 259, 260]),
        ("<UNK>", [258, 60, 85, 78, 75, 62, 259, 260]),
        ("é", [258, 0xC3, 0xA9, 259, 260]),
        ("\ud800", [258, 259, 260]),
    ],
)
def test_published_examples(token: str, start: list[int]) -> None:
    ids = CharSpace().encode([token])[0]
    assert ids[: len(start)].tolist() == start
    assert set(ids[len(start) :].tolist()) == {260}


def test_truncation_may_cut_a_character_in_half() -> None:
    ids = CharSpace(6).encode(["abcé"])[0].tolist()
    assert ids == [258, ord("a"), ord("b"), ord("c"), 0xC3, 259]


@given(any_token, sizes)
@example("<S>x", 5)
@example("</S>x", 6)
@example("<\ud800S>", 5)
@example("\ud800" * 100 + "<S>", 5)
def test_the_key_of_a_token_has_its_ids_and_is_short(token: str, size: int) -> None:
    space = CharSpace(size)
    key = space.key(token)
    assert space.encode([key]).tolist() == space.encode([token]).tolist()
    assert len(key) <= max(size, len(EOS_TOKEN))
    assert space.key(key) == key
    if token not in (BOS_TOKEN, EOS_TOKEN):
        assert key not in (BOS_TOKEN, EOS_TOKEN)


@given(st.lists(any_token), sizes)
def test_lengths_count_what_is_not_padding(tokens: list[str], size: int) -> None:
    space = CharSpace(size)
    assert space.lengths(tokens).tolist() == (space.encode(tokens) != 260).sum(axis=1).tolist()


@given(any_token, sizes)
@example("<S>", 3)
@example("\ud800" * 60, 50)
@example("é" * 25, 50)
def test_truncated_means_that_more_characters_would_change_the_ids(token: str, size: int) -> None:
    roomy = CharSpace(size + 4 * len(token))
    kept = CharSpace(size).lengths([token])[0] == roomy.lengths([token])[0]
    assert CharSpace(size).is_truncated(token) == (not kept)


def test_tuples_and_arrays_of_one_token_encode_alike() -> None:
    space = CharSpace()
    assert (space.encode(("a", "<S>")) == space.encode(["a", "<S>"])).all()
    assert space.encode(["a"]).flags.writeable


@pytest.mark.parametrize("size", [2, 0, -1])
def test_no_room_for_a_byte_is_an_error(size: int) -> None:
    with pytest.raises(ConfigError, match=f"at least 3.*got {size}"):
        CharSpace(size)
