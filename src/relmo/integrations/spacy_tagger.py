"""A spaCy pipeline component, "relmo_tagger": names or parts of speech by a tagger of relmo.

    nlp = spacy.blank("en")
    nlp.add_pipe("relmo_tagger", config={"tagger": "ner"})
    nlp("She left New York.").ents  # (New York,)

Tags that stand for spans are `doc.ents`, in place of such as overlap with them; others are
`token.tag_`, and `token.pos_` too where they are the universal parts of speech. White space that
spaCy keeps as a token has none. Where sentence boundaries are known each sentence is tagged on its
own; else the whole doc is one.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import no_type_check

from relmo.errors import MissingExtraError
from relmo.integrations._spacy_component import Component, sentence_rows
from relmo.tasks.tagger import TaggedTokens, Tagger

try:
    from spacy.language import Language
    from spacy.parts_of_speech import IDS  # type: ignore[import-not-found]
    from spacy.tokens import Doc, Span
except ImportError as error:
    raise MissingExtraError("spacy", "spacy") from error

__all__ = ["TaggerComponent", "make_relmo_tagger"]


@Language.factory(
    "relmo_tagger",
    assigns=["doc.ents", "token.tag", "token.pos"],
    default_config={"tagger": "ner", "device": "cpu"},
)
@no_type_check  # spaCy reads the names of the arguments, which a checker's wrapper would hide
def make_relmo_tagger(nlp: Language, name: str, tagger: str, device: str) -> "TaggerComponent":
    """What `nlp.add_pipe("relmo_tagger")` makes.

    Args:
        nlp: the pipeline.
        name: the component's name in it.
        tagger: what `Tagger.load` takes.
        device: where it computes.

    Raises:
        InputError, FormatError: no such tagger, or its biLM is gone.
    """
    return TaggerComponent(tagger, device=device)


class TaggerComponent(Component):
    """Gives a doc its entities or its tokens their tags; only the tagger's name is saved.

    Args:
        tagger: what `Tagger.load` takes.
        device: where it computes.

    Raises:
        InputError, FormatError: no such tagger, or its biLM is gone.
    """

    _name = "relmo_tagger"

    def __init__(self, tagger: str | Path = "ner", *, device: str = "cpu") -> None:
        super().__init__(tagger=os.fspath(tagger), device=device)
        self._tagger()  # says now what cannot be

    def _tagger(self) -> Tagger:
        return _loaded(self._settings["tagger"], self._settings["device"])

    def _annotate(self, docs: list[Doc]) -> None:
        tagger = self._tagger()
        pieces = [(doc, rows) for doc in docs for rows in sentence_rows(doc)]
        sentences = ([doc[row].text for row in rows] for doc, rows in pieces)
        ents: dict[int, list[Span]] = {id(doc): [] for doc in docs}
        for (doc, rows), found in zip(pieces, tagger.predict_stream(sentences), strict=True):
            if found.scheme == "plain":
                _tag(doc, rows, found)
            ents[id(doc)] += _ents(doc, rows, found)
        for doc in docs:
            if new := ents[id(doc)]:
                taken = {token.i for span in new for token in span}
                kept = [ent for ent in doc.ents if taken.isdisjoint(range(ent.start, ent.end))]
                doc.ents = (*new, *kept)


# Shared by the components of a process, which spaCy makes anew as a matter of course.
@lru_cache(maxsize=2)
def _loaded(name: str, device: str) -> Tagger:
    return Tagger.load(name, device=device)


def _tag(doc: Doc, rows: list[int], found: TaggedTokens) -> None:
    for row, tag in zip(rows, found.tags, strict=True):
        doc[row].tag_ = tag
        if tag in IDS:
            doc[row].pos_ = tag


def _ents(doc: Doc, rows: list[int], found: TaggedTokens) -> list[Span]:
    """The spans of a sentence; none where its tags are no spans."""
    if found.scheme == "plain":
        return []
    return [
        Span(doc, rows[span.start], rows[span.end - 1] + 1, label=span.label)
        for span in found.spans
    ]
