"""Fine-tuning starts from the model, learns, goes on bit for bit, and says what it cannot do."""

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from relmo.config import BiLMConfig, LexiconConfig
from relmo.elmo.model import Elmo
from relmo.errors import ConfigError, FormatError, InputError, RelmoError
from relmo.formats import bilm_hdf5, detect, relmo_format
from relmo.formats.checkpoint import Checkpoint, parameter_shapes
from relmo.text.vocab import Vocabulary
from relmo.train.config import TrainConfig
from relmo.train.finetune import Tuned, finetune
from relmo.train.loop import Progress
from relmo.train.run import train
from tests.formats.helpers import assert_same
from tests.train.helpers import (
    VOCAB,
    WORDS,
    assert_same_run,
    config,
    language_model,
    metrics,
    random_sentences,
    training_state,
    write,
)

WORD_CONFIG = BiLMConfig(lstm_dim=6, projection_dim=4, n_words=len(VOCAB))


def starting_model(softmax: bool = True) -> Checkpoint:
    """One that was trained elsewhere."""
    model = language_model(seed=3)
    weight, bias = (p.detach() for p in model.softmax.parameters())
    return Checkpoint(
        config=model.bilm.config,
        tensors={name: tensor.detach() for name, tensor in model.bilm.state_dict().items()},
        vocab=VOCAB if softmax else None,
        softmax={"weight": weight, "bias": bias[:, 0]} if softmax else None,
        format="relmo",
        source=Path("elsewhere"),
    )


def of_words() -> Checkpoint:
    tensors = {name: torch.randn(shape) / 2 for name, shape in parameter_shapes(WORD_CONFIG)}
    return Checkpoint(
        config=WORD_CONFIG, tensors=tensors, vocab=VOCAB, format="relmo", source=Path("words")
    )


class Domain:
    """A text, and held-out sentences of it."""

    def __init__(self, folder: Path) -> None:
        self.files = [write(folder / "domain.txt", random_sentences(40))]
        self.valid = write(folder / "valid.txt", random_sentences(6, seed=9))

    def tune(
        self, out: Path, model: Checkpoint | None = None, settings: TrainConfig | None = None,
        **changes: Any,
    ) -> Tuned:  # fmt: skip
        given = {"files": self.files, "epochs": None, **changes}
        files = given.pop("files")
        model, settings = model or starting_model(), settings or config(layer_decay=0.8)
        return finetune(model, files, self.valid, out, settings, **given)


@pytest.fixture
def domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Domain:
    monkeypatch.setattr("os.fsync", lambda _: None)
    return Domain(tmp_path)


# --- what is learned ------------------------------------------------------------------------------


def test_the_perplexity_before_is_the_models_and_falls(domain: Domain, tmp_path: Path):
    found = domain.tune(tmp_path / "run", settings=config(max_steps=40))
    train(  # a step of no size is no step: what is validated is where it started
        domain.files, domain.valid, tmp_path / "still", config(max_steps=1, learning_rate=1e-30),
        vocab=VOCAB, initial=starting_model(),
    )  # fmt: skip
    still = metrics(tmp_path / "still")[-2]
    assert found.before is not None
    assert found.after is not None
    assert found.before.forward == pytest.approx(still["forward_perplexity"])
    assert found.before.backward == pytest.approx(still["backward_perplexity"])
    assert found.after.mean < found.before.mean
    assert found.result.best == found.after.mean


def test_where_it_only_gets_worse_the_best_is_the_model_as_it_came(domain: Domain, tmp_path: Path):
    found = domain.tune(tmp_path / "run", settings=config(learning_rate=3.0, max_steps=6))
    assert found.before == found.after
    best = relmo_format.read(tmp_path / "run" / "best")
    assert_same(best, replace(starting_model(), card=None))


def test_the_rate_falls_from_layer_to_layer(domain: Domain, tmp_path: Path):
    # AdamW's first step moves each number by about the learning rate, whatever the gradient.
    settings = config(
        layer_decay=0.5, warmup_steps=0, max_steps=1, learning_rate=1e-3, weight_decay=0.0,
        softmax="full",
    )  # fmt: skip
    before = starting_model()
    domain.tune(tmp_path / "run", before, settings)
    after = relmo_format.read(tmp_path / "run" / "last")
    assert before.softmax is not None
    assert after.softmax is not None
    depths = {"token_encoder": 3, "layers.0": 2, "layers.1": 1}
    for name, tensor in before.tensors.items():
        depth = next(depth for part, depth in depths.items() if part in name)
        moved = float((after.tensors[name] - tensor).abs().max())
        assert moved == pytest.approx(1e-3 * 0.5**depth, rel=0.02), name
    moved = float((after.softmax["weight"] - before.softmax["weight"]).abs().max())
    assert moved == pytest.approx(1e-3, rel=0.02)


