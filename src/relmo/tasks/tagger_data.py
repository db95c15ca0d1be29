"""Tagged sentences to what a tagger's network reads, in batches of like length."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from relmo.errors import InputError
from relmo.model import Elmo, packed_index
from relmo.nn.precision import without_autocast
from relmo.tasks.layer_cache import LayerSource
from relmo.tasks.own_words import known_words
from relmo.tasks.settings import TokenConfig
from relmo.tasks.softmax_words import softmax_rows
from relmo.tasks.tagger_model import TaggerNetwork
from relmo.tasks.token_model import CHARACTERS, TokenInputs
from relmo.text import batching
from relmo.text.chars import CharSpace
from relmo.text.spans import Scheme
from relmo.text.tagged import TaggedSentence
from relmo.text.vocab import Vocabulary

__all__ = ["Encoder", "allowed_steps", "decoded", "epoch_batches", "tag_ids"]

_POOL = 64  # batches' worth of sentences that are sorted by length together
_SPACE = CharSpace(CHARACTERS)


class Encoder:
    """Sentences as inputs.

    Args:
        config: what the network reads.
        words: of its own word vectors, or None.
        sentences: tokens.
        layers: the biLM's layers of the sentences, or None without one.
        device: where the inputs are wanted.
        elmo: the biLM, where the network reads the rows of its softmax.

    Raises:
        ConfigError: the biLM has no softmax with a row a word.
    """

    def __init__(
        self,
        config: TokenConfig,
        words: Vocabulary | None,
        sentences: Sequence[Sequence[str]],
        layers: LayerSource | None,
        device: torch.device,
        elmo: Elmo | None = None,
    ) -> None:
        self.lengths = np.array([len(sentence) for sentence in sentences], dtype=np.int64)
        self._layers, self.device = layers, device
        kinds: dict[str, int] = {}
        self._kinds = [
            np.array([kinds.setdefault(token, len(kinds)) for token in sentence], dtype=np.int64)
            for sentence in sentences
        ]
        self._characters = _SPACE.encode(list(kinds)) if config.char_dim else None
        self._words = None if words is None else known_words(words, list(kinds))
        self._softmax = None
        if config.softmax_words and elmo is not None:
            self._softmax = softmax_rows(elmo, list(kinds))

    def __call__(self, numbers: Sequence[int]) -> TokenInputs:
        """A batch.

        Args:
            numbers: of sentences that have tokens, of falling length, at least one.
        """
        index = packed_index(batching.pack(self.lengths[list(numbers)]), self.device)
        kinds = np.concatenate([self._kinds[number] for number in numbers])
        characters = own = None
        if self._characters is not None:
            different, own = np.unique(kinds, return_inverse=True)
            characters = self._tensor(self._characters[different].astype(np.int64))
        return TokenInputs(
            index=index,
            layers=None if self._layers is None else self._layers(numbers),
            characters=characters,
            kinds=None if own is None else self._tensor(own),
            words=None if self._words is None else self._tensor(self._words[kinds]),
            softmax=None if self._softmax is None else self._softmax[kinds].to(self.device),
        )

    def _tensor(self, array: npt.NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def batches(self, token_budget: int) -> Iterator[list[int]]:
        """Every sentence that has tokens once, by falling length."""
        for batch in batching.length_batches(self.lengths, token_budget):
            numbers = [number for number in batch.tolist() if self.lengths[number]]
            if numbers:
                yield numbers


def epoch_batches(
    lengths: Sequence[int] | npt.NDArray[np.int64], batch_size: int, seed: int, epoch: int
) -> list[list[int]]:
    """The batches of an epoch, a function of nothing but these: of like length, in random order.

    Args:
        lengths: tokens of each sentence; those without are left out.
        batch_size: sentences of a batch.
        seed: the run's.
        epoch: from 0.
    """
    sizes = np.asarray(lengths)
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(np.flatnonzero(sizes))
    batches: list[list[int]] = []
    for start in range(0, len(order), _POOL * batch_size):
        pool = order[start : start + _POOL * batch_size]
        pool = pool[np.argsort(-sizes[pool], kind="stable")]
        batches += [
            pool[first : first + batch_size].tolist() for first in range(0, len(pool), batch_size)
        ]
    return [batches[number] for number in random.permutation(len(batches))]


def tag_ids(
    sentences: Iterable[TaggedSentence], tags: Sequence[str]
) -> list[npt.NDArray[np.int64]]:
    """The tags of each sentence by their numbers.

    Raises:
        InputError: a tag is not among them.
    """
    numbers = {tag: number for number, tag in enumerate(tags)}
    ids = []
    for sentence in sentences:
        for token, tag in zip(sentence.tokens, sentence.tags, strict=True):
            if tag not in numbers:
                raise InputError(
                    f"{sentence.source}: line {sentence.line}: in the sentence from there on "
                    f"{token!r} has the tag {tag!r}, which is not among the {len(tags)} of the "
                    f"training data: {', '.join(tags[:10])}{', ...' if len(tags) > 10 else ''}"
                )
        ids.append(np.array([numbers[tag] for tag in sentence.tags], dtype=np.int64))
    return ids


def allowed_steps(tags: Sequence[str], scheme: Scheme) -> Tensor | None:
    """Which tag may follow which, as `relmo.nn.crf.best_paths` takes it; None: any.

    IOB1 allows all but a B where nothing ends, which does no harm.
    """
    if scheme in ("plain", "IOB1"):
        return None
    around = [*tags, "O"]
    return torch.tensor([[_may_follow(tag, before, scheme) for tag in around] for before in around])


def _may_follow(tag: str, before: str, scheme: Scheme) -> bool:
    (letter, _, label), (last, _, last_label) = tag.partition("-"), before.partition("-")
    goes_on = letter in ("I", "E", "L")
    if scheme == "BIO":  # a span ends wherever nothing goes on
        return not goes_on or (last != "O" and label == last_label)
    is_open = last in ("B", "I")
    return goes_on == is_open and (not goes_on or label == last_label)


def decoded(
    network: TaggerNetwork, encoder: Encoder, allowed: Tensor | None, token_budget: int
) -> list[tuple[list[int], list[float]]]:
    """The best tags of each sentence, in order, and the probability of each of them.

    Args:
        network: in evaluation mode.
        encoder: of the sentences.
        allowed: see `allowed_steps`.
        token_budget: tokens computed together.
    """
    found: list[tuple[list[int], list[float]]] = [([], []) for _ in encoder.lengths]
    with torch.no_grad(), without_autocast(network.scores.bias.device):
        for numbers in encoder.batches(token_budget):
            tags, scores = (values.tolist() for values in network.decode(encoder(numbers), allowed))
            stop = 0
            for number in numbers:
                start, stop = stop, stop + int(encoder.lengths[number])
                found[number] = tags[start:stop], scores[start:stop]
    return found
