"""Where working data lives: outside the repository, one folder per stage."""

import argparse
import os
from pathlib import Path

TRAIN_DIR = Path(__file__).resolve().parent.parent
REPOSITORY = TRAIN_DIR.parent.parent.parent


def parser(description):
    """An argument parser with `--work`, which every command takes."""
    default = os.environ.get("CARAT_TRAIN_WORK", "~/.cache/carat-train")
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--work", type=lambda s: Path(s).expanduser(), default=Path(default).expanduser(),
                   help="folder for fetched sources, corpus, checkpoints (CARAT_TRAIN_WORK)")
    return p
