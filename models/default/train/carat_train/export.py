"""Export a run to GGUF.

    python -m carat_train.export --run c2 --out carat-default.gguf [--recipe q4_0|q8_0|f32]

The default recipe is what is shipped: experts Q4_0, other matrices Q8_0, norms, router and scales F32.
"""

from pathlib import Path

from . import checkpoint, gguf_io, metadata
from .config import ModelConfig
from .tokenizer import CodeTokenizer
from .workdir import parser


def main():
    p = parser(__doc__)
    source = p.add_mutually_exclusive_group(required=True)
    source.add_argument("--run")
    source.add_argument("--checkpoint", type=Path)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--recipe", choices=["q4_0", "q8_0", "f32"], default="q4_0")
    args = p.parse_args()
    saved = checkpoint.read(args.checkpoint) if args.checkpoint else checkpoint.of_run(args.work, args.run)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    gguf_io.write(args.out, ModelConfig(**saved["settings"]["model"]), saved["model"], CodeTokenizer.restore(saved["tokenizer"]), args.recipe,
                  extra=metadata.of_checkpoint(saved))
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB, {saved['step']} steps, {saved['tokens'] / 1e6:.1f}M tokens")


if __name__ == "__main__":
    main()
