import pytest

from relmo.errors import InputError
from relmo.text import word_vectors


@pytest.mark.parametrize("first_line", ["", "4 2\n"])
def test_word2vec_and_glove_give_the_same_and_only_what_is_wanted(first_line, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(first_line + "the 1 2\nNew 0.5 -1 \nthe 3 3\nbad x y\n", encoding="utf-8")
    found = word_vectors.read(path, ["New", "gone", "the"])
    assert found.matrix.tolist() == [[0.5, -1], [0, 0], [1, 2]]
    assert found.mask.tolist() == [True, False, True]
    assert not word_vectors.read(path, ["gone"]).mask.any()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a 1 2\nb 1\n", r"a.txt: line 2: expected 2 finite numbers after 'b', got 1"),
        ("2 3\na 1 2\n", r"a.txt: line 2: expected 3 finite numbers after 'a', got 2"),
        ("a 1 nan\n", r"a.txt: line 1: expected 2 finite numbers after 'a', got 2, not all finite"),
        ("a 1 x\n", r"a.txt: line 1: could not convert string to float: 'x'"),
    ],
)
def test_bad_vectors_are_an_error_with_their_line(text, expected, tmp_path):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(InputError, match=expected):
        word_vectors.read(tmp_path / "a.txt", ["a", "b"])
