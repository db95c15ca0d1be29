"""A batch in parts: the mean of their gradients, resumed bit for bit, each line once an epoch."""

import copy
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from relmo.data.corpora import Corpus
from relmo.errors import InputError
from relmo.train import batches
from relmo.train.batches import ShuffledLines
from relmo.train.distributed import ALONE
from relmo.train.parts import Part
from relmo.train.run import TrainingRun
from tests.train.helpers import (
    HELD_OUT,
    VOCAB,
    Corpora,
    after,
    as_words,
    assert_same_run,
    config,
    metrics,
    random_sentences,
    training_state,
    write,
)

CPU = torch.device("cpu")


def a_run(corpora: Corpora, out: Path, **changes: Any) -> TrainingRun:
    settings = config(**{"softmax": "full", "mode": "rows", "clip_norm": 1e9, **changes})
    return TrainingRun(corpora.files, None, out, settings, VOCAB, CPU, ALONE, None)


@pytest.mark.parametrize("softmax", ["full", "sampled"])
@pytest.mark.parametrize("mode", ["sentence", "rows", "stream"])
def test_the_gradient_of_a_step_is_the_mean_of_its_parts(
    corpora: Corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, softmax: str
):
    run = a_run(corpora, tmp_path / "run", mode=mode, softmax=softmax, dropout=0.0, parts=2)
    model, parts = copy.deepcopy(run.model), copy.deepcopy(run.parts)
    monkeypatch.setattr(run.optimizers, "step", lambda rate: None)  # the gradients stay
    measures = run.step(1, 1.0)
    losses = [part.losses(model) for part in parts]
    mean = sum(0.5 * (forward + backward) for forward, backward, _ in losses) / 2
    assert isinstance(mean, torch.Tensor)
    mean.backward()  # type: ignore[no-untyped-call]
    assert measures["loss"] == pytest.approx(mean.item())
    assert measures["tokens"] == sum(n for _, _, n in losses)
    for one, other in zip(run.model.parameters(), model.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(one.grad.to_dense(), other.grad.to_dense(), rtol=1e-5, atol=1e-7)


def test_what_a_part_computes_does_not_depend_on_the_others(corpora: Corpora, tmp_path: Path):
    run = a_run(corpora, tmp_path / "run", dropout=0.3, parts=4)
    alone = Part(2, run.corpus, run.encoder, run.config, CPU)
    for _ in range(2):
        together = [part.losses(run.model) for part in run.parts]
        assert [x.item() for x in alone.losses(run.model)[:2]] == [
            x.item() for x in together[2][:2]
        ]
    assert len({forward.item() for forward, _, _ in together}) == 4


@pytest.mark.parametrize("mode", ["sentence", "rows", "stream"])
def test_a_resumed_run_of_several_parts_is_the_uninterrupted_one(
    corpora: Corpora, tmp_path: Path, mode: str
):
    settings = config(mode=mode, dropout=0.2, max_steps=8, parts=2)
    corpora.train(tmp_path / "whole", settings)
    for n in random.Random(mode).sample(range(1, 4), 2):
        torch.manual_seed(n)  # somebody else's random numbers in between
        corpora.train(tmp_path / "pieces", settings, resume=True, should_stop=after(n))
    corpora.train(tmp_path / "pieces", settings, resume=True)
    assert_same_run(tmp_path / "pieces", tmp_path / "whole")
    assert len(training_state(tmp_path / "whole")["parts"]) == 2


@pytest.mark.parametrize("n_parts", [1, 2, 3, 7])
def test_each_line_is_read_once_an_epoch_over_all_parts(
    corpora: Corpora, monkeypatch: pytest.MonkeyPatch, n_parts: int
):
    monkeypatch.setattr(batches, "_BUFFER_LINES", 1000)  # an epoch is a buffer
    sources = [
        ShuffledLines(Corpus(corpora.files).shard(number, n_parts), number, 2**62)
        for number in range(n_parts)
    ]
    for _ in range(2):
        epochs = [source.next() for source in sources]
        seen = Counter(" ".join(sentence) for epoch in epochs for sentence in epoch)
        assert seen == Counter(map(" ".join, random_sentences(30)))
        assert all(len(epoch) >= 20 // n_parts for epoch in epochs)


def test_a_step_reads_as_many_predictions_whatever_the_parts(corpora: Corpora, tmp_path: Path):
    for n_parts in (1, 2, 4):
        run = a_run(corpora, tmp_path / "run", parts=n_parts)
        assert run.step(1, 1.0)["tokens"] == 40
        rows = [as_words(part.batches.next())[0] for part in run.parts]
        assert [len(each) for each in rows] == [8 // n_parts] * n_parts


@pytest.mark.parametrize("mode", ["sentence", "rows", "stream"])
def test_more_parts_than_lines_are_an_error(corpora: Corpora, tmp_path: Path, mode: str):
    few = write(tmp_path / "few.txt", HELD_OUT[:3], blanks=3)  # a part of 4 has them all
    with pytest.raises(InputError, match=r"few\.txt: no usable line among those of part 2 of 4; "):
        corpora.train(tmp_path / "run", config(mode=mode, parts=4), files=few)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_run_of_several_parts_goes_on_on_a_gpu_in_bfloat16(corpora: Corpora, tmp_path: Path):
    settings = config(mode="stream", dropout=0.2, max_steps=8, parts=2, precision="bfloat16")
    corpora.train(tmp_path / "whole", settings, device="cuda")
    corpora.train(tmp_path / "pieces", settings, device="cuda", should_stop=after(3))
    corpora.train(tmp_path / "pieces", settings, device="cuda", resume=True)
    pairs = zip(metrics(tmp_path / "pieces"), metrics(tmp_path / "whole"), strict=True)
    for line, expected in pairs:
        assert line.get("loss") == pytest.approx(expected.get("loss"), rel=1e-2)
