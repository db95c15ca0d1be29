"""AllenNLP's `Elmo` and its ids: goldens, shapes, masks, mixes, gradients, states."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from relmo.compat.allennlp import Elmo, ElmoTokenEmbedder, batch_to_ids
from relmo.elmo.model import load
from relmo.errors import ConfigError, InputError, ShapeError
from tests.formats.helpers import save_random
from tests.helpers import tiny_elmo, tiny_model

SENTENCES = [["The", "cat", "sat", "."], ["Hi"], [], ["naïve", "x" * 60, "", "<UNK>", "Hi", "."]]
WORDS = ["<pad>", "cat", "Hi", "."]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_model(tmp_path_factory.mktemp("allennlp") / "tiny"))


@pytest.fixture(scope="module")
def golden(goldens: Path) -> tuple[str, str]:
    folder = goldens / "allennlp"
    return str(folder / "options.json"), str(folder / "lm_weights.hdf5")


@pytest.fixture(scope="module")
def streams(goldens: Path) -> list[list[list[str]]]:
    lines = json.loads((goldens / "allennlp" / "sentences.json").read_text())
    return [[line.split() for line in stream] for stream in lines]


def only(layer: int) -> list[float]:
    """Parameters of a mix of one layer of three."""
    return [1.0 if number == layer else -9e10 for number in range(3)]


# --- ids ------------------------------------------------------------------------------------------


def test_ids_are_allennlps():
    ids = batch_to_ids([["cat", "<S>"], ["é"]])
    assert (ids.dtype, ids.shape) == (torch.int64, (2, 2, 50))
    assert ids[0, 0, :6].tolist() == [259, 100, 98, 117, 260, 261]
    assert ids[0, 1, :5].tolist() == [259, 257, 260, 261, 261]
    assert ids[1, 0, :5].tolist() == [259, 196, 170, 260, 261]
    assert not ids[1, 1].any()
    assert batch_to_ids([["x" * 99]])[0, 0, -2:].tolist() == [121, 260]
    assert batch_to_ids([]).shape == (0, 0, 50)
    assert batch_to_ids([[], []]).shape == (2, 0, 50)


# --- vectors --------------------------------------------------------------------------------------


def test_a_zero_state_gives_the_golden_layers(golden, streams, goldens: Path):
    expected = np.load(goldens / "allennlp" / "zero_state_layers.npz")
    batch = [stream[4] for stream in streams]
    for layer in range(3):
        elmo = Elmo(*golden, 1, dropout=0, scalar_mix_parameters=only(layer))
        for _ in range(2):  # twice the same
            output = elmo(batch_to_ids(batch))
            (vectors,) = output["elmo_representations"]
            for stream, sentence in enumerate(batch):
                np.testing.assert_allclose(
                    vectors[stream, : len(sentence)].detach(),
                    expected[f"{stream}_4"][layer], rtol=1.2e-7, atol=1e-6,
                )  # fmt: skip


def test_a_carried_state_gives_the_vectors_of_the_original_code(golden, streams, goldens: Path):
    elmo = Elmo(*golden, 1, dropout=0, scalar_mix_parameters=only(2), stateful=True)
    for n_turns in (10, 2):  # after a reset from the beginning
        turns = list(zip(*streams, strict=True))[:n_turns]
        assert len(turns) == n_turns
        for number, batch in enumerate(turns):
            (vectors,) = elmo(batch_to_ids(list(batch)))["elmo_representations"]
            for stream, sentence in enumerate(batch):
                with h5py.File(goldens / "allennlp" / f"lm_embeddings_{stream}.hdf5") as file:
                    expected = np.concatenate(file[str(number)], axis=1)
                found = vectors[stream, : len(sentence)]
                np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
        elmo.reset_states()


def test_the_mean_of_the_layers_is_that_of_relmo_and_zero_behind_the_end(model: str):
    output = Elmo(None, model, 2, dropout=0)(batch_to_ids(SENTENCES))
    assert list(output) == ["elmo_representations", "mask"]
    assert len(output["elmo_representations"]) == 2
    lengths = [len(sentence) for sentence in SENTENCES]
    assert output["mask"].dtype == torch.int64
    assert output["mask"].sum(dim=1).tolist() == lengths
    for vectors in output["elmo_representations"]:
        assert vectors.shape == (4, 6, 8)
        for row, expected in zip(vectors, tiny_elmo().embed(SENTENCES), strict=True):
            np.testing.assert_allclose(row[: len(expected)].detach(), expected, atol=1e-6)
            assert not row[len(expected) :].any()


def test_a_batch_of_other_rows_or_padding_changes_no_vector(model: str):
    elmo = Elmo(None, model, 1, dropout=0)
    ids = batch_to_ids(SENTENCES)
    whole = elmo(ids)["elmo_representations"][0]
    for row in range(4):
        padded = torch.cat([ids[row : row + 1], torch.zeros(1, 3, 50, dtype=torch.int64)], dim=1)
        output = elmo(padded)
        torch.testing.assert_close(output["elmo_representations"][0][:, :6], whole[row : row + 1])
        assert output["mask"].shape == (1, 9)


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (2, 0), (2, 3)])
def test_batches_without_tokens(shape: tuple[int, int], model: str):
    for kept in (False, True):
        elmo = Elmo(None, model, 1, keep_sentence_boundaries=kept)
        output = elmo(torch.zeros(*shape, 50, dtype=torch.int64))
        rows, time = shape[0], shape[1] + 2 * kept
        assert output["elmo_representations"][0].shape == (rows, time, 8)
        assert output["mask"].shape == (rows, time)
        assert output["mask"].sum() == 2 * rows * kept


def test_axes_before_time_are_kept(model: str):
    ids = batch_to_ids(SENTENCES)
    for kept in (False, True):
        elmo = Elmo(None, model, 1, dropout=0, keep_sentence_boundaries=kept)
        flat, deep = elmo(ids), elmo(ids.view(2, 1, 2, 6, 50))
        assert deep["mask"].shape == (2, 1, 2, 6 + 2 * kept)
        torch.testing.assert_close(deep["mask"].flatten(0, 2), flat["mask"], rtol=0, atol=0)
        torch.testing.assert_close(
            deep["elmo_representations"][0].flatten(0, 2), flat["elmo_representations"][0]
        )


def test_sentence_boundaries_may_be_kept(model: str):
    ids = batch_to_ids(SENTENCES)
    without, kept = (
        Elmo(None, model, 1, dropout=0, keep_sentence_boundaries=keep)(ids)
        for keep in (False, True)
    )
    assert kept["mask"].sum(dim=1).tolist() == [len(sentence) + 2 for sentence in SENTENCES]
    vectors = kept["elmo_representations"][0]
    assert vectors.shape == (4, 8, 8)
    for row, sentence in enumerate(SENTENCES):
        n = len(sentence)
        inside = without["elmo_representations"][0][row, :n]
        torch.testing.assert_close(vectors[row, 1 : n + 1], inside)
        assert vectors[row, 0].any()
        assert vectors[row, n + 1].any()
        assert not vectors[row, n + 2 :].any()


def test_layer_norm_is_over_the_tokens_and_marks_of_the_batch(model: str):
    ids = batch_to_ids(SENTENCES)
    layers = Elmo(None, model, 1)._elmo_lstm(ids)
    elmo = Elmo(None, model, 1, do_layer_norm=True, dropout=0, keep_sentence_boundaries=True)
    real = layers["mask"].bool()
    rows = [layer[real] for layer in layers["activations"]]  # (N, dim)
    expected = sum((row - row.mean()) / row.std(correction=0) for row in rows) / 3
    torch.testing.assert_close(elmo(ids)["elmo_representations"][0][real], expected)


def test_dropout_comes_after_the_mix_in_training_only(model: str):
    elmo = Elmo(None, model, 2, dropout=0.5)
    ids = batch_to_ids(SENTENCES)
    exact = elmo.eval()(ids)["elmo_representations"][0]
    first, second = elmo.train()(ids)["elmo_representations"]
    assert not torch.equal(first, second)
    for dropped in (first, second):
        kept = dropped != 0
        torch.testing.assert_close(dropped[kept], 2 * exact[kept])


# --- parameters -----------------------------------------------------------------------------------


def test_only_the_mixes_train_unless_asked(model: str):
    ids = batch_to_ids(SENTENCES)
    for trains in (False, True):
        elmo = Elmo(None, model, 2, requires_grad=trains, dropout=0)
        sum(x.square().sum() for x in elmo(ids)["elmo_representations"]).backward()
        trained = {name for name, p in elmo.named_parameters() if p.grad is not None}
        mixes = {f"scalar_mix_{k}.{part}" for k in range(2) for part in ("weights", "gamma")}
        names = {name for name, _ in elmo.named_parameters()}
        assert trained == (names if trains else mixes)
        assert len(names) > len(mixes)  # the biLM is among them, frozen or not


def test_a_trained_bilms_gradient_is_that_of_its_embedding(model: str):
    elmo = Elmo(None, model, 1, requires_grad=True, dropout=0).double()
    ids = batch_to_ids(SENTENCES[:1])
    weight = elmo._elmo_lstm.bilm.token_encoder.char_embedding

    def loss() -> Tensor:
        return elmo(ids)["elmo_representations"][0].square().sum()

    loss().backward()
    with torch.no_grad():
        place, step = (ord("c"), 1), 1e-5
        weight[place] += step
        above = loss()
        weight[place] -= 2 * step
        slope = (above - loss()) / (2 * step)
    assert float(slope) == pytest.approx(float(weight.grad[place]), rel=1e-4)


def test_given_mix_parameters_are_not_trained(model: str):
    elmo = Elmo(None, model, 1, scalar_mix_parameters=[0.5, 1.5, -1.0])
    assert not any(p.requires_grad for p in elmo.parameters())
    with pytest.raises(ConfigError, match="expected 3 numbers, one a layer, got 2"):
        Elmo(None, model, 1, scalar_mix_parameters=[0.5, 1.5])


def test_a_model_moves_and_is_saved_whole(model: str):
    elmo, other = Elmo(None, model, 1, dropout=0), Elmo(None, model, 1, dropout=0)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_state_dict(elmo.state_dict())
    ids = batch_to_ids(SENTENCES)
    found = other(ids)["elmo_representations"][0]
    torch.testing.assert_close(found, elmo(ids)["elmo_representations"][0], rtol=0, atol=0)
    assert elmo.get_output_dim() == 8


# --- cached words ---------------------------------------------------------------------------------


def test_cached_words_are_looked_up_and_give_the_same_vectors(model: str):
    elmo = Elmo(None, model, 1, dropout=0, vocab_to_cache=WORDS)
    words = torch.tensor([[1, 3, 0], [2, 2, 1]])
    ids = batch_to_ids([["cat", "."], ["Hi", "Hi", "cat"]])
    by_characters = elmo(ids)
    elmo._elmo_lstm.bilm.token_encoder.requires_grad_(False).char_embedding.zero_()
    for inputs in (ids, None):
        by_words = elmo(inputs, words)
        assert torch.equal(by_words["mask"], by_characters["mask"])
        torch.testing.assert_close(
            by_words["elmo_representations"][0], by_characters["elmo_representations"][0]
        )
    deep = elmo(None, words.view(1, 2, 3))["elmo_representations"][0]
    assert deep.shape == (1, 2, 3, 8)


def test_words_that_are_not_cached_are_encoded_and_said(model: str, caplog):
    ids = batch_to_ids([["cat", "."]])
    plain = Elmo(None, model, 1, dropout=0)
    cached = Elmo(None, model, 1, dropout=0, vocab_to_cache=WORDS)
    expected = plain(ids)["elmo_representations"][0]
    for elmo, said in ((plain, "no vocabulary was cached"), (cached, "word id 4 is beyond the 4")):
        found = elmo(ids, torch.tensor([[4, 3]]))["elmo_representations"][0]
        torch.testing.assert_close(found, expected)
        assert said in caplog.text
        with pytest.raises(InputError, match=said):
            elmo(None, torch.tensor([[4, 3]]))


# --- other models ---------------------------------------------------------------------------------


class OtherBiLM(nn.Module):
    """Two layers: ones and twos."""

    num_layers = 2

    def get_output_dim(self) -> int:
        return 4

    def forward(self, inputs: Tensor, _: object) -> dict[str, object]:
        mask = torch.ones(len(inputs), inputs.shape[1] + 2, dtype=torch.int64)
        mask[0, -1] = 0
        ones = torch.ones(*mask.shape, 4)
        return {"activations": [ones, 2 * ones], "mask": mask}


def test_another_bilm_may_be_given(model: str):
    elmo = Elmo(None, None, 1, dropout=0, module=OtherBiLM())
    assert elmo.get_output_dim() == 4
    output = elmo(torch.ones(2, 3, 50, dtype=torch.int64))
    assert output["mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    expected = 1.5 * output["mask"][:, :, None].expand(2, 3, 4)
    torch.testing.assert_close(output["elmo_representations"][0], expected)
    with pytest.raises(ConfigError, match="give module or options_file"):
        Elmo(None, model, 1, module=OtherBiLM())


@pytest.mark.parametrize("width", [10, 60])
def test_a_model_of_another_width_reads_allennlps_ids(width: int, tmp_path: Path):
    folder = save_random(tmp_path / "m", max_characters=width)
    sentence = ["short", "exactly8", "longer-than-8", "", "<S>"]
    (expected,) = load(folder).embed([sentence], layers="token")
    elmo = Elmo(None, str(folder), 1, dropout=0, scalar_mix_parameters=only(0))
    (found,) = elmo(batch_to_ids([sentence]))["elmo_representations"]
    np.testing.assert_allclose(found[0], expected, atol=1e-6)


def test_a_token_embedder_gives_one_mix_projected_or_not(model: str):
    ids = batch_to_ids(SENTENCES)
    expected = Elmo(None, model, 1, dropout=0)(ids)["elmo_representations"][0]
    for no_projection in (None, 0):
        embedder = ElmoTokenEmbedder(None, model, dropout=0, projection_dim=no_projection)
        torch.testing.assert_close(embedder(ids), expected)
        assert embedder.get_output_dim() == 8
    projected = ElmoTokenEmbedder(None, model, dropout=0, projection_dim=3)
    assert projected(ids).shape == (4, 6, 3)
    assert projected.get_output_dim() == 3


# --- states ---------------------------------------------------------------------------------------


def test_a_state_belongs_to_its_row_of_the_batch(model: str):
    """Batches of rising and falling size, in any order of length."""
    elmo = Elmo(None, model, 1, dropout=0, stateful=True)
    texts = {0: ["a b", "c", "d e f", "g"], 1: ["h i j", "k l"], 2: ["m", "n o p q"]}
    batches = [[0], [0, 1, 2], [0, 1], [0], [0, 1, 2], [0, 1]]  # rows in each
    alone = {row: Elmo(None, model, 1, dropout=0, stateful=True) for row in texts}
    turns = dict.fromkeys(texts, 0)
    for rows in batches:
        sentences = [texts[row][turns[row] % len(texts[row])].split() for row in rows]
        (vectors,) = elmo(batch_to_ids(sentences))["elmo_representations"]
        for row, sentence in zip(rows, sentences, strict=True):
            turns[row] += 1
            (expected,) = alone[row](batch_to_ids([sentence]))["elmo_representations"]
            torch.testing.assert_close(vectors[row, : len(sentence)], expected[0])


def test_a_carried_state_holds_no_graph(model: str):
    elmo = Elmo(None, model, 1, dropout=0, stateful=True, requires_grad=True)
    ids = batch_to_ids(SENTENCES)
    for _ in range(2):
        elmo(ids)["elmo_representations"][0].sum().backward()
    first = elmo(ids)["elmo_representations"][0]
    assert not torch.equal(first, elmo(ids)["elmo_representations"][0])


# --- what cannot be used --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "error", "said"),
    [
        (torch.zeros(2, 3), ShapeError, r"integers \(batch, time, characters\), got torch.float32"),
        (torch.zeros(2, 3, 50), ShapeError, r"got torch.float32 \(2, 3, 50\)"),
        (torch.full((1, 1, 50), 262), InputError, "expected 0 to 261, got 262 to 262"),
        (torch.full((1, 1, 50), -1), InputError, "got -1 to -1"),
        (torch.tensor([[[0] * 50, [1] * 50]]), ShapeError, "padding .* between tokens"),
        (None, InputError, "neither character ids nor word ids"),
    ],
)
def test_ids_that_cannot_be_used(ids, error: type[Exception], said: str, model: str):
    with pytest.raises(error, match=said):
        Elmo(None, model, 1)(ids)


def test_a_model_of_words_or_of_a_lexicon_takes_no_ids_of_bytes(tmp_path: Path, goldens: Path):
    for folder in (save_random(tmp_path / "m", n_words=9), goldens / "manylangs"):
        with pytest.raises(ConfigError, match=f"{folder.name}.* words or characters of its own"):
            Elmo(None, str(folder), 1)
