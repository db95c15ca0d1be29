"""A keyword in its context, as the commands print it."""

from collections.abc import Sequence

__all__ = ["in_context", "whole"]

_SIDE = 34  # columns on either side


def in_context(tokens: Sequence[str], position: int, side: int = _SIDE) -> str:
    """The keyword in brackets, in the same column in every line; the ends cut off."""
    before, after = " ".join(tokens[:position]), " ".join(tokens[position + 1 :])
    if len(before) > side:
        before = "…" + before[1 - side :]
    if len(after) > side:
        after = after[: side - 1] + "…"
    return f"{before:>{side}} [{tokens[position]}] {after}".rstrip()


def whole(tokens: Sequence[str], position: int) -> str:
    """All of the sentence, the keyword in brackets."""
    return " ".join([*tokens[:position], f"[{tokens[position]}]", *tokens[position + 1 :]])