@pytest.mark.parametrize("softmax", ["sampled", "full"])
@pytest.mark.parametrize("mode", ["sentence", "rows"])
def test_a_new_softmax_is_fitted_to_the_frozen_model_first(
    domain: Domain, tmp_path: Path, softmax: str, mode: str
):
    bare, run = starting_model(softmax=False), tmp_path / "run"
    settings = config(softmax_steps=12, max_steps=12, softmax=softmax, mode=mode)
    domain.tune(run, bare, settings)
    fitted = relmo_format.read(run / "last")
    for name, tensor in bare.tensors.items():
        assert torch.equal(fitted.tensors[name], tensor), name
    settings = replace(settings, max_steps=30)
    found = domain.tune(tmp_path / "run", bare, settings, resume=True)
    tuned = relmo_format.read(run / "last")
    assert all(not torch.equal(tuned.tensors[name], bare.tensors[name]) for name in bare.tensors)
    assert tuned.vocab is not None
    assert set(WORDS) < set(tuned.vocab.words)  # built from the corpus
    assert found.before is not None
    assert found.after is not None
    at_twelve = next(line for line in metrics(run) if (line["step"], line["kind"]) == (12, "valid"))
    assert found.before.mean == at_twelve["perplexity"]
    assert found.after.mean < found.before.mean < len(tuned.vocab)


def test_an_epoch_is_as_many_steps_as_the_corpus_fills_batches(domain: Domain, tmp_path: Path):
    sentences = random_sentences(40)
    n_tokens = sum(map(len, sentences))
    settings = config(softmax_steps=3, max_steps=3)
    found = domain.tune(tmp_path / "run", settings=settings, epochs=0.5)
    assert found.result.step == 3 + math.ceil(0.5 * (n_tokens + 40) / settings.batch_tokens)
    assert (found.corpus.n_sentences, found.corpus.n_tokens) == (40, n_tokens)
    assert (found.corpus.n_unknown, found.corpus.n_words) == (80, len(VOCAB))  # each sentence's own


# --- formats --------------------------------------------------------------------------------------


def test_the_result_is_a_model_that_loads_and_becomes_hdf5(domain: Domain, tmp_path: Path):
    domain.tune(tmp_path / "run")
    best = relmo_format.read(tmp_path / "run" / "best")
    bilm_hdf5.write(best, tmp_path / "hdf5")
    there = bilm_hdf5.read_folder(tmp_path / "hdf5")
    assert there.tensors.keys() == best.tensors.keys()
    for name, tensor in there.tensors.items():
        assert torch.equal(tensor, best.tensors[name]), name
    vectors = [Elmo.from_checkpoint(model).embed(["w1 w2"])[0] for model in (best, there)]
    assert (vectors[0] == vectors[1]).all()


@pytest.mark.parametrize(
    ("name", "softmax_steps"), [("tf_checkpoint", 0), ("allennlp", 3), ("tfhub_module", 3)]
)
def test_any_format_is_a_place_to_start_from(
    domain: Domain, tmp_path: Path, goldens: Path, name: str, softmax_steps: int
):
    path = goldens / name
    model = (
        detect.read(options=path / "options.json", weights=path / "lm_weights.hdf5")
        if name == "allennlp"
        else detect.read(path)
    )
    settings = config(model=model.config, softmax_steps=softmax_steps, max_steps=5)
    found = domain.tune(tmp_path / "run", model, settings)
    assert found.before is not None
    assert found.after is not None
    assert found.after.mean <= found.before.mean
    assert relmo_format.read(tmp_path / "run" / "best").config == model.config


def test_a_model_of_words_gets_a_softmax_over_its_own(domain: Domain, tmp_path: Path):
    settings = config(model=WORD_CONFIG, softmax_steps=3, max_steps=6)
    domain.tune(tmp_path / "run", of_words(), settings)
    assert relmo_format.read(tmp_path / "run" / "best").vocab == VOCAB


