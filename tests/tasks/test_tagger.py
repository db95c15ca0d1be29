"""A tagger in use: what it gives depends on the sentence alone, and survives a folder."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch

from relmo.elmo.model import BOX, load
from relmo.errors import ConfigError, FormatError, InputError
from relmo.tasks.scores import evaluate
from relmo.tasks.tagger import SHIPPED, TaggedTokens, Tagger, TaggerNetwork, allowed_steps
from tests.helpers import tiny_elmo
from tests.tasks.helpers import DEV, config, elmo, sentence

TOKENS = [list(s.tokens) for s in DEV]
TAGS = ("O", "B-PER", "I-PER")


def new(seed: int = 0, **changes: object) -> Tagger:
    """Of random weights."""
    torch.manual_seed(seed)
    shape = config(**changes)
    network = TaggerNetwork(shape, len(TAGS), (3, 8), 0)
    return Tagger(network, TAGS, "BIO", elmo=elmo() if shape.elmo else None)


def assert_same(one: list[TaggedTokens], other: list[TaggedTokens]) -> None:
    assert [found.tags for found in one] == [found.tags for found in other]
    for first, second in zip(one, other, strict=True):
        assert first.scores == pytest.approx(second.scores, abs=1e-3)  # layers are rounded


def test_it_finds_what_it_learned(run: Path):
    found = Tagger.load(run).tag(DEV)
    assert evaluate([s.tags for s in DEV], found).f1 > 80


@torch.no_grad()
@pytest.mark.parametrize("number", [0, 1, 2])
def test_one_layer_is_a_mix_in_which_the_others_have_no_share(number: int):
    one, mix = new(layers=str(number)), new()
    mix.network.mixes[0].weights[:] = torch.full((3,), -100.0)  # type: ignore[index, operator]
    mix.network.mixes[0].weights[number] = 0  # type: ignore[index, operator]
    assert_same(one.predict(TOKENS), mix.predict(TOKENS))


@pytest.mark.parametrize("output", ["crf", "softmax"])
@pytest.mark.parametrize("n_mixtures", [1, 2])
def test_a_saved_tagger_predicts_as_before(tmp_path: Path, output: str, n_mixtures: int):
    tagger = new(output=output, n_mixtures=n_mixtures, char_dim=4)
    tagger.save(tmp_path / "tagger")
    again = Tagger.load(tmp_path / "tagger")
    assert again.predict(TOKENS) == tagger.predict(TOKENS)
    assert (again.tags, again.scheme, again.config) == (tagger.tags, "BIO", tagger.config)


def test_order_and_batch_change_nothing(run: Path):
    tagger = Tagger.load(run)
    together = tagger.predict(TOKENS)
    assert_same(together, tagger.predict(TOKENS[::-1])[::-1])
    assert_same(together, [tagger.predict([tokens])[0] for tokens in TOKENS])
    assert_same(together, tagger.predict(TOKENS, token_budget=7))
    assert together == tagger.predict(TOKENS)


def test_a_stream_is_tagged_as_a_list_and_is_not_run_through_first(run: Path):
    tagger = Tagger.load(run)
    taken = 0

    def endless() -> Iterator[list[str]]:
        nonlocal taken
        while True:
            yield TOKENS[taken % len(TOKENS)]
            taken += 1

    found = list(islice(tagger.predict_stream(endless(), token_budget=8), 40))
    assert_same(found, [tagger.predict(TOKENS)[k % len(TOKENS)] for k in range(40)])
    assert taken < 40 + 16 * 8
    with pytest.raises(InputError, match="sentences is one string; give a list of sentences"):
        tagger.predict_stream("Ann saw Rome")


def test_empty_sentences_have_no_tags(run: Path):
    tagger = Tagger.load(run)
    assert tagger.predict([]) == []
    first, second, third = tagger.predict([[], "Ann saw Rome", ""])
    assert (first.tags, first.spans, third.tags) == ((), [], ())
    assert second.tokens == ("Ann", "saw", "Rome")
    assert len(second.tags) == 3


def test_spans_have_offsets_and_the_score_of_their_least_certain_tag():
    tagged = TaggedTokens(
        tokens=("in", "New", "York", "Ann"),
        tags=("O", "B-LOC", "I-LOC", "B-PER"),
        scores=(0.9, 0.8, 0.5, 0.7),
        scheme="BIO",
    )
    assert tagged.spans == [("LOC", 1, 3, 0.5, None, None), ("PER", 3, 4, 0.7, None, None)]
    found = json.loads(json.dumps(tagged.to_dict()))
    assert found["text"] is found["offsets"] is None
    assert found["spans"][0] == {
        "label": "LOC",
        "start": 1,
        "end": 3,
        "score": 0.5,
        "start_char": None,
        "end_char": None,
    }


def test_tokens_and_spans_of_a_text_are_stretches_of_it(run: Path):
    tagger = Tagger.load(run)
    text = "  Bob\tsaw\u00a0 Ann Eve in\u3000Rome. \n"
    (found,) = tagger.predict([text], tokenize=lambda line: line.replace(".", " . ").split())
    assert found.offsets is not None
    assert [text[start:end] for start, end in found.offsets] == list(found.tokens)
    assert found.tokens[-2:] == ("Rome", ".")
    surfaces = [text[span.start_char : span.end_char] for span in found.spans]
    assert [" ".join(surface.split()) for surface in surfaces] == [
        " ".join(found.tokens[span.start : span.end]) for span in found.spans
    ]
    assert "Bob" in surfaces
    assert json.loads(json.dumps(found.to_dict()))["text"] == text
    (given,) = tagger.predict([found.tokens])
    assert [span[:4] for span in given.spans] == [span[:4] for span in found.spans]


def test_scores_are_probabilities_and_sum_to_1_over_the_tags():
    tagger = new(output="softmax", constrained=False)
    for found in tagger.predict(TOKENS):
        assert all(1 / len(TAGS) <= score <= 1 for score in found.scores)


@pytest.mark.parametrize("output", ["crf", "softmax"])
def test_a_constrained_tagger_never_goes_on_where_nothing_was_begun(output: str):
    loose, strict = new(output=output, constrained=False), new(output=output)
    strict.network.load_state_dict(loose.network.state_dict())

    def breaches(tagger: Tagger) -> int:
        found = [("O", *one.tags) for one in tagger.predict(TOKENS)]
        return sum(t[k : k + 2] == ("O", "I-PER") for t in found for k in range(len(t)))

    with torch.no_grad():
        loose.network.scores.bias.copy_(torch.tensor([0.0, -5.0, 0.3]))
        strict.network.scores.bias.copy_(loose.network.scores.bias)
    assert breaches(loose) > 0
    assert breaches(strict) == 0


def test_what_may_follow_what():
    tags = ["O", "B-A", "I-A", "I-B"]
    found = allowed_steps(tags, "BIO")
    assert found is not None
    assert found.tolist() == [
        [True, True, False, False, True],  # from O
        [True, True, True, False, True],
        [True, True, True, False, True],
        [True, True, False, True, True],
        [True, True, False, False, True],  # from the start; the last column is the end
    ]
    bioes = allowed_steps(["O", "B-A", "E-A", "S-A"], "BIOES")
    assert bioes is not None
    assert bioes.tolist() == [
        [True, True, False, True, True],
        [False, False, True, False, False],
        [True, True, False, True, True],
        [True, True, False, True, True],
        [True, True, False, True, True],
    ]
    assert allowed_steps(["NOUN", "VERB"], "plain") is None


def test_an_unknown_tag_is_named_with_its_file_and_line(run: Path):
    with pytest.raises(InputError, match=r"corpus\.txt.* line 7.*'Rome'.*'B-GPE'"):
        Tagger.load(run).tag([*DEV[:1], sentence(["in", "Rome"], ["O", "B-GPE"], line=7)])


def test_the_model_in_the_box_is_named_and_a_copy_goes_along_when_asked(tmp_path: Path):
    box = load()
    network = TaggerNetwork(config(), len(TAGS), (box.n_layers, box.dim), 0)
    tagger = Tagger(network, TAGS, "BIO", elmo=box)
    tagger.save(tmp_path / "named")
    tagger.save(tmp_path / "whole", copy_elmo=True)
    assert '"source": "box"' in (tmp_path / "named" / "config.json").read_text()
    assert not (tmp_path / "named" / "elmo").exists()
    assert (tmp_path / "whole" / "elmo" / "model.safetensors").exists()
    for name in ("named", "whole"):
        assert Tagger.load(tmp_path / name).predict(TOKENS) == tagger.predict(TOKENS)
    assert BOX.exists()


def test_a_model_that_is_gone_or_another_is_an_error(tmp_path: Path):
    tiny_elmo().save(tmp_path / "model")
    torch.manual_seed(0)
    tagger = Tagger(
        TaggerNetwork(config(), len(TAGS), (3, 8), 0), TAGS, "BIO", elmo=load(tmp_path / "model")
    )
    tagger.save(tmp_path / "tagger")
    assert Tagger.load(tmp_path / "tagger").predict(TOKENS) == tagger.predict(TOKENS)
    with pytest.raises(FormatError, match="was trained on a biLM of sha256"):
        Tagger.load(tmp_path / "tagger", elmo=tiny_elmo(1))
    tiny_elmo(1).save(tmp_path / "model")
    with pytest.raises(FormatError, match="was trained on a biLM of sha256"):
        Tagger.load(tmp_path / "tagger")
    (tmp_path / "model").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"no longer at '.*model'"):
        Tagger.load(tmp_path / "tagger")
    found = Tagger.load(tmp_path / "tagger", elmo=tiny_elmo()).predict(TOKENS)
    assert found == tagger.predict(TOKENS)


def test_it_is_stored_in_half_the_room_with_its_card(tmp_path: Path):
    tagger = new(char_dim=4)
    tagger.card = "# Names\n"
    for name, dtype in (("whole", None), ("half", torch.float16)):
        tagger.save(tmp_path / name, dtype=dtype)
    again = Tagger.load(tmp_path / "half")
    assert again.card == "# Names\n"
    sizes = [(tmp_path / n / "tagger.safetensors").stat().st_size for n in ("whole", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    for name, tensor in again.network.state_dict().items():
        assert tensor.equal(tagger.network.state_dict()[name].half().float())
    with torch.no_grad():
        tagger.network.scores.bias.fill_(1e6)
    with pytest.raises(InputError, match=r"'scores\.bias' holds numbers of up to 1e\+06"):
        tagger.save(tmp_path / "half", dtype=torch.float16)
    assert Tagger.load(tmp_path / "half").card == "# Names\n"


def test_what_comes_with_relmo_is_found_by_name_unless_a_folder_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    sizes = [path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()]
    assert sum(sizes) < 5e6
    tagger = Tagger.load("pos")
    assert tagger.card is not None
    assert "CC BY-SA 4.0" in tagger.card
    (found,) = tagger.predict(["She read the old books ."])
    assert found.tags == ("PRON", "VERB", "DET", "ADJ", "NOUN", "PUNCT")
    (found,) = Tagger.load("ner").predict(["John lives in New York ."])
    assert [span[:3] for span in found.spans] == [("PER", 0, 1), ("LOC", 3, 5)]
    new().save("pos")
    assert Tagger.load("pos").tags == TAGS
    with pytest.raises(InputError, match=r"'no-such' is not a folder.*pos"):
        Tagger.load("no-such")


def test_a_network_and_a_model_that_do_not_go_together_are_an_error():
    with pytest.raises(ConfigError, match="elmo=True and no biLM"):
        Tagger(TaggerNetwork(config(), 3, (3, 8), 0), TAGS, "BIO")
