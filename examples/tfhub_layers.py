"""Tokens with their lengths, and one word layer by layer: TF-Hub's second signature, and a picture.

python examples/tfhub_layers.py          the model in the box; draws demo/bank.png
python examples/tfhub_layers.py MODEL    a TF-Hub module's folder, or any other model
"""

import sys
from pathlib import Path

from relmo.compat import tfhub  # was: import tensorflow_hub as hub
from relmo.explore import sense_map, sense_plot

WORD = "bank"
SENSES = {
    "money": [
        "The central bank raised interest rates again .",
        "He works for a large investment bank in London .",
        "The bank said its profits had fallen by a third .",
        "She owed the bank more than 2 million dollars .",
    ],
    "river": [
        "They walked along the bank of the river at night .",
        "The town lies on the west bank of the river .",
        "A fisherman sat on the muddy bank near the bridge .",
    ],
}
LAYERS = ("word_emb", "lstm_outputs1", "lstm_outputs2")


def padded(sentences: list[list[str]]) -> tuple[list[list[str]], list[int]]:
    """Rows of one length, filled up with "", and how many of each are tokens."""
    lengths = [len(sentence) for sentence in sentences]
    longest = max(lengths)
    return [sentence + [""] * (longest - len(sentence)) for sentence in sentences], lengths


def main(elmo: tfhub.Module, picture: Path) -> None:
    """Embed, draw, print."""
    labels = [sense for sense, sentences in SENSES.items() for _ in sentences]
    sentences = [text.split() for texts in SENSES.values() for text in texts]
    tokens, lengths = padded(sentences)
    inputs = {"tokens": tokens, "sequence_len": lengths}
    outputs = elmo(inputs, signature="tokens", as_dict=True)

    uses = sense_map.find_uses(WORD, sentences, labels)
    rows, columns = range(len(uses)), [use.position for use in uses]  # one use a sentence
    layers = [outputs[name][rows, columns].numpy() for name in LAYERS]
    drawn = sense_map.of_vectors(WORD, uses, layers)

    for name, vectors, layer in zip(LAYERS, layers, drawn.layers, strict=True):
        separation = "" if layer.separation is None else f"separation {layer.separation:.2f}"
        print(f"{name:<14} {vectors.shape}  {separation}")
    picture.parent.mkdir(exist_ok=True)
    sense_plot.draw(drawn, picture)
    print(f"The picture, each layer in two dimensions: {picture}")


if __name__ == "__main__":
    main(tfhub.load(*sys.argv[1:2]), Path(__file__).parents[1] / "demo" / f"{WORD}.png")
