"""A run's metrics as TensorBoard reads them.

tensorboard is imported here and nowhere else, through torch.
"""

import os
from typing import Any, Self

from relmo.errors import InputError, MissingExtraError

__all__ = ["TensorBoard"]


class TensorBoard:
    """Writes the measures that it is called with; a context manager, as the last ones wait.

        with TensorBoard("runs/first/tensorboard") as board:
            train(..., on_record=board)

    Where steps are done again, after a resume or a roll back, what TensorBoard showed of them goes.

    Args:
        folder: of the event files; those of earlier sessions stay.

    Raises:
        MissingExtraError: no tensorboard.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("tensorboard", "tensorboard") from error
        self._folder, self._make = os.fspath(folder), SummaryWriter
        self._writer: SummaryWriter | None = None

    def __call__(self, measures: dict[str, Any]) -> None:
        """Write a line of the metrics.

        Raises:
            InputError: the folder cannot be written.
        """
        step, kind = measures["step"], measures["kind"]
        if kind == "rollback":
            self.close()
            return
        try:
            if self._writer is None:
                self._writer = self._make(self._folder, purge_step=step)
            for name, value in measures.items():
                if name not in ("step", "kind"):
                    self._writer.add_scalar(f"{kind}/{name}", value, step)
        except OSError as error:
            raise InputError(f"cannot write '{self._folder}': {error.strerror}") from error

    def close(self) -> None:
        """Write what is still buffered."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
