"""relmo: ELMo, reborn. Deep contextualized word vectors, exact, deterministic and fast.

import relmo
elmo = relmo.load()
vectors = elmo.embed(["The cat sat ."])  # list of float32 arrays (tokens, dim)

What needs torch is imported when it is first asked for: `import relmo` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from relmo.config import BiLMConfig, CharCNNConfig, LayerMix, LexiconConfig
from relmo.errors import (
    ConfigError,
    FormatError,
    InputError,
    MissingExtraError,
    ProcessError,
    RelmoError,
    ShapeError,
    TrainingError,
)

if TYPE_CHECKING:
    from relmo.elmo.embedding import ElmoEmbedding, ElmoEmbeddingOutput
    from relmo.elmo.language_model import LanguageModel
    from relmo.elmo.model import Elmo, load

__version__ = "0.1.0"

__all__ = [
    "BiLMConfig",
    "CharCNNConfig",
    "ConfigError",
    "Elmo",
    "ElmoEmbedding",
    "ElmoEmbeddingOutput",
    "FormatError",
    "InputError",
    "LanguageModel",
    "LayerMix",
    "LexiconConfig",
    "MissingExtraError",
    "ProcessError",
    "RelmoError",
    "ShapeError",
    "TrainingError",
    "load",
]

_LAZY = {
    "Elmo": "relmo.elmo.model",
    "ElmoEmbedding": "relmo.elmo.embedding",
    "ElmoEmbeddingOutput": "relmo.elmo.embedding",
    "LanguageModel": "relmo.elmo.language_model",
    "load": "relmo.elmo.model",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'relmo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
