"""`relmo probe`: what each layer's vectors are worth, as a table and a figure."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from relmo.cli import _flags, _inputs
from relmo.cli._output import count, print_report
from relmo.errors import InputError

if TYPE_CHECKING:
    from relmo.elmo.model import Elmo
    from relmo.tasks.probe import Probe

__all__ = ["probe"]

_DATA = {
    "pos_train": "pos/ewt/en_ewt-ud-train.conllu",
    "pos_test": "pos/ewt/en_ewt-ud-test.conllu",
    "senses": "wsd/semcor.tar.xz",
    "senses_test": "wsd/raganato/Evaluation_Datasets/ALL/ALL.data.xml",
}
"""In the folder that RELMO_DATA names."""


def probe(
    model: _flags.Model | None = None,
    /,
    *,
    pos_train: Path | None = None,
    pos_test: Path | None = None,
    static: Path | None = None,
    senses: Path | None = None,
    senses_test: list[Path] | None = None,
    wordnet: _flags.WordNet = None,
    seed: int = 0,
    report: _flags.Report = "text",
    output: _flags.Output | None = None,
) -> None:
    """Measure what the vectors of each layer are worth; the bundled model's without MODEL.

    Parts of speech by a linear probe, word senses by the nearest of the senses' average vectors,
    beside what does without the model. Without any data, the parts of the folder RELMO_DATA.

        relmo probe original --pos-train train.conllu --pos-test test.conllu

    Args:
        pos_train: CoNLL-U to train parts of speech on.
        pos_test: CoNLL-U to test them on.
        static: Word vectors to compare with: text of word2vec or GloVe.
        senses: Word senses to train on: SemCor's files, folder or .tar.xz, or NAME.data.xml with
            NAME.gold.key.txt beside it. A tenth, by document, is held out.
        senses_test: Test on these senses too (NAME.data.xml), then with nothing held out. May be
            given more than once.
        seed: Which documents are held out.
        report: How to print the table.
        output: The figure: .png, .svg or .pdf.
    """
    if pos_train is pos_test is senses is None:
        folder = _data_folder()
        pos_train, pos_test = folder / _DATA["pos_train"], folder / _DATA["pos_test"]
        senses = folder / _DATA["senses"]
        senses_test = senses_test or [folder / _DATA["senses_test"]]
    if (pos_train is None) != (pos_test is None):
        raise InputError("--pos-train and --pos-test: give both, or neither")
    if senses_test and senses is None:
        raise InputError("--senses-test: needs --senses to train on")
    if static and pos_train is None:
        raise InputError("--static: needs --pos-train")

    from relmo.explore import page  # torch takes a second to import

    if output is not None:
        page.check_path(output)
    elmo = _inputs.load_model(model)
    probes: list[Probe] = []
    if pos_train is not None and pos_test is not None:
        probes.append(_probe_tags(elmo, pos_train, pos_test, static))
    if senses is not None:
        probes += _probe_senses(elmo, senses, senses_test or [], wordnet, seed)
    name = _inputs.model_name(model)
    _report(probes, name, report)
    if output is not None:
        _draw(probes, name, output)


def _data_folder() -> Path:
    name = os.environ.get("RELMO_DATA", "")
    if not name:
        raise InputError(
            "no data: give --pos-train and --pos-test (CoNLL-U, such as UD English EWT), --senses "
            "(SemCor), or let RELMO_DATA name a folder that has " + " and ".join(_DATA.values())
        )
    return Path(name)


def _probe_tags(elmo: "Elmo", train_path: Path, test_path: Path, static: Path | None) -> "Probe":
    from relmo.data import tagged, word_vectors
    from relmo.tasks.probe import probe_tags

    train, test = (
        [(list(s.tokens), list(s.tags)) for s in tagged.read_tagged(path)]
        for path in (train_path, test_path)
    )
    if static is None:
        return probe_tags(elmo, train, test)
    words = sorted(
        {form for tokens, _ in (*train, *test) for w in tokens for form in (w, w.lower())}
    )
    vectors = word_vectors.read(static, words)
    rows = zip(words, vectors.matrix, vectors.mask, strict=True)
    known = {word: row for word, row, is_known in rows if is_known}
    if not known:
        raise InputError(f"{static}: has none of the words to be tagged")
    return probe_tags(elmo, train, test, static=known)


def _probe_senses(
    elmo: "Elmo", corpus: Path, tests: Sequence[Path], wordnet_folder: Path | None, seed: int
) -> "list[Probe]":
    from relmo.data import senses, wordnet
    from relmo.tasks.probe import probe_senses

    return probe_senses(
        elmo,
        senses.read(corpus),
        {path.name.removesuffix(".data.xml"): senses.read(path) for path in tests},
        dictionary=None if wordnet_folder is None else wordnet.read(wordnet_folder),
        seed=seed,
    )


def _report(probes: "Sequence[Probe]", model: str, report: _flags.Report) -> None:
    """Print a table: a row per layer, a column per task."""
    if report == "json":
        facts = {"model": model, "probes": [asdict(probe) for probe in probes]}
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    names = dict.fromkeys(name for probe in probes for name in (*probe.layers, *probe.baselines))
    rows = [
        [name, *(_per_cent({**probe.layers, **probe.baselines}.get(name)) for probe in probes)]
        for name in names
    ]
    rows.append(["words trained on", *(f"{probe.n_train:,}" for probe in probes)])
    rows.append(["words tested", *(f"{probe.n_test:,}" for probe in probes)])
    headings = [model, *(f"{probe.task}, {probe.metric} %" for probe in probes)]
    print_report(headings, rows, report, right=len(probes))


def _per_cent(score: float | None) -> str:
    return "-" if score is None else f"{100 * score:.1f}"


def _draw(probes: "Sequence[Probe]", model: str, output: Path) -> None:
    from relmo.explore import layer_chart

    panels = []
    for probe in probes:
        *layers, average = probe.layers.items()
        panels.append(
            layer_chart.Panel(
                title=probe.task,
                subtitle=f"{probe.metric}, %; {count(probe.n_test, 'word')} tested",
                layers=dict(layers),
                apart=dict([average]),
                baselines=probe.baselines,
            )
        )
    layer_chart.draw(panels, output, title="What each layer's vectors are worth", subtitle=model)
