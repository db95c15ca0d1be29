"""Strict both ways: every tensor of a file used, every parameter filled, or an error naming them.

`where` begins each message: the format and the file, as in "bilm_hdf5: weights.hdf5".
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from types import MappingProxyType

import torch
from torch import Tensor

from relmo.config import BiLMConfig, LayerMix, tail_width
from relmo.errors import ConfigError, FormatError
from relmo.formats._bilm_table import Row
from relmo.formats.checkpoint import Checkpoint, Shape, parameter_shapes
from relmo.text.lexicon import Lexicon
from relmo.text.vocab import Vocabulary

__all__ = [
    "STORED_DTYPES",
    "check_checkpoint",
    "check_finite",
    "check_lexicon",
    "check_mixes",
    "check_names",
    "check_rows",
    "check_shapes",
    "check_tensor_shapes",
    "check_vocab",
    "kept",
    "located",
    "softmax_shapes",
]

STORED_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Types that a stored tensor may have; in memory those of half precision become float32."""
_NAMED = 8
"""Names written out in one message."""


def check_names(expected: Iterable[str], found: Collection[str], where: str, asked_by: str) -> None:
    """Every expected name is found, and no other.

    Args:
        expected: the names, lazily; it is not read further than the message needs.
        found: the names in the file.
        where: the format and the file.
        asked_by: the file that settles what is expected.

    Raises:
        FormatError: names are missing or superfluous.
    """
    wanted: set[str] = set()
    missing: list[str] = []
    for name in expected:
        wanted.add(name)
        if name not in found:
            missing.append(name)
        if len(missing) > _NAMED:
            raise FormatError(f"{where}: {_listed(missing)} missing, which {asked_by} asks for")
    extra = sorted(set(found) - wanted)
    problems = []
    if missing:
        problems.append(f"{_listed(missing)} missing, which {asked_by} asks for")
    if extra:
        problems.append(f"{_listed(extra)} not expected from {asked_by}")
    if problems:
        raise FormatError(f"{where}: {'; '.join(problems)}")


def _listed(names: list[str]) -> str:
    text = ", ".join(f"{name!r:.200}" for name in names[:_NAMED])
    return f"{text} and more" if len(names) > _NAMED else text


def check_shapes(
    expected: Iterable[tuple[str, Shape, str]], found: Mapping[str, Shape | None], where: str
) -> None:
    """Each tensor has its shape.

    Args:
        expected: name, shape, and the setting that the shape comes from.
        found: the shapes in the file.
        where: the format and the file.

    Raises:
        FormatError: a shape differs.
    """
    for name, shape, origin in expected:
        if found[name] != shape:
            raise FormatError(
                f"{where}: {name!r} has shape {found[name]}, expected {shape} from {origin}"
            )


def check_rows(
    table: Callable[[], Iterator[Row]],
    found: Mapping[str, Shape | None],
    where: str,
    asked_by: str,
) -> list[Row]:
    """The rows of a table, each known to have its dataset, in its shape, and none left over.

    Args:
        table: gives the rows, lazily.
        found: the shapes in the file.
        where: the format and the file.
        asked_by: the file that settles what is expected.

    Raises:
        FormatError: a dataset is missing, superfluous or of another shape.
    """
    check_names((row.dataset for row in table()), found, where, asked_by)
    rows = list(table())  # now known to be no more than the file has
    shapes = ((row.dataset, row.shape, f"{asked_by} {row.origin}") for row in rows)
    check_shapes(shapes, found, where)
    return rows


def kept(stored: torch.dtype) -> torch.dtype:
    """The type in memory: float64 stays so, any other becomes float32."""
    return torch.float64 if stored == torch.float64 else torch.float32


def check_finite(name: str, tensor: Tensor, where: str) -> None:
    """No number is NaN or infinite, else FormatError."""
    tensor = tensor.detach()
    # One that is not finite makes the sum so, which takes no memory; a sum may also overflow.
    if not math.isfinite(float(tensor.sum())) and not bool(torch.isfinite(tensor).all()):
        n_bad = int((~torch.isfinite(tensor)).sum())
        raise FormatError(
            f"{where}: {name!r} holds {n_bad} numbers that are NaN or infinite, expected none"
        )


def check_vocab(config: BiLMConfig, vocab: Vocabulary | None, where: str) -> None:
    """A word-input model's vocabulary has one word for each row, else FormatError."""
    if vocab is not None and config.n_words is not None and len(vocab) != config.n_words:
        raise FormatError(
            f"{where}: {len(vocab)} words, expected {config.n_words}, one for each row of the "
            "word embedding"
        )


