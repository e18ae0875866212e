"""Compare the runs of `gates.sh`: how well each writes the committed cases.

    python -m carat_train.gates [--gguf FILE ...] [--kind line] [--limit 1000]

Every run is measured in the layout that it was trained in, on the same cases, alone and with pieces of other
files of the project in the prompt (found as in training, the file of the case left out). A case counts by the
nats of its whole answer, so that the difference of two runs is known better than from the few answers that
are right; the intervals (95%) draw projects. The model files of `--gguf` are measured as well. `carat eval`
measures what a user sees; this compares the weights of runs that nobody is going to use.
"""

import json
import random
import statistics
from collections import defaultdict

import torch

from . import checkpoint, gguf_io
from .config import ModelConfig
from .evaluate import with_state
from .fim import Files
from .follow import CASES, batches, ends, judge, run, trivial
from .layout import prompt
from .tokenizer import CodeTokenizer
from .workdir import REPOSITORY, parser

CHUNK_TOKENS = 480
LENGTH_STEP = 128           # rows have few lengths, since each new one is slow at first
DRAWS = 2000
BASE = "gate-base"


def read_cases(work, kind, limit):
    """[(case, chunks)] of each language; chunks are what retrieval finds in the case's project."""
    found = []
    for language in CASES:
        path = REPOSITORY / f"tests/quality/cases/{language}.jsonl"
        cases = [c for line in path.read_text("utf-8").split("\n")[:-1] if (c := json.loads(line))["kind"] == kind]
        files = Files(work / f"corpus/held_out.{language}.jsonl").indexed()
        for case in random.Random(3).sample(cases, min(limit, len(cases))):
            found.append((case, language, similar(files, case)))
    return found


def similar(files, case):
    """[(path, piece)] of other files of the project of a case, by what stands around its caret."""
    around = case["prefix"][-500:] + case["suffix"][:300]
    here = case["prefix"][-300:] + case["middle"]
    own = [i for i in files.by_project.get(case["project"], []) if here in files.texts[i]]
    if not own:
        return []
    return [(files.paths[j], piece) for j, piece in files.index.similar(own[0], around, 2, random.Random(3))]


