"""`--config FILE`: what it may hold, what it gives, and that the run.toml of a run repeats it."""

import dataclasses
import inspect
import json
import re
from pathlib import Path
from typing import Annotated, Any

import pytest
from cyclopts.utils import UNSET

from relmo.cli import _flags, train
from relmo.cli._config_file import CommandLine, ConfigFile
from relmo.cli.main import make_app
from relmo.config import BiLMConfig
from relmo.settings import Bounds
from relmo.train.config import PRESETS, TrainConfig, TrainSettings
from relmo.train.description import to_toml
from tests.helpers import relmo, tiny_model
from tests.train.helpers import (
    HELD_OUT,
    VOCAB,
    WORD_MODEL,
    assert_same_run,
    random_sentences,
    write,
)

DOCS = Path(__file__).parents[2] / "docs" / "training.md"
QUICK = """
files = ["a.txt", "more/*.txt"]
valid = "valid.txt"
out = "run"
batch_tokens = 40
unroll_steps = 5
n_candidates = 4
warmup_steps = 2
max_steps = 4
learning_rate = 1
"""
SHAPE = """
[model]
lstm_dim = 6
projection_dim = 4
cell_clip = "none"
[model.char_cnn]
filters = [[1, 3], [2, 5]]
embedding_dim = 3
"""


@pytest.fixture(autouse=True)
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with texts; the work is done in another one."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    (tmp_path / "more").mkdir()
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path / "a.txt", random_sentences(20))
    write(tmp_path / "more" / "b.txt", random_sentences(10, seed=1))
    write(tmp_path / "valid.txt", HELD_OUT)
    monkeypatch.chdir(tmp_path / "elsewhere")


def told(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text)
    return path


def described(out: Path) -> dict[str, Any]:
    found = json.loads((out / "run.json").read_text())
    assert isinstance(found, dict)
    return found


def test_a_run_is_what_the_file_says_and_the_command_line_comes_first(tmp_path: Path):
    file = told(tmp_path, QUICK + SHAPE)
    ran = relmo("train", "--config", file, "--max-steps", "3", "--seed", "5")
    assert ran.code == 0, ran.err
    run = described(tmp_path / "run")
    assert run["files"] == [str(tmp_path / "a.txt"), str(tmp_path / "more" / "b.txt")]
    assert run["valid"]["files"] == [str(tmp_path / "valid.txt")]
    config = TrainConfig.from_dict(run["config"])
    assert (config.max_steps, config.seed, config.learning_rate) == (3, 5, 1.0)
    assert config.warmup_steps == 2
    assert (config.model.lstm_dim, config.model.cell_clip) == (6, None)
    other = relmo("train", tmp_path / "a.txt", "--config", file, "--out", "b", "--preset", "mini",
                  "--lstm-dim", "130", "--max-steps", "1")  # fmt: skip
    assert other.code == 0, other.err
    run = described(Path("b"))
    assert run["files"] == [str(tmp_path / "a.txt")]
    assert run["config"]["model"]["lstm_dim"] == 130
    assert run["config"]["model"]["char_cnn"]["filters"][0] == [1, 32]


def test_the_run_toml_of_a_run_repeats_it_and_continues_it_bit_for_bit(tmp_path: Path):
    assert relmo("train", "--config", told(tmp_path, QUICK + SHAPE)).code == 0
    again = tmp_path / "run" / "run.toml"
    (tmp_path / "run.toml").unlink()
    ran = relmo("train", "--config", again, "--out", "other")
    assert ran.code == 0, ran.err
    assert_same_run(tmp_path / "run", Path("other"))
    started, repeated = described(tmp_path / "run"), described(Path("other"))
    assert started == repeated
    assert started["ran_on"][0]["threads"] >= 1
    refused = relmo("train", "--config", again)
    assert (refused.code, refused.out) == (2, "")
    assert "holds a training run; give --resume" in refused.err
    for longer in (("--config", again), ("--config", "other/run.toml")):
        ran = relmo("train", *longer, "--max-steps", "6", "--resume")
        assert ran.code == 0, ran.err
    assert_same_run(tmp_path / "run", Path("other"))
    assert "max_steps = 6" in again.read_text()


def test_the_run_toml_of_a_fine_tuning_repeats_it(tmp_path: Path):
    tiny_model(tmp_path / "tiny", words=VOCAB.words)
    file = told(tmp_path, 'model = "tiny"\nepochs = 0.5\n' + QUICK.replace("max_steps = 4", ""))
    ran = relmo("finetune", "--config", file)
    assert ran.code == 0, ran.err
    again = relmo("finetune", "--config", tmp_path / "run" / "run.toml", "--out", "other")
    assert again.code == 0, again.err
    assert again.out.splitlines()[:-1] == ran.out.splitlines()[:-1]
    assert_same_run(tmp_path / "run", Path("other"))
    relative = relmo("finetune", "--config", file, "--out", "third")
    assert relative.code == 0, relative.err


