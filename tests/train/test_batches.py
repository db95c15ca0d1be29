"""Sentence batches and streams: by hand, every sentence once, decided by a seed, seekable."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from relmo.data.corpora import Corpus
from relmo.errors import FormatError, InputError
from relmo.text.vocab import Vocabulary
from relmo.train import batches
from relmo.train.batches import Batches, Encoder, SentenceBatches, StreamBatches, sentence_batch
from tests.train.helpers import (
    VOCAB,
    WORDS,
    Row,
    as_words,
    assert_same_batch,
    random_sentences,
    write,
)

ENCODER = Encoder(VOCAB, 10)


MODES = ["sentence", "rows", "stream"]


def source(mode: str, corpus: Corpus, seed: int = 1, tokens: int = 20, steps: int = 5) -> Batches:
    if mode == "sentence":
        return SentenceBatches(corpus, ENCODER, tokens, 2, seed)
    return StreamBatches(corpus, ENCODER, tokens // steps, steps, seed, resets=mode == "rows")


def corpus_of(folder: Path, n: int = 30) -> tuple[Corpus, list[list[str]]]:
    """Three files, compressed and not, with blank lines, and their sentences."""
    sentences = random_sentences(n)
    a, b = n // 2, n // 2 + n // 3
    paths = [
        write(folder / "a.txt.gz", sentences[:a], blanks=1),
        write(folder / "b.txt", sentences[a:b]),
        write(folder / "c.txt.xz", sentences[b:]),
    ]
    return Corpus(paths), sentences


# --- one batch by hand ----------------------------------------------------------------------------


def test_a_sentence_predicts_each_next_word_in_both_directions():
    ahead, back = as_words(sentence_batch([["w1", "odd", "w2"], ["w3"]], ENCODER))
    assert ahead == [
        [("<S>", "w1"), ("w1", "<UNK>"), ("odd", "w2"), ("w2", "</S>")],
        [("<S>", "w3"), ("w3", "</S>")],
    ]
    assert back == [
        [("</S>", "w2"), ("w2", "<UNK>"), ("odd", "w1"), ("w1", "<S>")],
        [("</S>", "w3"), ("w3", "<S>")],
    ]


def test_a_batch_is_packed_time_major_without_padding_and_encodes_a_word_once():
    batch = sentence_batch([["w1", "w1", "w2"], ["w1"]], ENCODER)
    assert batch.batch_sizes == (2, 2, 1, 1)
    assert batch.n_predictions == 6
    targets = ["w1", "w1", "w1", "</S>", "w2", "</S>"]
    assert batch.forward_targets.tolist() == VOCAB.ids(targets).tolist()
    assert len(batch.words) == len({"<S>", "w1", "w2", "</S>"})


def test_a_word_model_reads_ids_of_the_vocabulary():
    batch = sentence_batch([["w1", "odd"]], Encoder(VOCAB, None))
    read = batch.words[batch.forward_inputs].tolist()
    assert read == VOCAB.ids(["<S>", "w1", "<UNK>"]).tolist()


def test_moving_a_batch_changes_nothing():
    batch = sentence_batch([["w1", "w2"]], ENCODER)
    assert_same_batch(batch.to(torch.device("cpu")), batch)


@pytest.mark.parametrize("missing", ["<S>", "</S>", "<UNK>"])
def test_a_vocabulary_without_a_special_word_is_an_error(missing: str):
    words = [word for word in VOCAB.words if word != missing]
    with pytest.raises(FormatError, match=f"no '{missing}' among"):
        Encoder(Vocabulary(words), 10)


# --- sentence mode --------------------------------------------------------------------------------


@pytest.mark.parametrize(("buffer_lines", "pool"), [(1, 1), (7, 1), (16_384, 1), (16_384, 4)])
def test_every_sentence_of_an_epoch_is_given_once_within_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buffer_lines: int, pool: int
):
    monkeypatch.setattr(batches, "_BUFFER_LINES", buffer_lines)
    corpus, sentences = corpus_of(tmp_path)
    vocab = Vocabulary.build(sentences)
    given = SentenceBatches(corpus, Encoder(vocab, 10), 20, pool, seed=3)
    n = 0
    for _ in range(3):
        ahead: list[Row] = []
        back: list[Row] = []
        while len(ahead) < len(sentences):
            batch = given.next()
            n += 1
            assert batch.n_predictions <= 20
            rows = as_words(batch, vocab)
            ahead += rows[0]
            back += rows[1]
        read = Counter(tuple(target for _, target in row[:-1]) for row in ahead)
        assert read == Counter(map(tuple, sentences))
        read_back = Counter(tuple(target for _, target in row[-2::-1]) for row in back)
        assert read_back == read
    if buffer_lines > 1:
        assert n < 3 * len(sentences)  # batches hold several


def test_a_sentence_over_the_budget_comes_in_pieces_within_it(tmp_path: Path):
    long = [WORDS[k % 12] for k in range(50)]
    given = SentenceBatches(Corpus(write(tmp_path / "a.txt", [long])), ENCODER, 20, 3, seed=1)
    pieces = []
    for _ in range(3):
        batch = given.next()
        assert batch.n_predictions <= 20
        pieces += [[target for _, target in row[:-1]] for row in as_words(batch)[0]]
    assert sorted(map(len, pieces)) == [12, 19, 19]
    assert Counter(word for piece in pieces for word in piece) == Counter(long)
    assert long[:19] in pieces
    assert long[19:38] in pieces


def test_epochs_come_in_different_orders(tmp_path: Path):
    sentences = [[word] for word in WORDS]
    given = SentenceBatches(Corpus(write(tmp_path / "a.txt", sentences)), ENCODER, 2, 9, seed=1)
    orders = [[as_words(given.next())[0][0][0][1] for _ in WORDS] for _ in range(3)]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(WORDS)
    assert WORDS != orders[0] != orders[1] != orders[2]


def test_a_large_pool_brings_like_lengths_together_and_one_batch_mixes_them(tmp_path: Path):
    corpus = Corpus(write(tmp_path / "a.txt", random_sentences(300, longest=12)))
    shares = []
    for pool in (1, 1000):
        given = SentenceBatches(corpus, ENCODER, 60, pool, seed=1)
        sizes = [given.next().batch_sizes for _ in range(25)]
        shares.append(min(sum(size) / (len(size) * size[0]) for size in sizes))
        steps = [len(size) for size in sizes]
        assert steps != sorted(steps)
        assert steps != sorted(steps, reverse=True)
    assert min(map(sum, sizes)) > 40  # no crumbs
    assert shares[0] < 0.7 < 0.85 < shares[1]


# --- stream mode ----------------------------------------------------------------------------------


def streams(given: Batches, n_batches: int) -> tuple[list[Row], list[Row]]:
    """Each row's text over several batches, forwards and backwards."""
    first = as_words(given.next())
    for _ in range(n_batches - 1):
        for side, more in zip(first, as_words(given.next()), strict=True):
            for row, next_row in zip(side, more, strict=True):
                row += next_row
    return first


