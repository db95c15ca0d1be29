"""Models by name or address: a catalogue, and downloads into a cache folder.

hub.find("original")     facts about a model
hub.fetch("original")    its path on this machine, downloaded the first time
"""

from relmo.hub._cache import home
from relmo.hub._catalogue import File, Model, catalogue, find
from relmo.hub._download import Progress
from relmo.hub._resolve import BOX, MAX_BYTES, fetch, is_cached, resolve, verify

__all__ = [
    "BOX",
    "MAX_BYTES",
    "File",
    "Model",
    "Progress",
    "catalogue",
    "fetch",
    "find",
    "home",
    "is_cached",
    "resolve",
    "verify",
]
