"""One model in many threads at once gives what it gives alone, whatever embeds.

The switch interval and the cache are made so small that threads meet in the middle of everything.
"""

import copy
import pickle
import random
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc

from relmo.compat import allennlp, manylangs, simple_elmo, tfhub
from relmo.elmo.embedding import ElmoEmbedding
from relmo.elmo.language_model import LanguageModel
from relmo.elmo.model import Elmo
from relmo.elmo.token_cache import TokenCache
from relmo.integrations.sentence_transformers import ElmoModule
from relmo.integrations.sklearn import ElmoVectorizer
from relmo.integrations.spacy import ElmoComponent
from relmo.nn.bilm import BiLM
from relmo.nn.lstm import LSTMLayer
from relmo.nn.weight_cache import WeightCache
from relmo.tasks.tagger import Tagger
from tests.helpers import tiny_elmo
from tests.nn.helpers import tiny_bilm
from tests.tasks import classifier_helpers, helpers

WORDS = [f"w{i}" for i in range(200)]
N_THREADS = 8
VOCAB = spacy.blank("en").vocab
Batch = list[list[str]]


def batches(n: int = 24, seed: int = 0) -> list[Batch]:
    """Batches of sentences, all of their words together many more than a cache of 25 holds."""
    draw = random.Random(seed)
    return [[draw.choices(WORDS, k=draw.randint(1, 9)) for _ in range(4)] for _ in range(n)]


@pytest.fixture(autouse=True)
def _threads_that_switch_all_the_time() -> Iterator[None]:
    interval, n_threads = sys.getswitchinterval(), torch.get_num_threads()
    sys.setswitchinterval(1e-5)
    torch.set_num_threads(1)
    yield
    sys.setswitchinterval(interval)
    torch.set_num_threads(n_threads)


def overflowing(elmo: Elmo) -> Elmo:
    elmo.tokens.capacity = 25
    return elmo


def small() -> Elmo:
    return overflowing(tiny_elmo(words=["</S>", "<S>", "<UNK>", *WORDS[:50]]))


def in_threads(ask: Callable[[Any], Any], questions: list[Any]) -> list[Any]:
    with ThreadPoolExecutor(N_THREADS) as pool:
        return list(pool.map(ask, questions))


def assert_equal(found: Any, expected: Any, number: int) -> None:
    """Nested lists of numbers, of arrays and of what has to be equal to the letter."""
    if isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_equal(one, other, number)
    elif isinstance(expected, np.ndarray | float):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4, err_msg=f"batch {number}")
    else:
        assert found == expected, f"batch {number}"


def assert_safe(make: Callable[[], Any], ask: Callable[[Any, Batch], Any]) -> None:
    """Asked in threads, and ever after, one object answers as a fresh one does alone."""
    questions = batches()
    alone = make()
    expected = [ask(alone, question) for question in questions]
    shared = make()
    in_parallel = in_threads(lambda question: ask(shared, question), questions)
    afterwards = [ask(shared, question) for question in questions[-6:]]
    for number, found in enumerate([*in_parallel, *afterwards]):
        assert_equal(found, expected[number if number < len(questions) else number - 6], number)


def scores(elmo: Elmo, batch: Batch) -> list[Any]:
    return [(s.forward.surprisal, s.backward.entropy) for s in elmo.surprisal(batch)]


def carried(words: LanguageModel, batch: Batch) -> list[Any]:
    return [s.forward.surprisal for s in words.surprisal(batch, context="carried")]


def substitutes(elmo: Elmo, batch: Batch) -> list[Any]:
    bracketed = [[f"[{words[0]}]", *words[1:]] for words in batch]
    return [(s.words, s.log_probabilities) for s in elmo.substitutes(bracketed, 4)]


def mixed(layer: ElmoEmbedding, batch: Batch) -> list[Any]:
    with torch.no_grad():
        return [mixture.numpy() for mixture in layer(batch).mixtures]


def documents(module: tfhub.Module, batch: Batch) -> list[Any]:
    outputs = module([" ".join(words) for words in batch], as_dict=True)
    return [outputs[name].detach().numpy() for name in ("word_emb", "elmo", "default")]


def substituted(model: simple_elmo.ElmoModel, batch: Batch) -> list[Any]:
    return [model.get_elmo_vectors(batch), model.get_elmo_vector_average(batch, layers="all")]


def tags(tagger: Tagger, batch: Batch) -> list[Any]:
    return [(found.tags, list(found.scores)) for found in tagger.predict(batch)]


def documented(component: ElmoComponent, batch: Batch) -> list[Any]:
    return [component(Doc(VOCAB, words)).tensor for words in batch]


def as_module(module: ElmoModule, batch: Batch) -> list[Any]:
    features = module.preprocess([" ".join(words) for words in batch])
    return [module(features)["token_embeddings"].numpy()]


EMBEDDERS: dict[str, tuple[Callable[[], Any], Callable[[Any, Batch], Any]]] = {
    "embed": (small, lambda elmo, batch: elmo.embed(batch, "all")),
    "encode": (small, lambda elmo, batch: elmo.encode(batch)),
    "surprisal": (small, scores),
    "carried surprisal": (lambda: LanguageModel(small()), carried),
    "substitutes": (small, substitutes),
    "ElmoEmbedding": (lambda: ElmoEmbedding(small(), 2).eval(), mixed),
    "ElmoEmbedding, its biLM trained": (
        lambda: ElmoEmbedding(small(), 2, fine_tune=True).eval(),
        mixed,
    ),
    "TF-Hub, version 3": (lambda: tfhub.Module(small()), documents),
    "TF-Hub, version 2": (lambda: tfhub.Module(small(), version=2), documents),
    "sentence-transformers": (lambda: ElmoModule(small()), as_module),
    "scikit-learn": (
        lambda: ElmoVectorizer(small()).fit([]),
        lambda vectorizer, batch: vectorizer.transform([" ".join(words) for words in batch]),
    ),
}


