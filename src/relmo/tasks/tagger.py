"""A tagger: sentences in, tags and spans out.

    tagger = Tagger.load("ner")  # a bundled one, or a folder
    for sentence in tagger.predict(["John lives in New York ."]):
        print(sentence.spans)
    tagger = Tagger.train(read_tagged("train.conll"), read_tagged("dev.conll"), "ner", elmo=elmo)

As in Peters et al. 2018, section 3.2: tags of each token are scored from its vector in context,
where asked with a second mix of the biLM's layers beside it, alone or as a chain.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from relmo._typing import Bool, Float, Integer
from relmo.data.spans import Scheme, spans
from relmo.data.tagged import TaggedSentence, canonical_tags, read_canonical
from relmo.elmo.model import Elmo
from relmo.errors import ConfigError, InputError
from relmo.nn.crf import CRF, best_paths
from relmo.nn.precision import exact
from relmo.nn.token_encoders import Projection
from relmo.tasks.config import TaggerConfig, TaggerTraining
from relmo.tasks.inputs import InputSource
from relmo.tasks.network import TokenInputs, TokenNetwork
from relmo.tasks.scores import span_scores
from relmo.tasks.training import Targets, Task, TaskData
from relmo.text.tokenizers import Offset, Sentence, Tokenize, offsets, with_texts
from relmo.text.vocab import Vocabulary

__all__ = ["SHIPPED", "ScoredSpan", "TaggedTokens", "Tagger", "TaggerNetwork", "allowed_steps"]

SHIPPED = Path(__file__).parents[1] / "taggers"
"""Folder of the bundled taggers, each by its name."""
_BUCKET = 16  # times the token budget: of so many tokens the sentences of like length go together


class TaggerNetwork(TokenNetwork):
    """The network without the biLM.

    Args:
        config: its shape.
        n_tags: number of tags.
        elmo: number of the biLM's layers and their width; not used without a biLM.
        n_words: rows of its word vectors, where it has any.
    """

    config: TaggerConfig

    def __init__(
        self, config: TaggerConfig, n_tags: int, elmo: tuple[int, int], n_words: int
    ) -> None:
        super().__init__(config, elmo, n_words, config.n_mixtures)
        top = elmo[1] if len(self.mixes) == 2 else 0
        self.scores = Projection(self.width + top, n_tags)
        self.crf = CRF(n_tags) if config.output == "crf" else None

    def forward(self, inputs: TokenInputs) -> Float[Tensor, "N tags"]:
        """Return scores of each tag for each token, (N, n_tags), sentence after sentence."""
        x, mixed = self.encode(inputs)
        scores: Tensor = self.scores(torch.cat([self.dropout(x), *mixed[1:]], dim=1))
        return scores

    def loss(self, inputs: TokenInputs, tags: Integer[Tensor, " N"]) -> Float[Tensor, ""]:
        """Return the negative log-likelihood of the tags, in nats per token."""
        scores, index = self(inputs), inputs.index
        if self.crf is None:
            return nn.functional.cross_entropy(scores, tags)
        packed = scores[index.forward], tags[index.forward]
        return -self.crf.log_likelihood(*packed, index.batch_sizes).sum() / len(tags)

    def decode(
        self, inputs: TokenInputs, allowed: Bool[Tensor, "tags1 tags1"] | None
    ) -> tuple[Integer[Tensor, " N"], Float[Tensor, " N"]]:
        """Return the best tags, (N,), and the probability of each by itself, (N,).

        Args:
            inputs: the batch.
            allowed: steps that a path may take, see `relmo.nn.crf.best_paths`.
        """
        order, sizes = inputs.index.forward, inputs.index.batch_sizes
        scores: Tensor = self(inputs)[order]  # packed
        if self.crf is None:
            probabilities, zeros = scores.softmax(1), scores.new_zeros(scores.shape[1])
            steps = zeros.expand(len(zeros), -1)
            tags = best_paths(scores, sizes, steps, zeros, zeros, allowed=allowed)
        else:
            probabilities = self.crf.marginals(scores, sizes)
            tags = self.crf.best_paths(scores, sizes, allowed)
        flat = inputs.index.unpack_forward
        return tags[flat], probabilities.gather(1, tags[:, None])[flat, 0]


class ScoredSpan(NamedTuple):
    """A labeled span of a sentence's tokens, and how sure of it the tagger is."""

    label: str
    start: int
    """Index of its first token, from 0."""
    end: int
    """Index of the token after its last one."""
    score: float
    """Probability of the least certain of its tags."""
    start_char: int | None = None
    """Index of its first character in the sentence's text; None without a text."""
    end_char: int | None = None
    """Index of the character after its last one: the span is `text[start_char:end_char]`."""


