"""The counts of the conlleval script (Tjong Kim Sang), token by token as it makes them.

Slow and obvious: two flags tell whether a chunk ends before a token and whether one begins at it,
and a chunk is right where both sides began it and end it at once with one type all along. Here for
tags with B and I, and E where no B is in use, which are those it has rules for.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Counts(NamedTuple):
    n_true: int
    n_predicted: int
    n_right: int
    n_right_tokens: int


def conlleval(true: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Counts:
    n_true = n_predicted = n_right = n_right_tokens = 0
    was_true = was_predicted = ("O", "")
    both_began = False
    for one, other in zip(true, predicted, strict=True):
        n_right_tokens += sum(a == b for a, b in zip(one, other, strict=True))
        for true_tag, predicted_tag in zip([*one, "O"], [*other, "O"], strict=True):
            is_true, is_predicted = parts(true_tag), parts(predicted_tag)
            if both_began:
                ends = ends_before(was_true, is_true), ends_before(was_predicted, is_predicted)
                if all(ends) and was_true[1] == was_predicted[1]:
                    both_began, n_right = False, n_right + 1
                elif ends[0] != ends[1] or is_true[1] != is_predicted[1]:
                    both_began = False
            begins = begins_at(was_true, is_true), begins_at(was_predicted, is_predicted)
            if all(begins) and is_true[1] == is_predicted[1]:
                both_began = True
            n_true, n_predicted = n_true + begins[0], n_predicted + begins[1]
            was_true, was_predicted = is_true, is_predicted
    return Counts(n_true, n_predicted, n_right, n_right_tokens)


def parts(tag: str) -> tuple[str, str]:
    letter, _, kind = tag.partition("-")
    return letter, kind


def ends_before(before: tuple[str, str], now: tuple[str, str]) -> bool:
    rules = {"BB", "BO", "IB", "IO", "EE", "EI", "EO"}
    return before[0] + now[0] in rules or (before[0] != "O" and before[1] != now[1])


def begins_at(before: tuple[str, str], now: tuple[str, str]) -> bool:
    rules = {"BB", "IB", "OB", "OI", "EE", "EI", "OE"}
    return before[0] + now[0] in rules or (now[0] != "O" and before[1] != now[1])
