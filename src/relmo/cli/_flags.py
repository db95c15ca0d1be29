"""Arguments and flags that several commands share; settings are fields of dataclasses."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from relmo.cli._config_file import ConfigFile
from relmo.settings import Bounds

__all__ = [
    "Config",
    "Context",
    "CorpusFiles",
    "Device",
    "Encoding",
    "Exact",
    "Field",
    "Files",
    "Forms",
    "Json",
    "Model",
    "Output",
    "Report",
    "Resume",
    "TagFormat",
    "TagScheme",
    "TensorBoard",
    "Tokenizer",
    "VocabMinCount",
    "VocabSize",
    "WordNet",
    "flat",
]

flat = Parameter(name="*", negative_bool="no-")
"""Of a parameter that is a dataclass: each of its fields is a flag."""

Model = Annotated[
    str,
    Parameter(
        help="A model's folder or file, a name that `relmo models` lists, an address, or `box`."
    ),
]
Device = Annotated[str, Parameter(help="cpu, cuda, cuda:1, ...")]
Output = Annotated[Path, Parameter(alias="-o")]
Resume = Annotated[
    bool, Parameter(help="Continue where OUT holds a checkpoint, start where it does not.")
]
Config = Annotated[
    ConfigFile | None,
    Parameter(
        accepts_keys=False,
        n_tokens=1,
        metavar="PATH",
        converter=lambda _, tokens: tokens[0].implicit_value,  # `CommandLine` has read it
        help="A TOML file of flags and arguments, such as the run.toml of a run; those given here "
        "come first.",
    ),
]
VocabSize = Annotated[
    int | None,
    Bounds(at_least=4),
    Parameter(help="Words of a vocabulary that is built, at most (default: all)."),
]
VocabMinCount = Annotated[
    int,
    Bounds(at_least=1),
    Parameter(help="Rarer words are left out of a vocabulary that is built."),
]
TensorBoard = Annotated[bool, Parameter(help="Write the metrics to OUT/tensorboard too.")]
Context = Annotated[
    Literal["fresh", "carried"],
    Parameter(
        help="What a sentence is read from: a zero state (fresh), or, forward, the state after the "
        "sentence before (carried)."
    ),
]
Json = Annotated[bool, Parameter(name="--json", help="Print JSON instead of lines.")]
Report = Literal["text", "json", "markdown"]
"""How a table is printed."""

Files = Annotated[
    list[Path],
    Parameter(
        help="Files, folders, patterns or addresses. Text has a sentence per line; .jsonl and "
        ".parquet have it in --field. .gz, .bz2, .xz and .zst are decompressed."
    ),
]
CorpusFiles = Annotated[
    list[Path],
    Parameter(
        name="--corpus",
        help="Where to look: files, folders or patterns, as `relmo train` reads them. May be given "
        "more than once.",
    ),
]
Field = Annotated[str, Parameter(help="Which field of .jsonl and .parquet is the text.")]
Tokenizer = Annotated[
    str,
    Parameter(
        help="How lines become tokens: whitespace, moses[:LANG] or spacy[:LANG]; LANG is a "
        "language's code (default: en)."
    ),
]

WordNet = Annotated[
    Path | None,
    Parameter(
        help="WordNet's files (Debian: /usr/share/wordnet), to say which sense is the first "
        "(default: the most frequent one)."
    ),
]
Forms = Annotated[
    str | None,
    Parameter(
        help="The forms of the word to look for, such as play,plays (default: the word "
        "with regular English endings)."
    ),
]
Exact = Annotated[
    bool, Parameter(help="Look for the word (or --forms) as it is typed, capitals and all.")
]

TagFormat = Literal["conll", "conllu", "csv", "jsonl", "text"]
"""Of files with tags."""
TagScheme = Literal["BIO", "IOB1", "BIOES", "BILOU", "IO", "plain"]
"""Of tags; see `relmo.data.spans`."""
Encoding = Annotated[
    str | None, Parameter(help="Encoding of the files, such as latin-1; utf-8 without, see docs.")
]
