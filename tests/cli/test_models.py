import json
import re
from pathlib import Path

import pytest

from relmo import hub
from tests.helpers import relmo


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RELMO_HOME", str(tmp_path))
    return tmp_path


def test_models_of_a_language_are_printed_in_columns(home: Path):
    (home / "models" / "eu").mkdir(parents=True)
    for name in ("options.json", "weights.hdf5"):
        (home / "models" / "eu" / name).touch()
    ran = relmo("models", "--language", "EU")
    assert (ran.code, ran.err) == (0, "")
    heading, *rows, last = ran.out.splitlines()
    assert heading.split()[:6] == ["name", "lang", "size", "cached", "title", "perplexity"]
    assert [re.split(" {3,}", row)[:6] for row in rows] == [
        [
            "eu", "eu", "yes", "Basque, by S. Schweter", "not stated",
            "72.7 million tokens: Wikipedia, OPUS, Leipzig Corpora Collection",
        ],
        [
            "manylangs-eu", "eu", "Basque", "not stated (its code: MIT)",
            "20 million words of Wikipedia and Common Crawl (CoNLL 2018 shared task)",
        ],
    ]  # fmt: skip
    assert last == f"2 models; the cache is {home}"


def test_every_model_has_its_line():
    ran = relmo("models")
    assert (ran.code, ran.err) == (0, "")
    assert len(ran.out.splitlines()) == len(hub.catalogue()) + 2
    assert "original " in ran.out
    assert re.search(r"^original +en +93.6 M .* 39.7 ", ran.out, re.MULTILINE)


def test_json_holds_all_that_is_known():
    found = {model["name"]: model for model in json.loads(relmo("models", "--json").out)}
    assert len(found) == len(hub.catalogue())
    assert found["tfhub-1"] == {
        "name": "tfhub-1",
        "title": "TF-Hub's ELMo, version 1",
        "language": "en",
        "files": [
            {
                "name": "elmo-1.tar.gz",
                "urls": ["https://tfhub.dev/google/elmo/1?tf-hub-format=compressed"],
                "parts": [],
            }
        ],
        "format": found["tfhub-2"]["format"],
        "corpus": "1 Billion Word Benchmark",
        "license": "not stated",
        "source": "github.com/tensorflow/tfhub.dev, assets/docs/google/models/elmo; of the "
        "addresses at tfhub.dev only version 3 was seen in use, 1 and 2 follow its scheme",
        "parameters": 93600848,
        "perplexity": None,
        "aliases": ["google/elmo/1", "https://tfhub.dev/google/elmo/1"],
        "cached": False,
    }


def test_an_unknown_language_is_one_line():
    ran = relmo("models", "--language", "xx")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("relmo: error: --language: none for 'xx'; there are ar, bg, ca, ")
