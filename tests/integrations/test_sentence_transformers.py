"""ElmoModule: a SentenceTransformer's vectors are relmo's, and are there after a save."""

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Pooling

import relmo
from relmo.errors import FormatError, InputError, MissingExtraError
from relmo.integrations.sentence_transformers import ElmoModule
from tests.helpers import tiny_elmo, tiny_model

TEXTS = ["The cat sat .", "", "I love it", "a\tb\n", "x" * 60]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("st") / "model")


def transformer(module: ElmoModule, pooling: str = "mean") -> SentenceTransformer:
    return SentenceTransformer(
        modules=[module, Pooling(module.get_embedding_dimension(), pooling)], device="cpu"
    )


def test_mean_pooling_is_encode(folder: Path):
    elmo = relmo.load(folder)
    for layers in ("average", "top", 1, [0.2, 0.3, 0.5]):
        model = transformer(ElmoModule(folder, layers=layers))
        found = model.encode(TEXTS, batch_size=2)
        assert (found.dtype, found.shape) == (np.float32, (5, 8))
        assert model.get_embedding_dimension() == 8
        np.testing.assert_allclose(found, elmo.encode(TEXTS, layers), atol=1e-5)
    np.testing.assert_allclose(model.encode("The cat sat ."), found[0], atol=1e-5)


def test_all_layers_stand_side_by_side(folder: Path):
    found = transformer(ElmoModule(folder, layers="all")).encode(TEXTS)
    expected = relmo.load(folder).encode(TEXTS, "all").reshape(5, 24)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_token_vectors_are_those_of_embed(folder: Path):
    model = transformer(ElmoModule(folder))
    found = model.encode(TEXTS, output_value="token_embeddings")
    for vectors, expected in zip(found, relmo.load(folder).embed(TEXTS), strict=True):
        np.testing.assert_allclose(vectors[: len(expected)].numpy(), expected, atol=1e-5)


def test_a_batch_without_any_token_is_zeros(folder: Path):
    assert not transformer(ElmoModule(folder)).encode(["", "  "]).any()


def test_a_prompt_is_put_in_front(folder: Path):
    model = transformer(ElmoModule(folder))
    found = model.encode(["the cat"], prompt="query : ")
    np.testing.assert_allclose(found, model.encode(["query : the cat"]), atol=1e-5)


def test_a_tokenizer_may_be_given(folder: Path):
    found = transformer(ElmoModule(folder, tokenizer=list)).encode(["cat"])
    expected = relmo.load(folder).encode([["c", "a", "t"]])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_saved_and_loaded_it_has_the_same_vectors(tmp_path: Path):
    model = transformer(ElmoModule(tiny_elmo(3), layers=[0.5, 0.5, 0.0]))
    for _ in range(2):  # into the same folder too
        model.save(str(tmp_path / "saved"))
    again = SentenceTransformer(str(tmp_path / "saved"), trust_remote_code=True, device="cpu")
    np.testing.assert_allclose(again.encode(TEXTS), model.encode(TEXTS), atol=1e-6)
    assert relmo.load(tmp_path / "saved" / "0_ElmoModule" / "elmo").dim == 8


def test_what_comes_after_it_learns_and_the_bilm_does_not(folder: Path):
    module = ElmoModule(folder)
    model = SentenceTransformer(modules=[module, Pooling(8), Dense(8, 2)], device="cpu")
    features = model.preprocess(["The cat sat .", "I love it"])
    model(features)["sentence_embedding"].sum().backward()
    assert all(parameter.grad is None for parameter in module.parameters())
    assert all(parameter.grad is not None for parameter in model[2].parameters())


def test_it_moves_and_is_cast_with_the_model(folder: Path):
    model = transformer(ElmoModule(folder))
    expected = model.encode(TEXTS)
    found = model.double().encode(TEXTS, convert_to_tensor=True)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_what_cannot_be_answered_is_an_error(folder: Path, tmp_path: Path):
    with pytest.raises(InputError, match="expected a string, got tuple"):
        transformer(ElmoModule(folder)).encode([("a", "b")])
    with pytest.raises(InputError, match="nowhere"):
        ElmoModule("nowhere")
    with pytest.raises(InputError, match="layers: expected a number below 3"):
        ElmoModule(folder, layers=5)
    mix = relmo.LayerMix(weights=(0.0, 1.0, 2.0))
    with pytest.raises(InputError, match="cannot be saved"):
        ElmoModule(folder, layers=mix).save(str(tmp_path))
    (tmp_path / "relmo_module.json").write_text('{"layer": 1}')
    with pytest.raises(FormatError, match="unknown key 'layer'"):
        ElmoModule.load(str(tmp_path))


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers.base.modules.input_module", None)
    monkeypatch.delitem(sys.modules, "relmo.integrations.sentence_transformers")
    with pytest.raises(MissingExtraError, match=r"pip install 'relmo\[sentence-transformers\]'"):
        import_module("relmo.integrations.sentence_transformers")


def test_a_module_that_is_cast_leaves_the_model_and_other_modules_alone():
    elmo = tiny_elmo()
    sentences = ["The cat sat ."]
    (expected,) = elmo.embed(sentences)
    first, second = ElmoModule(elmo), ElmoModule(elmo)
    SentenceTransformer(modules=[first], device="cpu").half()
    assert first.bilm is first.elmo.bilm
    assert first(first.preprocess(sentences))["token_embeddings"].dtype == torch.float16
    found = second(second.preprocess(sentences))["token_embeddings"]
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found[0], expected)
    np.testing.assert_array_equal(elmo.embed(sentences)[0], expected)
