"""Check the trainer's forward pass against reference logits of a float file.

    python -m carat_train.parity FILE.gguf REFERENCE.json

The reference is a list of cases with tokens and the logits of the last position, as the parity
fixtures of the engine have them (`logits` points into the `.bin` file next to the JSON).
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from . import gguf_io
from .model import Model


def load(path):
    config, state = gguf_io.read(path)
    model = Model(config)
    report = model.load_state_dict(state, strict=False)
    assert not report.unexpected_keys and not report.missing_keys, report
    return model.eval()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("gguf", type=Path)
    p.add_argument("reference", type=Path)
    p.add_argument("--limit", type=float, default=1e-4, help="relative L2 distance")
    args = p.parse_args()
    model = load(args.gguf)
    reference = json.loads(args.reference.read_text())
    blob = (args.reference.parent / reference["logits_file"]).read_bytes()
    worst = 0.0
    for case in reference["cases"]:
        at = case["logits"]
        want = np.frombuffer(blob, "<f4", at["count"], at["offset"])
        with torch.no_grad():
            got = model(torch.tensor([case["tokens"]]))[0, -1].numpy()
        distance = float(np.linalg.norm(got - want) / np.linalg.norm(want))
        worst = max(worst, distance)
        print(f"{case['name']:12} relative L2 {distance:.1e}  argmax {'same' if got.argmax() == case['argmax'] else 'DIFFERENT'}")
    raise SystemExit(f"worst {worst:.1e} is above {args.limit}" if worst > args.limit else 0)


if __name__ == "__main__":
    main()
