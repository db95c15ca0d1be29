"""Tagged sentences to what a tagger's network reads, in batches of like length.

The vectors that a biLM's softmax has of words: what it says comes next, a row a word.

They have been learned from all of the text that the biLM was trained on, as the token layer has,
but of the words' company alone, not of their spelling ("output embeddings": Press and Wolf 2017).
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from relmo._read import PathLike
from relmo._typing import Float
from relmo.data.spans import Scheme
from relmo.data.tagged import TaggedSentence
from relmo.data.word_vectors import read as read_vectors
from relmo.elmo.model import Elmo
from relmo.errors import ConfigError, InputError
from relmo.formats.verify import parameters_sha256
from relmo.nn.packing import pack
from relmo.nn.precision import exact
from relmo.nn.softmax import Softmax
from relmo.tasks.config import TaskTraining, TokenConfig
from relmo.tasks.layer_cache import LayerSource
from relmo.tasks.network import CHARACTERS, TaggerNetwork, TokenInputs, TokenNetwork
from relmo.text import batching
from relmo.text.chars import UNK_TOKEN, CharSpace
from relmo.text.tokenizers import check_strings
from relmo.text.vocab import Vocabulary

__all__ = [
    "Encoder",
    "WordVectors",
    "allowed_steps",
    "decoded",
    "elmo_sha256",
    "epoch_batches",
    "fill",
    "known_words",
    "own_words",
    "softmax_rows",
    "tag_ids",
    "vectors_sha256",
    "word_vectors",
]


WordVectors = tuple[Vocabulary, Tensor]
"""Words and their vectors, (n_words, dim)."""


def word_vectors(
    path: PathLike, sentences: Iterable[Sequence[str]], dim: int | None = None
) -> WordVectors:
    """The vectors that a word2vec or GloVe file has of the words of sentences.

    A word is looked for as it is written and in lower case. Those of the development and test data
    belong among them: what is trained knows the vectors of no others.

    Args:
        path: see `relmo.data.word_vectors`.
        sentences: tokens of those to train on, and of others.
        dim: the width that the vectors have to have; None: whatever it is.

    Raises:
        InputError: the file cannot be read, has another width, or none of the words; or a sentence
            is one string.
        MissingExtraError: a .zst file and no zstandard.
    """
    tokens: set[str] = set()
    for number, sentence in enumerate(sentences, start=1):
        check_strings(sentence, f"word vectors: sentence {number}")
        tokens.update(sentence)
    words = sorted({*tokens, *(token.lower() for token in tokens)})
    found = read_vectors(path, words, dim)
    if not found.n_found:
        raise InputError(f"{path}: has none of the {len(words)} words of the data")
    kept = Vocabulary(word for word, has in zip(words, found.mask, strict=True) if has)
    return kept, torch.from_numpy(found.matrix[found.mask])


def own_words(
    sentences: Iterable[Sequence[str]],
    config: TokenConfig,
    training: TaskTraining,
    vectors: WordVectors | None = None,
) -> Vocabulary | None:
    """The words that have a vector: of those that are given, or of the training data in lower case.

    Raises:
        ConfigError: vectors are given of another width than the network has.
    """
    if vectors is not None:
        if vectors[1].shape[1] != config.word_dim:
            raise ConfigError(
                f"word vectors: expected {config.word_dim} numbers each, as --word-dim says, got "
                f"{vectors[1].shape[1]}"
            )
        words = vectors[0]
        return words if UNK_TOKEN in words else Vocabulary([UNK_TOKEN, *words.words])
    if not config.word_dim:
        return None
    lowered = ([token.lower() for token in sentence] for sentence in sentences)
    return Vocabulary.build(lowered, min_count=training.min_count)


def known_words(words: Vocabulary, tokens: Sequence[str]) -> npt.NDArray[np.int64]:
    """Ids of tokens, each as it is written, else in lower case, else that of `<UNK>`."""
    return words.ids([token if token in words else token.lower() for token in tokens])


@torch.no_grad()
def fill(network: TokenNetwork, words: Vocabulary | None, vectors: WordVectors | None) -> None:
    """Give a network the given vectors, which it then keeps; that of `<UNK>` may be their mean.

    Args:
        network: of the words that `own_words` gave.
        words: these words.
        vectors: None: nothing is done.
    """
    if vectors is None or words is None or network.words is None:
        return
    if UNK_TOKEN not in vectors[0]:
        network.words[words.unk] = vectors[1].mean(0)
    network.words[torch.from_numpy(words.ids(vectors[0].words))] = vectors[1].float()
    network.words.requires_grad_(False)


def vectors_sha256(vectors: WordVectors | None) -> str | None:
    """Of given words and vectors."""
    if vectors is None:
        return None
    digest = hashlib.sha256(json.dumps(vectors[0].words).encode())
    digest.update(vectors[1].float().cpu().numpy().tobytes())
    return digest.hexdigest()


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
    weight = elmo.softmax.weight if isinstance(elmo.softmax, Softmax) else None
    if weight is None or elmo.vocab is None or weight.shape != (len(elmo.vocab), elmo.dim // 2):
        raise ConfigError(
            f"--softmax-words: {elmo!r} has no softmax with a row for each word; expected a model "
            "that kept it, such as the one in the box"
        )
    return weight, elmo.vocab


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
        index = pack(self.lengths[list(numbers)], device=self.device)
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
    with exact(network.scores.bias.device):
        for numbers in encoder.batches(token_budget):
            tags, scores = (values.tolist() for values in network.decode(encoder(numbers), allowed))
            stop = 0
            for number in numbers:
                start, stop = stop, stop + int(encoder.lengths[number])
                found[number] = tags[start:stop], scores[start:stop]
    return found
