"""The taggers that come with relmo: their data under one set of labels, their cards true."""

from pathlib import Path

import pytest

from recipes import taggers
from recipes.taggers import RECIPES, Parts
from relmo.tasks.tagger import SHIPPED, Tagger
from tests.tasks import helpers


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["B-geo", "I-geo", "B-tim", "B-gpe"], ["B-LOC", "I-LOC", "O", "B-MISC"]),
        (["I-PER", "I-PER", "O", "I-ORG"], ["B-PER", "I-PER", "O", "B-ORG"]),
        (["B-art", "B-nat", "O", "I-eve"], ["B-MISC", "B-MISC", "O", "B-MISC"]),
    ],
)
def test_names_of_both_corpora_have_the_same_four_types(tags: list[str], expected: list[str]):
    given = helpers.sentence(["a", "b", "c", "d"], tags)
    found = taggers.relabelled(given)
    assert (found.tokens, list(found.tags)) == (given.tokens, expected)


def test_a_card_has_the_scores_of_what_is_stored(run: Path, tmp_path: Path):
    parts = Parts(train=helpers.TRAIN, dev=helpers.DEV, tests={"held out": helpers.DEV})
    card = taggers.store(run, tmp_path / "stored", RECIPES["ner"], parts)
    stored = Tagger.load(tmp_path / "stored")
    assert stored.card == card
    assert taggers.score(stored, "held out", helpers.DEV) in card
    assert "CC BY 4.0" in card


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe") / "run"
    helpers.trained(folder, shape=helpers.config(char_dim=8), how=helpers.training(epochs=1))
    return folder


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_shipped_is_what_its_recipe_says(name: str):
    tagger = Tagger.load(SHIPPED / name)
    assert tagger.config == RECIPES[name].config
    assert tagger.card is not None
    assert tagger.card.startswith(f"# {RECIPES[name].title}\n")
    assert RECIPES[name].data in tagger.card
