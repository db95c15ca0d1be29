"""Which format a path is in, and what is said where it is in none."""

from pathlib import Path

import pytest

from relmo.errors import FormatError, InputError
from relmo.formats import detect, relmo_format
from tests.formats.helpers import assert_same, random_checkpoint, save_random


def test_each_format_is_known_by_what_lies_in_the_folder(tmp_path: Path):
    checkpoint = random_checkpoint(tmp_path / "hdf5")
    relmo_format.write(checkpoint, tmp_path / "relmo")
    names = [candidate.name for candidate in detect.FORMATS]
    assert names == [
        "relmo", "bilm_hdf5", "bilm_tf", "tfhub", "manylangs", "allennlp", "archive",
    ]  # fmt: skip
    for name, folder in (("relmo", "relmo"), ("bilm_hdf5", "hdf5")):
        found = detect.read(tmp_path / folder)
        assert found.format == name
        assert_same(found, checkpoint)


def test_the_two_files_may_be_given(goldens: Path):
    folder = goldens / "allennlp"
    checkpoint = detect.read(options=folder / "options.json", weights=folder / "lm_weights.hdf5")
    assert checkpoint.config.n_layers == 2


def test_where_nothing_fits_each_format_says_why(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"model": "other"}')
    (tmp_path / "options.json").write_text("{}")
    with pytest.raises(FormatError) as caught:
        detect.read(tmp_path)
    assert str(caught.value) == (
        f"'{tmp_path}' is no model that relmo reads: relmo: config.json: 'format' is None, "
        "expected 'relmo'; bilm_hdf5: it has no *.hdf5 or *.h5; bilm_tf: it has no *.index; "
        "tfhub: it has no saved_model.pb or tfhub_module.pb; manylangs: it has no encoder.pkl; "
        "allennlp: it has no *.th; archive: it is not a file"
    )


def test_a_file_is_no_folder(tmp_path: Path):
    save_random(tmp_path)
    with pytest.raises(FormatError) as caught:
        detect.read(tmp_path / "weights.hdf5")
    for reason in (
        "relmo: it is not a folder",
        "bilm_hdf5: it is not a folder",
        "allennlp: weights.hdf5 is no PyTorch file",
        "archive: it is neither a zip nor a tar",
    ):
        assert reason in str(caught.value)


def test_a_folder_with_one_folder_that_is_a_model_is_that_model(tmp_path: Path):
    checkpoint = random_checkpoint(tmp_path / "outer" / "inner")
    (tmp_path / "outer" / "pictures").mkdir()
    (tmp_path / "outer" / "README.md").write_text("See inner.")
    found = detect.read(tmp_path / "outer")
    assert found.source == tmp_path / "outer" / "inner" / "weights.hdf5"
    assert_same(found, checkpoint)
    save_random(tmp_path / "outer" / "other")
    with pytest.raises(FormatError, match=r"holds 2 models \(inner, other\); give one of them"):
        detect.read(tmp_path / "outer")
    with pytest.raises(FormatError, match="no model that relmo reads"):  # one deep, no deeper
        detect.read(tmp_path)


def test_what_is_wrong_in_the_only_folder_is_said_of_it(tmp_path: Path):
    save_random(tmp_path / "outer" / "inner")
    (tmp_path / "outer" / "__MACOSX").mkdir()
    (tmp_path / "outer" / "inner" / "options.json").unlink()
    with pytest.raises(FormatError, match=r"outer/inner' is no .*bilm_hdf5: it has no \*options"):
        detect.read(tmp_path / "outer")
    (tmp_path / "outer" / "README.md").write_text("See inner.")
    with pytest.raises(FormatError, match=r"outer' is no .*bilm_hdf5: it has no \*options"):
        detect.read(tmp_path / "outer")


def test_a_training_run_leads_to_its_best_model(tmp_path: Path):
    relmo_format.write(random_checkpoint(tmp_path / "source"), tmp_path / "run" / "best")
    (tmp_path / "run" / "config.json").write_text('{"preset": "mini"}')
    with pytest.raises(FormatError, match=r"training run.*give '.*run/best'"):
        detect.read(tmp_path / "run")


def test_nothing_there_is_an_input_error(tmp_path: Path):
    with pytest.raises(InputError, match="nowhere"):
        detect.read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"options": "options.json"},
        {"weights": "weights.hdf5"},
        {"path": "m", "options": "options.json"},
        {"path": "m", "options": "options.json", "weights": "weights.hdf5"},
    ],
)
def test_arguments_that_do_not_go_together(arguments: dict[str, str]):
    with pytest.raises(InputError, match="options= and weights="):
        detect.read(**arguments)