@dataclass(frozen=True, kw_only=True)
class TaggedTokens:
    """A sentence as the tagger sees it."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    """One tag per token."""
    scores: tuple[float, ...]
    """Probability of each tag, whatever its neighbors are."""
    scheme: Scheme
    """Scheme of the tags."""
    text: str | None = None
    """The string that the sentence was given as; None where it was given as tokens."""

    @cached_property
    def offsets(self) -> list[Offset] | None:
        """Start and end of each token in the text: the token is `text[start:end]`.

        None without a text, or where the tokenizer did not keep to its characters.
        """
        return None if self.text is None else offsets(self.text, self.tokens)

    @property
    def spans(self) -> list[ScoredSpan]:
        """The spans of the tags, from left to right; of tags without spans, each token."""
        chars = self.offsets
        return [
            ScoredSpan(
                label,
                start,
                end,
                min(self.scores[start:end]),
                start_char=None if chars is None else chars[start][0],
                end_char=None if chars is None else chars[end - 1][1],
            )
            for label, start, end in spans(self.tags, self.scheme)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return what `relmo tag predict --scores` prints."""
        return {
            "text": self.text,
            "tokens": self.tokens,
            "offsets": self.offsets,
            "tags": self.tags,
            "scores": self.scores,
            "spans": [span._asdict() for span in self.spans],
        }