@pytest.mark.parametrize("steps", [1, 5, 20])
def test_streams_continue_from_batch_to_batch_and_end_marks_are_targets_only(
    tmp_path: Path, steps: int
):
    given = source("stream", corpus_of(tmp_path)[0], steps=steps)
    ahead, back = streams(given, 60 // steps)
    assert len(ahead) == len(back) == 20 // steps
    for rows, begin, end in ((ahead, "<S>", "</S>"), (back, "</S>", "<S>")):
        for row in rows:
            assert len(row) == 60
            assert row[0][0] == begin
            for (word, target), (next_word, _) in pairwise(row):
                assert next_word == begin if target == end else target in (next_word, "<UNK>")
                assert word != end


def starts(rows: list[Row], begin: str) -> list[str]:
    """The first words of the sentences that a direction has begun."""
    return [after[0] for row in rows for (word, _), after in pairwise(row) if word == begin]


def test_streams_give_each_sentence_as_often_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(batches, "_BUFFER_LINES", 7)
    corpus, sentences = corpus_of(tmp_path)
    given = source("stream", corpus, tokens=1, steps=1)  # one row
    for rows, begin in zip(streams(given, 700), ("<S>", "</S>"), strict=True):
        order = starts(rows, begin)
        assert len(order) > 3 * len(sentences)
        for k in range(3):
            part = order[k * len(sentences) : (k + 1) * len(sentences)]
            assert sorted(part) == sorted(sentence[0] for sentence in sentences)
    rows = streams(source("stream", corpus, tokens=40, steps=5), 80)  # eight
    for side, begin in zip(rows, ("<S>", "</S>"), strict=True):
        counts = Counter(starts(side, begin))
        assert len(counts) == len(sentences)
        assert max(counts.values()) - min(counts.values()) <= 2  # an unread word a row


def test_streams_are_shuffled_anew_each_epoch_and_each_direction_on_its_own(tmp_path: Path):
    sentences = random_sentences(20)
    corpus = Corpus(write(tmp_path / "a.txt", sentences))
    orders = [[sentence[0] for sentence in sentences]]
    given = source("stream", corpus, tokens=1, steps=1)
    for rows, begin in zip(streams(given, 300), ("<S>", "</S>"), strict=True):
        order = starts(rows, begin)
        orders += [order[:20], order[20:40]]
    assert all(sorted(order) == sorted(orders[0]) for order in orders)
    assert len(set(map(tuple, orders))) == 5


def test_rows_mark_where_a_sentence_starts_and_streams_do_not(tmp_path: Path):
    corpus = corpus_of(tmp_path)[0]
    rows, stream = (source(mode, corpus) for mode in ("rows", "stream"))
    for _ in range(10):
        batch, same = rows.next(), stream.next()
        assert same.forward_keep is None
        assert same.backward_keep is None
        assert as_words(batch) == as_words(same)
        for inputs, keep, begin in (
            (batch.forward_inputs, batch.forward_keep, ENCODER.batch((), (["<S>"], []), ([], []))),
            (
                batch.backward_inputs,
                batch.backward_keep,
                ENCODER.batch((), (["</S>"], []), ([], [])),
            ),
        ):
            starts_here = (batch.words[inputs] == begin.words).all(1)
            assert keep is not None
            assert keep.tolist() == [[0.0 if start else 1.0] for start in starts_here.tolist()]


def test_a_long_sentence_flows_through_any_number_of_batches(tmp_path: Path):
    long = [WORDS[k % 12] for k in range(500)]
    given = source("stream", Corpus(write(tmp_path / "a.txt", [long])), tokens=5)
    ahead, back = streams(given, 200)
    assert [target for _, target in ahead[0][:501]] == [*long, "</S>"]
    assert [target for _, target in back[0][:501]] == [*long[::-1], "<S>"]


# --- both -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_the_seed_decides_everything(tmp_path: Path, mode: str):
    corpus = corpus_of(tmp_path)[0]
    one, same, other = (source(mode, corpus, seed) for seed in (1, 1, 2))
    differing = 0
    for _ in range(20):
        batch = one.next()
        assert_same_batch(batch, same.next())
        differing += as_words(batch) != as_words(other.next())
    assert differing > 15


@pytest.mark.parametrize("buffer_lines", [1, 4, 10, 16_384])
@pytest.mark.parametrize("mode", MODES)
def test_a_position_continues_with_the_very_next_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, buffer_lines: int
):
    monkeypatch.setattr(batches, "_BUFFER_LINES", buffer_lines)
    corpus = corpus_of(tmp_path, 12)[0]
    given = source(mode, corpus)
    positions, following = [], []
    for _ in range(20):  # several epochs
        positions.append(json.dumps(given.position()))
        following.append(given.next())
    sought = source(mode, corpus)
    for k in (0, 19, *range(18)):
        fresh = source(mode, corpus)
        for reader in (fresh, sought):  # new, and having been elsewhere
            reader.seek(json.loads(positions[k]))
            assert json.dumps(reader.position()) == positions[k]
            assert_same_batch(reader.next(), following[k])
        for batch in following[k + 1 : k + 4]:
            assert_same_batch(fresh.next(), batch)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("text", ["", "\n", " \n\t\n\n"])
