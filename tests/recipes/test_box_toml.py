"""The settings of the run behind the box, as `relmo train` takes them."""

import json
from pathlib import Path

from tests.helpers import relmo

RECIPE = Path(__file__).parents[2] / "recipes" / "box.toml"


def test_the_settings_of_the_box_train_a_model(tmp_path: Path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("the cat sat on the mat .\n" * 4)
    ran = relmo("train", "--config", RECIPE, corpus, "--out", tmp_path / "run", "--max-steps", "1",
                "--batch-tokens", "40", "--n-candidates", "2")  # fmt: skip
    assert ran.code == 0, ran
    config = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert (config["learning_rate"], config["warmup_steps"]) == (2e-3, 200)
    assert (config["mode"], config["precision"]) == ("rows", "bfloat16")
