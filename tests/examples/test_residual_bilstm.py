import torch

from examples import residual_bilstm
from examples.residual_bilstm import IGNORED, PAD, ResidualTagger, batch, tagged
from relmo.compat import tfhub
from tests.helpers import tiny_elmo


def test_the_program_learns_and_tags_every_token(capsys):
    elmo = tfhub.Module(tiny_elmo(), trainable=True)
    residual_bilstm.main(elmo, steps=15, hidden=5)
    loss, mix, *found = capsys.readouterr().out.splitlines()
    before, after = loss.removeprefix("loss ").split(" in ")[0].split(" -> ")
    assert float(after) < 0.8 * float(before)
    assert mix.startswith("layers mixed as 0.")
    assert elmo.scaling.item() != 1  # the four scalars trained along
    words = [[pair.partition("/")[0] for pair in line.split()] for line in found]
    assert words == [words for words, _ in tagged("\n".join(residual_bilstm.TEST))]


def test_sentences_and_tags_are_read_and_filled_up():
    examples = tagged("Anna/PER ran .   \n I saw Rome/LOC today .")
    rows, tags = batch(examples)
    assert rows == [["Anna", "ran", ".", PAD, PAD], ["I", "saw", "Rome", "today", "."]]
    assert tags.tolist() == [[1, 0, 0, IGNORED, IGNORED], [0, 0, 2, 0, 0]]


def test_padding_changes_no_score():
    torch.manual_seed(0)
    tagger = ResidualTagger(tfhub.Module(tiny_elmo()), hidden=5)
    rows, _ = batch(tagged(residual_bilstm.TRAIN))
    with torch.no_grad():
        together, alone = tagger(rows), tagger([[word for word in rows[0] if word != PAD]])
        wider = tagger([[*row, PAD, PAD] for row in rows])
    torch.testing.assert_close(together[0, : alone.shape[1]], alone[0])
    torch.testing.assert_close(wider[:, :-2], together)
