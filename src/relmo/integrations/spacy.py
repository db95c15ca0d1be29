"""A spaCy pipeline component, "relmo": contextual vectors for spaCy's own tokens.

    import relmo.integrations.spacy  # not needed where relmo was installed with pip

    nlp = spacy.blank("en")
    nlp.add_pipe("relmo", config={"layers": "top"})
    doc = nlp("The cat sat.")
    doc.tensor        # (tokens, dim), also doc[1].vector, doc[0:2].vector, doc.vector

White space that spaCy keeps as a token has a vector of zeros and is not shown to the model. Where
sentence boundaries are known, from a parser or the sentencizer before it, each sentence is embedded
on its own, as relmo always does; else the whole doc is one.

A doc that is pickled keeps all of this. `doc.to_bytes`, and so `nlp.pipe` with `n_process` above 1,
keeps `doc.tensor` but no hooks, which spaCy warns of (W109; `exclude=["user_hooks"]` says that it
is known): `token.vector` is then the tensor's row unless the pipeline has static vectors too.

Taggers are a component too: `relmo.integrations.spacy_tagger`.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, no_type_check

import numpy as np
import numpy.typing as npt

from relmo.elmo.model import Elmo
from relmo.errors import MissingExtraError
from relmo.integrations._models import embed_rows, shared, width
from relmo.integrations._spacy_component import Component, sentence_rows

try:
    from spacy.language import Language
    from spacy.tokens import Doc, Span, Token
except ImportError as error:
    raise MissingExtraError("spacy", "spacy") from error

__all__ = ["ElmoComponent", "make_relmo"]

Array = npt.NDArray[np.float32]


@Language.factory(
    "relmo",
    assigns=["doc.tensor", "token.vector"],
    default_config={"model": None, "layers": "average", "device": "cpu"},
)
@no_type_check  # spaCy reads the names of the arguments, which a checker's wrapper would hide
def make_relmo(
    nlp: Language,
    name: str,
    model: Any,
    layers: Any,  # an annotation would make spaCy turn a number into a string
    device: Any,
) -> "ElmoComponent":
    """What `nlp.add_pipe("relmo")` makes.

    Args:
        nlp: the pipeline.
        name: the component's name in it.
        model: what `relmo.load` takes; None: the model in the box.
        layers: as in `Elmo.embed`; "all" puts the layers side by side.
        device: where it computes.

    Raises:
        InputError, FormatError: no such model, or a setting is impossible.
    """
    return ElmoComponent(model, layers=layers, device=device)


class ElmoComponent(Component):
    """Gives a doc its vectors; only the model's name is saved with a pipeline.

    Args:
        model: what `relmo.load` takes; None: the model in the box.
        layers: as in `Elmo.embed`; "all" puts the layers side by side.
        device: where it computes.

    Raises:
        InputError, FormatError: no such model, or a setting is impossible.
    """

    _name = "relmo"

    def __init__(
        self, model: str | Path | None = None, *, layers: Any = "average", device: str = "cpu"
    ) -> None:
        name = None if model is None else os.fspath(model)
        super().__init__(model=name, layers=layers, device=device)
        embed_rows(self._elmo(), [], layers)  # says now what cannot be

    def _elmo(self) -> Elmo:
        return shared(self._settings["model"], self._settings["device"])

    def _annotate(self, docs: list[Doc]) -> None:
        elmo, layers = self._elmo(), self._settings["layers"]
        tensors = [np.zeros((len(doc), width(elmo, layers)), np.float32) for doc in docs]
        pieces = [
            _Piece(tensor, rows, [doc[row].text for row in rows])
            for doc, tensor in zip(docs, tensors, strict=True)
            for rows in sentence_rows(doc)
        ]
        stream = embed_rows(elmo, (piece.tokens for piece in pieces), layers)
        for piece, vectors in zip(pieces, stream, strict=True):
            piece.tensor[piece.rows] = vectors
        for doc, tensor in zip(docs, tensors, strict=True):
            doc.tensor = tensor  # type: ignore[assignment] # spaCy's own are float32 too
            for hooks, vector in (
                (doc.user_hooks, _mean),
                (doc.user_span_hooks, _mean),
                (doc.user_token_hooks, _own),
            ):
                hooks |= {"vector": vector, "has_vector": _is_text, "similarity": _cosine}


@dataclass(frozen=True, eq=False)
class _Piece:
    """A sentence: where its vectors go, and its tokens."""

    tensor: Array
    rows: list[int]
    tokens: list[str]


# Functions of the module, for docs are pickled with their hooks.


def _own(token: Token) -> Array:
    vector: Array = token.doc.tensor[token.i]
    return vector


def _mean(tokens: Doc | Span) -> Array:
    """Of the vectors of the tokens that are not white space, zeros if there is none."""
    doc = tokens.doc
    rows = [token.i for token in tokens if not token.is_space]
    mean: Array = doc.tensor[rows].mean(0) if rows else np.zeros(doc.tensor.shape[1:], np.float32)
    return mean


def _is_text(tokens: Doc | Span | Token) -> bool:
    if isinstance(tokens, Token):
        return not tokens.is_space
    return any(not token.is_space for token in tokens)


def _cosine(a: Any, b: Any) -> float:
    """0 where one has no vector."""
    size = float(np.linalg.norm(a.vector) * np.linalg.norm(b.vector))
    return float(np.dot(a.vector, b.vector)) / size if size else 0.0
