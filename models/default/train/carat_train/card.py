"""Pictures and tables for MODEL_CARD.md and DATA.md.

    python -m carat_train.card --run a2 --figures FOLDER --gguf ../carat-default.gguf

Writes DATA.md whole, loss.png (training loss, and held-out loss and exact match by tokens seen), and the part of MODEL_CARD.md between the marks of generated figures.
`evaluate.sh` puts into the folder what they are made of: `checks.json` of `check_engine`, and of `carat eval` what the model
does alone and as it is shipped, `alone.csv` and `shipped.csv`; and both tables of the edition before, named `before-`.
"""

import csv
import hashlib
import json
import tomllib
from collections import Counter
from pathlib import Path

from . import checkpoint
from .workdir import TRAIN_DIR, parser

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
    for at, name, height in ((decay, "decay begins ", 0.98), (qat, "4-bit weights ", 0.94)):
        if at:
            left.axvline(at, color="grey", linestyle=":", linewidth=1)
            left.text(at, height, name, fontsize=8, va="top", ha="right", transform=left.get_xaxis_transform())
    left.set_ylabel("nats per token (training samples)")
    left.legend()
    seen = [line["tokens"] / 1e6 for line in progress]
    for language in sorted({name for line in progress for name in line["bits_per_byte"]}):
        right.plot(seen, [line["bits_per_byte"].get(language) for line in progress], marker=".", label=language, linewidth=1)
    right.set_ylabel("bits per byte (held-out files)")
    matched = right.twinx()
    matched.plot(seen, [percent_right(line["cases"].get("rust")) for line in progress], "k--", marker=".", linewidth=1)
    matched.plot(*zip(*PREDICTED), "k:", linewidth=1)
    matched.set_ylabel("% of non-trivial Rust lines: dashed, predicted dotted")
    right.set_xlim(0, 1.1 * max(seen, default=1))
    matched.set_ylim(0, 25)
    right.legend(loc="upper right", fontsize=8)
    for axes in (left, right):
        axes.set_xlabel("million tokens")
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


# Non-trivial lines of Rust that a model of a1's shape is expected to write alone (percent), by million tokens seen. The law is
# that of Hoffmann et al., "Training Compute-Optimal Large Language Models" (2022), for the loss; exact match falls by e with every
# 0.46 bits per byte, through what a1 measured.
PREDICTED = [(36, 12.5), (150, 17), (300, 19), (600, 21), (1200, 23)]


def percent_right(case):
    return 100 * case["non_trivial_right"] / case["non_trivial_of"] if case and case["non_trivial_of"] else None


BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def percent(x):
    return f"{x * 100:.1f}%"


def read_table(path):
    with open(path, newline="") as table:
        return list(csv.DictReader(table))


def matches(before, after):
    """Exact match of two editions by language and kind."""
    out = ["| language | kind | cases | all, before | now | | non-trivial cases | before | now | |", "|---|---|---|---|---|---|---|---|---|---|"]
    before = {(r["language"], r["kind"]): r for r in before}
    for now in after:
        old = before[now["language"], now["kind"]]
        row = [now["language"], now["kind"]]
        for of, match in (("cases", "exact_match"), ("non_trivial_cases", "non_trivial_exact_match")):
            old_share, share, low, high = (percent(float(r[name])) for r, name in ((old, match), (now, match), (now, match + "_low"), (now, match + "_high")))
            row += [now[of], old_share, share, f"{low} to {high}"]
        out.append("| " + " | ".join(row) + " |")
    return out


def figures(saved, log, folder, gguf):
    """The card's measured part."""
    data = gguf.read_bytes()
    found = json.loads((folder / "checks.json").read_text())
    tables = {name: read_table(folder / f"{name}.csv") for name in ("alone", "shipped", "before-alone", "before-shipped")}
    worked = sum(min(b["time"] - a["time"], 60) for a, b in zip(log, log[1:]))
    out = [
        "| | |", "|---|---|",
        f"| file | {gguf.name}, {len(data) / 1e6:.1f} MB, SHA-256 `{hashlib.sha256(data).hexdigest()}` |",
        f"| tokens seen | {saved['tokens'] / 1e6:.1f} million, {saved['tokens'] / 1e6 - log[0]['tokens'] / 1e6:.1f} million of them in the {saved['step']} steps of this run |",
        f"| wall time of the run | {worked / 3600:.1f} hours without pauses of more than a minute |",
        f"| loss of the last 20 logged steps | {sum(l['loss'] for l in log[-20:]) / len(log[-20:]):.3f} nats per token over all targets, "
        f"{sum(l['middle'] for l in log[-20:]) / len(log[-20:]):.3f} over middles (training samples) |",
        "", f"The engine's greedy answers to {found['prompts']} prompts are those of the trainer, and its logits differ by {found['worst_logits']:.1e} at most (relative L2).",
        "", "Held-out projects, whole files from the left with comments, by the engine (`carat debug loss`), and the edition before on the same files:", "",
        "| language | bits per byte, before | now | nats per token | cost of quantization, nats per token |", "|---|---|---|---|---|"]
    for language, loss in found["loss"].items():
        small, full, old = loss["quantized"], loss["float"], loss["before"]
        out.append(f"| {language} | {old['bits_per_byte']:.3f} | {small['bits_per_byte']:.3f} | {small['nats_per_token']:.3f} | {small['nats_per_token'] - full['nats_per_token']:+.4f} |")
    out += ["", "Exact match on `tests/quality/cases` by `carat eval`, no other file as context; 95% intervals by project.",
            "`line` is a whole line, `line-rest` the end of one from a random column, `block` two to eight lines.",
            "", "The model alone, greedily (`--without healing,echo,lines,beam,filter`):", "", *matches(tables["before-alone"], tables["alone"]),
            "", "With all that the server adds, before the filter hides any (`tests/quality/results.csv`):", "", *matches(tables["before-shipped"], tables["shipped"])]
    n = saved["loads"].shape[1]
    out += ["", "Load of the experts in the last step of training, percent of all choices by layer:", "",
            "| layer | " + " | ".join(map(str, range(n))) + " |", "|" + "---|" * (n + 1)]
    out += [f"| {i} | " + " | ".join(f"{x * 100:.1f}" for x in load.tolist()) + " |" for i, load in enumerate(saved["loads"])]
    return "\n".join(out)


def main():
    p = parser(__doc__)
    p.add_argument("--run", required=True)
    p.add_argument("--figures", type=Path, help="a folder; without it only DATA.md is written")
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
    if not args.figures:
        return
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    progress = folder / "progress.jsonl"
    loss_curve(log, [json.loads(line) for line in progress.read_text().splitlines()] if progress.exists() else [], out / "loss.png")
    saved = checkpoint.of_run(args.work, args.run)
    card = (out / "MODEL_CARD.md").read_text()
    head, rest = card.split(BEGIN)
    text = figures(saved, log, args.figures, args.gguf)
    (out / "MODEL_CARD.md").write_text(f"{head}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
