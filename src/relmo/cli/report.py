"""How the commands print what they found."""

from enum import StrEnum

__all__ = ["Report"]


class Report(StrEnum):
    """How a table is printed."""

    text = "text"
    json = "json"
    markdown = "markdown"
