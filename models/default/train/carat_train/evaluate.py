"""Exact match on infill cases, greedily, and bits per byte on held-out files: the trainer's own view.

    python -m carat_train.evaluate --run a1 [--gguf FILE] [--cases tests/quality/cases/rust.jsonl] [--kind line] [--limit 150]
    python -m carat_train.evaluate --run a1 --bits

`carat eval` measures the same cases with the engine and is what counts.
"""

import json
import math
import random
from pathlib import Path

import torch
import torch.nn.functional as F

from . import checkpoint, gguf_io
from . import tokenizer as tk
from .config import ModelConfig
from .follow import trivial
from .generate import Decoder
from .layout import prompt
from .model import Model
from .tokenizer import CodeTokenizer
from .workdir import REPOSITORY, parser


def load(args):
    if args.gguf:
        config, state = gguf_io.read(args.gguf)
        return with_state(config, state), gguf_io.read_tokenizer(args.gguf), ""
    saved = checkpoint.of_run(args.work, args.run)
    model = with_state(ModelConfig(**saved["settings"]["model"]), saved["model"])
    return model, CodeTokenizer.restore(saved["tokenizer"]), f"step {saved['step']}, {saved['tokens'] / 1e6:.1f}M tokens"


def with_state(config, state):
    model = Model(config)
    model.load_state_dict(state)
    return model.eval()


def exact_match(model, tok, cases, layout, prefix_tokens, suffix_tokens, near_suffix=0):
    decoder, right, hard, hard_right, shown = Decoder(model), 0, 0, 0, []
    for case in cases:
        ids = prompt(tok, case, prefix_tokens, suffix_tokens, near_suffix, layout)
        newline = case["kind"] != "block"
        out = decoder.greedy(ids, 48 if newline else 160, stop=lambda o: newline and "\n" in tok.tokens[o[-1]])
        text = tok.decode(out)
        answer = text.split("\n")[0] if newline else text
        good = answer.rstrip() == case["middle"].rstrip()
        right += good
        if not trivial(case["middle"], case["language"]):
            hard += 1
            hard_right += good
        shown.append((case["middle"], answer))
    return right, len(cases), hard_right, hard, shown


@torch.no_grad()
def bits_per_byte(model, tok, path, windows, length=768):
    """On windows of held-out files, plain text after <bos>; every byte counts."""
    rng, bits, size = random.Random(7), 0.0, 0
    lines = path.read_text("utf-8").split("\n")[:-1]
    for line in rng.sample(lines, min(windows, len(lines))):
        text = json.loads(line)["text"]
        at = text.rfind("\n", 0, rng.randrange(len(text))) + 1
        ids = tok.encode(text[at:at + 3000])[:length]
        if len(ids) < 32:
            continue
        logits = model(torch.tensor([[tk.BOS] + ids]))[0, :-1]
        bits += F.cross_entropy(logits, torch.tensor(ids), reduction="sum").item() / math.log(2)
        size += len(tok.decode(ids).encode())
    return bits / size


def main():
    p = parser(__doc__)
    p.add_argument("--run", default="a1")
    p.add_argument("--gguf", type=Path, help="evaluate this file instead of the run's checkpoint")
    p.add_argument("--cases", type=Path, default=REPOSITORY / "tests/quality/cases/rust.jsonl")
    p.add_argument("--kind", default="line")
    p.add_argument("--limit", type=int, default=150)
    p.add_argument("--layout", choices=["spm", "psm"], default="spm")
    p.add_argument("--prefix-tokens", type=int, default=400)
    p.add_argument("--suffix-tokens", type=int, default=120)
    p.add_argument("--near-suffix", type=int, default=0, help="lines of the suffix near the caret, as the run was trained")
    p.add_argument("--bits", action="store_true")
    p.add_argument("--windows", type=int, default=64)
    p.add_argument("--show", type=int, default=0)
    args = p.parse_args()
    torch.set_num_threads(1)
    model, tok, what = load(args)
    if args.bits:
        for path in sorted((args.work / "corpus").glob("held_out.*.jsonl")):
            print(path.name.split(".")[1], f"{bits_per_byte(model, tok, path, args.windows):.3f} bits per byte", what, flush=True)
        return
    cases = [json.loads(line) for line in args.cases.read_text("utf-8").split("\n")[:-1]]
    cases = [c for c in cases if c["kind"] == args.kind]
    cases = random.Random(3).sample(cases, min(args.limit, len(cases)))
    right, n, hard_right, hard, shown = exact_match(model, tok, cases, args.layout, args.prefix_tokens, args.suffix_tokens, args.near_suffix)
    print(f"{what} {args.layout} {args.kind}: all {right}/{n} = {right / n:.1%}, non-trivial {hard_right}/{hard} = {hard_right / max(1, hard):.1%}")
    for want, got in shown[:args.show]:
        print("  want", json.dumps(want), "\n  got ", json.dumps(got))


if __name__ == "__main__":
    main()