@pytest.mark.parametrize("name", EMBEDDERS)
def test_whatever_embeds_is_right_in_any_number_of_threads(name: str):
    assert_safe(*EMBEDDERS[name])


def test_taggers_and_classifiers_are(run: Path):
    def tagger() -> Tagger:
        found = Tagger.load(run)
        assert found.elmo is not None
        overflowing(found.elmo)
        return found

    assert_safe(tagger, tags)
    assert_safe(
        lambda: classifier_helpers.new(char_dim=8),
        lambda found, batch: [list(p.probabilities.values()) for p in found.predict(batch)],
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tagger") / "run"
    helpers.trained(folder, shape=helpers.config(char_dim=8))
    return folder


def test_drop_ins_that_load_a_model_are(tmp_path: Path, goldens: Path):
    files = [str(goldens / "allennlp" / name) for name in ("options.json", "lm_weights.hdf5")]
    small().save(tmp_path / "model")

    def embedder() -> allennlp.ElmoEmbedder:
        found = allennlp.ElmoEmbedder(*files)
        overflowing(found.elmo_bilm.elmo)
        return found

    def with_names() -> allennlp.Elmo:
        return allennlp.Elmo(*files, num_output_representations=1, dropout=0.0)

    def representations(elmo: allennlp.Elmo, batch: Batch) -> list[Any]:
        found = elmo(allennlp.batch_to_ids(batch))["elmo_representations"]
        return [tensor.detach().numpy() for tensor in found]

    def many() -> manylangs.Embedder:
        found = manylangs.Embedder(tmp_path / "model")
        overflowing(found.elmo)
        return found

    def simple() -> simple_elmo.ElmoModel:
        found = simple_elmo.ElmoModel()
        found.load(tmp_path / "model", full=True)
        overflowing(found.elmo)
        return found

    assert_safe(embedder, lambda found, batch: found.embed_batch(batch))
    assert_safe(with_names, representations)
    assert_safe(many, lambda found, batch: found.sents2elmo(batch, -2))
    assert_safe(simple, substituted)


def test_spacys_component_is(tmp_path: Path):
    small().save(tmp_path / "model")

    def component() -> ElmoComponent:
        found = ElmoComponent(tmp_path / "model")
        overflowing(found._elmo())
        return found

    assert_safe(component, documented)


# --- the parts ------------------------------------------------------------------------------------


def test_a_word_cache_that_overflows_never_gives_another_words_vector():
    bilm = tiny_bilm().requires_grad_(False)
    expected = dict(zip(WORDS, TokenCache(bilm, None, 0).vectors(WORDS), strict=True))
    table = TokenCache(bilm, None, 10)
    draw = random.Random(0)
    questions = [draw.choices(WORDS, k=draw.randint(1, 15)) for _ in range(400)]
    for question, found in zip(questions, in_threads(table.vectors, questions), strict=True):
        torch.testing.assert_close(found, torch.stack([expected[word] for word in question]))
    assert len(table) == 10
    kept = list(table._slots)
    torch.testing.assert_close(table.vectors(kept), torch.stack([expected[w] for w in kept]))


def test_words_encoded_while_the_weights_change_are_not_kept_for_the_new_ones():
    bilm = tiny_bilm().requires_grad_(False)

    class Interrupted(TokenCache):
        def encode(self, words):  # type: ignore[no-untyped-def]
            vectors = super().encode(words)
            if "late" in words:
                with torch.no_grad():
                    bilm.token_encoder.projection.bias.add_(1.0)
                self.vectors(["early"])  # another thread, which sees the new weights first
            return vectors

    table = Interrupted(bilm, None, 10)
    table.vectors(["late"])
    expected = TokenCache(bilm, None, 0).vectors(["late", "early"])
    torch.testing.assert_close(TokenCache.vectors(table, ["early"])[0], expected[1])
    assert list(table._slots) == ["early"]


def test_threads_that_start_together_repack_the_weights_once(monkeypatch: pytest.MonkeyPatch):
    from relmo.nn import kernels

    made: list[object] = []
    together = threading.Barrier(N_THREADS)
    original = kernels.PackedLSTM

    def slow(weights: kernels.LSTMWeights) -> kernels.PackedLSTM:
        made.append(weights)
        return original(weights)

    monkeypatch.setattr(kernels, "PackedLSTM", slow)
    layer = LSTMLayer(5, 8, 5)

    def packed(_: int) -> object:
        together.wait(timeout=30)
        return layer.packed()

    found = in_threads(packed, list(range(N_THREADS)))
    assert len(made) == 1
    assert all(one is found[0] for one in found)


def test_a_model_is_copied_and_pickled_without_what_it_keeps_for_threads():
    elmo = small()
    sentence = [WORDS[:5]]
    (expected,) = elmo.embed(sentence)
    for other in (copy.deepcopy(elmo), pickle.loads(pickle.dumps(elmo))):
        assert len(other.tokens) == 0
        np.testing.assert_allclose(other.embed(sentence)[0], expected, atol=1e-6)
        assert len(other.tokens) == 7  # with the two boundary tokens
    assert isinstance(pickle.loads(pickle.dumps(WeightCache())), WeightCache)
    assert isinstance(copy.deepcopy(elmo.bilm), BiLM)