def check_lexicon(config: BiLMConfig, lexicon: Lexicon | None, where: str) -> None:
    """The words and characters are as many as the configuration says, else FormatError."""
    expected, found = (
        None if counted is None else (counted.n_words, counted.n_characters)
        for counted in (config.lexicon, lexicon)
    )
    if expected != found:
        names = [
            "no lexicon"
            if numbers is None
            else f"{numbers[0] or 'no'} words and {numbers[1] or 'no'} characters"
            for numbers in (found, expected)
        ]
        raise FormatError(f"{where}: {names[0]}, expected {names[1]}, as its config says")


def check_mixes(config: BiLMConfig, mixes: Iterable[LayerMix], where: str) -> None:
    """Each mix has a weight for every layer, else FormatError."""
    for number, mix in enumerate(mixes):
        if len(mix.weights) != config.n_layers + 1:
            raise FormatError(
                f"{where}: mixes[{number}] has {len(mix.weights)} weights, expected "
                f"{config.n_layers + 1}, one a layer"
            )


def softmax_shapes(
    config: BiLMConfig, n_words: int, found: Mapping[str, Shape] = MappingProxyType({})
) -> Iterator[tuple[str, Shape]]:
    """Name and shape of the tensors of the output layer over `n_words` words.

    Of an adaptive one the sizes of head and tails are those that are found, the last tail having
    the words that are left.

    Args:
        config: of the model.
        n_words: of the vocabulary.
        found: the shapes in the file; with a "head.weight" it is an adaptive one.
    """
    p = config.projection_dim
    if "head.weight" not in found:
        yield from (("weight", (n_words, p)), ("bias", (n_words,)))
        return
    # Three tensors a tail: one missing or too many is then said to be just that.
    kinds = (".projection", ".weight", ".bias")
    n = sum(name.startswith("tails.") and name.endswith(kinds) for name in found)
    n_tails = max(1, (n + 1) // 3)
    n_head = max(n_tails + 1, (*found["head.weight"], 0)[0])  # each tail is a row of it too
    yield from (("head.weight", (n_head, p)), ("head.bias", (n_head,)))
    left = n_words - (n_head - n_tails)
    for number in range(n_tails):
        width, is_last = tail_width(p, number), number == n_tails - 1
        n = max(1, left if is_last else (*found.get(f"tails.{number}.weight", ()), 1)[0])
        left -= n
        yield f"tails.{number}.projection", (p, width)
        yield from ((f"tails.{number}.weight", (n, width)), (f"tails.{number}.bias", (n,)))


def check_tensor_shapes(
    expected: Iterable[tuple[str, Shape]],
    found: Mapping[str, Shape],
    where: str,
    asked_by: str,
) -> dict[str, Shape]:
    """Exactly the expected names are found, in the expected shapes.

    Args:
        expected: name and shape, lazily; not read further than a message needs.
        found: the shapes by name.
        where: the format and the file.
        asked_by: the file that settles what is expected.

    Returns:
        the expected names and shapes, in their order.

    Raises:
        FormatError: a tensor is missing, superfluous or of another shape.
    """
    shapes = dict(islice(expected, len(found) + _NAMED + 1))  # enough to tell what is missing
    check_names(shapes, found, where, asked_by)
    check_shapes(((name, shape, asked_by) for name, shape in shapes.items()), found, where)
    return shapes


def check_checkpoint(checkpoint: Checkpoint, where: str) -> None:
    """A checkpoint about to be written is whole.

    Raises:
        FormatError: a tensor is missing, superfluous, of another shape, not of floating point or
            not finite, or the vocabulary or a mix does not fit.
    """
    config, vocab, softmax = checkpoint.config, checkpoint.vocab, checkpoint.softmax
    check_vocab(config, vocab, f"{where}: vocab")
    check_lexicon(config, checkpoint.lexicon, f"{where}: lexicon")
    check_mixes(config, checkpoint.mixes, where)
    _check_tensors(parameter_shapes(config), checkpoint.tensors, where, "its config")
    if softmax is not None:
        if vocab is None:
            raise FormatError(f"{where}: softmax: expected a vocab with it, got None")
        found = {name: tuple(tensor.shape) for name, tensor in softmax.items()}
        shapes = softmax_shapes(config, len(vocab), found)
        _check_tensors(shapes, softmax, f"{where}: softmax", "its config and vocab")


def _check_tensors(
    expected: Iterable[tuple[str, Shape]], tensors: Mapping[str, Tensor], where: str, origin: str
) -> None:
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    check_tensor_shapes(expected, found, where, origin)
    for name, tensor in tensors.items():
        if tensor.dtype not in STORED_DTYPES:
            raise FormatError(
                f"{where}: {name!r} is {tensor.dtype}, expected one of "
                f"{', '.join(map(str, STORED_DTYPES))}"
            )
        check_finite(name, tensor, where)


@contextmanager
def located(where: str) -> Iterator[None]:
    """A ConfigError in the block says where."""
    try:
        yield
    except ConfigError as error:
        message = str(error)
        raise ConfigError(
            message if message.startswith(where) else f"{where}: {message}"
        ) from error