def filled(command: str, file: Path) -> dict[str, list[str]]:
    """What a file gives of a command's arguments, as it would be typed, by their names."""
    line = CommandLine()
    app = make_app(line)
    arguments = app[command].assemble_argument_collection()
    typed = {a.field_info.name: a for a in arguments if not a.children}
    ConfigFile.read(file).fill(list(typed.values()))
    return {name: [str(token.implicit_value if token.implicit_value is not UNSET else token.value)
                   for token in a.tokens] for name, a in typed.items()}  # fmt: skip


@pytest.mark.parametrize("command", ["train", "finetune"])
def test_every_setting_of_a_run_is_a_flag_and_a_key(command: str, tmp_path: Path):
    is_new = command == "train"
    settings = TrainConfig(
        model=PRESETS["mini"] if is_new else WORD_MODEL, softmax="adaptive", cutoffs=(3, 9)
    )
    names = {field.name for field in dataclasses.fields(TrainConfig)} - {"model"}
    names -= set() if is_new else {"tied", "word_vectors"}  # as the model is
    text = {"files": ["a"], "field": "text", "tokenizer": "spacy:de"}
    start = {} if is_new else {"from": {"source": "/m"}}
    description = {"config": settings.to_dict(), **start, **text, "valid": text,
                   "ran_on": [{"device": "cpu"}]}  # fmt: skip
    values = filled(command, told(tmp_path, to_toml(description)))
    assert names <= values.keys()
    for name in names:
        value = getattr(settings, name)
        expected = list(value) if isinstance(value, tuple) else [value] * (value is not None)
        assert values[name] == list(map(str, expected)), name
    assert (values["files"], values["vocab"]) == (
        [str(tmp_path / "a")],
        [f"{tmp_path}/last/vocab.txt"],
    )


def test_a_new_setting_is_a_flag_a_key_and_a_row_of_the_help_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Longer(TrainSettings):
        momentum: Annotated[float, Bounds(at_least=0, below=1)] = 0.25
        """How much of the last step is taken again."""

    seen = []
    command = inspect.unwrap(train.train)
    monkeypatch.setitem(command.__annotations__, "settings", Annotated[Longer, _flags.flat])
    monkeypatch.setitem(command.__kwdefaults__, "settings", Longer())
    monkeypatch.setattr(train, "TrainConfig", lambda **values: seen.append(values) or 1 / 0)
    ran = relmo("train", "--help")
    assert re.search(r"--momentum FLOAT +How much of the last step is taken", ran.out)
    assert "[default: 0.25]" in ran.out
    file = told(tmp_path, "momentum = 0.5\n")
    for arguments, expected in (
        (("--momentum", "0.75"), 0.75),
        (("--config", file), 0.5),
    ):
        with pytest.raises(ZeroDivisionError):
            relmo("train", tmp_path / "a.txt", "--out", "out", *arguments)
        assert seen[-1]["momentum"] == expected
    for arguments, message in (
        (("--momentum", "1"), "--momentum must be at least 0 and below 1, got 1.0"),
        (("--config", told(tmp_path, "momentum = 1\n")), "line 1: 'momentum' must be at least 0"),
    ):
        ran = relmo("train", tmp_path / "a.txt", "--out", "out", *arguments)
        assert (ran.code, ran.out) == (2, "")
        assert message in ran.err


def test_a_run_from_word_vectors_is_repeated(tmp_path: Path):
    lines = [f"{word} 1 2 {n} 4" for n, word in enumerate(VOCAB.words[3:])]
    (tmp_path / "glove.txt").write_text("\n".join(lines) + "\n")
    words = 'input = "words"\nword_vectors = "glove.txt"\ntied = true\nlstm_dim = 6\n'
    file = told(tmp_path, QUICK + words + "projection_dim = 4\n")
    assert (ran := relmo("train", "--config", file)).code == 0, ran.err
    ran = relmo("train", "--config", tmp_path / "run" / "run.toml", "--out", "other")
    assert ran.code == 0, ran.err
    assert_same_run(tmp_path / "run", Path("other"))
    assert described(tmp_path / "run") == described(Path("other"))
    again = relmo("train", "--config", file, "--max-steps", "5", "--resume")
    assert again.code == 0, again.err
    assert described(tmp_path / "run")["word_vectors"]["found"] > 0


