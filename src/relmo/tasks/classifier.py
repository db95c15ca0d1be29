"""Classifier, the façade: sentences, or pairs of them, in; labels and their probabilities out.

    classifier = Classifier.load("sentiment")
    for found in classifier.predict(["a gorgeous , witty film ."]):
        print(found.label, found.score)

See `relmo.tasks.network` for the network, and `relmo.tasks.classifier_run` for its
training.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from relmo._files import model_folder
from relmo.data.labelled import LabelledSentence
from relmo.elmo.model import Elmo
from relmo.errors import ConfigError, InputError
from relmo.tasks import classifier_files
from relmo.tasks import folder as task_files
from relmo.tasks.classifier_data import (
    PairEncoder,
    check_pairs,
    in_one_list,
    label_ids,
    probabilities,
)
from relmo.tasks.classifier_files import ClassifierFiles
from relmo.tasks.config import ClassifierConfig
from relmo.tasks.folder import HERE, ElmoReference, referred_elmo, trained_folder
from relmo.tasks.inputs import Encoder
from relmo.tasks.layer_cache import ComputedLayers
from relmo.tasks.network import ClassifierNetwork
from relmo.text.tokenizers import Sentence, tokenised
from relmo.text.vocab import Vocabulary

__all__ = ["Classified", "Classifier"]


@dataclass(frozen=True, kw_only=True)
class Classified:
    """What a classifier says of a sentence or pair."""

    label: str
    probabilities: dict[str, float]
    """Of each label."""

    @property
    def score(self) -> float:
        """The probability of the label."""
        return self.probabilities[self.label]


class Classifier:
    """A trained classifier, with the biLM under it.

    Args:
        network: the network.
        labels: by their numbers in it.
        words: of the network's own word vectors, where it has such.
        elmo: the biLM, where the network reads one.
        elmo_source: where it came from: "box", "here" (it belongs to the classifier) or its path;
            None: as the biLM says itself.
    """

    def __init__(
        self,
        network: ClassifierNetwork,
        labels: tuple[str, ...],
        *,
        words: Vocabulary | None = None,
        elmo: Elmo | None = None,
        elmo_source: str | None = None,
    ) -> None:
        if (elmo is None) == network.config.elmo:
            raise ConfigError(f"Classifier: a network with elmo={network.config.elmo} and "
                              f"{'no' if elmo is None else 'a'} biLM")  # fmt: skip
        self.network = network.eval()
        self.labels, self.words, self.elmo = labels, words, elmo
        self._elmo_source = (
            task_files.elmo_source(elmo) if elmo_source is None and elmo else elmo_source
        )

    @property
    def config(self) -> ClassifierConfig:
        """The network's shape."""
        return self.network.config

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.network.scores.bias.device

    def __repr__(self) -> str:
        what = "pairs" if self.config.pairs else "sentences"
        return f"Classifier({len(self.labels)} labels of {what}, elmo={self.elmo!r})"

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        elmo: Elmo | None = None,
        device: str | torch.device = "cpu",
    ) -> Self:
        """Load a classifier.

        Args:
            folder: of a classifier, or of a training run, of which the best one is taken.
            elmo: the biLM it was trained on; None: the one that its folder names.
            device: where it shall compute, such as "cpu" or "cuda".

        Raises:
            FormatError, ConfigError: not a classifier, or files that are damaged or contradict each
                other; or the biLM is another one than it was trained on.
            InputError: there is nothing there, or the biLM is no longer where it was.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError(f"'{folder}' is not a folder; expected a classifier's or a run's")
        folder = trained_folder(
            folder, classifier_files.MODEL, "classifier", classifier_files.why_not
        )
        files = classifier_files.read(folder)
        if files.elmo is None:
            elmo = None
        else:
            elmo = referred_elmo(files.elmo, folder, elmo, files.config).to(device)
        return cls(
            files.network().to(device), files.labels, words=files.words,
            elmo=elmo, elmo_source=None if files.elmo is None else files.elmo.source,
        )  # fmt: skip

    def save(
        self, folder: str | os.PathLike[str], *, copy_elmo: bool = False, overwrite: bool = False
    ) -> None:
        """Write the classifier; the folder appears whole or not at all.

        Args:
            folder: where; nothing, an empty folder or an earlier classifier may be there.
            copy_elmo: put the biLM beside it, so that the folder is all that is needed.
            overwrite: replace any other folder too, with everything in it.

        Raises:
            InputError: another folder is there and `overwrite` is not given, or it cannot be
                written.
        """
        files = classifier_files
        own = frozenset({task_files.CONFIG, files.MODEL, task_files.VOCAB, task_files.ELMO})
        with model_folder(folder, own=own, why_not=files.why_not, overwrite=overwrite) as aside:
            self.write(aside, copy_elmo=copy_elmo)

    def write(self, folder: Path, *, copy_elmo: bool = False) -> None:
        """`save` into an empty folder."""
        source = HERE if copy_elmo and self.elmo is not None else self._elmo_source
        reference = None
        if self.elmo is not None:
            assert source is not None
            reference = ElmoReference.of(self.elmo, source, self.config)
        files = ClassifierFiles(
            config=self.config, labels=self.labels, words=self.words, elmo=reference,
            tensors={name: t.detach().cpu() for name, t in self.network.state_dict().items()},
        )  # fmt: skip
        copied = self.elmo.checkpoint() if self.elmo is not None and source == HERE else None
        classifier_files.write(files, copied, folder)

    def predict(
        self,
        sentences: Iterable[Sentence],
        seconds: Iterable[Sentence] | None = None,
        *,
        token_budget: int = 4096,
    ) -> list[Classified]:
        """Labels of sentences, or of pairs.

        Args:
            sentences: lists of tokens, or strings that are split on white space.
            seconds: as many, the second sentences of pairs; None where it classifies no pairs.
            token_budget: tokens computed together; it changes no label.

        Raises:
            InputError: `sentences` is a single string, a token is not a string, there are not as
                many second sentences, or there are some where it classifies no pairs.
        """
        shares = self.predict_proba(sentences, seconds, token_budget=token_budget)
        return [
            Classified(
                label=self.labels[best],
                probabilities=dict(zip(self.labels, row.tolist(), strict=True)),
            )
            for best, row in zip(shares.argmax(1), shares, strict=True)
        ]

    def predict_proba(
        self,
        sentences: Iterable[Sentence],
        seconds: Iterable[Sentence] | None = None,
        *,
        token_budget: int = 4096,
    ) -> npt.NDArray[np.float32]:
        """Probabilities of each of `labels`, (n, n_labels); see `predict`."""
        firsts = list(tokenised(sentences))
        others = None if seconds is None else list(tokenised(seconds))
        if (others is not None) != self.config.pairs:
            raise InputError(f"expected {'pairs' if self.config.pairs else 'no second sentences'}: "
                             f"the classifier was trained on {self!r:.60}")  # fmt: skip
        if others is not None and len(others) != len(firsts):
            raise InputError(f"expected {len(firsts)} second sentences, got {len(others)}")
        tokens = in_one_list(firsts, others)
        layers = None if self.elmo is None else ComputedLayers(self.elmo, tokens)
        encoder = Encoder(self.config, self.words, tokens, layers, self.device, self.elmo)
        return probabilities(
            self.network, PairEncoder(encoder, pairs=self.config.pairs), token_budget
        )

    def classify(self, sentences: Sequence[LabelledSentence]) -> list[str]:
        """Labels for sentences that have true ones, to be held against those.

        Raises:
            InputError: a true label is none that the classifier knows, or a sentence is a pair
                where it classifies none, or the other way round.
        """
        check_pairs(sentences, pairs=self.config.pairs)
        label_ids(sentences, self.labels)
        seconds = [s.second or () for s in sentences] if self.config.pairs else None
        return [found.label for found in self.predict([s.tokens for s in sentences], seconds)]
