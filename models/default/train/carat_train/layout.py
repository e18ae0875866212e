"""The prompt of a case, as the server makes it and as training shows it (see fim.py)."""

from . import tokenizer as tk
from .fim import line_start, near_lines, piece_ids


def prompt(tok, case, prefix_tokens, suffix_tokens, near_suffix=0, layout="spm", chunks=(), chunk_tokens=480):
    """Ids up to the place where the answer begins; `chunks` are (path, text) of other files, the best last. Of their
    ids the last `chunk_tokens` are taken, as in training."""
    head = [tk.BOS] + [i for path, text in chunks for i in piece_ids(tok, path, text)][-chunk_tokens:]
    text, caret = case["prefix"] + case["suffix"], len(case["prefix"])
    suffix = tok.encode(case["suffix"][:suffix_tokens * 6])[:suffix_tokens]
    line = line_start(case["prefix"], caret)
    lines = near_lines(text, caret, near_suffix)[:300] if near_suffix else ""
    if lines and line:
        tail = [tk.FIM_PAD] + tok.encode(lines) + [tk.FIM_PAD] + tok.encode(case["prefix"][line:])
        prefix = tok.encode(case["prefix"][:line][-prefix_tokens * 6:])[-prefix_tokens:] + tail
    else:
        prefix = tok.encode(case["prefix"][-prefix_tokens * 6:])[-prefix_tokens:]
    if layout == "spm":
        return head + [tk.PREFIX, tk.SUFFIX] + suffix + [tk.MIDDLE] + prefix
    return head + [tk.PREFIX] + prefix + [tk.SUFFIX] + suffix + [tk.MIDDLE]
