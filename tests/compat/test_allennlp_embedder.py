"""AllenNLP's `ElmoEmbedder`: arrays, files, states."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from relmo.compat.allennlp import ElmoEmbedder
from relmo.errors import InputError
from tests.helpers import tiny_elmo, tiny_model

SENTENCES = [["The", "cat", "sat", "."], ["Hi"], [], ["a", "b"]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_model(tmp_path_factory.mktemp("allennlp") / "tiny"))


@pytest.fixture
def embedder(model: str) -> ElmoEmbedder:
    return ElmoEmbedder(None, model)


def test_layers_of_sentences_by_every_way(embedder: ElmoEmbedder):
    expected = tiny_elmo().embed(SENTENCES, layers="all")
    ways = [
        embedder.embed_batch(SENTENCES),
        list(embedder.embed_sentences(iter(SENTENCES), batch_size=3)),
        [embedder.embed_sentence(sentence) for sentence in SENTENCES],
    ]
    embeddings, mask = embedder.batch_to_embeddings(SENTENCES)
    assert embeddings.shape == (4, 3, 4, 8)
    lengths = mask.sum(dim=1).tolist()
    ways.append([x[:, :n].numpy() for x, n in zip(embeddings, lengths, strict=True)])
    for way in ways:
        for found, array in zip(way, expected, strict=True):
            assert found.shape == array.shape
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, array, atol=1e-6)


def test_without_a_model_it_is_the_original(monkeypatch: pytest.MonkeyPatch):
    asked = []
    monkeypatch.setattr(
        "relmo.compat._allennlp_bilm.load", lambda name: (asked.append(name), tiny_elmo())[1]
    )
    ElmoEmbedder()
    assert asked == ["original"]


def test_a_stateful_embedder_gives_the_vectors_of_the_original_code(goldens: Path):
    folder = goldens / "allennlp"
    embedder = ElmoEmbedder(
        str(folder / "options.json"), str(folder / "lm_weights.hdf5"), stateful=True
    )
    streams = json.loads((folder / "sentences.json").read_text())
    turns = [line.split() for batch in list(zip(*streams, strict=True))[:4] for line in batch]
    for number, layers in enumerate(embedder.embed_sentences(turns, batch_size=3)):
        turn, stream = divmod(number, 3)
        with h5py.File(folder / f"lm_embeddings_{stream}.hdf5") as file:
            expected = np.concatenate(file[str(turn)], axis=1)
        np.testing.assert_allclose(layers[-1], expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("output_format", "expected"),
    [("all", lambda x: x), ("top", lambda x: x[-1]), ("average", lambda x: x.mean(axis=0))],
)
def test_a_file_of_vectors(output_format: str, expected, embedder: ElmoEmbedder, tmp_path: Path):
    (tmp_path / "in.txt").write_text("The cat sat .\nHi\nThe cat sat .\n")
    with (tmp_path / "in.txt").open() as lines:
        embedder.embed_file(lines, str(tmp_path / "out.hdf5"), output_format, batch_size=2)
    sentences = [SENTENCES[0], SENTENCES[1], SENTENCES[0]]
    arrays = tiny_elmo().embed(sentences, layers="all")
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert sorted(file) == ["0", "1", "2", "sentence_to_index"]
        assert json.loads(file["sentence_to_index"][0]) == {"The cat sat .": "2", "Hi": "1"}
        for number, array in enumerate(arrays):
            assert file[str(number)].dtype == np.float32
            np.testing.assert_allclose(file[str(number)], expected(array), atol=1e-6)


def test_keys_may_be_the_sentences_or_numbers_alone(embedder: ElmoEmbedder, tmp_path: Path):
    path = str(tmp_path / "out.hdf5")
    embedder.embed_file(["a b\n", "Hi\n"], path, "top", use_sentence_keys=True)
    with h5py.File(path) as file:
        assert sorted(file) == ["Hi", "a b"]
    embedder.embed_file(["a b\n", "Hi\n"], path, "top", forget_sentences=True)
    with h5py.File(path) as file:
        assert sorted(file) == ["0", "1"]


@pytest.mark.parametrize(
    ("lines", "options", "said"),
    [
        (["a", " ", "b"], {}, "line 2 of the input is blank"),
        (["a", "a"], {"use_sentence_keys": True}, "line 2: 'a': cannot be a dataset's name"),
        (["."], {"use_sentence_keys": True}, "line 1: '.': cannot be a dataset's name"),
        (["a"], {"output_format": "best"}, "expected one of all, top, average, got 'best'"),
    ],
)
def test_files_that_cannot_be_written_are_not_there(
    lines: list[str], options: dict[str, object], said: str, embedder, tmp_path: Path
):
    with pytest.raises(InputError, match=said):
        embedder.embed_file(lines, str(tmp_path / "out.hdf5"), **options)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="cannot write"):
        embedder.embed_file(["a"], str(tmp_path / "nowhere" / "out.hdf5"))
