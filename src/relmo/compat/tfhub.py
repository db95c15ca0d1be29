"""TF-Hub's ELMo modules in PyTorch: the names, signatures and outputs of google/elmo/1 to 3.

    elmo = tfhub.load("https://tfhub.dev/google/elmo/3")  # or a module's folder, or any model
    vectors = elmo(["the cat is on the mat", "dogs are in the fog"], as_dict=True)["elmo"]

Both ways of calling are there: `hub.Module`'s, as above, and `hub.load(...)`'s,
`elmo.signatures["default"](documents)["elmo"]`. Different from the original on purpose:

- A sentence starts from a zero state: it has the same vectors whatever was embedded before it.
- Positions behind a sentence's end are zeros in every output. In the original `word_emb` had the
  vector there that the token encoder makes of no characters at all (its biases), `elmo` the share
  that this has in the mix; `lstm_outputs1` and `lstm_outputs2` were zeros.
- `default` is the mean of `elmo` over the tokens (version 3) or over all positions of the padded
  batch (versions 1 and 2). The latter counts what the original had at padded positions, so a
  document's vector depends on the longest of its batch, as it did.
- `default` of a sentence without a token is zeros.
- DeepPavlov's modules are as the others: `scaling` is in `default` too, which they left it out of,
  and the string `version` is not given.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from relmo.elmo import model
from relmo.elmo.embedding import ElmoEmbedding, padded_batch
from relmo.errors import ConfigError, InputError
from relmo.nn.mix import ScalarMix
from relmo.nn.precision import exact
from relmo.nn.token_encoders import CharCNN

__all__ = ["Module", "load"]

_VERSIONS = (1, 2, 3)
_NAME = re.compile(r"(?:\bgoogle/elmo/|^tfhub-)([123])\b")


def load(
    spec: str | Path | model.Elmo | None = None,
    tags: object = None,
    options: object = None,
    *,
    version: int | None = None,
    device: str | torch.device = "cpu",
) -> "Module":
    """A module that does not train, as `hub.load` gives it.

    Args:
        spec: a URL of TF-Hub's, a name or folder as for `relmo.load`, or a model; None: the model
            in the box.
        tags: accepted and not needed.
        options: accepted and not needed.
        version: see `Module`.
        device: where it shall compute.

    Raises:
        FormatError, InputError: see `relmo.load`.
        ConfigError: another version.
    """
    return Module(spec, version=version, device=device)


class Module(nn.Module):
    """TF-Hub's ELMo as a layer.

    Its parameters are the module's four scalars: `weights` (n_layers,) and `scaling` (). They
    start as the ones that came with the model, or as the average. The biLM is frozen and neither
    among the parameters nor in the `state_dict()`, unless `fine_tune`.

    Args:
        spec: a URL of TF-Hub's, a name or folder as for `relmo.load`, or a model; None: the model
            in the box.
        trainable: whether the four scalars are trained.
        name: accepted and not needed, as there are no variable scopes.
        tags: accepted and not needed.
        version: 1, 2 or 3, which settle `default`; None: what the URL or TF-Hub's name ends in,
            else 3.
        fine_tune: train the biLM too, of which version 1 trained the LSTMs.
        device: where it shall compute, not used where `spec` is a model.

    Raises:
        FormatError, InputError: see `relmo.load`.
        ConfigError: another version.
    """

    def __init__(
        self,
        spec: str | Path | model.Elmo | None = None,
        trainable: bool = False,
        name: str | None = None,
        tags: object = None,
        *,
        version: int | None = None,
        fine_tune: bool = False,
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__()
        found = _NAME.search(spec) if isinstance(spec, str) else None
        self.version = version if version is not None else int(found[1]) if found else 3
        if self.version not in _VERSIONS:
            raise ConfigError(f"version: expected 1, 2 or 3, got {self.version}")
        elmo = spec if isinstance(spec, model.Elmo) else model.load(spec, device=device)
        self.embedding = ElmoEmbedding(elmo, dropout=0.0, fine_tune=fine_tune)
        self._mix.requires_grad_(trainable)
        if elmo.mixes:
            with torch.no_grad():
                self.weights.copy_(torch.tensor(elmo.mixes[0].weights))
                self.scaling.fill_(elmo.mixes[0].gamma)

    @property
    def _mix(self) -> ScalarMix:
        mix = self.embedding.mixtures[0]
        assert isinstance(mix, ScalarMix)
        return mix

    @property
    def elmo(self) -> model.Elmo:
        """The model underneath."""
        return self.embedding.elmo

    @property
    def weights(self) -> nn.Parameter:
        """One scalar a layer, before the softmax, (n_layers,)."""
        return self._mix.weights

    @property
    def scaling(self) -> nn.Parameter:
        """What the weighted sum is multiplied by, ()."""
        return self._mix.gamma

    @property
    def signatures(self) -> dict[str, Callable[..., dict[str, Tensor]]]:
        """The signatures as `hub.load` gives them: each a function to the dict of outputs.

        `signatures["default"](strings)`, `signatures["tokens"](tokens=..., sequence_len=...)`.
        """

        def tokens(tokens: object, sequence_len: object) -> dict[str, Tensor]:
            return self._tokens({"tokens": tokens, "sequence_len": sequence_len})

        return {"default": self._default, "tokens": tokens}

    def forward(
        self, inputs: object, signature: str | None = None, as_dict: bool | None = None
    ) -> Tensor | dict[str, Tensor]:
        """Embed a batch.

        Args:
            inputs: for "default" the sentences: strings (batch,), which are split at spaces (and
                at nothing else), or {"strings": them}. For "tokens" a dict: "tokens", strings
                (batch, time), rows filled up with ""; "sequence_len", how many of each row are
                tokens, (batch,).
            signature: "default" or "tokens"; None: "default".
            as_dict: whether to return every output, by name, not `default` alone.

        Returns:
            `default`, (batch, dim): a sentence's mean vector; or a dict of it and of `word_emb`
            (batch, time, projection_dim), `lstm_outputs1`, `lstm_outputs2` (as many as there are
            layers) and `elmo`, the mix of them, each (batch, time, dim), and `sequence_len`
            (batch,), int32.

        Raises:
            InputError: another signature, or inputs that are not of its kind.
        """
        signature = "default" if signature is None else signature
        if signature not in ("default", "tokens"):
            raise InputError(f"signature: expected 'default' or 'tokens', got {signature!r}")
        outputs = self._default(inputs) if signature == "default" else self._tokens(inputs)
        return outputs if as_dict else outputs["default"]

    def _default(self, strings: object) -> dict[str, Tensor]:
        strings = _of(strings, "strings") if isinstance(strings, Mapping) else strings
        if isinstance(strings, np.ndarray):
            strings = strings.tolist()
        if not isinstance(strings, Sequence) or isinstance(strings, str | bytes):
            raise InputError(f"strings: expected a list of strings, got {strings!r:.60}")
        for number, string in enumerate(strings):
            if not isinstance(string, str):
                raise InputError(f"strings[{number}]: expected a string, got {string!r:.60}")
        return self._outputs([list(filter(None, string.split(" "))) for string in strings], 0)

    def _tokens(self, inputs: object) -> dict[str, Tensor]:
        if not isinstance(inputs, Mapping):
            raise InputError(
                'inputs: the signature "tokens" takes {"tokens": ..., "sequence_len": ...}, got '
                f"{inputs!r:.60}"
            )
        rows, time = _rows(_of(inputs, "tokens"))
        lengths = _lengths(_of(inputs, "sequence_len"), len(rows), time)
        return self._outputs([row[:n] for row, n in zip(rows, lengths, strict=True)], time)

    def _outputs(self, sentences: list[list[str]], time: int) -> dict[str, Tensor]:
        trains = self.embedding.bilm is not None
        batch = padded_batch(self.elmo, sentences, time=time, trains=trains)
        batch = batch.to(self.scaling)
        token_layer, *lstm_layers = batch.layers
        mixed = batch.padded(self._mix(batch.layers))  # (B, T, dim)
        lengths = batch.mask.sum(dim=1)
        return {
            "word_emb": batch.padded(token_layer[:, : token_layer.shape[1] // 2]),
            **{f"lstm_outputs{n}": batch.padded(x) for n, x in enumerate(lstm_layers, start=1)},
            "elmo": mixed,
            "default": self._pooled(mixed, lengths),
            "sequence_len": lengths.to(torch.int32),
        }

    def _pooled(self, mixed: Tensor, lengths: Tensor) -> Tensor:
        """Mean over the tokens, or over all positions, (B, dim)."""
        total = mixed.sum(dim=1)
        if self.version == 3:
            return total / lengths.clamp(min=1)[:, None]
        time = mixed.shape[1]
        padding = torch.softmax(self.weights, 0)[0] * self.scaling * self._nothing()
        return (total + (time - lengths)[:, None] * padding) / max(time, 1)

    def _nothing(self) -> Tensor:
        """What the original's token layer has at a padded position: no character, (dim,)."""
        encoder = self.elmo.bilm.token_encoder
        if not isinstance(encoder, CharCNN):
            return self.scaling.new_zeros(self.elmo.dim)
        with exact(self.elmo.device, trains=self.embedding.bilm is not None):
            vector = encoder.without_characters()[0].to(self.scaling)
        return torch.cat([vector, vector])


