"""Export a run to GGUF.

    python -m carat_train.export --run a1 --out carat-default.gguf [--recipe q4_0|q8_0|f32]

The default recipe is what is shipped: experts Q4_0, other matrices Q8_0, norms, router and scales F32.
"""

from pathlib import Path

import torch

from . import gguf_io
from .config import ModelConfig
from .tokenizer import CodeTokenizer
from .workdir import parser


def main():
    p = parser(__doc__)
    p.add_argument("--run", required=True)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--recipe", choices=["q4_0", "q8_0", "f32"], default="q4_0")
    args = p.parse_args()
    saved = torch.load(args.work / "runs" / args.run / "model.pt", weights_only=False)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    tokens = f"{saved['tokens'] / 1e6:.1f}M"
    gguf_io.write(args.out, ModelConfig(**saved["config"]), saved["model"], CodeTokenizer.load(args.work), args.recipe,
                  extra=[("general.description", f"Code infilling model of Carat, trained from scratch on {tokens} tokens"),
                         ("general.version", tokens)])
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB, {saved['step']} steps, {tokens} tokens")


if __name__ == "__main__":
    main()
