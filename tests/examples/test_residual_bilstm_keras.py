import numpy as np

from examples import residual_bilstm_keras
from examples.residual_bilstm import TEST, tagged
from tests.helpers import tiny_elmo


def test_the_program_learns_and_tags_every_token(capsys):
    residual_bilstm_keras.main(tiny_elmo(), epochs=5, hidden=5)
    loss, *found = capsys.readouterr().out.splitlines()
    before, after = loss.removeprefix("loss ").split(" in ")[0].split(" -> ")
    assert float(after) < 0.9 * float(before)
    words = [[pair.partition("/")[0] for pair in line.split()] for line in found]
    assert words == [words for words, _ in tagged("\n".join(TEST))]


def test_padding_has_no_weight():
    coded, tags, weights = residual_bilstm_keras.arrays([(["a", "b"], [0, 2]), (["c"], [1])])
    assert tags.tolist() == [[0, 2], [1, 0]]
    assert weights.tolist() == [[1, 1], [1, 0]]
    np.testing.assert_array_equal(weights, coded.any(axis=2))
