"""Compare the engine with the trainer on an exported model, and the quantized file with the float one.

    python -m carat_train.check_engine --carat ../../../target/release/carat --float carat-default.f32.gguf --quantized ../carat-default.gguf

On prompts of `tests/quality/cases`, the engine continues the float file greedily with the same tokens
as the trainer, and its logits of the last position are equal up to rounding. On held-out files, the
engine's loss with the quantized file is at most `--most-loss` nats per token above the float file's.
`--json FILE` keeps the figures for the card.
"""

import json
import random
import subprocess
import tempfile
from pathlib import Path

import torch

from . import gguf_io
from .evaluate import with_state
from .generate import Decoder
from .layout import prompt
from .workdir import REPOSITORY, parser


def run(carat, *arguments):
    out = subprocess.run([carat, "debug", *map(str, arguments), "--json"], check=True, capture_output=True, text=True)
    return json.loads(out.stdout)


def check_prompts(args, model, tok):
    cases = [json.loads(line) for line in (REPOSITORY / "tests/quality/cases/rust.jsonl").read_text("utf-8").split("\n")[:-1]]
    decoder, worst = Decoder(model), 0.0
    for i, case in enumerate(random.Random(11).sample(cases, args.prompts)):
        ids = prompt(tok, case, 300, 100)
        tokens = ",".join(map(str, ids))
        want = decoder.greedy(ids, args.tokens)
        got = run(args.carat, "greedy", "--model", args.float, "--tokens", tokens, "--n", args.tokens, "--kv", "f32")["tokens"]
        # The engine ignores stop tokens; the trainer ends there.
        if got[:len(want)] != want:
            raise SystemExit(f"prompt {i}: the engine continues with {got}, the trainer with {want}")
        with torch.no_grad():
            logits = model(torch.tensor([ids]))[0, -1]
        found = torch.tensor(run(args.carat, "logits", "--model", args.float, "--tokens", tokens, "--kv", "f32")["logits"])
        worst = max(worst, ((found - logits).norm() / logits.norm()).item())
    print(f"{args.prompts} prompts: same tokens; logits differ by {worst:.1e} at most (relative L2)")
    if worst > 1e-5:
        raise SystemExit("the logits differ by more than 1e-5")
    return worst


def check_loss(args):
    rng, found = random.Random(12), {}
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for path in sorted((args.work / "corpus").glob("held_out.*.jsonl")):
            lines = path.read_text("utf-8").split("\n")[:-1]
            texts = [json.loads(line)["text"][:6000] for line in rng.sample(lines, min(args.files, len(lines)))]
            files.append((path.name.split(".")[1], Path(folder) / path.stem))
            files[-1][1].write_text("\n".join(texts), "utf-8")
        for language, file in files:
            full, small = (run(args.carat, "loss", "--model", m, "--text-file", file) for m in (args.float, args.quantized))
            loss = small["nats_per_token"] - full["nats_per_token"]
            print(f"{language}: float {full['nats_per_token']:.4f}, quantized {small['nats_per_token']:.4f} nats per token ({loss:+.4f}), "
                  f"{small['bits_per_byte']:.4f} bits per byte of the quantized file, {small['tokens']} tokens")
            found[language] = {"float": full, "quantized": small}
            if args.before:
                found[language]["before"] = run(args.carat, "loss", "--model", args.before, "--text-file", file)
            if language == "rust" and loss > args.most_loss:
                raise SystemExit(f"quantization costs more than {args.most_loss} nats per token")
    return found


def main():
    p = parser(__doc__)
    p.add_argument("--carat", type=Path, default=REPOSITORY / "target/release/carat")
    p.add_argument("--float", type=Path, required=True)
    p.add_argument("--quantized", type=Path, required=True)
    p.add_argument("--before", type=Path, help="the edition before, whose loss on the same files the card shows")
    p.add_argument("--prompts", type=int, default=20)
    p.add_argument("--tokens", type=int, default=32)
    p.add_argument("--files", type=int, default=40, help="held-out files by language")
    p.add_argument("--json", type=Path)
    p.add_argument("--most-loss", type=float, default=0.03)
    args = p.parse_args()
    torch.set_num_threads(1)
    worst = check_prompts(args, with_state(*gguf_io.read(args.float)), gguf_io.read_tokenizer(args.float))
    found = {"prompts": args.prompts, "worst_logits": worst, "loss": check_loss(args)}
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
