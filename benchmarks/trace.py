"""Count what a reader of the code has to follow: calls on the way to the kernel, moves of file.

    python -m benchmarks.trace [--moves]

Of functions under src/relmo alone, in warm calls of `embed` and `load`. Frames: those open when the
LSTM's kernel begins, the public call and the kernel counted. Moves: a call from a function into one
of another file, however often it is made; the ways back are counted apart.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import relmo

SENTENCES = ["The cat sat .", "I love relmo"]
_PACKAGE = str(Path(relmo.__file__).parent)


class Trace:
    """The open frames of the package while a call runs, and what they tell."""

    def __init__(self, kernel: str = "inference") -> None:
        self.kernel = kernel
        self.frames_to_kernel = 0
        self.calls = 0
        self.moves: dict[tuple[str, str], None] = {}  # in the order they are first made
        self.ways_back: dict[tuple[str, str], None] = {}
        self._open: list[FrameType] = []

    def of(self, call: Callable[[], object]) -> "Trace":
        """Run a call and return what was seen."""
        sys.setprofile(self._see)
        try:
            call()
        finally:
            sys.setprofile(None)
        return self

    def _see(self, frame: FrameType, event: str, _: object) -> None:
        name = frame.f_code.co_filename
        if not name.startswith(_PACKAGE) or event not in ("call", "return"):
            return
        before = self._open[-1] if self._open else None
        if event == "call":  # a generator that goes on counts as a call too
            self.calls += 1
            self._open.append(frame)
            if frame.f_code.co_name == self.kernel:
                self.frames_to_kernel = max(self.frames_to_kernel, len(self._open))
        elif self._open and self._open[-1] is frame:
            self._open.pop()
        after = self._open[-1] if self._open else None
        if before and after and before.f_code.co_filename != after.f_code.co_filename:
            moves = self.moves if event == "call" else self.ways_back
            moves[_position(before), _position(after)] = None


def _position(frame: FrameType) -> str:
    return f"{Path(frame.f_code.co_filename).relative_to(_PACKAGE)}:{frame.f_code.co_qualname}"


def main() -> None:
    """Print both traces; with --moves each move too."""
    elmo = relmo.load()
    for _ in range(2):
        elmo.embed(SENTENCES)
    for name, call in (("embed", lambda: elmo.embed(SENTENCES)), ("load", relmo.load)):
        trace = Trace().of(call)
        to_kernel = f", {trace.frames_to_kernel} frames to the kernel" if name == "embed" else ""
        print(
            f"{name}: {len(trace.moves)} moves between files, {len(trace.ways_back)} ways back, "
            f"{trace.calls} calls{to_kernel}"
        )
        if "--moves" in sys.argv:
            for before, after in trace.moves:
                print(f"    {before} -> {after}")


if __name__ == "__main__":
    main()
