"""Pictures and tables for MODEL_CARD.md and DATA.md.

    python -m carat_train.card --run a1 --checks checks.json --gguf ../carat-default.gguf

Writes DATA.md whole, loss.png (training loss, and held-out loss and exact match by tokens seen), and the part of MODEL_CARD.md between the marks of generated figures:
from `tests/quality/results.csv`, which `carat eval` writes, and from `checks.json` of `check_engine`.
"""

import csv
import hashlib
import json
import tomllib
from collections import Counter
from pathlib import Path

from . import checkpoint
from .workdir import REPOSITORY, TRAIN_DIR, parser

HEAD = """# Data of the embedded model

Source code only, fetched with the ordinary clients of each registry (`cargo vendor`, `pip download`,
`npm pack`, `apt-get source`). `train/packages.toml` names the {roots} root packages; dependency trees of
the Rust roots came with them. This list has every package from which a file was kept, with the
licence that the package itself states and the bytes kept after all filters. Versions and digests of the
archives are in `train/locks/`, the digests of the files that the filters leave in `train/locks/corpus.json`.

## How it was chosen

- **Licences**: MIT, MIT-0, Apache-2.0 (also with the LLVM exception), BSD (1, 2, 3 clauses, 0BSD), ISC, Zlib, Unlicense,
  CC0-1.0, PSF/Python-2.0, PostgreSQL, BSL-1.0. An expression counts if one way to read it has only these. What states
  nothing, or nothing that is understood, is left out. Debian packages are judged file by file.
- **Held out by project**: a project is the repository that a package comes from. It is held out if the SHA-256 of its
  name is 0 modulo 20, or if it is on the list in `packages.toml`, which was fixed before the first run
  (Go packages that serve only as held-out ones were added later, before any training on Go).
- **Duplicates**: files equal up to white space, and files of which 70% of the distinct lines (12 characters or more)
  were seen before, are dropped. Held-out projects are read first, and a training file is dropped if it shares more than
  40% of its lines with them. Of several versions of a crate the newest is kept.
- **Left out**: generated and minified files, bindings, tables, files with lines beyond 400 characters or of more than
  80 on average, below 200 bytes or above 200 kB, vendored folders, fixtures, most Python tests, anything that looks like a
  key or token; and what goes beyond 14 MB of Rust, 6 MB of Python,
  10 MB of TypeScript and JavaScript, 12 MB of Go or of C and C++ of one project.
- **Thinned**: licence headers are removed, 70% of comments, half of the documentation comments; long docstrings
  keep their first line. Held-out files are not thinned.

## Totals

"""


def totals(manifest):
    sums = Counter()
    for m in manifest:
        for language, size in m["bytes"].items():
            sums[m["split"], language] += size
            sums[m["split"], language, "n"] += 1
    lines = ["| split | language | packages | MB |", "|---|---|---|---|"]
    for split in ("train", "held_out"):
        for language in sorted({k[1] for k in sums if len(k) == 2}):
            if sums[split, language]:
                lines.append(f"| {split.replace('_', ' ')} | {language} | {sums[split, language, 'n']} | {sums[split, language] / 1e6:.1f} |")
    return "\n".join(lines)


def package_list(manifest):
    out = []
    for split in ("train", "held_out"):
        for registry in ("rust", "python", "npm", "debian"):
            rows = [m for m in manifest if m["split"] == split and m["registry"] == registry]
            if not rows:
                continue
            out.append(f"\n## {'Training' if split == 'train' else 'Held out'}: {registry}\n")
            out.append("name version, licence, kB by language\n")
            for m in sorted(rows, key=lambda m: m["name"].lower()):
                sizes = " ".join(f"{language} {size / 1e3:.0f}" for language, size in sorted(m["bytes"].items()))
                out.append(f"- {m['name']} {m['version']}, {m['license']}, {sizes}")
    return "\n".join(out)


def loss_curve(log, progress, path):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    millions = [line["tokens"] / 1e6 for line in log]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    left.plot(millions, [line["loss"] for line in log], label="all targets", linewidth=1)
    left.plot(millions, [line["middle"] for line in log], label="middles", linewidth=0.8, alpha=0.6)
    full = next((k for k, line in enumerate(log) if line["lr"] == 1), len(log))
    decay = next((m for m, line in zip(millions[full:], log[full:]) if line["lr"] < 1), None)
    qat = next((m for m, line in zip(millions, log) if line["qat"]), None)
    for at, name in ((decay, "decay begins"), (qat, "4-bit weights")):
        if at:
            left.axvline(at, color="grey", linestyle=":", linewidth=1)
            left.text(at, left.get_ylim()[1] * 0.97, " " + name, fontsize=8, va="top")
    left.set_ylabel("nats per token (training samples)")
    left.legend()
    seen = [line["tokens"] / 1e6 for line in progress]
    for language in sorted({name for line in progress for name in line["bits_per_byte"]}):
        right.plot(seen, [line["bits_per_byte"].get(language) for line in progress], label=language, linewidth=1)
    right.set_ylabel("bits per byte (held-out files)")
    matched = right.twinx()
    matched.plot(seen, [percent_right(line["cases"].get("rust")) for line in progress], "k--", linewidth=1, label="exact match, Rust lines")
    matched.set_ylabel("% of non-trivial Rust lines")
    right.legend(loc="upper right", fontsize=8)
    for axes in (left, right):
        axes.set_xlabel("million tokens")
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def percent_right(case):
    return 100 * case["non_trivial_right"] / case["non_trivial_of"] if case and case["non_trivial_of"] else None


BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def percent(x):
    return f"{x * 100:.1f}%"


def figures(saved, log, found, results, gguf):
    """The card's measured part."""
    data = gguf.read_bytes()
    worked = sum(min(b["time"] - a["time"], 60) for a, b in zip(log, log[1:]))
    out = [
        "| | |", "|---|---|",
        f"| file | {gguf.name}, {len(data) / 1e6:.1f} MB, SHA-256 `{hashlib.sha256(data).hexdigest()}` |",
        f"| tokens seen | {saved['tokens'] / 1e6:.1f} million in {saved['step']} steps |",
        f"| wall time | {(log[-1]['time'] - log[0]['time']) / 60:.0f} minutes from the first to the last logged step, "
        f"{worked / 60:.0f} of them without pauses of more than a minute |",
        f"| loss of the last 20 logged steps | {sum(l['loss'] for l in log[-20:]) / len(log[-20:]):.3f} nats per token over all targets, "
        f"{sum(l['middle'] for l in log[-20:]) / len(log[-20:]):.3f} over middles (training samples) |",
        "", f"The engine's greedy answers to {found['prompts']} prompts are those of the trainer, and its logits differ by {found['worst_logits']:.1e} at most (relative L2).",
        "", "Held-out projects, whole files from the left with comments, by the engine (`carat debug loss`). Languages that were not trained on show what is left of them:", "",
        "| language | bits per byte | nats per token | cost of quantization, nats per token |", "|---|---|---|---|"]
    for language, loss in found["loss"].items():
        small, full = loss["quantized"], loss["float"]
        out.append(f"| {language} | {small['bits_per_byte']:.3f} | {small['nats_per_token']:.3f} | {small['nats_per_token'] - full['nats_per_token']:+.4f} |")
    out += ["", "Exact match on `tests/quality/cases` by `carat eval`, with what the server shows and filters, no other file as context; 95% intervals by project.",
            "`line` is a whole line, `line-rest` the end of one from a random column, `block` two to eight lines:", "",
            "| language | kind | cases | all | | non-trivial | cases | | edit similarity | p50 ms |", "|---|---|---|---|---|---|---|---|---|---|"]
    for r in results:
        def share(name):
            return percent(float(r[name]))
        out.append(f"| {r['language']} | {r['kind']} | {r['cases']} | {share('exact_match')} | {share('exact_match_low')} to {share('exact_match_high')} "
                   f"| {share('non_trivial_exact_match')} | {r['non_trivial_cases']} | {share('non_trivial_exact_match_low')} to {share('non_trivial_exact_match_high')} "
                   f"| {share('edit_similarity')} | {float(r['p50_ms']):.0f} |")
    n = saved["loads"].shape[1]
    out += ["", "Load of the experts in the last step of training, percent of all choices by layer:", "",
            "| layer | " + " | ".join(map(str, range(n))) + " |", "|" + "---|" * (n + 1)]
    out += [f"| {i} | " + " | ".join(f"{x * 100:.1f}" for x in load.tolist()) + " |" for i, load in enumerate(saved["loads"])]
    return "\n".join(out)


def main():
    p = parser(__doc__)
    p.add_argument("--run", required=True)
    p.add_argument("--checks", type=Path)
    p.add_argument("--gguf", type=Path)
    args = p.parse_args()
    out = TRAIN_DIR.parent
    manifest = json.loads((args.work / "corpus/packages.json").read_text())
    packages = tomllib.loads((TRAIN_DIR / "packages.toml").read_text())
    roots = (sum(map(len, packages["rust"]["groups"])) + len(packages["python"]["roots"]) + len(packages["npm"]["roots"])
             + sum(len(packages["debian"][k]) for k in ("python", "typescript", "go", "c")))
    corpus = json.loads((TRAIN_DIR / "locks/corpus.json").read_text())["corpus"]
    (out / "DATA.md").write_text(HEAD.format(roots=roots) + totals(manifest) + f"\n\nSHA-256 of the corpus, as `carat_train.corpus` states it: `{corpus}`\n" + package_list(manifest) + "\n")
    folder = args.work / "runs" / args.run
    if not args.checks:
        return
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    progress = folder / "progress.jsonl"
    loss_curve(log, [json.loads(line) for line in progress.read_text().splitlines()] if progress.exists() else [], out / "loss.png")
    saved = checkpoint.of_run(args.work, args.run)
    card = (out / "MODEL_CARD.md").read_text()
    head, rest = card.split(BEGIN)
    with open(REPOSITORY / "tests/quality/results.csv", newline="") as table:
        results = list(csv.DictReader(table))
    text = figures(saved, log, json.loads(args.checks.read_text()), results, args.gguf)
    (out / "MODEL_CARD.md").write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