class Tagger(Task[TaggedSentence]):
    """A trained tagger, with the biLM under it.

    Args:
        network: the network.
        tags: the tags by their numbers in the network.
        scheme: their scheme.
        words, elmo, elmo_source, card: see `relmo.tasks.folder.TaskModel`.
    """

    kind = "tagger"
    outputs = ("tags", "scheme")
    config_class, training_class, network_class = TaggerConfig, TaggerTraining, TaggerNetwork
    network: TaggerNetwork

    def __init__(
        self,
        network: TaggerNetwork,
        tags: tuple[str, ...],
        scheme: Scheme,
        *,
        words: Vocabulary | None = None,
        elmo: Elmo | None = None,
        elmo_source: str | None = None,
        card: str | None = None,
    ) -> None:
        super().__init__(network, words=words, elmo=elmo, elmo_source=elmo_source, card=card)
        self.tags, self.scheme = tags, scheme
        self.allowed = allowed_steps(tags, scheme) if network.config.constrained else None

    @property
    def config(self) -> TaggerConfig:
        """The network's shape."""
        return self.network.config

    def __repr__(self) -> str:
        return f"Tagger({len(self.tags)} tags, scheme={self.scheme!r}, elmo={self.elmo!r})"

    def predict(
        self,
        sentences: Iterable[Sentence],
        *,
        tokenize: Tokenize = str.split,
        token_budget: int = 4096,
    ) -> list[TaggedTokens]:
        """Tag sentences.

        Args:
            sentences: lists of tokens, or strings.
            tokenize: from a string to its tokens, such as `relmo.text.tokenizers.by_name("moses")`;
                by default it is split on white space.
            token_budget: tokens computed together; it changes no tag.

        Raises:
            InputError: `sentences` is a single string, a token is not a string or the budget is
                below 1.
        """
        return list(self.predict_stream(sentences, tokenize=tokenize, token_budget=token_budget))

    def predict_stream(
        self,
        sentences: Iterable[Sentence],
        *,
        tokenize: Tokenize = str.split,
        token_budget: int = 4096,
    ) -> Iterator[TaggedTokens]:
        """Tag sentences lazily, in memory that does not grow with their number.

        Args:
            sentences: as for `predict`.
            tokenize: likewise.
            token_budget: tokens computed together; 16 times as many are held.

        Raises:
            InputError: as `predict` does; a token that is not a string, when its turn comes.
        """
        return self._predict_buckets(with_texts(sentences, tokenize), token_budget)

    def _predict_buckets(
        self, sentences: Iterator[tuple[list[str], str | None]], token_budget: int
    ) -> Iterator[TaggedTokens]:
        bucket: list[tuple[list[str], str | None]] = []
        n_tokens = 0
        for tokens, text in sentences:
            bucket.append((tokens, text))
            n_tokens += len(tokens) + 1  # sentences without tokens take memory too
            if n_tokens >= _BUCKET * token_budget:
                yield from self._predict(bucket, token_budget)
                bucket, n_tokens = [], 0
        yield from self._predict(bucket, token_budget)

    def _predict(
        self, sentences: list[tuple[list[str], str | None]], token_budget: int
    ) -> list[TaggedTokens]:
        predictions = self._decode(self.encode([tokens for tokens, _ in sentences]), token_budget)
        return [
            TaggedTokens(
                tokens=tuple(tokens),
                tags=self._names(tags),
                scores=tuple(scores),
                scheme=self.scheme,
                text=text,
            )
            for (tokens, text), (tags, scores) in zip(sentences, predictions, strict=True)
        ]

    def _decode(
        self, source: InputSource[TokenInputs], token_budget: int
    ) -> list[tuple[list[int], list[float]]]:
        """Return the best tags of each sentence, in order, and the probability of each."""
        predictions: list[tuple[list[int], list[float]]] = [([], []) for _ in source.lengths]
        with exact(self.device):
            for numbers in source.batches(token_budget):
                tags, scores = self.network.decode(source(numbers), self.allowed)
                tag_list, score_list, stop = tags.tolist(), scores.tolist(), 0
                for number in numbers:
                    start, stop = stop, stop + int(source.lengths[number])
                    predictions[number] = tag_list[start:stop], score_list[start:stop]
        return predictions

    def _names(self, tags: Iterable[int]) -> tuple[str, ...]:
        return tuple(self.tags[tag] for tag in tags)

    def tag(self, sentences: Sequence[TaggedSentence]) -> list[tuple[str, ...]]:
        """Tag sentences that have true tags, to compare with those.

        Raises:
            InputError: the tagger does not know a true tag, in whichever spelling or scheme.
        """
        canonical, _ = read_canonical(sentences, self.scheme)
        _tag_ids(canonical, self.tags)  # which refuses unknown ones
        return [prediction.tags for prediction in self.predict([s.tokens for s in sentences])]

    @classmethod
    def prepare(
        cls,
        data: TaskData[TaggedSentence],
        config: TaggerConfig,
    ) -> tuple[dict[str, Any], Targets, Targets]:
        """Return tags and scheme of the training data, and each token's tag; see `Task.prepare`."""
        train, scheme = canonical_tags(data.train, data.scheme)
        dev, _ = canonical_tags(data.dev, scheme)
        counts = Counter(tag for sentence in train for tag in sentence.tags)
        tags = tuple(sorted(counts, key=lambda tag: (-counts[tag], tag)))
        if len(tags) == 1:
            raise InputError(
                f"the training data have the tag {tags[0]!r} alone, expected several; is it the "
                "right column?"
            )
        return {"tags": tags, "scheme": scheme}, _tag_ids(train, tags), _tag_ids(dev, tags)

    def loss(self, inputs: TokenInputs, targets: Tensor) -> Tensor:
        """Return the negative log-likelihood of the tags, in nats per token."""
        return self.network.loss(inputs, targets)

    def score(
        self, source: InputSource[TokenInputs], targets: Targets, token_budget: int
    ) -> dict[str, float]:
        """Return precision, recall, F1 and accuracy in percent; "score" is 100 - F1."""
        predicted = [self._names(tags) for tags, _ in self._decode(source, token_budget)]
        scores = span_scores(
            [self._names(tags.tolist()) for tags in targets], predicted, self.scheme
        )
        return {
            "score": 100 - scores.f1,
            "precision": scores.precision,
            "recall": scores.recall,
            "f1": scores.f1,
            "accuracy": scores.accuracy,
        }

    @classmethod
    def _find(cls, folder: Path) -> Path:
        """Return the folder of the tagger, which may be a bundled one; see `TaskModel._find`."""
        bundled = SHIPPED / folder
        if not folder.exists() and len(folder.parts) == 1 and bundled.is_dir():
            return bundled
        if not folder.is_dir():
            names = " or ".join(sorted(path.name for path in SHIPPED.iterdir()))
            raise InputError(
                f"'{folder}' is not a folder; expected a tagger's or a run's, or {names}"
            )
        return super()._find(folder)

    @classmethod
    def _read_outputs(cls, values: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Check and return the tags and their scheme; see `TaskModel`."""
        tags = super()._read_outputs(values, where)
        if values["scheme"] not in get_args(Scheme):
            raise ConfigError(
                f"{where}: 'scheme' is {values['scheme']!r:.60}, expected one of "
                f"{', '.join(get_args(Scheme))}"
            )
        return {**tags, "scheme": values["scheme"]}


def _tag_ids(
    sentences: Iterable[TaggedSentence], tags: Sequence[str]
) -> list[npt.NDArray[np.int64]]:
    """Return the tags of each sentence by their numbers.

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
    """Return which tag may follow which, as `relmo.nn.crf.best_paths` takes it; None: any.

    IOB1 allows all but a B where nothing ends, which does no harm.
    """
    if scheme in ("plain", "IOB1"):
        return None
    around = [*tags, "O"]  # the last row is the start, the last column the end
    return torch.tensor([[_may_follow(tag, before, scheme) for tag in around] for before in around])


def _may_follow(tag: str, before: str, scheme: Scheme) -> bool:
    (letter, _, label), (last, _, last_label) = tag.partition("-"), before.partition("-")
    continues = letter in ("I", "E", "L")
    if scheme == "BIO":  # a span ends wherever no tag continues it
        return not continues or (last != "O" and label == last_label)
    is_open = last in ("B", "I")
    return continues == is_open and (not continues or label == last_label)
