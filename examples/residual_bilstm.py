"""ELMo under a tagger: an embedding layer with masking inside a residual biLSTM, in PyTorch.

    python examples/residual_bilstm.py          the model in the box
    python examples/residual_bilstm.py MODEL    any other model

Rows of tokens are filled up with `__PAD__`, as programs for TF-Hub did it; here padding is masked
and not read as a word. examples/residual_bilstm_keras.py is the same in Keras.
"""

import sys

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from relmo.compat import tfhub

PAD = "__PAD__"
TAGS = ["O", "PER", "LOC"]
IGNORED = -100  # a tag that cross_entropy leaves out
TRAIN = """
Anna/PER lives in Paris/LOC .       The train to Berlin/LOC was late .
John/PER met Maria/PER in Rome/LOC .        Yesterday Peter/PER flew to London/LOC .
We saw Paul/PER near the station .        Rain fell on Madrid/LOC all day .
Mary/PER wrote a letter to George/PER .        The mayor of Vienna/LOC resigned .
"""
TEST = ["David/PER moved to Moscow/LOC .", "The president of France/LOC called James/PER ."]


def tagged(text: str) -> list[tuple[list[str], list[int]]]:
    """Tokens and tags of each sentence, sentences apart by wide gaps or lines."""
    read = []
    for sentence in filter(None, (part.strip() for part in text.replace("\n", "   ").split("   "))):
        pairs = [token.partition("/")[::2] for token in sentence.split()]
        read.append(([word for word, _ in pairs], [TAGS.index(tag or "O") for _, tag in pairs]))
    return read


def batch(examples: list[tuple[list[str], list[int]]]) -> tuple[list[list[str]], Tensor]:
    """Rows of one length: tokens filled up with `__PAD__`, tags with `IGNORED`."""
    longest = max(len(words) for words, _ in examples)
    rows = [words + [PAD] * (longest - len(words)) for words, _ in examples]
    return rows, torch.tensor([tags + [IGNORED] * (longest - len(tags)) for _, tags in examples])


class ElmoLayer(nn.Module):
    """Rows of tokens to vectors (batch, time, dim) and how many of each row are tokens."""

    def __init__(self, elmo: tfhub.Module) -> None:
        super().__init__()
        self.elmo = elmo  # its four scalars train with the tagger

    def forward(self, rows: list[list[str]]) -> tuple[Tensor, Tensor]:
        lengths = torch.tensor([sum(token != PAD for token in row) for row in rows])
        inputs = {"tokens": rows, "sequence_len": lengths}
        return self.elmo(inputs, signature="tokens", as_dict=True)["elmo"], lengths


class ResidualTagger(nn.Module):
    """Two biLSTMs, the first added to the second (`x + biLSTM(x)`), and a score for each tag."""

    def __init__(self, elmo: tfhub.Module, hidden: int) -> None:
        super().__init__()
        self.embed = ElmoLayer(elmo)
        self.first = nn.LSTM(elmo.elmo.dim, hidden, batch_first=True, bidirectional=True)
        self.second = nn.LSTM(2 * hidden, hidden, batch_first=True, bidirectional=True)
        self.score = nn.Linear(2 * hidden, len(TAGS))

    def forward(self, rows: list[list[str]]) -> Tensor:
        vectors, lengths = self.embed(rows)
        packed = pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
        first, _ = self.first(packed)  # packed: neither reads padding
        second, _ = self.second(first)
        x, again = (
            pad_packed_sequence(x, batch_first=True, total_length=vectors.shape[1])[0]
            for x in (first, second)
        )
        return self.score(x + again)  # (batch, time, tags)


def train(tagger: ResidualTagger, steps: int) -> list[float]:
    """Losses."""
    rows, tags = batch(tagged(TRAIN))
    optimizer = torch.optim.Adam(tagger.parameters(), lr=0.01)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(tagger(rows).flatten(0, 1), tags.flatten())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main(elmo: tfhub.Module, steps: int = 60, hidden: int = 32) -> None:
    """Train, tag, print."""
    torch.manual_seed(1)
    tagger = ResidualTagger(elmo, hidden)
    losses = train(tagger, steps)
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f} in {steps} steps")
    shares = elmo.weights.softmax(0).tolist()
    print(
        f"layers mixed as {', '.join(f'{x:.2f}' for x in shares)} times {elmo.scaling.item():.2f}"
    )
    examples = tagged("\n".join(TEST))
    with torch.no_grad():
        found = tagger(batch(examples)[0]).argmax(dim=2).tolist()
    for (words, _), numbers in zip(examples, found, strict=True):
        pairs = zip(words, numbers, strict=False)  # up to its end: what follows is padding
        print(" ".join(f"{word}/{TAGS[tag]}" if tag else word for word, tag in pairs))


if __name__ == "__main__":
    main(tfhub.Module(*sys.argv[1:2], trainable=True))
