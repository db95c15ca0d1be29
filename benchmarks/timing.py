"""Contenders timed in turns (A B C A B C ...), so that a busy neighbour slows all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["Rates", "in_turns", "seconds"]

Contender = Callable[[int], float]
"""Does its work in the given round and says how much it did (tokens, floating-point operations).
Round -1 is the warm-up, which is not counted and may do less."""


@dataclass(frozen=True)
class Rates:
    """What one contender did: units of work a second in each round, and its median."""

    rounds: list[float]

    @property
    def median(self) -> float:
        """The figure that is printed."""
        return statistics.median(self.rounds)


def in_turns(contenders: Mapping[str, Contender], rounds: int) -> dict[str, Rates]:
    """Rates of each contender: one round that does not count, then `rounds` that do."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(-1, rounds):
        for name, contender in contenders.items():
            start = time.perf_counter()
            work = contender(number)
            passed = time.perf_counter() - start
            if number >= 0:
                rates[name].append(work / passed)
    return {name: Rates(values) for name, values in rates.items()}


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
