"""The public surface is `relmo.__all__`, no more and no less."""

import subprocess
import sys
import types

import relmo


def test_all_is_the_public_surface():
    members = {name: getattr(relmo, name) for name in dir(relmo) if not name.startswith("_")}
    submodules = {
        name
        for name, value in members.items()
        if isinstance(value, types.ModuleType) and value.__name__ == f"relmo.{name}"
    }
    hook = {"jaxtyping"}  # tests/conftest.py: the import hook writes this name into each module
    assert set(members) - submodules - hook == set(relmo.__all__) - {"__version__"}


def test_every_public_name_exists_once_and_is_documented():
    assert len(relmo.__all__) == len(set(relmo.__all__))
    for name in relmo.__all__:
        value = getattr(relmo, name)
        assert isinstance(value, str) or value.__doc__, name


def test_errors_are_one_tree():
    from relmo import errors

    for name in errors.__all__:
        assert issubclass(getattr(errors, name), errors.RelmoError)


def test_text_can_be_imported_without_torch():
    code = "import sys; sys.modules['torch'] = None; import relmo.text.chars, relmo.config"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_import_brings_in_no_optional_library():
    code = (
        "import sys, relmo, relmo.elmo.model, relmo.compat.simple_elmo; "
        "found = {'matplotlib', 'zstandard', 'cyclopts', 'rich', 'fsspec', 'aiohttp', "
        "'huggingface_hub', 'pyarrow', 'sacremoses', 'sklearn', 'spacy', 'sentence_transformers', "
        "'keras'} & {*sys.modules}; "
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_the_tasks_have_one_import_that_needs_torch_only_when_a_name_is_used():
    code = (
        "import sys, relmo.tasks; assert 'torch' not in sys.modules; "
        "from relmo.tasks import Classifier, Tagger; assert Tagger.train and Classifier.train"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
