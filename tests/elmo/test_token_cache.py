"""The cache of token vectors: bounded, the least recently used out first, and never wrong."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from relmo.elmo.model import Elmo
from relmo.elmo.token_cache import TokenCache, checked_capacity
from relmo.errors import ConfigError
from relmo.text.lexicon import SPECIAL_CHARACTERS, Lexicon
from relmo.text.vocab import Vocabulary
from tests.nn.helpers import LEXICON, char_config, lexicon_bilm, tiny_bilm

BILM = tiny_bilm(char_cnn=char_config(max_characters_per_token=8)).requires_grad_(False)
WORDS = [
    "a", "b", "c", "", "<S>", "</S>", "abcdef", "abcdefg", "abcdefh", "<S>" * 9, "<S>xyz!",
    "\ud800" * 7 + "a", "\ud800" * 7 + "b",
]  # fmt: skip
"""Some are cut to the same six bytes; the last two begin with characters that have no byte."""
calls = st.lists(st.lists(st.sampled_from(WORDS), max_size=9), max_size=6)


class Recorded(TokenCache):
    """Remembers which words were encoded."""

    def encode(self, words):
        self.encoded = [*getattr(self, "encoded", []), *words]
        return super().encode(words)

    def after(self, *words: str) -> list[str]:
        """What is encoded when these words are asked for."""
        self.encoded: list[str] = []
        self.vectors(words)
        return self.encoded


def table(capacity: int, kind: type[TokenCache] = TokenCache) -> TokenCache:
    return kind(BILM, None, capacity)


def uncached(tokens: list[str]) -> Tensor:
    return torch.cat([BILM.token_encoder.char_embedding.new_zeros(0, 5),
                      *(table(0).encode([token]) for token in tokens)])  # fmt: skip


@settings(max_examples=60)
@given(calls, st.sampled_from([0, 1, 2, 3, 5, 10**5]))
def test_a_cache_of_any_size_changes_no_number_and_stays_within_it(
    batches: list[list[str]], capacity: int
):
    found = table(capacity)
    for tokens in batches:
        vectors = found.vectors(tokens)
        assert vectors.shape == (len(tokens), 5)
        torch.testing.assert_close(vectors, uncached(tokens), rtol=1e-5, atol=1e-6)
        assert len(found) <= capacity


@settings(max_examples=60)
@given(calls, st.integers(1, 6))
def test_a_large_enough_cache_encodes_each_word_once(batches: list[list[str]], capacity: int):
    found, seen = table(100, Recorded), set()
    for tokens in batches:
        new = {found.reader.key(token) for token in tokens} - seen
        assert {found.reader.key(token) for token in found.after(*tokens)} == new
        seen |= new


def test_the_least_recently_used_word_goes_first():
    found = table(2, Recorded)
    assert found.after("a") == ["a"]
    assert found.after("b") == ["b"]
    assert found.after("a") == []
    assert found.after("c") == ["c"]  # b goes, a was used after it
    assert found.after("a", "c") == []
    assert found.after("b") == ["b"]  # a goes
    assert found.after("c", "b") == []
    assert found.after("a") == ["a"]


def test_more_new_words_than_fit_leave_the_last_ones():
    found = table(3, Recorded)
    found.vectors(["x1", "x2", "x3", "x4", "x5"])
    assert found.after("x3", "x4", "x5") == []
    assert found.after("x1") == ["x1"]


def test_words_cut_to_the_same_bytes_share_a_place():
    found = table(10, Recorded)
    tokens = ["abcdefg", "abcdefh", "a", "b"]
    for _ in range(2):
        torch.testing.assert_close(found.vectors(tokens), uncached(tokens))
        assert len(found) == 3
    assert found.after("abcdefi", "abcdef", "a", "b") == []


def test_a_cut_token_is_not_taken_for_a_mark():
    bilm = tiny_bilm(char_cnn=char_config(max_characters_per_token=5))
    found = TokenCache(bilm, None, 10)
    mark, cut = found.vectors(["<S>", "<S>xyz"])
    assert not torch.allclose(mark, cut)
    torch.testing.assert_close(found.vectors(["<S>"])[0], mark)
    torch.testing.assert_close(found.vectors(["<S>xyz"])[0], cut)


def change_in_place(bilm):
    with torch.no_grad():
        for parameter in bilm.token_encoder.parameters():
            parameter.add_(0.5)


def change_by_loading(bilm):
    bilm.load_state_dict({name: value + 0.5 for name, value in bilm.state_dict().items()})


def change_by_optimizer(bilm):
    for parameter in bilm.parameters():
        parameter.grad = torch.full_like(parameter, -0.5)
    torch.optim.SGD(bilm.parameters(), lr=1.0).step()


def change_one_tensor(bilm):
    projection = bilm.token_encoder.projection
    projection.bias = torch.nn.Parameter(projection.bias + 0.5)


def change_to_float64(bilm):
    bilm.double()


CHANGES = [
    change_in_place, change_by_loading, change_by_optimizer, change_one_tensor, change_to_float64,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_when_the_encoder_changes_the_cache_is_emptied(change):
    bilm = tiny_bilm()
    found = Recorded(bilm, None, 10)
    before = found.vectors(["a", "b"])
    change(bilm)
    assert found.after("a", "b") == ["a", "b"]
    expected = TokenCache(bilm, None, 0).vectors(["a", "b"])
    torch.testing.assert_close(found.vectors(["a", "b"]), expected)
    if change is not change_to_float64:
        assert not torch.allclose(expected, before)


def test_cleared_it_has_forgotten_every_word():
    found = table(10, Recorded)
    found.vectors(["a", "b"])
    assert len(found) == 2
    found.clear()
    assert len(found) == 0
    assert found.after("a", "b") == ["a", "b"]


def test_what_is_given_out_is_not_the_cache_itself():
    found = table(10)
    expected = found.vectors(["a", "b"]).clone()
    for _ in range(2):
        found.vectors(["a", "b"]).zero_()
    torch.testing.assert_close(found.vectors(["a", "b"]), expected)


def test_vectors_have_no_graph_and_encode_has_one_where_the_encoder_trains():
    bilm = tiny_bilm()
    found = TokenCache(bilm, None, 10)
    assert not found.vectors(["a"]).requires_grad
    assert found.encode(["a"]).requires_grad
    bilm.requires_grad_(False)
    assert not found.encode(["a"]).requires_grad


def test_words_made_in_inference_mode_serve_outside_of_it():
    found = table(2)
    with torch.inference_mode():
        found.vectors(["a", "b"])
    for tokens in (["a"], ["c", "a"], ["b"]):
        torch.testing.assert_close(found.vectors(tokens), uncached(tokens))


def test_more_words_than_are_encoded_together_come_out_in_order(monkeypatch):
    monkeypatch.setattr("relmo.elmo.token_cache._ENCODED_TOGETHER", 2)
    torch.testing.assert_close(table(3).vectors(WORDS), uncached(WORDS))


def test_a_word_model_is_looked_up_by_the_whole_word():
    vocab = Vocabulary(["</S>", "<S>", "<UNK>", "a" * 60, "a" * 61])
    bilm = tiny_bilm(n_words=5)
    found = TokenCache(bilm, vocab, 2)
    rows = bilm.state_dict()["token_encoder.embedding"]
    tokens = ["a" * 61, "zebra", "<S>", "a" * 60, "a" * 61]
    for _ in range(2):
        assert torch.equal(found.vectors(tokens), rows[[4, 2, 1, 3, 4]])


def test_no_tokens_have_no_vectors():
    assert table(2).vectors([]).shape == (0, 5)


@pytest.mark.parametrize("kind", ["cnn", "lstm"])
def test_a_model_with_a_lexicon_is_cached_by_what_it_reads_of_a_word(kind: str):
    bilm = lexicon_bilm(kind).requires_grad_(False)
    found, uncached = Recorded(bilm, None, 4, LEXICON), TokenCache(bilm, None, 0, LEXICON)
    tokens = ["abc", "abcabX", "abcabYZ", "<bos>", "zz", "xx", "", "abcab", "abcd"]
    for _ in range(2):
        expected = torch.stack([uncached.encode([token])[0] for token in tokens])
        torch.testing.assert_close(found.vectors(tokens), expected)
        assert len(found) == 4
    first, second = found.vectors(["zz", "xx"])
    torch.testing.assert_close(first, second)  # two words unknown in every part
    found.vectors(["abcab"])
    assert found.after("abcab!", "abcab?!", "abcab") == []


def test_boundary_tokens_are_those_of_what_is_read():
    found = TokenCache(lexicon_bilm("cnn"), None, 4, LEXICON)
    assert (found.reader.begin, found.reader.end) == ("<bos>", "<eos>")
    assert (table(1).reader.begin, table(1).reader.end) == ("<S>", "</S>")


def test_a_model_warns_of_boundary_tokens_and_of_its_limit(caplog: pytest.LogCaptureFixture):
    elmo = Elmo(lexicon_bilm("cnn"), lexicon=LEXICON)
    for _ in range(2):
        elmo.embed([["abcabc", "<S>", "<eos>"]])
    assert [record.getMessage() for record in caplog.records] == [
        "the token '<eos>' is read as a boundary token (said once)",
        "tokens longer than 5 characters are cut to them, e.g. 'abcabc' (said once)",
    ]


@pytest.mark.parametrize("lexicon", [None, Lexicon(["<oov>"], SPECIAL_CHARACTERS)])
def test_a_lexicon_of_another_size_is_an_error(lexicon: Lexicon | None):
    with pytest.raises(ConfigError, match="6 words and 9 characters needs a lexicon of as many"):
        TokenCache(lexicon_bilm("cnn"), None, 4, lexicon)


@pytest.mark.parametrize("kind", ["cnn", "lstm"])
def test_every_part_of_a_lexicon_encoder_trains(kind: str):
    bilm = lexicon_bilm(kind)
    TokenCache(bilm, None, 4, LEXICON).encode(
        ["abc", "abccba", "a", "<eos>"]
    ).square().sum().backward()
    for name, parameter in bilm.token_encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_table_can_be_given_another_capacity_and_starts_anew():
    found = table(2, Recorded)
    found.vectors(["a", "b"])
    for capacity in (5, 1, 0):
        found.capacity = capacity
        assert len(found) == 0
        tokens = ["a", "b", "c", "a", "abcdef"]
        for _ in range(2):
            torch.testing.assert_close(found.vectors(tokens), uncached(tokens))
        assert len(found) == min(capacity, 4)


def test_fewer_words_than_none_are_an_error_that_names_what_was_set():
    found, message = table(2), re.escape("expected an integer of at least 0 (words), got -1")
    found.vectors(["a"])
    with pytest.raises(ConfigError, match=f"^capacity: {message}"):
        found.capacity = -1
    assert len(found) == 1
    with pytest.raises(ConfigError, match=f"^capacity: {message}"):
        table(-1)
    with pytest.raises(ConfigError, match=f"^cache_size: {message}"):
        Elmo(BILM, cache_size=-1)


@pytest.mark.parametrize("wrong", [1.5, True, None, "3"], ids=repr)
def test_what_is_not_a_number_of_words_is_an_error_that_names_it(wrong: object):
    message = re.escape(f"capacity: expected an integer of at least 0 (words), got {wrong!r}")
    with pytest.raises(ConfigError, match=message):
        checked_capacity(wrong, "capacity")
    assert checked_capacity(np.int64(3), "capacity") == 3
