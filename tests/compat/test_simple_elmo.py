"""simple_elmo's ElmoModel: its shapes, the numbers of relmo, and none of its slips."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import relmo
from relmo.compat.simple_elmo import ElmoModel
from relmo.elmo.language_model import LanguageModel
from relmo.errors import InputError
from tests.elmo.test_language_model import WORDS
from tests.helpers import tiny_model

TEXTS = [["the", "cat", "sat"], [], ["on", "the", "mat", "the", "ornithopter", "."], ["."]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("simple") / "model", words=WORDS)


@pytest.fixture(scope="module")
def model(folder: Path) -> ElmoModel:
    model = ElmoModel()
    assert model.load(str(folder), max_batch_size=2, limit=10, full=True) == (
        "The model is now loaded."
    )
    return model


def test_it_has_the_attributes_that_scripts_read(model: ElmoModel):
    assert (model.vector_size, model.n_layers, model.batch_size) == (8, 3, 2)


@pytest.mark.parametrize("layers", ["average", "top", "all"])
def test_vectors_are_those_of_relmo_padded_with_zeros(model: ElmoModel, layers: str):
    found = model.get_elmo_vectors(TEXTS, warmup=False, layers=layers, session=None)
    assert found.dtype == np.float64
    assert found.shape == ((4, 3, 6, 8) if layers == "all" else (4, 6, 8))
    for row, expected in zip(found, model.elmo.embed(TEXTS, layers), strict=True):
        length = expected.shape[-2]
        np.testing.assert_allclose(row[..., :length, :], expected, atol=1e-6)
        assert not row[..., length:, :].any()


@pytest.mark.parametrize("layers", ["average", "top", "all"])
def test_averages_are_of_a_text_s_own_tokens_and_of_length_1(model: ElmoModel, layers: str):
    found = model.get_elmo_vector_average(TEXTS, layers=layers)
    assert found.dtype == np.float64
    assert found.shape == ((4, 3, 8) if layers == "all" else (4, 8))
    for text, row in zip(TEXTS, found, strict=True):
        if not text:
            assert not row.any()
            continue
        mean = model.elmo.embed([text], layers)[0].mean(axis=-2)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-6)
        alone = model.get_elmo_vector_average([text], layers=layers)
        np.testing.assert_allclose(row, alone[0], atol=1e-6)


def test_no_text_gives_no_row(model: ElmoModel):
    assert model.get_elmo_vectors([]).shape == (0, 0, 8)
    assert model.get_elmo_vector_average([], layers="all").shape == (0, 3, 8)


def test_substitutes_are_the_language_model_s_words_in_the_original_s_nesting(model: ElmoModel):
    sentences = [" ".join(text) for text in TEXTS]
    found = model.get_elmo_substitutes(sentences, topn=4)
    assert [[token["word"] for token in sentence] for sentence in found] == [
        [word if word in WORDS else "<UNK>" for word in text] for text in TEXTS
    ]
    expected = list(LanguageModel(model.elmo).top(TEXTS, 4, without=["<S>", "</S>"]))
    for sentence, sides in zip(found, expected, strict=True):
        for place, token in enumerate(sentence):
            for name in ("forward", "backward"):
                side = getattr(sides, name)
                assert token[name] == {
                    "candidates": side.ids[place].tolist(),
                    "candidate_words": [WORDS[number] for number in side.ids[place]],
                    "logp": side.log_probabilities[place].tolist(),
                }


def test_the_marks_are_candidates_where_they_are_wanted(model: ElmoModel):
    def words(**arguments: bool) -> set[str]:
        found = model.get_elmo_substitutes(["the cat"], topn=100, **arguments)
        return set(found[0][0]["forward"]["candidate_words"])

    assert words(nodelimiters=False) == set(WORDS)
    assert words() == set(WORDS) - {"<S>", "</S>"}


def test_substitutes_take_a_model_loaded_in_full(folder: Path, tmp_path: Path):
    model = ElmoModel()
    model.load(folder)
    with pytest.raises(InputError, match="full=True"):
        model.get_elmo_substitutes(["the cat"])
    relmo.load(folder).save(tmp_path / "hdf5", format="bilm_hdf5")
    with pytest.raises(InputError, match="has no softmax"):
        ElmoModel().load(tmp_path / "hdf5", full=True)


def test_what_cannot_be_answered_is_an_input_error(model: ElmoModel):
    with pytest.raises(InputError, match="call load"):
        ElmoModel().get_elmo_vectors(TEXTS)
    with pytest.raises(InputError, match="give a list of sentences"):
        model.get_elmo_vectors("the cat")
    with pytest.raises(InputError, match="expected 'average', 'top' or 'all', got 'token'"):
        model.get_elmo_vectors(TEXTS, layers="token")
    with pytest.raises(InputError, match="no such model"):
        ElmoModel().load("nowhere")


def test_the_checkpoint_beside_the_weights_is_read_for_its_softmax(goldens: Path, tmp_path: Path):
    folder = tmp_path / "both"
    shutil.copytree(goldens / "tf_checkpoint", folder)
    shutil.copy(goldens / "allennlp" / "lm_weights.hdf5", folder / "model.hdf5")
    model = ElmoModel()
    model.load(folder)
    with pytest.raises(InputError, match="full=True"):
        model.get_elmo_substitutes(TEXTS)
    model.load(folder, full=True)
    assert model.elmo.checkpoint_info.format == "bilm_tf"
    assert len(model.get_elmo_substitutes(TEXTS[:1], topn=2)[0]) == 3
