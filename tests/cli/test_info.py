import json

import pytest

from relmo import load as relmo_load
from tests.helpers import CARD, relmo, tiny_elmo, tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def size(folder) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_info_says_what_the_model_is(model):
    assert relmo("info", model) == (
        0,
        f"""\
source          {model}
format          relmo, {size(model) / 1000:.1f} kB
layers          3: the token layer, then 2 LSTM layers in each direction
dim             8: 4 forward, 4 backward
token encoder   character vectors of 3; filters: 3 of width 1, 5 of width 2; relu; 1 highway \
layer; 50 characters per token
LSTMs           6 cells; projected to 4; cells clipped at 3; outputs clipped at 3; skip connections
parameters      1,970
  token encoder 1,010
  forward LSTM  480
  backward LSTM 480
vocabulary      none
softmax         none
mix             none

# tiny

Random weights, for tests.
""",
        "",
    )


def test_json_holds_the_same_and_the_shape(model):
    ran = relmo("info", model, "--json")
    assert json.loads(ran.out) == {
        "source": str(model),
        "format": "relmo",
        "bytes": size(model),
        "n_layers": 3,
        "dim": 8,
        "parameters": {"token encoder": 1010, "forward LSTM": 480, "backward LSTM": 480},
        "softmax_words": None,
        "vocabulary_words": None,
        "mixes": [],
        "config": json.loads(json.dumps(tiny_elmo().config.to_dict())),
        "card": CARD,
    }


def test_an_allennlp_model_is_described_too(goldens, tmp_path):
    for name in ("options.json", "lm_weights.hdf5"):
        (tmp_path / name).write_bytes((goldens / "allennlp" / name).read_bytes())
    ran = relmo("info", tmp_path)
    assert ran.code == 0, ran
    assert "dim             32: 16 forward, 16 backward\n" in ran.out
    assert "LSTMs           64 cells; projected to 16; " in ran.out


def test_a_model_with_a_lexicon_is_described_too(goldens):
    ran = relmo("info", goldens / "manylangs")
    assert ran.code == 0, ran
    assert "format          manylangs, 62.0 kB\n" in ran.out
    assert (
        "token encoder   10 word vectors of 5; 44 character vectors of 8; filters: 4 of width 1, "
        "5 of width 2, 6 of width 3; relu; 2 highway layers; 20 characters per token\n"
    ) in ran.out
    assert "parameters      10,867\n" in ran.out
    facts = json.loads(relmo("info", goldens / "manylangs", "--json").out)
    assert facts["config"]["lexicon"]["n_words"] == 10


def test_a_learned_mix_is_told_of(goldens):
    lines = relmo("info", goldens / "tfhub_module").out.splitlines()
    mixes = json.loads(relmo("info", goldens / "tfhub_module", "--json").out)["mixes"]
    (mix,) = relmo_load(goldens / "tfhub_module").mixes
    assert mixes == [json.loads(json.dumps(mix.to_dict()))]
    weights = ", ".join(f"{weight:.4g}" for weight in mix.shares())
    assert lines[-1] == f"mix             {weights} of layers 0 to 2"


def test_what_is_no_model_is_one_line(tmp_path):
    ran = relmo("info", tmp_path)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith(f"relmo: error: '{tmp_path}' is no model that relmo reads: ")
    assert relmo("info", "nowhere").err == (
        "relmo: error: 'nowhere': there is no such model folder, and no model of that name; "
        "`relmo models` lists the names\n"
    )
