"""A rectangle on a page."""

from typing import NamedTuple

__all__ = ["Box"]


class Box(NamedTuple):
    """A rectangle."""

    left: float
    bottom: float
    right: float
    top: float

    def inside(self, margin: float) -> "Box":
        """The rectangle without a margin on each side."""
        return Box(self.left + margin, self.bottom + margin, self.right - margin, self.top - margin)
