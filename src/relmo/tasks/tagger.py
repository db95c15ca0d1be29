"""Tagger, the façade: sentences in, tags and spans out.

    tagger = Tagger.load("ner")  # one that comes with relmo, or a folder
    for sentence in tagger.predict(["John lives in New York ."]):
        print(sentence.spans)

Peters et al. 2018, section 3.2: see `relmo.tasks.network` for the network, and
`relmo.tasks.tagger_run` for its training.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch

from relmo._files import model_folder
from relmo.data.spans import Scheme, spans
from relmo.data.tagged import TaggedSentence, read_canonical
from relmo.elmo.model import Elmo
from relmo.errors import ConfigError, InputError
from relmo.tasks import folder as task_files
from relmo.tasks import tagger_files
from relmo.tasks.config import TaggerConfig
from relmo.tasks.folder import HERE, ElmoReference, referred_elmo, trained_folder
from relmo.tasks.inputs import Encoder, allowed_steps, decoded, tag_ids
from relmo.tasks.layer_cache import ComputedLayers
from relmo.tasks.network import TaggerNetwork
from relmo.tasks.tagger_files import TaggerFiles
from relmo.text.tokenizers import Offset, Sentence, Tokenize, offsets, with_texts
from relmo.text.vocab import Vocabulary

__all__ = ["SHIPPED", "ScoredSpan", "TaggedTokens", "Tagger"]

SHIPPED = Path(__file__).parents[1] / "taggers"
"""The folder of the taggers that come with the package, each by its name."""
_TOGETHER = 16  # times the budget of tokens: of these sentences those of like length go together


class ScoredSpan(NamedTuple):
    """A labelled stretch of a sentence's tokens, and how sure of it the tagger is."""

    label: str
    start: int
    """Number of its first token, from 0."""
    end: int
    """Number of the token after its last one."""
    score: float
    """The probability of the least certain of its tags."""
    start_char: int | None = None
    """Of its first character in the sentence's text; None where there is no text."""
    end_char: int | None = None
    """Of the character after its last one: it is `text[start_char:end_char]`."""