# --- resume ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adamw", "adagrad"])
@pytest.mark.parametrize("has_softmax", [True, False])
def test_a_stopped_and_resumed_fine_tuning_is_the_uninterrupted_one(
    domain: Domain, tmp_path: Path, optimizer: str, has_softmax: bool
):
    settings = config(
        layer_decay=0.7, softmax_steps=0 if has_softmax else 4, mode="rows", dropout=0.2,
        optimizer=optimizer, max_steps=9,
    )  # fmt: skip
    whole = domain.tune(tmp_path / "whole", starting_model(has_softmax), settings)
    for number, n in enumerate((1, 3, 2)):  # before, at and after the border of the two parts
        torch.manual_seed(number)
        count = itertools.count(1)
        domain.tune(
            tmp_path / "parts", starting_model(has_softmax), settings, resume=True,
            should_stop=lambda n=n, count=count: next(count) >= n,
        )  # fmt: skip
    parts = domain.tune(tmp_path / "parts", starting_model(has_softmax), settings, resume=True)
    assert parts == whole
    assert_same_run(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.parametrize("crash_at", [2, 6])  # before the first checkpoint, and after
def test_a_crashed_and_resumed_fine_tuning_is_the_uninterrupted_one(
    domain: Domain, tmp_path: Path, crash_at: int
):
    def crash(progress: Progress) -> None:
        if progress.step == crash_at:
            raise KeyError("crash")

    whole = domain.tune(tmp_path / "whole")
    with pytest.raises(KeyError):
        domain.tune(tmp_path / "parts", on_progress=crash)
    assert domain.tune(tmp_path / "parts", resume=True) == whole
    assert_same_run(tmp_path / "parts", tmp_path / "whole")


def test_another_model_or_none_does_not_resume_a_fine_tuning(domain: Domain, tmp_path: Path):
    run, settings = tmp_path / "run", config(max_steps=2)
    domain.tune(run, settings=settings)
    other = starting_model()
    other = replace(other, tensors={name: 2 * tensor for name, tensor in other.tensors.items()})
    message = r"run\.json: the model to start from: expected one of sha256 .*, got "
    with pytest.raises(ConfigError, match=message + "one of"):
        domain.tune(run, other, settings, resume=True)
    with pytest.raises(ConfigError, match=message + "none"):
        train(domain.files, domain.valid, run, settings, vocab=VOCAB, resume=True)
    train(domain.files, domain.valid, tmp_path / "trained", settings, vocab=VOCAB)
    with pytest.raises(ConfigError, match="expected none as the run was started, got one of"):
        domain.tune(tmp_path / "trained", settings=settings, resume=True)
    assert training_state(run)["progress"]["step"] == 2


# --- what is refused ------------------------------------------------------------------------------


def looking_up() -> Checkpoint:
    shape = BiLMConfig(lstm_dim=6, projection_dim=4, lexicon=LexiconConfig(n_words=5, word_dim=2))
    return Checkpoint(config=shape, tensors={}, format="manylangs", source=Path("zh"))


BAD: dict[str, tuple[type[RelmoError], str, dict[str, Any]]] = {
    "lexicon": (ConfigError, r"'zh' \(manylangs\): looks up words", {"model": looking_up()}),
    "no softmax": (
        InputError, "has no softmax.* give --softmax-steps", {"model": starting_model(False)},
    ),
    "another vocabulary": (
        InputError, r"--vocab: its 3 words are not the 15 of 'elsewhere' \(relmo\)",
        {"vocab": Vocabulary(["</S>", "<S>", "<UNK>"])},
    ),
    "words unknown": (
        InputError, "reads words and came without its vocabulary",
        {"model": replace(of_words(), vocab=None),
         "settings": config(model=WORD_CONFIG, softmax_steps=2)},
    ),
    "no specials": (
        FormatError, "no '<S>' among",
        {"model": replace(starting_model(), vocab=Vocabulary([f"v{k}" for k in range(15)]))},
    ),
    "no epoch": (ConfigError, "--epochs must be above 0, got 0", {"epochs": 0.0}),
    "endless": (ConfigError, "--epochs must be above 0, got inf", {"epochs": math.inf}),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_tuned_is_an_error_before_anything_is_written(
    domain: Domain, tmp_path: Path, name: str
):
    kind, message, given = BAD[name]
    with pytest.raises(kind, match=message):
        domain.tune(tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


def test_neither_another_run_nor_the_model_itself_is_overwritten(domain: Domain, tmp_path: Path):
    train(domain.files, domain.valid, tmp_path / "run", config(max_steps=1), vocab=VOCAB)
    with pytest.raises(InputError, match="run: holds a training run; give --resume"):
        domain.tune(tmp_path / "run")
    relmo_format.write(starting_model(), tmp_path / "mine" / "best")
    model = relmo_format.read(tmp_path / "mine" / "best")
    with pytest.raises(InputError, match="mine: holds the model to start from"):
        domain.tune(tmp_path / "mine", model)
    assert_same(relmo_format.read(tmp_path / "mine" / "best"), model)
