"""`relmo perplexity`: how well a language model predicts a text, and by which count."""

import json
import math
from typing import TYPE_CHECKING, Any

from relmo.cli import _flags, _inputs
from relmo.cli._output import count, print_table

if TYPE_CHECKING:
    from relmo.elmo.language_model import LanguageModel
    from relmo.elmo.model import CheckpointInfo
    from relmo.train.evaluate import TextPerplexity

__all__ = ["perplexity"]

_ROWS = {
    "with_ends": "per token, </S> counted",
    "without_ends": "per token, </S> left out",
    "per_word": "per word, </S> distributed",
    "of_known": "per known word",
}


def perplexity(
    model: _flags.Model,
    texts: list[str],
    /,
    *,
    closed: bool = False,
    context: _flags.Context = "fresh",
    as_json: _flags.Json = False,
) -> None:
    """Print the perplexity of texts, forward and backward, full softmax.

    By every count in which such numbers are given, with what they depend on: the vocabulary and
    how many words are outside it.

        relmo perplexity original letters.txt

    Args:
        texts: Files with one tokenized sentence per line (.gz, .xz, .zst too), - for standard
            input, or sentences themselves. Blank lines are left out.
        closed: Count as the literature on PTB and WikiText-2 does: <unk> in TEXTS is the unknown
            word, and every line, a blank one too, has an end that is predicted.
    """
    _inputs.check_lines(texts)

    from relmo.elmo.language_model import LanguageModel  # torch takes a second to import
    from relmo.train.evaluate import text_perplexity

    elmo = _inputs.load_model(model)
    words = LanguageModel(elmo)
    sentences = (line.text.split() for line in _inputs.read_lines(texts))
    found = text_perplexity(
        words,
        (sentence for sentence in sentences if sentence or closed),
        context=context,
        closed=closed,
    )
    facts = {
        **_facts(elmo.checkpoint_info, words, found),
        "files": texts,
        "closed": closed,
        "context": context,
    }
    if as_json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for name, fact in _lines(facts):
        print(f"{name:<12} {fact}")
    print()
    rows = [
        [name, *("-" if x is None else f"{x:,.2f}" for x in facts["perplexity"][key].values())]
        for key, name in _ROWS.items()
    ]
    print_table(["perplexity", "forward", "backward", "mean"], rows, right=3)


def _facts(
    info: "CheckpointInfo | None", words: "LanguageModel", found: "TextPerplexity"
) -> dict[str, Any]:
    return {
        "model": str(info.source) if info else None,
        "vocabulary": {
            "words": len(words.vocab),
            "source": str(info.source) if info else None,
            "sha256": words.vocab.sha256(),
        },
        "sentences": found.n_sentences,
        "tokens": found.n_tokens,
        "unknown": found.n_unknown,
        "unmarked_unknown": found.n_unmarked,
        "unknown_rate": found.n_unknown / found.n_tokens,
        "perplexity": {key: _directions(*getattr(found, key)) for key in _ROWS},
        "bits": {
            "forward": found.forward.tokens + found.forward.ends,
            "backward": found.backward.tokens + found.backward.ends,
        },
    }


def _directions(forward: float, backward: float) -> dict[str, float | None]:
    named = {"forward": forward, "backward": backward, "mean": (forward + backward) / 2}
    return {name: None if math.isnan(number) else number for name, number in named.items()}


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    vocabulary, n_unmarked = facts["vocabulary"], facts["unmarked_unknown"]
    unknown = (
        f"{count(facts['unknown'], 'token')}, {100 * facts['unknown_rate']:.2f} %, "
        "each predicted as the unknown word"
    )
    lines = [
        ("model", facts["model"] or "new"),
        (
            "vocabulary",
            f"{count(vocabulary['words'], 'word')} that came with the model; sha256 "
            f"{vocabulary['sha256'][:12]}",
        ),
        ("text", f"{count(facts['sentences'], 'sentence')}, {count(facts['tokens'], 'token')}"),
        ("unknown", unknown),
        ("context", facts["context"]),
    ]
    if facts["closed"]:
        outside = f"{count(n_unmarked, 'token')} of the text outside the vocabulary and not <unk>"
        verdict = "yes" if not n_unmarked else f"no: {outside}; published figures do not compare"
        lines.append(("closed", verdict))
    return lines
