"""Tasks on top of a biLM: tagging, classification, word senses, and what its layers are worth.

from relmo.tasks import Classifier, Tagger

What needs torch is imported when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relmo.tasks.classifier import Classifier
    from relmo.tasks.tagger import Tagger

__all__ = ["Classifier", "Tagger"]

_LAZY = {"Classifier": "relmo.tasks.classifier", "Tagger": "relmo.tasks.tagger"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'relmo.tasks' has no attribute {name!r}")
