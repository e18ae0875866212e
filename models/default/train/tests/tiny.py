"""A work folder with a corpus of a few files, its tokenizer and a configuration, for tests that train."""

import contextlib
import io
import json
import sys
from pathlib import Path
from unittest import mock

from carat_train import corpus, digest, tokenizer

FILES = 60
CONFIG = """
[model]
vocab = 1024
hidden = 64
layers = "SG"
heads = 2
kv_heads = 1
kv_heads_global = 1
head_dim = 32
head_dim_global = 32
ffn = 96
experts = 4
experts_used = 2
expert_ffn = 32
window = 64
context = 1024

[fim]
languages = { python = 1.0 }
chunk_rows = 250

[train]
workers = 2
tokens_per_batch = 512
lengths = { 128 = 0.5, 256 = 0.5 }
warmup = 10
log_every = 1
save_minutes = 0.02
evaluate_tokens = 20000
evaluate_windows = 2
evaluate_cases = 4
"""


def quietly(main, *arguments):
    """Run a command's `main` with these arguments and without what it prints."""
    with mock.patch.object(sys, "argv", ["command", *map(str, arguments)]), contextlib.redirect_stdout(io.StringIO()):
        return main()


def make(work):
    """Fill the folder `work`; returns the path of the configuration."""
    work = Path(work)
    (work / "corpus").mkdir(parents=True)
    corpus.standard_library(work / "corpus")
    for path in (work / "corpus").glob("*.jsonl"):
        lines = path.read_text("utf-8").splitlines(keepends=True)
        # All of one project, so that there is something to retrieve.
        kept = [json.dumps(json.loads(line) | {"project": "python"}) + "\n" for line in lines[:FILES]]
        path.write_text("".join(kept), "utf-8")
    digest.record(work / "corpus")
    quietly(tokenizer.main, "--work", work, "--vocab", 1024, "--phrases", 20, "--megabytes", 0.4, "--languages", "python:1.0")
    (work / "tiny.toml").write_text(CONFIG)
    return work / "tiny.toml"
