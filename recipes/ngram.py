"""The honest baseline: unigrams and an interpolated Kneser-Ney n-gram model, both directions.

    .venv/bin/python -m recipes.ngram TRAIN... --vocab FILE --texts FILE... --kenlm BIN --out JSON

Trained on TRAIN and scored on the texts as relmo is: the same vocabulary, each other word `<UNK>`,
each sentence by itself and its end predicted; backwards, each line reversed. KenLM estimates
(modified Kneser-Ney, every order interpolated, nothing pruned) and scores. BIN is the folder of its
programs, which come from the sources on PyPI, with g++, cmake and Boost (Debian:
`apt-get install g++ cmake libboost-{program-options,system,test,thread}-dev zlib1g-dev`):

    pip download --no-deps --no-binary kenlm kenlm==0.3.0 && tar xzf kenlm-0.3.0.tar.gz
    cmake -S kenlm-0.3.0 -B kenlm -DCMAKE_BUILD_TYPE=Release -DCMAKE_POLICY_VERSION_MINIMUM=3.5
    cmake --build kenlm --target lmplz query   # BIN is kenlm/bin
"""

import argparse
import math
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recipes import held_out
from recipes.held_out import Row, Sentences
from relmo.data.corpora import Corpus
from relmo.text.vocab import Vocabulary

Counts = npt.NDArray[np.int64]
_FILES = ("forward.txt", "backward.txt")


@dataclass(frozen=True)
class KenLM:
    """KenLM's programs.

    Args:
        programs: folder of `lmplz` and `query`.
        folder: for models and sorting; 5-grams of 48 M tokens take 10 GB.
        order: words of the longest n-gram.
        memory: to sort in, as `lmplz -S` takes it.
    """

    programs: Path
    folder: Path
    order: int = 5
    memory: str = "4G"

    def estimate(self, train: Path, n_words: int) -> Path:
        """The model of a text, a line a sentence, as an ARPA file.

        Args:
            train: the text.
            n_words: that can be predicted; those never seen share what is kept for them.
        """
        arpa = train.with_suffix(".arpa")
        command = [self.programs / "lmplz", "-o", self.order, "-S", self.memory, "-T", self.folder]
        command += ["--vocab_pad", n_words, "--text", train, "--arpa", arpa]
        subprocess.run(list(map(str, command)), check=True)
        return arpa

    def log_likelihoods(self, arpa: Path, lines: Sequence[str]) -> npt.NDArray[np.float64]:
        """Of each line and its end, in nats, (lines,)."""
        scored = subprocess.run(
            [str(self.programs / "query"), "-v", "sentence", str(arpa)],
            input="".join(f"{line}\n" for line in lines),
            text=True,
            check=True,
            stdout=subprocess.PIPE,
        ).stdout.splitlines()
        found = np.array([float(line.split()[1]) for line in scored if line.startswith("Total: ")])
        assert len(found) == len(lines)
        return found * math.log(10)


def write_ids(sentences: Iterable[Sequence[str]], vocab: Vocabulary, folder: Path) -> Counts:
    """Write the sentences as ids, from left to right and from right to left, and count words.

    As ids no word is KenLM's own `<s>` or `<unk>`, nor white space to it. Ends count as `</S>`.
    """
    names = np.array([str(word) for word in range(len(vocab))], object)
    counts = np.zeros(len(vocab), np.int64)
    ahead, back = ((folder / name).open("w") for name in _FILES)
    with ahead, back:
        for sentence in sentences:
            ids = vocab.ids(sentence)
            np.add.at(counts, ids, 1)
            words = names[ids].tolist()
            ahead.write(" ".join(words) + "\n")
            back.write(" ".join(words[::-1]) + "\n")
            counts[vocab.eos] += 1
    return counts


def unigram(counts: Counts, vocab: Vocabulary) -> npt.NDArray[np.float64]:
    """Log-probability of each word in nats: its count and one more, (words,)."""
    return np.log((counts + 1) / (counts.sum() + len(vocab) - 1))  # `<S>` is never predicted


def scores(
    sentences: Sentences, vocab: Vocabulary, counts: Counts, kenlm: KenLM
) -> dict[str, npt.NDArray[np.float64]]:
    """By model: log-likelihood of each sentence in nats, forward and backward, (2, sentences)."""
    single = unigram(counts, vocab)
    ids = [vocab.ids(sentence) for sentence in sentences]
    alone = [single[word_ids].sum() + single[vocab.eos] for word_ids in ids]
    kneser_ney = []
    for name, step in zip(_FILES, (1, -1), strict=True):
        arpa = kenlm.estimate(kenlm.folder / name, len(vocab) - 1)
        lines = [" ".join(map(str, word_ids[::step].tolist())) for word_ids in ids]
        kneser_ney.append(kenlm.log_likelihoods(arpa, lines))
        arpa.unlink()
    name = f"Kneser-Ney {kenlm.order}-gram"
    return {"unigram": np.array([alone, alone]), name: np.array(kneser_ney)}


def evaluate(
    train: Iterable[Sequence[str]], texts: Sequence[Path], vocab: Vocabulary, kenlm: KenLM
) -> list[Row]:
    """A row for each text and each of its sources."""
    read = {path: held_out.read(path) for path in texts}
    groups = [(path, source) for path, sources in read.items() for source in sources]
    sentences = [s for path, source in groups for s in read[path][source]]
    counts = write_ids(train, vocab, kenlm.folder)
    by_model = scores(sentences, vocab, counts, kenlm)
    parts: dict[Path, list[Row]] = {path: [] for path in texts}
    start = 0
    for path, source in groups:
        group = read[path][source]
        part = slice(start, start + len(group))
        start += len(group)
        n = sum(len(sentence) + 1 for sentence in group)
        perplexity = {
            model: (math.exp(-found[0, part].sum() / n), math.exp(-found[1, part].sum() / n))
            for model, found in by_model.items()
        }
        unknown = sum(int((vocab.ids(sentence) == vocab.unk).sum()) for sentence in group)
        parts[path].append(
            Row(text=path.stem, source=source, n_predictions=n, n_unknown=unknown,
                perplexity=perplexity)
        )  # fmt: skip
    return [row for path in texts for row in held_out.whole_first(parts[path])]


def main() -> None:
    """Read the command line, train and score."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("train", type=Path, nargs="+", metavar="TRAIN", help="what relmo read")
    parser.add_argument("--vocab", type=Path, required=True, help="what relmo predicts")
    parser.add_argument("--texts", type=Path, nargs="+", required=True, help="held-out sentences")
    parser.add_argument("--kenlm", type=Path, required=True, help="folder of lmplz and query")
    parser.add_argument("--order", type=int, default=5)
    parser.add_argument("--memory", default="4G", help="for sorting, as lmplz -S takes it")
    parser.add_argument("--work", type=Path, help="where 10 GB may lie for the time of it")
    parser.add_argument("--out", type=Path, required=True, help="the numbers, in JSON")
    given = parser.parse_args()

    vocab = Vocabulary.read(given.vocab, require_specials=True)
    with tempfile.TemporaryDirectory(dir=given.work) as folder:
        kenlm = KenLM(given.kenlm, Path(folder), given.order, given.memory)
        found = evaluate(Corpus(given.train), given.texts, vocab, kenlm)
    held_out.save(found, given.out)
    print(held_out.table(found))


if __name__ == "__main__":
    main()