def test_a_corpus_with_no_usable_line_is_an_error(tmp_path: Path, mode: str, text: str):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(InputError, match=r"a\.txt: no usable line"):
        source(mode, Corpus(tmp_path / "a.txt")).next()


@pytest.mark.parametrize("mode", MODES)
def test_a_corpus_that_became_blank_after_a_position_ends_in_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
):
    monkeypatch.setattr(batches, "_BUFFER_LINES", 1)
    path = write(tmp_path / "a.txt", [["w1"], ["w2"]])
    given = source(mode, Corpus(path), tokens=5)
    while '"line": 1' not in json.dumps(given.position()):  # within an epoch
        given.next()
    position = given.position()
    path.write_text("\n\n")

    def go_on() -> None:
        given.seek(position)
        for _ in range(5):
            given.next()

    with pytest.raises(InputError, match="no usable line"):  # and no search without end
        go_on()


@pytest.mark.parametrize("mode", MODES)
def test_a_line_that_is_no_utf8_is_an_error_that_names_it(tmp_path: Path, mode: str):
    (tmp_path / "a.txt").write_bytes(b"w1\nw2 \xff\n")
    with pytest.raises(InputError, match=r"a\.txt: line 2: not UTF-8"):
        source(mode, Corpus(tmp_path / "a.txt")).next()
