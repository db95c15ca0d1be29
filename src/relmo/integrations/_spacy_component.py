"""What the spaCy components share: docs by batches and sentences, settings saved with a pipeline.

spaCy is imported here and in the components alone, but for the tokenizers in
`relmo.text.tokenizers`.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Self

from relmo._files import parse_json, read_regular
from relmo.errors import FormatError, MissingExtraError

try:
    from spacy.tokens import Doc
except ImportError as error:
    raise MissingExtraError("spacy", "spacy") from error

__all__ = ["Component", "sentence_rows"]

_MOST_BYTES = 2**20


class Component:
    """A component of which the settings alone are saved: what it computes with has a name in them.

    Args:
        settings: by their names, as the constructor of the class takes them.
    """

    _name: str
    """Of the factory."""

    def __init__(self, **settings: Any) -> None:
        self._settings = settings

    def __call__(self, doc: Doc) -> Doc:
        """Annotate one doc."""
        self._annotate([doc])
        return doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate many docs, lazily; sentences of a batch are computed together.

        Args:
            stream: docs.
            batch_size: docs held at a time.
        """
        docs = iter(stream)
        while batch := list(islice(docs, batch_size)):
            self._annotate(batch)
            yield from batch

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """The settings, the model's name among them; `exclude` is for spaCy."""
        return json.dumps(self._settings).encode()

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> Self:
        """Take the settings of `to_bytes`.

        Raises:
            FormatError: the bytes are no such settings.
            InputError: the model that they name is not there.
        """
        settings = parse_json(data, f"spaCy component {self._name}")
        expected = sorted(self._settings)
        if sorted(settings) != expected:
            raise FormatError(
                f"spaCy component {self._name}: expected settings {expected}, got {settings!r:.120}"
            )
        type(self).__init__(self, **settings)
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write the settings into a folder; `exclude` is for spaCy."""
        Path(path).mkdir(parents=True, exist_ok=True)
        self._file(path).write_bytes(self.to_bytes())

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> Self:
        """Take the settings of `to_disk`.

        Raises:
            FormatError, InputError: see `from_bytes`.
        """
        file = self._file(path)
        return self.from_bytes(read_regular(file, _MOST_BYTES))

    def _file(self, folder: str | Path) -> Path:
        return Path(folder) / f"{self._name}.json"

    def _annotate(self, docs: list[Doc]) -> None:
        """Write into docs what is found."""
        raise NotImplementedError


def sentence_rows(doc: Doc) -> Iterator[list[int]]:
    """Positions of the tokens of each sentence, without white space."""
    for sentence in doc.sents if doc.has_annotation("SENT_START") else [doc]:
        rows = [token.i for token in sentence if not token.is_space]
        if rows:
            yield rows