@dataclass(frozen=True, kw_only=True)
class TaggedTokens:
    """A sentence as the tagger sees it."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    """One a token."""
    scores: tuple[float, ...]
    """The probability of each tag, whatever its neighbours are."""
    scheme: Scheme
    """Of the tags."""
    text: str | None = None
    """The string that the sentence was given as; None where it was given as tokens."""

    @cached_property
    def offsets(self) -> list[Offset] | None:
        """Where each token stands in the text: it is `text[start:end]`.

        None where there is no text, or the tokenizer did not keep to its characters.
        """
        return None if self.text is None else offsets(self.text, self.tokens)

    @property
    def spans(self) -> list[ScoredSpan]:
        """What the tags stand for, from left to right; each token where they are no spans."""
        places = self.offsets
        return [
            ScoredSpan(
                label, start, end, min(self.scores[start:end]),
                start_char=None if places is None else places[start][0],
                end_char=None if places is None else places[end - 1][1],
            )
            for label, start, end in spans(self.tags, self.scheme)
        ]  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """As `relmo tag predict --scores` prints it."""
        return {
            "text": self.text,
            "tokens": self.tokens,
            "offsets": self.offsets,
            "tags": self.tags,
            "scores": self.scores,
            "spans": [span._asdict() for span in self.spans],
        }


class Tagger:
    """A trained tagger, with the biLM under it.

    Args:
        network: the network.
        tags: by their numbers in it.
        scheme: of the tags.
        words: of the network's own word vectors, where it has such.
        elmo: the biLM, where the network reads one.
        elmo_source: where it came from: "box", "here" (it belongs to the tagger, such as one that
            was fine-tuned) or its path; None: as the biLM says itself.
        card: what its data, their licences and its scores are, in Markdown.
    """

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
        if (elmo is None) == network.config.elmo:
            raise ConfigError(f"Tagger: a network with elmo={network.config.elmo} and "
                              f"{'no' if elmo is None else 'a'} biLM")  # fmt: skip
        self.network = network.eval()
        self.tags, self.scheme, self.words, self.elmo = tags, scheme, words, elmo
        self.card = card
        self._elmo_source = (
            task_files.elmo_source(elmo) if elmo_source is None and elmo else elmo_source
        )
        self.allowed = allowed_steps(tags, scheme) if network.config.constrained else None

    @property
    def config(self) -> TaggerConfig:
        """The network's shape."""
        return self.network.config

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.network.scores.bias.device

    def __repr__(self) -> str:
        return f"Tagger({len(self.tags)} tags, scheme={self.scheme!r}, elmo={self.elmo!r})"

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        elmo: Elmo | None = None,
        device: str | torch.device = "cpu",
    ) -> Self:
        """Load a tagger.

        Args:
            folder: of a tagger, or of a training run, of which the best tagger is taken; or, where
                there is none, the name of one that comes with relmo: "pos" (the universal parts of
                speech) or "ner" (PER, ORG, LOC, MISC), both for English.
            elmo: the biLM it was trained on; None: the one that its folder names.
            device: where it shall compute, such as "cpu" or "cuda".

        Raises:
            FormatError, ConfigError: not a tagger, or files that are damaged or contradict each
                other; or the biLM is another one than it was trained on.
            InputError: there is nothing there, or the biLM is no longer where it was.
        """
        folder = _tagger_folder(Path(folder))
        files = tagger_files.read(folder)
        if files.elmo is None:
            elmo = None
        else:
            elmo = referred_elmo(files.elmo, folder, elmo, files.config).to(device)
        return cls(
            files.network().to(device), files.tags, files.scheme, words=files.words, elmo=elmo,
            elmo_source=None if files.elmo is None else files.elmo.source, card=files.card,
        )  # fmt: skip

    def save(
        self,
        folder: str | os.PathLike[str],
        *,
        dtype: torch.dtype | None = None,
        copy_elmo: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Write the tagger; the folder appears whole or not at all.

        Args:
            folder: where; nothing, an empty folder or an earlier tagger may be there.
            dtype: floating-point type of the stored numbers, such as torch.float16; None: as they
                are.
            copy_elmo: put the biLM beside it, so that the folder is all that is needed.
            overwrite: replace any other folder too, with everything in it.

        Raises:
            InputError: another folder is there and `overwrite` is not given, it cannot be written,
                or a number is too large for `dtype`.
        """
        own = frozenset(
            {
                task_files.CONFIG,
                tagger_files.MODEL,
                task_files.VOCAB,
                task_files.ELMO,
                tagger_files.CARD,
            }
        )
        with model_folder(
            folder, own=own, why_not=tagger_files.why_not, overwrite=overwrite
        ) as aside:
            self.write(aside, dtype=dtype, copy_elmo=copy_elmo)

    def write(
        self, folder: Path, *, dtype: torch.dtype | None = None, copy_elmo: bool = False
    ) -> None:
        """`save` into an empty folder."""
        source = HERE if copy_elmo and self.elmo is not None else self._elmo_source
        checkpoint = reference = None
        if self.elmo is not None:
            assert source is not None
            checkpoint = self.elmo.checkpoint()
            reference = ElmoReference.of(self.elmo, source, self.config)
        files = TaggerFiles(
            config=self.config, tags=self.tags, scheme=self.scheme, words=self.words,
            elmo=reference, card=self.card,
            tensors={name: t.detach().cpu() for name, t in self.network.state_dict().items()},
        )  # fmt: skip
        tagger_files.write(files, checkpoint if source == HERE else None, folder, dtype)

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
        """Tag sentences lazily, in memory that does not grow with how many there are.

        Args:
            sentences: as for `predict`.
            tokenize: likewise.
            token_budget: tokens computed together; 16 times as many are held.

        Raises:
            InputError: as `predict` does; what a token is, is said when its turn comes.
        """
        return self._predicted(with_texts(sentences, tokenize), token_budget)

    def _predicted(
        self, sentences: Iterator[tuple[list[str], str | None]], token_budget: int
    ) -> Iterator[TaggedTokens]:
        held: list[tuple[list[str], str | None]] = []
        n_tokens = 0
        for tokens, text in sentences:
            held.append((tokens, text))
            n_tokens += len(tokens) + 1  # sentences without tokens take room too
            if n_tokens >= _TOGETHER * token_budget:
                yield from self._tagged(held, token_budget)
                held, n_tokens = [], 0
        yield from self._tagged(held, token_budget)

    def _tagged(
        self, sentences: list[tuple[list[str], str | None]], token_budget: int
    ) -> list[TaggedTokens]:
        tokens = [found for found, _ in sentences]
        layers = None if self.elmo is None else ComputedLayers(self.elmo, tokens)
        encoder = Encoder(self.config, self.words, tokens, layers, self.device, self.elmo)
        found = decoded(self.network, encoder, self.allowed, token_budget)
        return [
            TaggedTokens(
                tokens=tuple(sentence), tags=tuple(self.tags[tag] for tag in tags),
                scores=tuple(scores), scheme=self.scheme, text=text,
            )
            for (sentence, text), (tags, scores) in zip(sentences, found, strict=True)
        ]  # fmt: skip

    def tag(self, sentences: Sequence[TaggedSentence]) -> list[tuple[str, ...]]:
        """Tags for sentences that have true ones, to be held against those.

        Raises:
            InputError: a true tag is none that the tagger knows, in whichever spelling or scheme.
        """
        canonical, _ = read_canonical(sentences, self.scheme)
        tag_ids(canonical, self.tags)  # which refuses unknown ones
        return [found.tags for found in self.predict([s.tokens for s in sentences])]


def _tagger_folder(folder: Path) -> Path:
    """The tagger in a folder, in that of a run, or of that name."""
    shipped = SHIPPED / folder
    if not folder.exists() and len(folder.parts) == 1 and shipped.is_dir():
        return shipped
    if not folder.is_dir():
        names = " or ".join(sorted(path.name for path in SHIPPED.iterdir()))
        raise InputError(f"'{folder}' is not a folder; expected a tagger's or a run's, or {names}")
    return trained_folder(folder, tagger_files.MODEL, "tagger", tagger_files.why_not)
