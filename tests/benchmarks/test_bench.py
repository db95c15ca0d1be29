"""The baselines compute what relmo computes, and every section of the benchmark runs."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from benchmarks import bench, embedding, loading, machine, memory, training
from benchmarks.baselines import PaddedLoop, TorchLSTM, quiet, torch_lstm
from benchmarks.report import Report, Target
from benchmarks.text import news_like
from benchmarks.timing import in_turns
from relmo.config import BiLMConfig, CharCNNConfig
from relmo.elmo.model import Elmo
from relmo.nn.kernels import plain
from relmo.nn.lstm import LSTMLayer
from relmo.train.config import PRESETS

TINY = BiLMConfig(
    lstm_dim=12,
    projection_dim=6,
    cell_clip=None,
    projection_clip=None,
    char_cnn=CharCNNConfig(filters=((1, 4), (2, 8)), n_highway=1),
)
CLIPPED = dataclasses.replace(TINY, cell_clip=0.01, projection_clip=0.003)
SIZE = embedding.Size(relmo=4, loop=2, cnn=2, torch=2, rounds=1, sentences=4)


@pytest.fixture(autouse=True)
def small_products(monkeypatch):
    monkeypatch.setattr(machine, "SIZE", 32)


def assert_close(ours, theirs):
    assert [x.shape for x in ours] == [x.shape for x in theirs]
    for x, y in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5, rtol=0)


def random_elmo(config: BiLMConfig) -> Elmo:
    elmo = embedding.new_elmo(config)
    with torch.no_grad():  # a bias that matters
        for name, parameter in elmo.bilm.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.5)
    return elmo


@pytest.mark.parametrize("config", [TINY, CLIPPED])
@pytest.mark.parametrize("cached", [True, False])
def test_the_padded_loop_equals_relmo(config, cached):
    elmo, sentences = random_elmo(config), [*news_like(7, mean=5), ["one"]]
    assert_close(elmo.embed(sentences), PaddedLoop(elmo, 3, cached=cached).embed(sentences))


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("lstm_dim", [12, 6])
def test_torch_lstm_equals_relmo_where_nothing_clips(lstm_dim, skip):
    elmo = random_elmo(dataclasses.replace(TINY, lstm_dim=lstm_dim, skip_connections=skip))
    sentences = [*news_like(7, mean=5), ["one"]]
    assert_close(elmo.embed(sentences), TorchLSTM(elmo, 3).embed(sentences))


def test_torch_lstm_of_a_layer_has_its_gradients():
    layer, x = LSTMLayer.of(TINY), torch.randn(3 * 5, 6)  # 5 steps of 3 rows
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    plain(ours, (3,) * 5, torch.zeros(3, 6), torch.zeros(3, 12), layer.weights())[
        0
    ].sum().backward()
    with quiet():
        torch_lstm(layer.weights())(theirs.view(5, 3, 6).transpose(0, 1))[0].sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "mflop"), [("small", 9.44), ("original", 150.99)])
def test_the_work_of_a_token_is_the_published_shapes(name, mflop):
    assert embedding.lstm_flop(PRESETS[name]) / 1e6 == pytest.approx(mflop, abs=0.005)


def test_sentences_are_as_long_as_news_and_the_same_again():
    sentences = news_like(1000)
    lengths = [len(sentence) for sentence in sentences]
    assert np.mean(lengths) == pytest.approx(22, abs=1)
    assert 1 <= min(lengths) < 10 < 60 < max(lengths) <= 120
    assert 4000 < len({word for sentence in sentences for word in sentence}) < 9000
    assert news_like(1000) == sentences
    assert news_like(1000, seed=2) != sentences


def test_contenders_take_turns_and_the_first_round_does_not_count():
    order = []

    def contender(name):
        return lambda number: order.append((name, number)) or 1.0

    rates = in_turns({"a": contender("a"), "b": contender("b")}, 2)
    assert order == [("a", -1), ("b", -1), ("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert len(rates["a"].rounds) == 2


@pytest.mark.parametrize(
    "section",
    [
        lambda: embedding.throughput("tiny", TINY, SIZE),
        lambda: embedding.latency({"tiny": TINY}, {"tiny": 1}, n_tokens=3),
        lambda: training.lstm_training({"tiny": (TINY, 2, 1)}),
        lambda: training.whole_step("tiny", TINY, 1, rows=2, n_words=100),
        lambda: loading.loading("tiny", TINY, 1),
    ],
    ids=["throughput", "latency", "training", "step", "load"],
)
def test_a_section_fills_its_table(section, monkeypatch):
    monkeypatch.setattr(loading, "_peak", lambda way, folder: 1.0)  # a process for each
    report = section()
    assert report.rows
    assert all(len(row) == len(report.columns) for row in report.rows)
    json.dumps(report.as_dict())


def test_peak_memory_is_that_of_a_process_of_its_own():
    figures = memory.measure("mini", 2)
    assert 0 < figures["repacked"] < figures["weights"] < figures["peak"]


def test_a_target_may_be_the_most_that_is_allowed():
    reached, missed = (Target(what="time", value=x, target=1.5, at_most=True) for x in (1.2, 1.6))
    assert str(reached) == "time: 1.20 × (target at most 1.5 ×) PASS"
    assert str(missed) == "time: 1.60 × (target at most 1.5 ×) above"


def test_every_way_of_loading_gives_every_number(tmp_path):
    mebibytes = loading._write(TINY, tmp_path)
    for name, way in loading.WAYS.items():
        found = way(tmp_path)
        tensors = found.bilm.state_dict() if name.endswith("load") else found
        assert sum(tensor.nbytes for tensor in tensors.values()) == mebibytes * 2**20


def test_the_peak_of_loading_is_that_of_a_process_of_its_own(tmp_path):
    loading._write(TINY, tmp_path)
    assert loading._peak("HDF5, relmo.load", tmp_path) > 0


def test_every_section_is_named_on_the_command_line(monkeypatch, tmp_path, capsys):
    report = Report(title="a table", columns=("what", "tokens/s"), rows=[("relmo", "7")],
                    targets=[Target(what="speed", value=1.5, target=1.0)])  # fmt: skip
    names = list(bench.sections(quick=True))
    assert names == list(bench.sections(quick=False))
    monkeypatch.setattr(bench, "sections", lambda quick: dict.fromkeys(names, lambda: report))
    bench.main(["--quick", "--only", names[0], "--json", str(tmp_path / "bench.json")])
    printed = capsys.readouterr().out
    assert "a table" in printed
    assert "speed: 1.50 × (target 1 ×) PASS" in printed
    assert "1 of 1 targets reached" in printed
    (section,) = json.loads((tmp_path / "bench.json").read_text())["sections"]
    assert section["targets"][0]["mark"] == "PASS"
