"""The spaCy component: vectors for spaCy's tokens, sentence by sentence, and saved by name."""

import itertools
import pickle
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc

import relmo
from relmo.errors import FormatError, InputError, MissingExtraError
from relmo.integrations.spacy import ElmoComponent
from tests.helpers import tiny_model

TEXT = "The  cat sat. \n\n I love it!"  # spaCy keeps the second space, and " \n\n "


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("spacy") / "model")


def pipeline(folder: Path, *before: str, **config: Any) -> Language:
    nlp = spacy.blank("en")
    for name in before:
        nlp.add_pipe(name)
    nlp.add_pipe("relmo", config={"model": str(folder), **config})
    return nlp


def words(tokens: Any) -> list[str]:
    return [token.text for token in tokens if not token.is_space]


def test_each_token_has_its_vector_and_white_space_has_zeros(folder: Path):
    doc = pipeline(folder)(TEXT)
    spaces = [token.is_space for token in doc]
    assert any(spaces)
    assert (doc.tensor.dtype, doc.tensor.shape) == (np.float32, (len(doc), 8))
    (expected,) = relmo.load(folder).embed([words(doc)])
    np.testing.assert_allclose(doc.tensor[~np.array(spaces)], expected, atol=1e-6)
    assert not doc.tensor[spaces].any()
    for token in doc:
        np.testing.assert_array_equal(token.vector, doc.tensor[token.i])
        assert token.has_vector != token.is_space


def test_a_span_and_a_doc_have_the_mean_of_their_words(folder: Path):
    doc = pipeline(folder)(TEXT)
    assert doc[1].is_space
    expected = doc.tensor[[0, 2, 3]].mean(0)
    np.testing.assert_allclose(doc[0:4].vector, expected, atol=1e-6)
    np.testing.assert_allclose(doc[0:4].as_doc()[0:4].vector, expected, atol=1e-6)
    np.testing.assert_allclose(doc.vector, relmo.load(folder).encode([words(doc)])[0], atol=1e-6)
    assert not doc[1:2].vector.any()
    assert not doc[1:2].has_vector


def test_similarity_is_the_cosine_of_the_vectors(folder: Path):
    nlp = pipeline(folder)
    a, b = nlp("the cat"), nlp("a dog")
    for x, y in ((a, b), (a[0], b[1]), (a[0:2], b[0:1]), (a, b[0])):
        cosine = x.vector @ y.vector / np.linalg.norm(x.vector) / np.linalg.norm(y.vector)
        assert x.similarity(y) == pytest.approx(cosine, abs=1e-6)
    assert a.similarity(nlp("")) == 0


def test_known_sentences_are_embedded_each_on_its_own(folder: Path):
    doc = pipeline(folder, "sentencizer")(TEXT)
    sentences = [words(sentence) for sentence in doc.sents]
    assert sentences == [["The", "cat", "sat", "."], ["I", "love", "it", "!"]]
    expected = np.concatenate(relmo.load(folder).embed(sentences))
    np.testing.assert_allclose(doc.tensor[[not t.is_space for t in doc]], expected, atol=1e-6)
    whole = pipeline(folder)(TEXT)
    assert not np.allclose(whole.tensor, doc.tensor)


def test_all_layers_stand_side_by_side(folder: Path):
    doc = pipeline(folder, layers="all")("The cat sat")
    (layers,) = relmo.load(folder).embed([words(doc)], "all")
    np.testing.assert_allclose(doc.tensor, np.concatenate(list(layers), axis=1), atol=1e-6)
    one = pipeline(folder, layers=1)("The cat sat")
    np.testing.assert_allclose(one.tensor, layers[1], atol=1e-6)


def test_a_stream_of_docs_has_the_same_vectors_and_is_read_lazily(folder: Path):
    nlp = pipeline(folder, "sentencizer")
    texts = [TEXT, "", " ", "A cat.", "x " * 50]
    for doc, text in zip(nlp.pipe(texts, batch_size=2), texts, strict=True):
        np.testing.assert_allclose(doc.tensor, nlp(text).tensor, atol=1e-5)
    endless = (nlp.make_doc("A cat.") for _ in itertools.count())
    component = nlp.get_pipe("relmo")
    assert isinstance(component, ElmoComponent)
    assert next(iter(component.pipe(endless, batch_size=3))).tensor.shape == (3, 8)


def test_a_saved_pipeline_keeps_the_model_s_name(folder: Path, tmp_path: Path):
    nlp = pipeline(folder, layers=[0.0, 0.5, 0.5])
    expected = nlp("A cat.").tensor
    nlp.to_disk(tmp_path / "nlp")
    assert sum(file.stat().st_size for file in (tmp_path / "nlp" / "relmo").iterdir()) < 1000
    for again in (
        spacy.load(tmp_path / "nlp"),
        pipeline(folder).from_bytes(nlp.to_bytes()),
        pipeline(folder).from_disk(tmp_path / "nlp"),
        pickle.loads(pickle.dumps(nlp)),
    ):
        np.testing.assert_allclose(again("A cat.").tensor, expected, atol=1e-6)


def test_a_doc_is_pickled_with_its_vectors(folder: Path):
    doc = pipeline(folder)("A cat.")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(doc))[1].vector, doc[1].vector)
    stored = Doc(doc.vocab).from_bytes(doc.to_bytes(exclude=["user_hooks"]))
    np.testing.assert_array_equal(stored[1].vector, doc[1].vector)


@pytest.mark.parametrize(
    ("data", "message"), [(b"{", "Expecting"), (b"[]", "got list"), (b'{"model": 1}', "expected")]
)
def test_settings_that_are_none_are_a_format_error(folder: Path, data: bytes, message: str):
    with pytest.raises(FormatError, match=message):
        ElmoComponent(folder).from_bytes(data)


def test_a_model_or_settings_that_are_not_there_are_an_input_error(folder: Path, tmp_path: Path):
    with pytest.raises(InputError, match="nowhere"):
        pipeline(Path("nowhere"))
    with pytest.raises(InputError, match="layers: expected a number below 3"):
        pipeline(folder, layers=7)
    with pytest.raises(InputError, match="cannot be read"):
        ElmoComponent(folder).from_disk(tmp_path)


def test_installed_relmo_is_found_by_spacy_without_an_import():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    module, function = project["project"]["entry-points"]["spacy_factories"]["relmo"].split(":")
    assert callable(getattr(import_module(module), function))


def test_without_spacy_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "spacy.language", None)
    monkeypatch.delitem(sys.modules, "relmo.integrations.spacy")
    with pytest.raises(MissingExtraError, match=r"spacy is not.*pip install 'relmo\[spacy\]'"):
        import_module("relmo.integrations.spacy")