def measure(model, tok, cases, sizes, near_suffix, chunks):
    """[(language, project, nats of the answer, its tokens, is it right, is it trivial)], with `sizes` tokens of prefix and suffix."""
    stops, items = ends(tok), []
    for at, (case, _, pieces) in enumerate(cases):
        middle = tok.encode(case["middle"].rstrip())
        ids = prompt(tok, case, *sizes, near_suffix, chunks=pieces if chunks else (), chunk_tokens=CHUNK_TOKENS)
        items.append((at, ids + middle, len(ids)))
    length = -(-max(len(ids) for _, ids, _ in items) // LENGTH_STEP) * LENGTH_STEP
    found = [None] * len(cases)     # in their order
    for batch in batches(items):
        for (at, ids, start), logits in run(model, "cpu", batch, lambda ids, start: (start - 1, len(ids)), length):
            case, language, _ = cases[at]
            nats, right = judge(logits, ids[start:], stops)
            found[at] = (language, case["project"], nats, len(ids) - start, right, trivial(case["middle"], case["language"]))
    return found


def compare(base, other):
    """How many nats less than with `base` an answer has on average, and the interval, as text."""
    by_project = defaultdict(lambda: [0.0, 0])
    for a, b in zip(base, other):
        sums = by_project[a[0], a[1]]
        sums[0] += a[2] - b[2]
        sums[1] += 1
    sums, rng = list(by_project.values()), random.Random(3)
    mean = lambda drawn: sum(s for s, _ in drawn) / sum(n for _, n in drawn)
    drawn = sorted(mean(rng.choices(sums, k=len(sums))) for _ in range(DRAWS))
    return f"{mean(sums):+.3f} ({drawn[DRAWS // 40]:+.3f} to {drawn[-DRAWS // 40]:+.3f})"


def training(work):
    """What the logs say: loss on the samples of training, less than `gate-base`'s at the same step, over the second half
    of the steps that both have. The samples of a run with another window are the same, so that little tells."""
    logs = {f.parent.name: {line["step"]: line for line in map(json.loads, f.read_text().splitlines())}
            for f in sorted((work / "runs").glob("gate-*/log.jsonl"))}
    base = logs.pop(BASE, {})
    for name, log in logs.items():
        steps = sorted(set(base) & set(log))
        steps = steps[len(steps) // 2:]
        if len(steps) < 2:
            continue
        said = []
        for of in ("loss", "middle"):
            less = [base[step][of] - log[step][of] for step in steps]
            said.append(f"{of} {statistics.mean(less):+.4f} (± {1.96 * statistics.stdev(less) / len(less) ** 0.5:.4f})")
        print(f"{name}, steps {steps[0]} to {steps[-1]}, nats less than {BASE} on training samples: {', '.join(said)}")


def models(args):
    """(name, model, tokenizer, lines of the suffix near the caret, steps and tokens) of every run and file; the
    runs at the last step of which all have a checkpoint."""
    folders = [f for f in (args.work / "runs").glob("gate-*") if checkpoint.existing(f)]
    common = set.intersection(*({p.name for p in checkpoint.existing(f)} for f in folders)) if folders else set()
    if folders and not common:
        raise SystemExit("the runs have no step in common: sh gates.sh brings all to one")
    for folder in sorted(folders, key=lambda f: (f.name != BASE, f.name)):
        saved = checkpoint.read(folder / max(common))
        yield (folder.name, with_state(ModelConfig(**saved["settings"]["model"]), saved["model"]), CodeTokenizer.restore(saved["tokenizer"]),
               saved["settings"]["fim"]["near_suffix"], f"{saved['step']} steps, {saved['tokens'] / 1e6:.1f} million tokens")
    for path in args.gguf:
        yield path, with_state(*gguf_io.read(path)), gguf_io.read_tokenizer(path), 0, "a file"


def main():
    p = parser(__doc__)
    p.add_argument("--gguf", action="append", default=[])
    p.add_argument("--kind", default="line")
    p.add_argument("--limit", type=int, default=1000, help="cases of a language")
    p.add_argument("--prefix-tokens", type=int, default=480)
    p.add_argument("--suffix-tokens", type=int, default=320)
    p.add_argument("--alone", action="store_true", help="without pieces of other files")
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    training(args.work)
    cases = read_cases(args.work, args.kind, args.limit)
    print(f"{len(cases)} cases, {sum(bool(pieces) for _, _, pieces in cases)} of them with pieces of other files", flush=True)
    found = {}
    for name, model, tok, near, what in models(args):
        for chunks in (False, True)[:1 if args.alone else 2]:
            found[name, chunks] = measure(model, tok, cases, (args.prefix_tokens, args.suffix_tokens), near, chunks)
        print(f"\n{name}: {what}")
        table(found, name)


def table(found, name):
    """Of a run or file that is measured, with what came before it."""
    print("| prompt | language | cases | nats per token | nats an answer less than gate-base | than without pieces | right | non-trivial |")
    print("|---|---|---|---|---|---|---|---|")
    for chunks in sorted(chunks for other, chunks in found if other == name):
        for language in ("rust", "others"):
            of = lambda key: [r for r in found.get(key, ()) if (r[0] == "rust") == (language == "rust")]
            rows = of((name, chunks))
            against = [compare(of(key), rows) if key in found and key != (name, chunks) else "" for key in ((BASE, chunks), (name, False))]
            hard = [r[4] for r in rows if not r[5]]
            cells = ["with pieces" if chunks else "alone", language, len(rows), f"{sum(r[2] for r in rows) / sum(r[3] for r in rows):.4f}",
                     *against, sum(r[4] for r in rows), f"{sum(hard)} of {len(hard)}"]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
