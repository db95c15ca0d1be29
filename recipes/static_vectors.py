"""Train static word vectors with gensim: what `relmo probe --static` compares a model with.

    pip install gensim
    PYTHONHASHSEED=0 .venv/bin/python recipes/static_vectors.py CORPUS... -o static.txt

They are skip-gram vectors (word2vec) of the words as they are written. docs/probe.md has the
command that made those of its tables.
"""

import argparse
import time
from pathlib import Path

from gensim.models import Word2Vec

from relmo._files import replacing_file
from relmo.data.corpora import Corpus


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus", nargs="+", metavar="CORPUS", help="as for relmo train")
    parser.add_argument("--out", "-o", type=Path, required=True, help="word2vec text format")
    parser.add_argument("--dim", type=int, default=256, help="numbers a word")
    parser.add_argument("--min-count", type=int, default=3, help="rarer words get no vector")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="more than 1: not repeatable")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    start = time.perf_counter()
    model = Word2Vec(
        Corpus(arguments.corpus),
        sg=1,
        negative=5,
        window=5,
        vector_size=arguments.dim,
        min_count=arguments.min_count,
        epochs=arguments.epochs,
        workers=arguments.threads,
        seed=arguments.seed,
        hs=0,
    )
    with replacing_file(arguments.out) as aside:
        model.wv.save_word2vec_format(str(aside))
    seconds = time.perf_counter() - start
    print(
        f"{arguments.out}: {len(model.wv):,} words, {arguments.dim} numbers each; "
        f"{model.corpus_total_words:,} tokens read {arguments.epochs} times in {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
