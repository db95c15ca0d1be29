"""WikiText-2 to score a model of other text on: what it shares with the training text left out.

    .venv/bin/python -m recipes.wikitext wiki.test.tokens... --train TRAIN... --out FOLDER

Of each file two texts are written, both without the paragraphs that share ten words in a row with a
line of TRAIN:

- `NAME.lines.txt`: its lines, tokens as they are. Headings and whole paragraphs are lines; `@-@`
  and the like are words that no other text has.
- `NAME.sentences.txt`: as the Penn Treebank would be: a sentence a line, headings left out,
  `role @-@ playing` as `role-playing`, `1 @,@ 000` as `1,000`, `didn 't` as `did n't`.

`<unk>` stands for words that WikiText-2 left out; models are asked to predict it as `<UNK>`.
"""

import argparse
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from relmo._read import lines
from relmo.data.corpora import Corpus

_N = 10
_JOINED = re.compile(r" @([-,.])@ ")
_NEGATED = re.compile(r"n 't(?= |$)")
_ENDS = (".", "?", "!")


def retokenised(line: str) -> list[str]:
    """A line's tokens as the Penn Treebank would have them."""
    return _NEGATED.sub(r" n't", _JOINED.sub(r"\1", line.strip())).split()


def sentences(tokens: Sequence[str]) -> Iterator[list[str]]:
    """Cut after `.`, `?` and `!`, and after the quotation mark that they stand before."""
    sentence: list[str] = []
    quoted = False
    for k, token in enumerate(tokens):
        sentence.append(token)
        quoted ^= token == '"'
        closes = token == '"' and not quoted and len(sentence) > 1 and sentence[-2] in _ENDS
        follows = quoted and tokens[k + 1 : k + 2] == ['"']
        if closes or (token in _ENDS and not follows):
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def shared(paragraphs: Sequence[Sequence[str]], train: Iterable[Sequence[str]]) -> set[int]:
    """The paragraphs that have ten words in a row in common with a line of the training text."""
    ids: dict[str, int] = {}
    for paragraph in paragraphs:
        for token in paragraph:
            ids.setdefault(token, len(ids))
    places: dict[bytes, set[int]] = {}
    for number, paragraph in enumerate(paragraphs):
        for gram in _grams(np.array([ids[token] for token in paragraph], np.int32)):
            places.setdefault(gram.tobytes(), set()).add(number)
    found: set[int] = set()
    for line in train:
        words = np.fromiter((ids.get(token, -1) for token in line), np.int32, len(line))
        for gram in _grams(words):
            found |= places.get(gram.tobytes(), set())
    return found


def _grams(words: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Each ten words in a row, all of them known, (grams, 10)."""
    if len(words) < _N:
        return np.empty((0, _N), np.int32)
    grams = np.lib.stride_tricks.sliding_window_view(words, _N)
    return grams[grams.min(axis=1) >= 0]


def main() -> None:
    """Read the command line and write the texts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--train", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for the texts")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    texts = {path: [line for line in lines(path) if line.strip()] for path in given.files}
    every = [retokenised(line) for text in texts.values() for line in text]
    dropped = shared(every, Corpus(given.train))
    start = 0
    for path, text in texts.items():
        kept = [line for k, line in enumerate(text, start) if k not in dropped]
        start += len(text)
        prose = [line for line in kept if not line.strip().startswith("= ")]
        cut = [sentence for line in prose for sentence in sentences(retokenised(line))]
        stem = path.name.removesuffix(".tokens")
        _write(given.out / f"{stem}.lines.txt", [line.split() for line in kept])
        _write(given.out / f"{stem}.sentences.txt", cut)
        print(
            f"{path.name}: {len(text):,} lines, {len(text) - len(kept):,} left out, which share "
            f"{_N} words in a row with the training text; {len(cut):,} sentences"
        )


def _write(path: Path, text: Iterable[Sequence[str]]) -> None:
    path.write_text("".join(" ".join(tokens) + "\n" for tokens in text), encoding="utf-8")


if __name__ == "__main__":
    main()
