"""What each of two processes does that torchrun starts: the runs of test_distributed.

python -m torch.distributed.run --nproc-per-node 2 -m tests.train.two_processes FOLDER
"""

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from relmo.cli import main
from relmo.errors import RelmoError
from relmo.train import batches, loop
from relmo.train.config import TrainConfig
from relmo.train.loop import Progress
from relmo.train.run import train
from tests.train.helpers import VOCAB, after, breaking

RANK = os.environ["RANK"]
FOLDER = Path(sys.argv[1])


def run(name: str, settings: dict[str, Any], **given: Any) -> None:
    """Train in a folder of that name; an error is noted beside it."""
    files = [FOLDER / "a.txt.gz", FOLDER / "b.txt"]
    out, config = FOLDER / name, TrainConfig.from_dict(settings)
    try:
        train(files, FOLDER / "valid.txt", out, config, vocab=VOCAB, **given)
    except RelmoError as error:
        (FOLDER / f"{name}.error{RANK}").write_text(str(error))


def die(progress: Progress) -> None:
    """In the middle of a run."""
    if progress.step == 3:
        os._exit(3)


def run_all() -> None:
    """Each run in turn; a stop is asked of the second process alone, and it alone dies."""
    settings = json.loads((FOLDER / "settings.json").read_text())
    for name in ("sampled", "full", "uneven"):
        run(name, settings[name])
    run("begun alone", settings["sampled"], resume=True)
    for n in (2, 3, 99):
        run("stopped", settings["sampled"], resume=True,
            should_stop=after(n) if RANK == "1" else lambda: False)  # fmt: skip
    with breaking(part=1, step=4):
        run("rolled back", settings["sampled"])
    sys.argv = ["relmo", *settings["command"]]
    with suppress(SystemExit):
        main.run()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's to the one that lives
    run("dying", settings["full"], on_progress=die if RANK == "1" else lambda _: None)


if __name__ == "__main__":
    torch.set_num_threads(1)
    batches._BUFFER_LINES, loop._RECORD_EVERY = 8, 2
    os.fsync = lambda _: None
    run_all()
