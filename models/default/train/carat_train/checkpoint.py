"""A run's state on disk: one file, replaced as a whole; the last two are kept.

A checkpoint holds everything that a run needs to go on exactly, and everything that an export needs:
weights, optimiser, place in the schedule, settings, tokenizer, and the digest of the corpus.
"""

import os
import re
from pathlib import Path

import torch

KEPT = 2


def existing(folder):
    """Checkpoints of a run's folder, the newest first."""
    found = [(int(m.group(1)), p) for p in Path(folder).glob("checkpoint-*.pt") if (m := re.fullmatch(r"checkpoint-(\d+)\.pt", p.name))]
    return [p for _, p in sorted(found, reverse=True)]


def save(folder, state):
    """Write, flush to the disk, rename; then drop what is older than the last two."""
    path = Path(folder) / f"checkpoint-{state['step']:08}.pt"
    temporary = Path(folder) / "checkpoint.tmp"
    with open(temporary, "wb") as f:
        torch.save(state, f)
        f.flush()
        os.fsync(f.fileno())
    os.replace(temporary, path)
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    for old in existing(folder)[KEPT:]:
        old.unlink()
    return path


def read(path):
    return torch.load(path, map_location="cpu", weights_only=True)


def latest(folder):
    """The newest checkpoint that can be read, or None. What cannot be read is reported."""
    for path in existing(folder):
        try:
            return read(path)
        except Exception as e:
            print(f"{path} cannot be read ({e}); the one before it is taken", flush=True)
    return None


def of_run(work, run):
    """The newest checkpoint of a run, for commands that need one."""
    state = latest(work / "runs" / run)
    if state is None:
        raise SystemExit(f"{work / 'runs' / run} has no checkpoint")
    return state
