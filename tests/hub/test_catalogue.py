"""The data file of the models known by name."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from relmo import hub
from relmo.formats.checkpoint import parameter_shapes
from relmo.hub import _catalogue
from relmo.train.config import PRESETS
from tests.hub import models_page

NAMES = """
original small medium original-5.5b pubmed pt-wiki pt-brwac ja de eu ru-wiki ru-news ru-twitter
tfhub-1 tfhub-2 tfhub-3 mimic norelmo-wiki norelmo-wiki-lemmas norelmo30 norelmo100
"""


def test_names_and_aliases_are_unique_and_fit_the_command_line_and_a_folder():
    every = [name for model in hub.catalogue() for name in (model.name, *model.aliases)]
    assert len(every) == len(set(every))
    for model in hub.catalogue():
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", model.name), model.name


def test_the_models_asked_for_are_there():
    assert set(NAMES.split()) <= {model.name for model in hub.catalogue()}
    manylangs = [m for m in hub.catalogue() if m.name.startswith("manylangs-")]
    assert len(manylangs) == 44
    for model in manylangs:
        assert model.name == f"manylangs-{model.language}"
        found = hub.find(model.language)
        assert found is not None
        assert found == model or model.language in ("de", "eu", "ja")
    ids = sorted(int(re.findall(r"/11/(\d+)\.zip", model.urls[0])[0]) for model in manylangs)
    assert ids == list(range(136, 180))


@pytest.mark.parametrize("name", ["google/elmo/3", "https://tfhub.dev/google/elmo/3", "tfhub-3"])
def test_a_tfhub_module_goes_by_its_handle(name: str):
    found = hub.find(name)
    assert found is not None
    assert found.urls == ("https://tfhub.dev/google/elmo/3?tf-hub-format=compressed",)


@pytest.mark.parametrize("model", hub.catalogue(), ids=lambda model: model.name)
def test_each_entry_says_what_it_must(model: hub.Model):
    assert re.fullmatch(r"[a-z]{2,3}", model.language)
    for text in (model.title, model.corpus, model.license, model.source, model.format):
        assert text == text.strip() != ""
    assert model.perplexity is None or 1 < model.perplexity < 1000
    assert model.parameters is None or 10**6 < model.parameters < 10**9
    assert len({file.name for file in model.files}) == len(model.files)
    folder = {"options.json", "weights.hdf5"}
    assert len(model.files) == 1 or {file.name for file in model.files} == folder
    for file in model.files:
        assert file.name == Path(file.name).name
        assert not file.name.startswith(".")
        assert bool(file.urls) != bool(file.parts)
        assert all(re.fullmatch("[0-9a-f]{32}", part.md5 or "0" * 32) for part in file.parts)
    for url in model.urls:
        place = urlsplit(url)
        assert place.scheme in ("https", "http")
        assert "." in place.netloc
        assert place.path
        assert not re.search(r"\s", url)
    assert len(model.urls) == len(set(model.urls))


@pytest.mark.parametrize("name", ["small", "medium", "original"])
def test_the_published_counts_are_those_of_the_shapes(name: str):
    known = hub.find(name)
    assert known is not None
    n_parameters = 0
    for _, shape in parameter_shapes(PRESETS[name]):
        n_numbers = 1
        for length in shape:
            n_numbers *= length
        n_parameters += n_numbers
    assert known.parameters == n_parameters


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Original", "did you mean 'original'?"),
        ("elmo-original", "did you mean 'original'?"),
        ("ORIGINAL_5.5B", "did you mean 'original-5.5b'?"),
        ("orignal", "did you mean 'original' or 'original-5.5b'?"),
        ("pubmed-elmo", "did you mean 'pubmed'?"),
        ("xyzzy", "no model of that name; `relmo models` lists the names"),
        ("some/folder", "'some/folder': there is no such model folder; `relmo models` lists"),
    ],
)
def test_a_name_that_is_none_is_told_what_looks_like_it(name: str, meant: str):
    assert meant in str(_catalogue.unknown(name))


def test_the_page_of_models_is_that_of_the_catalogue():
    page = models_page.PAGE.read_text(encoding="utf-8")
    assert page == models_page.renewed(page), "run: python -m tests.hub.models_page"
    assert all(f"`{model.name}`" in page for model in hub.catalogue())