def _of(inputs: Mapping[Any, Any], key: str) -> object:
    if key not in inputs:
        raise InputError(f"inputs: expected the key {key!r}, got {', '.join(map(repr, inputs))}")
    return inputs[key]


def _rows(tokens: object) -> tuple[list[list[str]], int]:
    """Rows of strings, all of one length, and that length."""
    if isinstance(tokens, np.ndarray):
        tokens = tokens.tolist()
    if not isinstance(tokens, Sequence) or isinstance(tokens, str | bytes):
        raise InputError(f"tokens: expected lists of strings, got {tokens!r:.60}")
    rows: list[list[str]] = []
    for number, row in enumerate(tokens):
        if not isinstance(row, list | tuple) or not all(isinstance(token, str) for token in row):
            raise InputError(f"tokens[{number}]: expected a list of strings, got {row!r:.60}")
        if rows and len(row) != len(rows[0]):
            raise InputError(
                f"tokens[{number}] has {len(row)} tokens, expected {len(rows[0])} as the first "
                'row has; fill up with ""'
            )
        rows.append(list(row))
    return rows, len(rows[0]) if rows else 0


def _lengths(sequence_len: object, n_rows: int, time: int) -> list[int]:
    try:
        lengths = np.asarray(sequence_len)
    except (ValueError, TypeError, RuntimeError):
        lengths = np.empty(0, object)
    is_whole = lengths.dtype.kind in "iu" or not lengths.size
    if lengths.shape != (n_rows,) or not is_whole or ((lengths < 0) | (lengths > time)).any():
        raise InputError(
            f"sequence_len: expected {n_rows} whole numbers of 0 to {time}, got "
            f"{sequence_len!r:.60}"
        )
    return [int(length) for length in lengths]
