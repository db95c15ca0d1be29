"""`make demo`: words in context become vectors, and a picture of one word in two senses."""

import time
from pathlib import Path

import numpy as np

import relmo
from relmo.explore import sense_map, sense_plot

SENSES = {
    "thing made": [
        "The museum bought a work of art by an unknown painter .",
        "Her last work is a long novel about the sea .",
        "Critics called the symphony his finest work .",
    ],
    "activity": [
        "After years of hard work the bridge was finished .",
        "There is still a lot of work to do before winter .",
    ],
}
LABELS = [sense for sense, sentences in SENSES.items() for _ in sentences]
SENTENCES = [sentence for sentences in SENSES.values() for sentence in sentences]
REPEATS = 100


def main(elmo: relmo.Elmo, folder: Path) -> None:
    """Embed, print, draw."""
    print(f"The model in the box: {elmo.n_layers} layers of {elmo.dim} numbers a token.\n")

    print("One vector for each token, in context (the average of the layers):")
    for sentence, vectors in zip(SENTENCES, elmo.embed(SENTENCES), strict=True):
        print(f"  {vectors.shape!s:<10} {sentence}")

    start = time.perf_counter()
    n_tokens = sum(len(vectors) for vectors in elmo.embed_stream(SENTENCES * REPEATS))
    speed = n_tokens / (time.perf_counter() - start)
    print(f"\nSpeed here: {speed:,.0f} tokens/s (these sentences {REPEATS} times over).\n")

    uses = sense_map.find_uses("work", [sentence.split() for sentence in SENTENCES], LABELS)
    token, *_, top = map(cosine, *(work_of(elmo, uses[n]) for n in (0, -1)))
    print(f"'work' in the first sentence and in the last: cosine {token:.2f} at the token layer,")
    print(f"which sees the word alone, and {top:.2f} at the top, which sees its sentence.\n")

    folder.mkdir(exist_ok=True)
    picture = folder / "work.png"
    drawn = sense_map.compute(elmo, "work", uses)
    sense_plot.draw(drawn, picture, model="the model in the box")
    print("How far apart the two senses are (mean silhouette: 1 apart, 0 mixed):")
    for layer in drawn.layers:
        print(f"  {layer.name:<12}{layer.separation:5.2f}")
    print(f"\nThe picture, each layer in two dimensions: {picture}")


def work_of(elmo: relmo.Elmo, use: sense_map.Use) -> np.ndarray:
    """The word's vectors (n_layers, dim)."""
    return elmo.embed([use.tokens], layers="all")[0][:, use.position]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Of two vectors (dim,)."""
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


if __name__ == "__main__":
    main(relmo.load(), Path(__file__).parents[1] / "demo")
