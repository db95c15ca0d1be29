"""Every error relmo raises on purpose.

    RelmoError
    ├── ConfigError          a setting or option is unknown, missing or contradicts another
    ├── FormatError          a model file is truncated, foreign, or not what its options say
    ├── InputError           a text, corpus, path or argument given by the user cannot be used
    ├── ShapeError           a tensor has another shape than the operation needs
    ├── ProcessError         another process that works on the same training is gone
    ├── TrainingError        training cannot go on; the last good checkpoint is kept
    └── MissingExtraError    an optional library is not installed

A message says what failed, on what (file, key, line, shape), expected against got, what to do.
At the command line each of them is one line on standard error and exit code 2.
"""

__all__ = [
    "ConfigError",
    "FormatError",
    "InputError",
    "MissingExtraError",
    "ProcessError",
    "RelmoError",
    "ShapeError",
    "TrainingError",
]


class RelmoError(Exception):
    """Base of every error relmo raises on purpose."""


class ConfigError(RelmoError):
    """A setting or option is unknown, missing or contradicts another."""


class FormatError(RelmoError):
    """A model file is truncated, foreign, or not what its options say."""


class InputError(RelmoError):
    """A text, corpus, path or argument given by the user cannot be used."""


class ShapeError(RelmoError):
    """A tensor has another shape than the operation needs."""


class TrainingError(RelmoError):
    """Training cannot go on, such as after a loss that is not finite."""


class ProcessError(RelmoError):
    """Another process that works on the same training has failed, or is not there."""


class MissingExtraError(RelmoError):
    """An optional library is not installed.

    Args:
        library: the module that could not be imported.
        extra: the extra of relmo that installs it.
    """

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"{library} is not installed; run: pip install 'relmo[{extra}]'")
