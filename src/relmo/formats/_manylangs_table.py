"""Which tensor of ELMoForManyLangs holds which parameters of relmo; see `_torch_rows` for how.

One table serves reading and the round-trip test.
"""

from collections.abc import Iterator

from relmo.config import BiLMConfig
from relmo.formats._bilm_table import Row
from relmo.formats._torch_rows import AS_IS, TRANSPOSED, char_cnn_rows, lstm_rows

__all__ = ["encoder_table", "token_embedder_table"]


def encoder_table(config: BiLMConfig) -> Iterator[Row]:
    """The tensors of encoder.pkl, lazily."""
    yield from lstm_rows(config, "", "encoder")


def token_embedder_table(config: BiLMConfig) -> Iterator[Row]:
    """The tensors of token_embedder.pkl, lazily; the model has to have a lexicon."""
    lexicon = config.lexicon
    assert lexicon is not None
    encoder, section = "token_encoder", "token_embedder"
    if lexicon.n_words is not None:
        shape = (lexicon.n_words, lexicon.word_dim or 0)
        origin = f"the {lexicon.n_words} words of word.dic and {section}.word_dim"
        to = f"{encoder}.words.embedding"
        yield Row("word_emb_layer.embedding.weight", shape, origin, (to,), AS_IS)
    if lexicon.n_characters is not None:
        shape = (lexicon.n_characters, lexicon.char_dim or 0)
        origin = f"the {lexicon.n_characters} characters of char.dic and {section}.char_dim"
        to = f"{encoder}.characters.char_embedding"
        yield Row("char_emb_layer.embedding.weight", shape, origin, (to,), AS_IS)
        if lexicon.char_cnn is not None:
            names = ("convolutions.{}", "highways._layers.{}")
            yield from char_cnn_rows(lexicon.char_cnn, *names, f"{encoder}.characters", section)
        else:
            yield from _char_lstm_rows(lexicon.char_dim or 0, section, f"{encoder}.characters")
    p, joined = config.projection_dim, lexicon.joined_dim
    origin, to = f"{section} and encoder.projection_dim", f"{encoder}.projection"
    yield Row("projection.weight", (p, joined), origin, (f"{to}.weight",), TRANSPOSED)
    yield Row("projection.bias", (p,), origin, (f"{to}.bias",), AS_IS)


def _char_lstm_rows(c: int, section: str, encoder: str) -> Iterator[Row]:
    for direction in ("", "_reverse"):
        for part, shape in (("weight", (4 * c, c)), ("bias", (4 * c,))):
            for side in ("ih", "hh"):
                name = f"{part}_{side}_l0{direction}"
                to = (f"{encoder}.lstm.{name}",)
                yield Row(f"char_lstm.{name}", shape, f"{section}.char_dim", to, AS_IS)
