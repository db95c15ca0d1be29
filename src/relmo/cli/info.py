"""`relmo info`: what a model is."""

import glob
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relmo.cli import _flags, _inputs
from relmo.cli._output import count, in_bytes

if TYPE_CHECKING:
    from relmo.config import BiLMConfig, CharCNNConfig, LayerMix, LexiconConfig
    from relmo.formats.checkpoint import Checkpoint

__all__ = ["info"]

_PARTS = {
    "token_encoder.": "token encoder",
    "forward_lstm.": "forward LSTM",
    "backward_lstm.": "backward LSTM",
}


def info(model: _flags.Model | None = None, /, *, as_json: _flags.Json = False) -> None:
    """Print what a model is (default: the bundled one).

    Its format, layers, shape, parameters by part, vocabulary, learned mixes, and its card.

        relmo info original
    """
    checkpoint = _inputs.read_checkpoint(model)
    if as_json:
        print(json.dumps(_facts(checkpoint), indent=2, ensure_ascii=False))
        return
    for name, fact in _lines(checkpoint):
        print(f"{name:<15} {fact}")
    if checkpoint.card:
        print()
        _print_card(checkpoint.card)


def _facts(checkpoint: "Checkpoint") -> dict[str, Any]:
    config = checkpoint.config
    words = None if checkpoint.vocab is None else len(checkpoint.vocab)
    return {
        "source": str(checkpoint.source),
        "format": checkpoint.format,
        "bytes": _size(checkpoint.source),
        "n_layers": config.n_layers + 1,
        "dim": config.dim,
        "parameters": _parameters(checkpoint),
        "softmax_words": None if checkpoint.softmax is None else words,
        "vocabulary_words": words,
        "mixes": [mix.to_dict() for mix in checkpoint.mixes],
        "config": config.to_dict(),
        "card": checkpoint.card,
    }


def _lines(checkpoint: "Checkpoint") -> list[tuple[str, str]]:
    config, facts = checkpoint.config, _facts(checkpoint)
    words = facts["vocabulary_words"]
    parameters = facts["parameters"]
    return [
        ("source", facts["source"]),
        ("format", f"{facts['format']}, {in_bytes(facts['bytes'])}"),
        ("layers", f"{facts['n_layers']}: the token layer, {_lstm_layers(config.n_layers)}"),
        ("dim", f"{config.dim}: {config.projection_dim} forward, {config.projection_dim} backward"),
        ("token encoder", _token_encoder(config)),
        ("LSTMs", _lstms(config)),
        ("parameters", f"{sum(parameters.values()):,}"),
        *((f"  {name}", f"{number:,}") for name, number in parameters.items()),
        ("vocabulary", "none" if words is None else count(words, "word")),
        ("softmax", _softmax(checkpoint)),
        *(("mix", _mix(mix)) for mix in checkpoint.mixes or (None,)),
    ]


def _parameters(checkpoint: "Checkpoint") -> dict[str, int]:
    """Return the numbers of parameters by part of the biLM, which the softmax is not."""
    parts = dict.fromkeys(_PARTS.values(), 0)
    for name, tensor in checkpoint.tensors.items():
        part = next(part for prefix, part in _PARTS.items() if name.startswith(prefix))
        parts[part] += tensor.numel()
    return parts


def _lstm_layers(n: int) -> str:
    return f"then {count(n, 'LSTM layer')} in each direction"


def _token_encoder(config: "BiLMConfig") -> str:
    if config.lexicon is not None:
        return _lexicon(config.lexicon)
    cnn = config.char_cnn
    if cnn is not None:
        return f"character vectors of {cnn.embedding_dim}; {_convolutions(cnn)}"
    return count(config.n_words or 0, "word vector")


def _lexicon(lexicon: "LexiconConfig") -> str:
    facts = []
    if lexicon.n_words is not None:
        facts.append(f"{count(lexicon.n_words, 'word vector')} of {lexicon.word_dim}")
    if lexicon.n_characters is not None:
        facts.append(f"{count(lexicon.n_characters, 'character vector')} of {lexicon.char_dim}")
        facts.append(
            "an LSTM reads them in each direction; "
            f"{lexicon.max_characters_per_token} characters per token"
            if lexicon.char_cnn is None
            else _convolutions(lexicon.char_cnn)
        )
    return "; ".join(facts)


def _convolutions(cnn: "CharCNNConfig") -> str:
    filters = ", ".join(f"{number} of width {width}" for width, number in cnn.filters)
    return (
        f"filters: {filters}; {cnn.activation}; {count(cnn.n_highway, 'highway layer')}; "
        f"{cnn.max_characters_per_token} characters per token"
    )


def _lstms(config: "BiLMConfig") -> str:
    projected = f"projected to {config.projection_dim}" if config.has_lstm_projection else ""
    clips = [
        f"{name} clipped at {clip:g}"
        for name, clip in (("cells", config.cell_clip), ("outputs", config.projection_clip))
        if clip is not None
    ]
    skip = "skip connections" if config.skip_connections else "no skip connections"
    return "; ".join(filter(None, [count(config.lstm_dim, "cell"), projected, *clips, skip]))


def _softmax(checkpoint: "Checkpoint") -> str:
    if checkpoint.softmax is None:
        return "none"
    is_adaptive = "head.weight" in checkpoint.softmax
    return ("adaptive, " if is_adaptive else "") + "for the words of the vocabulary"


def _mix(mix: "LayerMix | None") -> str:
    if mix is None:
        return "none"
    weights = ", ".join(f"{weight:.4g}" for weight in mix.shares())
    return f"{weights} of layers 0 to {len(mix.weights) - 1}"


def _size(source: Path) -> int:
    """Return the bytes on disk of a file, a folder, or a checkpoint of TensorFlow."""
    if source.suffix == ".index":
        return sum(
            path.stat().st_size for path in source.parent.glob(f"{glob.escape(source.stem)}.*")
        )
    if source.is_file():
        return source.stat().st_size
    return sum(path.stat().st_size for path in source.rglob("*") if path.is_file())


def _print_card(card: str) -> None:
    """Print the card as it is, or set by rich on a terminal."""
    if not sys.stdout.isatty():
        print(card.rstrip("\n"))
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(card))
