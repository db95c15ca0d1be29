"""The format of TF-Hub's ELMo modules (google/elmo/1 to 3, DeepPavlov's Russian ones): a folder.

    saved_model.pb, tfhub_module.pb     the graph, which is not read
    variables/variables.index, .data-*  bilm/...: the biLM, inference only; aggregation/...: the mix

How large the model is, is read off the shapes of its variables. What shapes do not tell are
constants of all published modules: cells and outputs clipped at 3, skip connections, relu, 50
characters a token. For a module of one's own making that differs, an options.json (see
`_bilm_options`) beside saved_model.pb says all of it instead.

The module's four scalars, the mix of the layers, become a `LayerMix`. The state of the LSTMs that
the graph kept from call to call (`Variable`, `Variable_1`, ...) is recognised and left.
"""

import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count, takewhile
from pathlib import Path

from relmo._files import lacks, read_json, readable
from relmo.config import BiLMConfig, CharCNNConfig, LayerMix
from relmo.errors import ConfigError, FormatError
from relmo.formats._options import config_from_options, has_characters
from relmo.formats._tensorflow import Bundle, read_parameters, variable_names
from relmo.formats.checkpoint import Checkpoint, Shape

__all__ = ["NAME", "find", "read"]

NAME = "tfhub"
GRAPHS = ("saved_model.pb", "tfhub_module.pb")
INDEX, OPTIONS, SCOPE = "variables/variables.index", "options.json", "bilm/"

_CELL = "RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/rnn/lstm_cell"
_STATE = re.compile(r"(?:.+/)?Variable(?:_\d+)?")
_MIXES = (
    ("aggregation/weights", "aggregation/scaling"),
    ("aggregation/elmo_output_ELMo_W", "aggregation/elmo_output_ELMo_gamma"),  # DeepPavlov
)


def find(path: Path) -> Callable[[], Checkpoint]:
    """Return the reader of the module in a folder.

    Raises:
        FormatError: it is not a TF-Hub module with an ELMo in it; the message says why.
        InputError: a file cannot be opened.
    """
    if not path.is_dir():
        raise FormatError("it is not a folder")
    if not any((path / name).is_file() for name in GRAPHS):
        raise FormatError(f"it has no {' or '.join(GRAPHS)}")
    reason = lacks(path, INDEX)
    if reason is not None:
        raise FormatError(reason)
    bundle = Bundle(path / INDEX, NAME)
    if not any(name.startswith(SCOPE) for name in bundle.variables):
        some = ", ".join(map(repr, sorted(bundle.variables)[:3])) or "none"
        raise FormatError(f"{INDEX}: no variable begins with '{SCOPE}'; it has {some}")
    return partial(_read, path, bundle)


def read(folder: str | os.PathLike[str]) -> Checkpoint:
    """Read a module.

    Raises:
        InputError: a file cannot be opened.
        ConfigError: an options.json beside it lacks a key or contradicts itself.
        FormatError: a file is missing, truncated, foreign, or the variables are not those of an
            ELMo module.
    """
    folder = Path(folder)
    with readable(f"{NAME}: '{folder}'"):
        return _read(folder, Bundle(folder / INDEX, NAME))


def _read(folder: Path, bundle: Bundle) -> Checkpoint:
    if (folder / OPTIONS).exists():
        config, asked_by = _read_options(folder / OPTIONS), OPTIONS
    else:
        config, asked_by = _inferred(bundle.shapes, bundle.where), "the other variables"
    mix_names: tuple[str, ...] = next((pair for pair in _MIXES if pair[0] in bundle.variables), ())
    others = {name for name in bundle.variables if name in mix_names or _STATE.fullmatch(name)}
    named = variable_names(SCOPE, _CELL)
    tensors = read_parameters(bundle, config, named, others, asked_by)
    mixes = (_read_mix(bundle, config, *mix_names),) if mix_names else ()
    return Checkpoint(config=config, tensors=tensors, mixes=mixes, format=NAME, source=folder)


def _read_options(path: Path) -> BiLMConfig:
    where = f"{NAME}: {path}"
    options = read_json(path, where)
    if not has_characters(options):
        raise ConfigError(f"{where}: 'char_cnn' is missing, which every module has")
    return config_from_options(options, where)


def _inferred(shapes: Mapping[str, Shape], where: str) -> BiLMConfig:
    """The configuration that shapes tell; which of them contradict it is found out later."""
    named = variable_names(SCOPE, _CELL)

    def shape(dataset: str, *axes: str) -> Shape:
        name = named(dataset)
        found = shapes.get(name)
        if found is None:
            raise FormatError(f"{where}: {name!r} missing, which every module has")
        if len(found) != len(axes):
            raise FormatError(f"{where}: {name!r} has shape {found}, expected ({', '.join(axes)})")
        return found

    def how_many(dataset: str) -> int:
        """Of a dataset with a number in it: 0, 1, ... as far as they go."""
        return sum(1 for _ in takewhile(lambda n: named(dataset.format(n)) in shapes, count()))

    _, embedding_dim = shape("char_embed", "characters", "dim")
    filters = [
        shape(f"CNN/W_cnn_{i}", "1", "width", "dim", "number")
        for i in range(how_many("CNN/W_cnn_{}") or 1)
    ]
    cell = "RNN_0/RNN/MultiRNNCell/Cell{}/LSTMCell"
    (gates,) = shape(f"{cell.format(0)}/B", "4 * dim")
    n_inputs, _ = shape(f"{cell.format(0)}/W_0", "2 * projection", "4 * dim")
    try:
        return BiLMConfig(
            lstm_dim=gates // 4,
            projection_dim=n_inputs // 2,
            n_layers=how_many(f"{cell}/W_0"),
            char_cnn=CharCNNConfig(
                filters=tuple((width, number) for _, width, _, number in filters),
                embedding_dim=embedding_dim,
                n_highway=how_many("CNN_high_{}/W_carry"),
            ),
        )
    except ConfigError as error:
        raise FormatError(
            f"{where}: the shapes are not those of an ELMo module: {error}"
        ) from error


def _read_mix(bundle: Bundle, config: BiLMConfig, weights: str, scaling: str) -> LayerMix:
    n_layers = config.n_layers + 1
    for name, expected in ((weights, [(n_layers,)]), (scaling, [(), (1,)])):
        if name not in bundle.shapes:
            raise FormatError(f"{bundle.where}: {name!r} missing, which goes with {weights!r}")
        if bundle.shapes[name] not in expected:
            raise FormatError(
                f"{bundle.where}: {name!r} has shape {bundle.shapes[name]}, expected "
                f"{' or '.join(map(str, expected))} for {n_layers} layers"
            )
    return LayerMix(
        weights=tuple(bundle.read(weights).tolist()), gamma=float(bundle.read(scaling).reshape(()))
    )
