"""ELMo under a tagger in Keras 3 on torch: the residual biLSTM of examples/residual_bilstm.py.

    python examples/residual_bilstm_keras.py          the model in the box
    python examples/residual_bilstm_keras.py MODEL    any other model

Needs `pip install 'relmo[keras]'`.
"""

import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"  # before keras is imported
sys.path.append(str(Path(__file__).parents[1]))  # for the program beside this one

import keras
import numpy as np

import relmo
from examples.residual_bilstm import TAGS, TEST, TRAIN, tagged
from relmo.integrations.keras import PAD, ElmoLayer, code_points

Examples = list[tuple[list[str], list[int]]]


def build(elmo: relmo.Elmo, hidden: int) -> keras.Model:
    """A model that Keras can fit and save; words go in as their code points."""
    inputs = keras.Input((None, None), dtype="int32", name="words")
    vectors = ElmoLayer(elmo)(inputs)  # masked, where a token is `__PAD__`
    first = keras.layers.Bidirectional(keras.layers.LSTM(hidden, return_sequences=True))(vectors)
    second = keras.layers.Bidirectional(keras.layers.LSTM(hidden, return_sequences=True))(first)
    added = keras.layers.add([first, second])  # the residual connection
    return keras.Model(inputs, keras.layers.Dense(len(TAGS), name="tags")(added))


def arrays(examples: Examples) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Words as code points, tags, and the weight of each position: 0 at padding."""
    longest = max(len(words) for words, _ in examples)
    rows = [words + [PAD] * (longest - len(words)) for words, _ in examples]
    tags = [tags + [0] * (longest - len(tags)) for _, tags in examples]
    weights = np.array([[word != PAD for word in row] for row in rows], np.float32)
    return code_points(rows), np.array(tags), weights


def main(elmo: relmo.Elmo, epochs: int = 30, hidden: int = 32) -> None:
    """Train, tag, print."""
    keras.utils.set_random_seed(1)
    tagger = build(elmo, hidden)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    tagger.compile(keras.optimizers.Adam(0.01), loss)
    words, tags, weights = arrays(tagged(TRAIN))
    history = tagger.fit(words, tags, sample_weight=weights, epochs=epochs, verbose=0)
    losses = [float(value) for value in history.history["loss"]]
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f} in {epochs} epochs")
    examples = tagged("\n".join(TEST))
    found = keras.ops.argmax(tagger(arrays(examples)[0]), axis=2).tolist()
    for (words, _), numbers in zip(examples, found, strict=True):
        pairs = zip(words, numbers, strict=False)
        print(" ".join(f"{word}/{TAGS[tag]}" if tag else word for word, tag in pairs))


if __name__ == "__main__":
    main(relmo.load(*sys.argv[1:2]))
