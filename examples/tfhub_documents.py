"""Documents in, vectors out: what people wrote against TF-Hub, with one import changed.

python examples/tfhub_documents.py          the model in the box
python examples/tfhub_documents.py MODEL    a TF-Hub module's folder, or any other model
"""

import sys

import torch

from relmo.compat import tfhub  # was: import tensorflow_hub as hub

DOCUMENTS = [
    "The central bank raised interest rates again .",
    "Markets fell after the bank warned of inflation .",
    "Children swam in the river near the old mill .",
    "The boat drifted down the stream toward the sea .",
]


def main(elmo: tfhub.Module) -> None:
    """Embed, print."""
    outputs = elmo(DOCUMENTS, signature="default", as_dict=True)
    vectors = outputs["elmo"]
    print(f"documents -> {tuple(vectors.shape)}: documents, tokens, numbers a token\n")

    unit = torch.nn.functional.normalize(outputs["default"], dim=1)  # the mean of its tokens
    likeness = unit @ unit.T - 2 * torch.eye(len(DOCUMENTS))
    for document, length, row in zip(DOCUMENTS, outputs["sequence_len"], likeness, strict=True):
        print(f"{int(length)} tokens: {document}")
        print(f"    nearest ({row.max():.2f}): {DOCUMENTS[int(row.argmax())]}")


if __name__ == "__main__":
    main(tfhub.load(*sys.argv[1:2]))