def test_the_table_of_the_model_takes_every_field_of_its_shape(tmp_path: Path):
    for shape in (
        PRESETS["mini"],
        BiLMConfig(
            lstm_dim=6, projection_dim=6, n_layers=3, cell_clip=None, projection_clip=None,
            skip_connections=False, n_words=9,
        ),
    ):  # fmt: skip
        text = {"files": [], "field": "text", "tokenizer": "moses"}
        description = {"config": TrainConfig(model=shape).to_dict(), **text, "valid": None,
                       "ran_on": [{"device": "cpu"}]}  # fmt: skip
        file = told(tmp_path, to_toml(description))
        assert train._shape(None, ConfigFile.read(file)) == shape


def test_the_example_of_the_documentation_runs(tmp_path: Path):
    (example,) = re.findall(
        r"^```toml\n(.*?)^```$", DOCS.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    write(tmp_path / "valid.txt.xz", HELD_OUT)
    (tmp_path / "news").mkdir()
    write(tmp_path / "news" / "one.txt.gz", random_sentences(10))
    ran = relmo("train", "--config", told(tmp_path, example), "--max-steps", "1",
                "--batch-tokens", "40")  # fmt: skip
    assert ran.code == 0, ran.err
    assert (tmp_path / "runs" / "first" / "best").is_dir()


# --- what is wrong --------------------------------------------------------------------------------

WRONG = {
    'batch-tokens = "640"': "line 2: 'batch-tokens': unknown key; did you mean 'batch_tokens'?",
    "[training]\nx = 1": "line 2: 'training': unknown key; known are files, ",
    'config = "run.toml"': "line 2: 'config': unknown key",
    'batch_tokens = "640"': "line 2: 'batch_tokens' is '640', expected an integer",
    "batch_tokens = 640.0": "line 2: 'batch_tokens' is 640.0, expected an integer",
    "seed = true": "line 2: 'seed' is True, expected an integer",
    "learning_rate = false": "line 2: 'learning_rate' is False, expected a finite number",
    "resume = 1": "line 2: 'resume' is 1, expected true or false",
    "mode = 3": "line 2: 'mode' is 3, expected 'sentence' or 'rows' or 'stream'",
    "vocab = []": r"line 2: 'vocab' is \[\], expected a string",
    'valid = ["v", 2]': r"line 2: 'valid'\[1\] is 2, expected a string",
    "vocab_size = 2": "line 2: 'vocab_size' must be at least 4, got 2",
    "batch_tokens = 0": "line 2: 'batch_tokens' must be at least 1, got 0",
    "dropout = 1": r"line 2: 'dropout' must be at least 0 and below 1, got 1\.0",
    'preset = "big"': "line 2: 'preset' must be one of mini, .*, got 'big'",
    'device = "gpu9"': "line 2: 'device': --device gpu9: ",
    'preset = "mini"\n[model]\nlstm_dim = 6': r"line 2: 'preset' and \[model\]: give one of them",
    "[model]\nlstm_dim = 6\nwidth = 4": "model: unknown key 'width'; known are lstm_dim",
    '[model]\nlstm_dim = "6"': "model: lstm_dim is '6', expected an integer",
    "[model]\nlstm_dim = 6": "model: the key 'projection_dim' is missing",
    "model = 3": "line 2: 'model': unknown key",
    "seed = ": r"not TOML: Invalid value \(at line 2, column 8\)",
    "a = " + "[" * 3000: "not TOML: ",
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:30])
def test_what_is_wrong_in_a_file_is_one_error_that_names_it(text: str, tmp_path: Path):
    file = told(tmp_path, f"# settings\n{text}\n")
    ran = relmo("train", tmp_path / "a.txt", "--out", "out", "--config", file)
    assert (ran.code, ran.out) == (2, "")
    assert re.match(f"relmo: error: {re.escape(str(file))}: {WRONG[text]}", ran.err), ran.err
    assert not Path("out").exists()


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path):
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    for name, message in (
        ("none.toml", "no such file"),
        ("more", "cannot be read: Is a directory"),
        ("latin.toml", "not UTF-8: "),
    ):
        ran = relmo("train", "--config", tmp_path / name)
        assert (ran.code, ran.out) == (2, "")
        assert f"relmo: error: --config {tmp_path / name}: {message}" in ran.err


def test_what_neither_the_file_nor_the_command_line_gives_is_named(tmp_path: Path):
    file = told(tmp_path, 'files = "a.txt"')
    assert "train: --out is missing" in relmo("train", "--config", file).err
    assert "train: FILES is missing" in relmo("train", "--out", "x").err


def test_an_error_in_what_the_command_line_gives_is_not_laid_to_the_file(tmp_path: Path):
    ran = relmo("train", "--config", told(tmp_path, QUICK), "--batch-tokens", "0")
    assert ran.err == "relmo: error: --batch-tokens must be at least 1, got 0\n"
