from examples import tfhub_layers
from relmo.compat import tfhub
from relmo.explore import sense_map
from tests.helpers import tiny_elmo


def test_one_word_is_drawn_layer_by_layer(tmp_path, capsys, monkeypatch):
    elmo, drawn = tiny_elmo(), []
    draw = tfhub_layers.sense_plot.draw
    monkeypatch.setattr(
        tfhub_layers.sense_plot, "draw", lambda *args: (drawn.append(args[0]), draw(*args))
    )
    picture = tmp_path / "demo" / "bank.png"
    tfhub_layers.main(tfhub.load(elmo), picture)
    assert capsys.readouterr().out.splitlines() == [
        "word_emb       (7, 4)  separation 0.00",
        f"lstm_outputs1  (7, 8)  separation {drawn[0].layers[1].separation:.2f}",
        f"lstm_outputs2  (7, 8)  separation {drawn[0].layers[2].separation:.2f}",
        f"The picture, each layer in two dimensions: {picture}",
    ]
    assert picture.read_bytes().startswith(b"\x89PNG")
    uses = drawn[0].uses
    expected = sense_map.compute(elmo, "bank", uses)  # the same by way of embed
    for ours, theirs in zip(drawn[0].layers[1:], expected.layers[1:], strict=True):
        assert abs(ours.separation - theirs.separation) < 1e-4
