"""ELMo as a layer of Keras 3, on its torch backend.

    os.environ["KERAS_BACKEND"] = "torch"  # before keras is imported
    rows = [["the", "cat", "sat"], ["dogs", "bark", "__PAD__"]]

    inputs = keras.Input((None, None), dtype="int32")  # of `code_points(rows)`
    vectors = ElmoLayer("path/to/model")(inputs)  # (batch, time, dim), masked
    tags = keras.layers.Dense(5)(keras.layers.LSTM(32, return_sequences=True)(vectors))
    model = keras.Model(inputs, tags)  # model.fit(code_points(rows), ...)

torch has no tensor of strings. A model that Keras is to trace, fit and save therefore takes words
as `code_points`; the layer called by itself takes strings as they are.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, no_type_check

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.func import functional_call

from relmo.elmo.embedding import padded_batch
from relmo.elmo.model import Elmo
from relmo.errors import ConfigError, InputError, MissingExtraError
from relmo.integrations._models import Model, shared
from relmo.nn.mix import ScalarMix

_WANTED = "relmo.integrations.keras needs Keras on torch; set KERAS_BACKEND=torch before keras is "

try:
    import keras
except ModuleNotFoundError as error:
    if error.name == "keras":
        raise MissingExtraError("keras", "keras") from error
    raise ConfigError(f"{_WANTED}imported (it asks for {error.name!r}, its backend)") from error
if keras.backend.backend() != "torch":
    raise ConfigError(f"{_WANTED}imported (its backend is {keras.backend.backend()!r})")

__all__ = ["PAD", "ElmoLayer", "code_points"]

PAD = "__PAD__"
"""A token that is padding, as the empty one is."""

CodePoints = npt.NDArray[np.int32]


def code_points(rows: object, *, width: int | None = None) -> CodePoints:
    """Words as numbers that Keras takes: the Unicode code points of each.

    Args:
        rows: tokens (batch, time); shorter rows are filled up.
        width: code points a token, longer ones being cut; None: as many as the longest token has.

    Returns:
        (batch, time, width), zeros behind a token's end and for padding.
    """
    tokens, time = _table(rows)
    if width is None:
        width = max([1, *(len(token) for row in tokens for token in row)])
    coded = np.zeros((len(tokens), time, width), np.int32)
    for n, row in enumerate(tokens):
        for k, token in enumerate(row):  # "" leaves zeros
            points = [ord(char) for char in token[:width]]
            coded[n, k, : len(points)] = points
    return coded


@keras.saving.register_keras_serializable("relmo")
class ElmoLayer(keras.layers.Layer):  # type: ignore[misc]
    """Tokens to the learned mix of a biLM's layers, equation 1.

    The biLM is frozen and no weight of the layer; the mix is: `mix_weights` (n_layers,) and
    `gamma` (). They start as the ones that came with the model, or as the average. Padding is
    left out before the biLM runs, wherever in a row it is: its vectors are zeros, and a mask goes
    on to the next layer.

    Args:
        model: what `relmo.load` takes, or an `Elmo`; None: the model in the box. It computes where
            the model is: for a GPU give `relmo.load(name, device="cuda")`.
        **kwargs: what every layer of Keras takes, such as `trainable` and `name`.
    """

    @no_type_check  # the checks of the tests would hide the signature, which Keras looks at
    def __init__(self, model: Model = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._set_up(model)

    def _set_up(self, model: Model) -> None:
        self.elmo = shared(model)
        self._model = model
        self.supports_masking = True
        # As Keras's own layers of text do: or strings would be turned into tensors before `call`.
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True
        n_layers, mix = self.elmo.n_layers, self.elmo.mixes[0] if self.elmo.mixes else None
        self.mix_weights = self._scalars("mix_weights", mix.weights if mix else (0.0,) * n_layers)
        self.gamma = self._scalars("gamma", mix.gamma if mix else 1.0)
        self.built = True

    def _scalars(self, name: str, values: float | tuple[float, ...]) -> Any:
        return self.add_weight(
            name=name,
            shape=np.shape(values),
            initializer=lambda shape, dtype=None: keras.ops.convert_to_tensor(values, dtype=dtype),
        )

    def call(self, inputs: object) -> Tensor:
        """Embed a batch.

        Args:
            inputs: tokens (batch, time), as lists or an array of strings, rows filled up with
                "__PAD__" (or with "", or not at all); or `code_points` of them.

        Returns:
            (batch, time, dim), zeros at padding.

        Raises:
            InputError: neither.
        """
        rows, time = _table(inputs)
        mask = _mask(rows, time).to(self.elmo.device)
        sentences = [[token for token in row if token] for row in rows]
        batch = padded_batch(self.elmo, sentences, time=time)
        # Where the tokens are once the padding among them is there again: both row after row.
        places = torch.zeros(mask.numel(), dtype=torch.int64, device=mask.device)
        places[batch.mask.flatten()] = mask.flatten().nonzero()[:, 0]
        batch = replace(batch, positions=places[batch.positions], mask=mask)
        learned = {"weights": self.mix_weights.value, "gamma": self.gamma.value}
        learned = {name: value.to(mask.device) for name, value in learned.items()}
        mixed = functional_call(ScalarMix(self.elmo.n_layers), learned, (batch.layers,))
        padded: Tensor = keras.ops.convert_to_tensor(batch.padded(mixed))
        return padded

    def compute_mask(self, inputs: Any, previous_mask: object = None) -> Any:
        """Where there is a token and no padding, (batch, time)."""
        if _is_coded(inputs):  # perhaps symbolic
            return keras.ops.any(keras.ops.not_equal(inputs, 0), axis=-1)
        return keras.ops.convert_to_tensor(_mask(*_table(inputs)))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """(batch, time, dim)."""
        return (*input_shape[:2], self.elmo.dim)

    def get_config(self) -> dict[str, Any]:
        """What the layer is made of again: where its model lies, not the model.

        Raises:
            ConfigError: the model lies nowhere.
        """
        place: Any = self._model
        if isinstance(place, Elmo):
            if place.checkpoint_info is None:
                raise ConfigError("ElmoLayer: its model lies nowhere; save it and give the folder")
            place = place.checkpoint_info.source
        return {**super().get_config(), "model": None if place is None else str(place)}


def _is_coded(inputs: Any) -> bool:
    """Whether inputs are numbers, symbolic ones too."""
    return hasattr(inputs, "dtype") and "int" in str(inputs.dtype)


def _table(inputs: Any) -> tuple[list[list[str]], int]:
    """The tokens, padding as "", and how many positions there are."""
    if _is_coded(inputs):
        return _decoded(inputs), int(inputs.shape[1])
    rows = inputs.tolist() if isinstance(inputs, np.ndarray) else inputs
    if not isinstance(rows, list | tuple):
        raise InputError(f"ElmoLayer: expected rows of tokens or code_points, got {rows!r:.60}")
    for n, row in enumerate(rows):
        if not isinstance(row, list | tuple) or not all(isinstance(token, str) for token in row):
            raise InputError(f"ElmoLayer: row {n}: expected a list of strings, got {row!r:.60}")
    table = [["" if token == PAD else token for token in row] for row in rows]
    return table, max(map(len, table), default=0)


def _mask(rows: list[list[str]], time: int) -> Tensor:
    """Where there is a token, (batch, time)."""
    mask = torch.zeros(len(rows), time, dtype=torch.bool)
    for n, row in enumerate(rows):
        mask[n, : len(row)] = torch.tensor([bool(token) for token in row], dtype=torch.bool)
    return mask


def _decoded(inputs: Any) -> list[list[str]]:
    coded = inputs.cpu().numpy() if isinstance(inputs, Tensor) else np.asarray(inputs)
    if coded.ndim != 3:
        raise InputError(
            f"ElmoLayer: expected code_points (batch, time, width), got shape {coded.shape}"
        )
    try:
        return [["".join(map(chr, token[token != 0])) for token in row] for row in coded]
    except (ValueError, OverflowError):
        raise InputError("ElmoLayer: a number among the code_points is no code point") from None
