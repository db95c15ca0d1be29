"""ElmoModule: ELMo as the first module of a SentenceTransformer.

    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from relmo.integrations.sentence_transformers import ElmoModule

    elmo = ElmoModule()
    model = SentenceTransformer(modules=[elmo, Pooling(elmo.get_embedding_dimension())])
    model.encode(["The cat sat ."])  # (1, dim), as relmo's own encode

Texts are split on white space, as everywhere in relmo. `model.save(folder)` writes the weights too;
`SentenceTransformer(folder, trust_remote_code=True)` reads them back: the library asks for that
word wherever a module is not its own, and runs nothing but this module. The biLM is frozen; what
comes after it, such as `Dense`, can be trained on its vectors.

sentence-transformers is imported here alone.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from relmo.elmo.model import Elmo, load
from relmo.errors import FormatError, InputError, MissingExtraError
from relmo.integrations._models import embed_rows, width

try:
    from sentence_transformers.base.modules.input_module import InputModule
except ImportError as error:
    raise MissingExtraError("sentence-transformers", "sentence-transformers") from error

__all__ = ["ElmoModule"]

_WEIGHTS = "elmo"
"""Folder of the model in that of the module."""


class ElmoModule(InputModule):
    """Texts to padded token vectors; a `Pooling` after it makes sentence vectors of them.

    Args:
        model: what `relmo.load` takes, or an `Elmo`, which stays as it is where the module is moved
            or cast; None: the model in the box.
        layers: as in `Elmo.embed`; "all" puts the layers side by side.
        tokenizer: from a string to its tokens; None: split on white space. It is not saved.

    Raises:
        InputError, FormatError: no such model, or `layers` is impossible.
    """

    save_in_root = False
    config_file_name = "relmo_module.json"
    config_keys = ["layers"]  # noqa: RUF012 - the library's name and kind

    def __init__(
        self,
        model: str | Path | Elmo | None = None,
        *,
        layers: Any = "average",
        tokenizer: Callable[[str], Sequence[str]] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.elmo = model if isinstance(model, Elmo) else load(model)
        self.bilm = self.elmo.bilm  # so that the module's device is the model's
        self.layers = layers
        self._split = tokenizer or str.split
        embed_rows(self.elmo, [], layers)  # says now what cannot be

    def get_embedding_dimension(self) -> int:
        """Width of a token's vector."""
        return width(self.elmo, self.layers)

    def preprocess(
        self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """The tokens of texts, and where they will stand.

        Args:
            inputs: strings.
            prompt: put in front of each.
            kwargs: the library's, not used.

        Returns:
            "tokens", a list for each text, and "attention_mask" (batch, time), int64.

        Raises:
            InputError: an input is not a string.
        """
        tokens = [self._tokens(text, prompt or "") for text in inputs]
        longest = max((len(sentence) for sentence in tokens), default=0)
        lengths = torch.tensor([len(sentence) for sentence in tokens], dtype=torch.int64)
        places = torch.arange(max(1, longest))  # one column at least: some poolings need it
        return {"tokens": tokens, "attention_mask": (places < lengths[:, None]).long()}

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Add "token_embeddings" (batch, time, dim), zeros behind a text's end."""
        mask: Tensor = features["attention_mask"]
        like = next(self.bilm.parameters())
        padded = torch.zeros(*mask.shape, self.get_embedding_dimension())
        rows = embed_rows(self.elmo, features["tokens"], self.layers)
        for row, vectors in zip(padded, rows, strict=True):
            row[: len(vectors)] = torch.from_numpy(vectors)
        features["token_embeddings"] = padded.to(like.device, like.dtype)
        return features

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Write the settings and the model.

        Raises:
            InputError: it cannot be written, or `layers` is nothing that JSON can hold.
        """
        try:
            json.dumps(self.get_config_dict())
        except TypeError:
            raise InputError(f"layers: {self.layers!r} cannot be saved; give weights") from None
        self.save_config(output_path)
        self.elmo.save(Path(output_path) / _WEIGHTS)

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", *args: Any, **kwargs: Any) -> Self:
        """Read what `save` wrote, from a folder or from the Hugging Face hub.

        Args:
            model_name_or_path: of the SentenceTransformer.
            subfolder: the module's in it.
            args: not used.
            kwargs: the library's, those of the hub among them.

        Raises:
            InputError, FormatError: there is no such module.
        """
        names = ("token", "cache_folder", "revision", "local_files_only")
        hub = {name: kwargs[name] for name in names if name in kwargs}
        config = cls.load_config(model_name_or_path, subfolder, **hub)
        unknown = sorted(set(config) - set(cls.config_keys))
        if unknown:
            raise FormatError(f"{cls.config_file_name}: unknown key {unknown[0]!r}")
        folder = cls.load_dir_path(model_name_or_path, subfolder, **hub)
        return cls(os.path.join(folder or model_name_or_path, _WEIGHTS), **config)  # noqa: PTH118

    def _apply(self, fn, recurse=True):  # type: ignore[no-untyped-def]
        """Move or cast a copy of the model, apart from the one that was passed in."""
        self.elmo = self.elmo.converted(fn)
        self.bilm = self.elmo.bilm
        return self

    def _tokens(self, text: object, prompt: str) -> list[str]:
        if not isinstance(text, str):
            raise InputError(f"ElmoModule: expected a string, got {type(text).__name__}")
        return list(self._split(prompt + text))
