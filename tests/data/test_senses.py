import io
import tarfile
from pathlib import Path

import pytest

from relmo.data.senses import Lexeme, SenseSentence, SenseWord, lexeme_of, read
from relmo.errors import InputError

SEMCOR = """\
<contextfile concordance="brown">
<context filename="br-a01" paras="yes">
<p pnum="1">
<s snum="1">
<wf cmd="done" pos="NN" lemma="jury" wnsn="1" lexsn="1:14:00::">Jury</wf>
<wf cmd=done pos=VB lemma=take_place wnsn=1 lexsn=2:30:00::>took_place</wf>
<punc>&amp;</punc>
<wf cmd="done" pos="JJ" lemma="old" wnsn="2;1" lexsn="5:00:00:past(a):00;3:00:01::">old</wf>
<wf cmd="done" pos="NN" lemma="gone" wnsn="0" lexsn="1:00:00::">gone</wf>
<wf cmd="tag" pos="NN">untagged</wf>
</s>
</p>
</context>
</contextfile>
"""
XML = """\
<?xml version="1.0" encoding="UTF-8" ?>
<corpus lang="en">
<text id="d000">
<sentence id="d000.s000">
<wf lemma="the" pos="DET">The</wf>
<instance id="d000.s000.t000" lemma="mental_image" pos="NOUN">mental
 image</instance>
<wf lemma="&amp;" pos=".">&amp;</wf>
</sentence>
</text>
</corpus>
"""
KEYS = "d000.s000.t000 mental_image%1:09:00:: picture%1:09:00::\n"


def word(start: int, stop: int, lemma: str, pos: str, *keys: str, name: str = "") -> SenseWord:
    return SenseWord(start=start, stop=stop, lexeme=Lexeme(lemma, pos), keys=keys, name=name)


SENTENCE = SenseSentence(
    tokens=("Jury", "took", "place", "&", "old", "gone", "untagged"),
    words=(
        word(0, 1, "jury", "n", "jury%1:14:00::"),
        word(1, 3, "take_place", "v", "take_place%2:30:00::"),
        word(4, 5, "old", "a", "old%5:00:00:past:00", "old%3:00:01::"),
    ),
    document="br-a01",
)


def xml(folder: Path, text: str = XML, keys: str = KEYS) -> Path:
    (folder / "a.gold.key.txt").write_text(keys)
    path = folder / "a.data.xml"
    path.write_text(text)
    return path


def tar(path: Path, **files: bytes) -> Path:
    with tarfile.open(path, "w:xz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"semcor/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_a_file_a_folder_and_an_archive_of_semcor_give_the_same(tmp_path):
    (tmp_path / "semcor").mkdir()
    path = tmp_path / "semcor" / "br-a01"
    path.write_text(SEMCOR)
    archive = tar(tmp_path / "s.tar.xz", **{"license.txt": b"Free.", "br-a01": SEMCOR.encode()})
    for source in (path, path.parent, archive):
        assert list(read(source)) == [SENTENCE]


def test_xml_is_joined_with_its_keys(tmp_path):
    (found,) = read(xml(tmp_path))
    assert found == SenseSentence(
        tokens=("The", "mental", "image", "&"),
        words=(word(1, 3, "mental_image", "n", *KEYS.split()[1:], name="d000.s000.t000"),),
        document="d000",
    )


def test_xml_without_keys_has_the_lexemes_of_its_attributes(tmp_path):
    (found,) = read(xml(tmp_path, keys="no keys"), has_keys=False)
    assert found.words == (word(1, 3, "mental_image", "n", name="d000.s000.t000"),)
    with pytest.raises(InputError, match=r"a.data.xml: line 6: an instance without keys needs id"):
        list(read(xml(tmp_path, XML.replace('pos="NOUN"', 'pos="X"')), has_keys=False))


@pytest.mark.parametrize(
    ("key", "pos"), [("a%1:03:00::", "n"), ("A%5:00:00:far:01", "a"), ("a%4:02:00::", "r")]
)
def test_a_key_says_its_lexeme(key, pos):
    assert lexeme_of(key) == Lexeme("a", pos)


WF = '<wf lemma="a" wnsn="1" lexsn="1:01:00::">a</wf>'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<s>\n" + WF, r"br: line 2: ends within a sentence; it is truncated"),
        (WF, r"br: line 1: '<wf .*: expected <s> before the words"),
        ("<s>\nwords\n</s>", r"br: line 2: 'words': expected <wf ...>, <punc> or </s>"),
        ("<s>\n" + WF.replace('wnsn="1"', ""), r"br: line 2: .*got no wnsn"),
        ("<s>\n" + WF.replace("1:01:00::", "7"), r"br: line 2: 'a%7' is no sense key"),
        ("<s>\n" + WF.replace("1:01:00::", ""), r"br: line 2: 'a%' is no sense key"),
        ("<s>\n" + WF.replace('"1"', '"1;2"'), r"br: line 2: 2 numbers in wnsn, but 1 senses"),
    ],
)
def test_bad_semcor_is_an_error_with_its_line(text, expected, tmp_path):
    (tmp_path / "br").write_text(text)
    with pytest.raises(InputError, match=expected):
        list(read(tmp_path / "br"))


@pytest.mark.parametrize(
    ("text", "keys", "expected"),
    [
        (XML[:-30], KEYS, r"a.data.xml: line 9: no valid XML"),
        ("<corpus><html>", KEYS, r"a.data.xml: line 1: <html>: expected <text>"),
        (XML, "", r"a.data.xml: line 6: instance d000.s000.t000 has no key"),
        (XML, KEYS + "x a%1:01:00::\n", r"a.gold.key.txt: 2 words have keys, but .* 1 instances"),
        (XML, KEYS * 2, r"a.gold.key.txt: line 2: d000.s000.t000 comes twice"),
        (XML, "d000.s000.t000\n", r"a.gold.key.txt: line 1: no sense key"),
        (XML, "d000.s000.t000 x\n", r"a.gold.key.txt: line 1: 'x' is no sense key"),
        ('<!DOCTYPE c [<!ENTITY e "ee">]><corpus>&e;</corpus>', KEYS, r"declares the entity e"),
    ],
)
def test_bad_xml_or_keys_are_an_error_with_their_line(text, keys, expected, tmp_path):
    with pytest.raises(InputError, match=expected):
        list(read(xml(tmp_path, text, keys)))


def test_a_bad_archive_is_an_error(tmp_path):
    path = tar(tmp_path / "s.tar.xz", a=SEMCOR.encode())
    data = path.read_bytes()
    for n in range(0, len(data), 16):
        path.write_bytes(data[:n])
        with pytest.raises(InputError, match=r"s\.tar\.xz: "):
            list(read(path))
    with pytest.raises(InputError, match=r"s.tar.xz: semcor/a: not UTF-8: byte 1"):
        list(read(tar(path, a=b"<\xff")))
    with pytest.raises(InputError, match=r"no\.tar\.xz: no such file"):
        list(read(tmp_path / "no.tar.xz"))
