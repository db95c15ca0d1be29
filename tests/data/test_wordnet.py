from pathlib import Path

import pytest

from relmo.data import wordnet
from relmo.data.senses import Lexeme
from relmo.errors import InputError

LICENCE = "  1 This software and database is being provided to you\n"
FILES = {  # synsets of our own in WordNet's layout
    "data.noun": "00000100 17 n 03 Sun 0 sun 2 star b 000 | ours\n00000200 04 n 01 sun 0 000 | own",
    "index.noun": "star n 1 0 1 0 00000100\nsun n 2 1 @ 2 1 00000200 00000100",
    "data.verb": "00000100 29 v 01 shine 0 001 @ 00000100 v 0000 01 + 02 00 | ours",
    "index.verb": "shine v 1 1 @ 1 0 00000100",
    "data.adj": "00000100 00 a 01 far(a) 1 000 | ours\n"
    "00000200 00 s 01 off(p) 0 002 ^ 00000100 a 0000 & 00000100 a 0000 | ours",
    "index.adj": "far a 1 0 1 0 00000100\noff a 1 2 ^ & 1 0 00000200",
    "data.adv": "",
    "index.adv": "",
}


def lay_out(folder: Path, **changed: str) -> Path:
    for name, text in (FILES | {name.replace("_", "."): t for name, t in changed.items()}).items():
        (folder / name).write_text(LICENCE + text + "\n")
    return folder


def test_keys_come_in_the_order_of_the_index(tmp_path):
    assert wordnet.read(lay_out(tmp_path)) == {
        Lexeme("star", "n"): ("star%1:17:11::",),
        Lexeme("sun", "n"): ("sun%1:04:00::", "sun%1:17:00::"),
        Lexeme("shine", "v"): ("shine%2:29:00::",),
        Lexeme("far", "a"): ("far%3:00:01::",),
        Lexeme("off", "a"): ("off%5:00:00:far:01",),
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("index_noun", "sun n 1 0 1 0 00000300"),
        ("index_noun", "moon n 1 0 1 0 00000100"),
        ("index_noun", "sun n"),
        ("data_noun", "00000100 17 n 99 sun"),
        ("data_noun", "00000100 17 n zz sun 0 000"),
    ],
)
def test_what_is_not_wordnets_is_an_error_with_its_line(name, text, tmp_path):
    where = name.replace("_", r"\.")
    with pytest.raises(InputError, match=rf"{where}: line 2: not as in WordNet's files"):
        wordnet.read(lay_out(tmp_path, **{name: text}))


def test_a_missing_file_is_named(tmp_path):
    (lay_out(tmp_path) / "data.verb").unlink()
    with pytest.raises(InputError, match=r"data\.verb: no such file"):
        wordnet.read(tmp_path)
