"""Type and shape checks over relmo, hypothesis profiles, and the paths of test data."""

import os
from pathlib import Path

import beartype.typing  # noqa: F401 - the checker below names it
import hypothesis
import pytest
from jaxtyping import install_import_hook

# One thread, before torch is imported: on models this small more threads do nothing but wait for
# each other, and for minutes where another program has the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Before relmo is imported: every call of the library checks its annotations from here on. An int
# passes for a float, as in mypy; Self, which beartype knows in whole classes only, for anything.
install_import_hook(
    "relmo",
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True, "
    "hint_overrides=beartype.FrozenDict({beartype.typing.Self: object})))",
)

# No test reaches the network; those with a server of their own on loopback unset it.
os.environ["RELMO_OFFLINE"] = "1"
os.environ["KERAS_BACKEND"] = "torch"  # before whatever test comes first to import keras

hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if "CI" in os.environ else "default")

TESTS = Path(__file__).parent


@pytest.fixture(scope="session")
def goldens() -> Path:
    """Folder of fixtures with known vectors; its README.md says where each comes from."""
    return TESTS / "goldens"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the corpora beside the checkout; the test is skipped where there is none."""
    path = TESTS.parent.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"no corpora at {path}")
    return path
