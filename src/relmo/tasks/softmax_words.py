"""The vectors that a biLM's softmax has of words: what it says comes next, a row a word.

They have been learned from all of the text that the biLM was trained on, as the token layer has,
but of the words' company alone, not of their spelling ("output embeddings": Press and Wolf 2017).
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from relmo._typing import Float
from relmo.errors import ConfigError
from relmo.formats.verify import parameters_sha256
from relmo.model import Elmo
from relmo.tasks.own_words import known_words
from relmo.text.vocab import Vocabulary

__all__ = ["elmo_sha256", "softmax_rows"]


def softmax_rows(elmo: Elmo, tokens: Sequence[str]) -> Float[Tensor, "n dim"]:
    """The rows of some tokens, (n, dim // 2), each brought to mean square 1.

    A token has the row of the word as it is written, else in lower case, else that of `<UNK>`.

    Raises:
        ConfigError: the biLM has no softmax with a row a word.
    """
    weight, words = _table(elmo)
    rows = weight[torch.from_numpy(known_words(words, tokens)).to(weight.device)].float()
    return nn.functional.normalize(rows, dim=1).mul(rows.shape[1] ** 0.5)


def elmo_sha256(elmo: Elmo, *, softmax: bool) -> str:
    """Of a biLM's parameters, see `parameters_sha256`, and where asked of its softmax's rows too.

    Raises:
        ConfigError: it has none.
    """
    found = parameters_sha256(elmo.checkpoint())
    if not softmax:
        return found
    weight, words = _table(elmo)
    digest = hashlib.sha256(f"{found} {words.sha256()}".encode())
    digest.update(weight.detach().float().cpu().numpy().astype("<f4", copy=False).data)
    return digest.hexdigest()


def _table(elmo: Elmo) -> tuple[Tensor, Vocabulary]:
    weight = None if elmo.softmax is None else elmo.softmax.get("weight")
    if weight is None or elmo.vocab is None or weight.shape != (len(elmo.vocab), elmo.dim // 2):
        raise ConfigError(
            f"--softmax-words: {elmo!r} has no softmax with a row for each word; expected a model "
            "that kept it, such as the one in the box"
        )
    return weight, elmo.vocab
