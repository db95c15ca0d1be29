"""Which tensor of AllenNLP's biLM holds which parameters of relmo; see `_torch_rows` for how.

Names are those below the module `_ElmoBiLm`.
"""

from collections.abc import Iterator

import torch

from relmo.config import BiLMConfig
from relmo.formats._bilm_table import Layout, Row
from relmo.formats._torch_rows import AS_IS, TRANSPOSED, char_cnn_rows, lstm_rows
from relmo.text.chars import N_CHARACTERS

__all__ = ["allennlp_table"]

_CHARACTERS = Layout(
    lambda x: (x[-N_CHARACTERS:],),
    lambda parts: torch.cat([parts[0].new_zeros(1, parts[0].shape[1]), parts[0]]),
)  # less the row of the mask, which is zeros


def allennlp_table(config: BiLMConfig, *, mask_row: bool = True) -> Iterator[Row]:
    """The tensors of a biLM with characters, lazily; AllenNLP has no other.

    Args:
        config: the shape of the model.
        mask_row: whether the character vectors begin with the row of the mask (262 rows, not 261).
    """
    cnn = config.char_cnn
    assert cnn is not None
    theirs, ours = "_token_embedder", "token_encoder"
    yield Row(
        f"{theirs}._char_embedding_weights",
        (N_CHARACTERS + mask_row, cnn.embedding_dim),
        "char_cnn.embedding.dim",
        (f"{ours}.char_embedding",),
        _CHARACTERS,
    )
    names = (f"{theirs}.char_conv_{{}}", f"{theirs}._highways._layers.{{}}")
    yield from char_cnn_rows(cnn, *names, ours, "char_cnn")
    if config.has_char_projection:
        f, p = cnn.n_filters, config.projection_dim
        origin, name = "char_cnn.filters and lstm.projection_dim", f"{theirs}._projection"
        yield Row(f"{name}.weight", (p, f), origin, (f"{ours}.projection.weight",), TRANSPOSED)
        yield Row(f"{name}.bias", (p,), origin, (f"{ours}.projection.bias",), AS_IS)
    yield from lstm_rows(config, "_elmo_lstm.", "lstm")
