"""The tagger as a spaCy component: entities or tags on spaCy's own tokens, saved by name."""

import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span

import relmo.integrations.spacy_tagger  # where the package was not installed anew
from relmo.errors import InputError
from relmo.tasks.tagger import Tagger
from tests.tasks import helpers

UPOS = [
    helpers.sentence(["Ann", "saw", "cats"], ["PROPN", "VERB", "NOUN"]),
    helpers.sentence(["cats", "saw", "Ann"], ["NOUN", "VERB", "PROPN"]),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tagger of names."""
    folder = tmp_path_factory.mktemp("names") / "run"
    shape = helpers.config(char_dim=8, dropout=0.0, mix_dropout=0.0)
    helpers.trained(folder, shape=shape, how=helpers.training(learning_rate=0.05, epochs=6))
    return folder


def pipeline(tagger: Path, *before: str) -> Language:
    nlp = spacy.blank("en")
    for name in before:
        nlp.add_pipe(name)
    nlp.add_pipe("relmo_tagger", config={"tagger": str(tagger)})
    return nlp


def entities(doc: Doc) -> list[tuple[str, int, int]]:
    return [(ent.label_, ent.start, ent.end) for ent in doc.ents]


def test_spans_are_entities_and_white_space_is_not_shown_to_the_tagger(run: Path):
    doc = pipeline(run)("the  cat saw Ann Bob in Rome .")
    assert doc[1].is_space
    (found,) = Tagger.load(run).predict(["the cat saw Ann Bob in Rome ."])
    assert found.spans
    assert entities(doc) == [(label, start + 1, end + 1) for label, start, end, *_ in found.spans]


def test_each_sentence_is_tagged_on_its_own_whatever_the_batch(run: Path):
    texts = ["Ann saw Rome. the cat saw Bob.", "in Oslo.", ""]
    nlp = pipeline(run, "sentencizer")
    docs = list(nlp.pipe(texts, batch_size=2))
    assert [entities(doc) for doc in docs] == [entities(nlp(text)) for text in texts]
    sentences = [[token.text for token in sentence] for sentence in docs[0].sents]
    assert len(sentences) == 2
    first, second = Tagger.load(run).predict(sentences)
    n = len(sentences[0])
    assert entities(docs[0]) == [
        *((label, start, end) for label, start, end, *_ in first.spans),
        *((label, start + n, end + n) for label, start, end, *_ in second.spans),
    ]


def test_entities_that_do_not_overlap_stay(run: Path):
    nlp = pipeline(run)
    found = nlp("the cat saw Ann")
    ((_, start, end),) = entities(found)
    doc = nlp.make_doc("the cat saw Ann")
    doc.ents = (Span(doc, 0, 2, label="ANIMAL"), Span(doc, start, end, label="OLD"))
    assert entities(nlp.get_pipe("relmo_tagger")(doc)) == [("ANIMAL", 0, 2), *entities(found)]


def test_universal_parts_of_speech_are_tags_and_pos(tmp_path: Path):
    given = helpers.data(train=UPOS * 4, dev=UPOS, elmo=None)
    how = helpers.training(learning_rate=0.05, epochs=20)
    helpers.trained(tmp_path, given, helpers.config(elmo=False, char_dim=8), how)
    doc = pipeline(tmp_path)("cats saw Ann")
    assert [token.tag_ for token in doc] == ["NOUN", "VERB", "PROPN"]
    assert [token.pos_ for token in doc] == ["NOUN", "VERB", "PROPN"]
    assert not doc.ents


def test_a_pipeline_is_saved_with_the_taggers_name_alone(run: Path, tmp_path: Path):
    nlp = pipeline(run)
    nlp.to_disk(tmp_path / "saved")
    again = spacy.load(tmp_path / "saved")
    text = "the cat saw Ann"
    assert entities(again(text)) == entities(nlp(text))
    assert [path.name for path in (tmp_path / "saved" / "relmo_tagger").iterdir()] == [
        "relmo_tagger.json"
    ]


def test_a_tagger_that_is_not_there_is_an_error_when_the_component_is_made(tmp_path: Path):
    with pytest.raises(InputError, match="is not a folder; expected a tagger's or a run's, or"):
        pipeline(tmp_path / "none")


def test_the_package_says_where_spacy_finds_the_component():
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    place = project["entry-points"]["spacy_factories"]["relmo_tagger"]
    module, _, name = place.partition(":")
    made = getattr(import_module(module), name)
    assert made is relmo.integrations.spacy_tagger.make_relmo_tagger
